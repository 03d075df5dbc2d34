"""The fetched bytes: packed for a row, or on a shelf of files (any fsspec URL) with only their place in the row.

On a shelf the file is written and synced first, the row after it, so that a row never points to nothing; files are named by
their content, so writing twice is writing once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

import fsspec
import zstandard

from shared.errors import Retryable

_LEVEL = 3


def pack(body: bytes) -> bytes:
    """zstd-compressed."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(body)


def unpack(packed: bytes, size: int) -> bytes:
    """The `size` bytes again."""
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size + 1)


def shelve(shelf: str, body: bytes) -> str:
    """Writes the packed bytes onto the shelf; returns their place, a URL.

    Raises:
        Retryable: the shelf cannot be written at present.
    """
    digest = hashlib.sha256(body).hexdigest()
    place = f"{shelf.rstrip('/')}/{digest[:2]}/{digest}.zst"
    fs, path = fsspec.core.url_to_fs(place)
    try:
        if not fs.exists(path):
            _write(fs, path, pack(body))
    except OSError as error:
        raise Retryable("page-shelf", f"The page shelf cannot be written: {error}.") from None
    return place


def take(place: str, size: int) -> bytes:
    """The bytes at a place on the shelf. Raises Retryable where the shelf does not answer."""
    try:
        with fsspec.open(place, "rb") as file:
            return unpack(file.read(), size)
    except OSError as error:
        raise Retryable("page-shelf", f"The page shelf cannot be read: {error}.") from None


def _write(fs: fsspec.AbstractFileSystem, path: str, packed: bytes) -> None:
    """Whole or not at all: under another name first, synced where it is a local file."""
    draft = f"{path}.{secrets.token_hex(6)}.part"
    fs.makedirs(str(Path(path).parent), exist_ok=True)
    with fs.open(draft, "wb") as file:
        file.write(packed)
        if "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)):
            file.flush()
            os.fsync(file.fileno())
    fs.mv(draft, path)


def unshelve(place: str) -> None:
    """Removes the file from the shelf, if it is there still."""
    fs, path = fsspec.core.url_to_fs(place)
    with contextlib.suppress(OSError):
        fs.rm(path)
