"""A storage target, a name and bytes in; the file there, whole or not at all, and a receipt out.

Targets are fsspec URLs: a folder (`/srv/wire`, `file:///srv/wire`), `s3://bucket/prefix`, `sftp://host/path`.
Putting the same bytes under the same name again changes nothing. Where a store has no atomic write, a hidden temporary
name is written first and then moved; a folder is also fsynced, so what a receipt says survives a power cut.
"""

from __future__ import annotations

import datetime as dt
import errno
import ftplib
import hashlib
import os
import re
import string
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec
import msgspec

from services.publish.render.shapes import RenderInput, issued
from shared.errors import Rejected, Retryable

DEFAULT_LAYOUT = "{source}/{published:%Y/%m}/{article_id}.r{revision}.{extension}"

COMPONENT_BYTES = 120
"""The longest part of a path made from one value; file systems allow 255 for a whole name."""

# Stores whose single write shows the whole object or nothing, and whose folders are parts of names: a temporary name is
# not needed, a move would be a copy, and making folders could make buckets.
_ATOMIC = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "memory"})

# Drivers with exceptions of their own for what goes wrong on the way.
_DRIVERS = frozenset({"paramiko", "botocore", "aiobotocore", "aiohttp", "gcsfs", "azure", "smbprotocol", "requests"})

_NO_PERMISSION = frozenset({"AuthenticationException", "BadHostKeyException", "NoCredentialsError"})


class StorageReceipt(msgspec.Struct, frozen=True):
    """Where the bytes are, what they hash to, and whether this call had to write them."""

    url: str
    sha256: str
    size: int
    written: bool


def layout_values(event: RenderInput, extension: str) -> dict[str, str | int | dt.datetime]:
    """What a layout template may name: source, article_id, revision, position, kind, section, language, published, at,
    extension. `published` falls back to the time of the event."""
    article = event.article
    return {
        "source": article.source,
        "article_id": article.id,
        "revision": article.revision,
        "position": event.position,
        "kind": event.type.rpartition(".")[2],
        "section": article.section or "",
        "language": article.language or "",
        "published": issued(event),
        "at": event.at,
        "extension": extension,
    }


def layout(template: str, values: Mapping[str, str | int | dt.datetime]) -> str:
    """A relative path from a template such as DEFAULT_LAYOUT.

    Slashes come from the template only; a value becomes one safe part of a path whatever it holds. Raises
    Rejected("bad-layout") when the template names something unknown, or leads out of the target.
    """
    try:
        path = "".join(_pieces(template, values))
    except (ValueError, KeyError) as error:
        known = ", ".join(sorted(values))
        raise Rejected("bad-layout", f"{template!r} does not work ({error}); it may name {known}.") from error
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in path or "\0" in path:
        raise Rejected("bad-layout", f"The layout {template!r} gives {path!r}, which is no path inside the target.")
    return path


def put(target_url: str, name: str, body: bytes, options: Mapping[str, Any] | None = None) -> StorageReceipt:
    """Write `body` under `name` (a relative path with slashes) inside the target.

    Args:
        options: what the fsspec driver takes besides the URL (credentials, host keys).

    Raises Retryable: "disk-full", "storage-unreachable", "storage-failed". Rejected: "no-permission", "path-in-use",
    "name-too-long", "bad-name", "bad-storage-url", "storage-driver-missing".
    """
    if name.startswith("/") or any(part in ("", ".", "..") for part in name.split("/")):
        raise Rejected("bad-name", f"{name!r} is no path inside the target.")
    with _fates(target_url):
        fs, root = fsspec.core.url_to_fs(target_url, **(options or {}))
        path = f"{root.rstrip('/')}/{name}"
        protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
        if protocol in ("file", "local"):
            written, url = _write_local(Path(path), body), fs.unstrip_protocol(path)
        else:
            written, url = _write_elsewhere(fs, protocol, path, body), f"{without_login(target_url)}/{name}"
    return StorageReceipt(url, hashlib.sha256(body).hexdigest(), len(body), written)


def _pieces(template: str, values: Mapping[str, str | int | dt.datetime]) -> Iterator[str]:
    for literal, field, spec, conversion in string.Formatter().parse(template):
        yield literal
        if field is None:
            continue
        if conversion or field not in values:
            raise KeyError(field)
        value = values[field]
        if isinstance(value, dt.datetime):
            yield value.astimezone(dt.UTC).strftime(spec or "%Y-%m-%d")
        else:
            yield component(format(value, spec or ""))


def component(value: str) -> str:
    """Any text as one part of a path: no separators, no control characters, no leading dot, bounded; never empty.

    A value that had to be cut ends in a piece of its hash, so that two long values do not meet.
    """
    safe = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff]', "-", unicodedata.normalize("NFC", value))
    safe = safe.strip().strip(".") or "_"
    if len(safe.encode()) <= COMPONENT_BYTES:
        return safe
    mark = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return safe.encode()[: COMPONENT_BYTES - 13].decode("utf-8", "ignore") + "-" + mark


def _write_local(path: Path, body: bytes) -> bool:
    with suppress(FileNotFoundError):
        if path.read_bytes() == body:
            return False
    _make_folders(path.parent)
    temporary = path.with_name(_temporary_name(path.name))
    try:
        with temporary.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)
    return True


def _temporary_name(name: str) -> str:
    # The dot keeps half a file out of listings; process and thread keep two writers of one name apart.
    return f".{hashlib.sha256(name.encode()).hexdigest()[:16]}.{os.getpid()}-{threading.get_ident()}.part"


def _make_folders(folder: Path) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        _sync_folder(made.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_elsewhere(fs: Any, protocol: str, path: str, body: bytes) -> bool:
    try:
        return _write(fs, protocol, path, body)
    except Exception:
        # fsspec keeps instances with their connections; one that failed may be dead for good.
        type(fs).clear_instance_cache()
        raise


def _write(fs: Any, protocol: str, path: str, body: bytes) -> bool:
    if _holds(fs, path, body):
        return False
    if protocol in _ATOMIC:
        fs.pipe_file(path, body)
        return True
    folder, _, name = path.rpartition("/")
    fs.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/{_temporary_name(name)}"
    fs.pipe_file(temporary, body)
    _move(fs, temporary, path)
    return True


def _move(fs: Any, temporary: str, path: str) -> None:
    try:
        fs.mv(temporary, path)
    except (OSError, ftplib.Error):
        # Some servers do not move onto an existing name.
        if not fs.exists(path):
            raise
        fs.rm_file(path)
        fs.mv(temporary, path)


def _holds(fs: Any, path: str, body: bytes) -> bool:
    fs.invalidate_cache()
    try:
        return bool(fs.size(path) == len(body) and fs.cat_file(path) == body)
    except FileNotFoundError:
        return False


@contextmanager
def _fates(target_url: str) -> Iterator[None]:
    try:
        yield
    except (Retryable, Rejected):
        raise
    except ImportError as error:
        raise Rejected("storage-driver-missing", f"{_shown(target_url)} needs a driver: {error}") from error
    except (ValueError, NotImplementedError) as error:
        raise Rejected("bad-storage-url", f"{_shown(target_url)}: {error}") from error
    except OSError as error:
        raise _fate_of(error, target_url) from error
    except ftplib.error_perm as error:
        if str(error).startswith("552"):  # RFC 959: exceeded storage allocation
            raise Retryable("disk-full", f"{_shown(target_url)}: {error}") from error
        raise Rejected("no-permission", f"{_shown(target_url)}: {error}") from error
    except (ftplib.Error, EOFError) as error:
        raise Retryable("storage-unreachable", f"{_shown(target_url)}: {error}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _DRIVERS:
            raise
        if type(error).__name__ in _NO_PERMISSION:
            raise Rejected("no-permission", f"{_shown(target_url)}: {error}") from error
        raise Retryable("storage-failed", f"{_shown(target_url)}: {error}") from error


def _fate_of(error: OSError, target_url: str) -> Retryable | Rejected:
    detail = f"{_shown(target_url)}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Retryable("disk-full", detail)
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return Rejected("no-permission", detail)
    if isinstance(error, (NotADirectoryError, IsADirectoryError, FileExistsError)):
        return Rejected("path-in-use", detail)
    if error.errno == errno.ENAMETOOLONG:
        return Rejected("name-too-long", detail)
    if (
        isinstance(error, (ConnectionError, TimeoutError)) or type(error).__name__ == "NoValidConnectionsError"
    ):  # paramiko's
        return Retryable("storage-unreachable", detail)
    return Retryable("storage-failed", detail)


def without_login(url: str) -> str:
    return re.sub(r"(://)[^/@]*@", r"\1", url).rstrip("/")


def _shown(url: str) -> str:
    """The URL without a password."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", url)
