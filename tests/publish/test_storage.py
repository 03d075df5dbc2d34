"""Storage over real folders, an in-memory object store and a store that cannot move onto a name; hostile names."""

from __future__ import annotations

import datetime as dt
import errno
import os
import re
import threading
from pathlib import Path

import fsspec
import msgspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from services.publish import storage
from services.publish.storage import COMPONENT_BYTES, DEFAULT_LAYOUT, component, layout, layout_values, put
from shared.errors import Rejected, Retryable
from tests.publish.records import AT, event

BODY = '{"headline":"Паром"}'.encode()


class PlainServer(LocalFileSystem):  # type: ignore[misc]
    """A store without atomic writes whose move refuses an existing name, as some FTP and WebDAV servers do."""

    protocol = "plainserver"

    @classmethod
    def _strip_protocol(cls, path: str, **_: object) -> str:
        return path.removeprefix("plainserver://")

    def mv(self, path1: str, path2: str, **_: object) -> None:
        if self.exists(path2):
            raise FileExistsError(errno.EEXIST, "exists", path2)
        super().mv(path1, path2)


class Flaky(PlainServer):
    """A store whose connection dies after one write and is never mended; only a new instance works again."""

    protocol = "flaky"
    made = 0

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        type(self).made += 1
        self.calls = 0

    @classmethod
    def _strip_protocol(cls, path: str, **_: object) -> str:
        return re.sub("^flaky://[^/]*", "", path)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: object) -> None:
        self.calls += 1
        if self.calls > 1:
            raise BrokenPipeError(errno.EPIPE, "broken pipe")
        super().pipe_file(path, value)


class AuthenticationException(Exception):
    """What a driver raises for a wrong password: no OSError."""


class Locked(PlainServer):
    """A store whose driver has exceptions of its own."""

    protocol = "locked"
    raises: type[Exception] = AuthenticationException

    @classmethod
    def _strip_protocol(cls, path: str, **_: object) -> str:
        return path.removeprefix("locked://")

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: object) -> None:
        raise self.raises("no")


class FullDisk(PlainServer):
    """A store whose disk is full."""

    protocol = "fulldisk"

    @classmethod
    def _strip_protocol(cls, path: str, **_: object) -> str:
        return path.removeprefix("fulldisk://")

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: object) -> None:
        with Path("/dev/full").open("wb") as file:
            file.write(value)


fsspec.register_implementation("plainserver", PlainServer, clobber=True)
for one in (FullDisk, Flaky, Locked):
    fsspec.register_implementation(one.protocol, one, clobber=True)


@pytest.fixture
def memory() -> str:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    return "memory://wire/out"


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_folder_gets_the_file_whole_and_nothing_else(tmp_path: Path, prefix: str) -> None:
    receipt = put(f"{prefix}{tmp_path}/wire", "harbour/2026/03/a.r1.json", BODY)
    assert (tmp_path / "wire/harbour/2026/03/a.r1.json").read_bytes() == BODY
    assert names(tmp_path) == ["wire/harbour/2026/03/a.r1.json"]
    assert receipt.url == f"file://{tmp_path}/wire/harbour/2026/03/a.r1.json"
    assert (receipt.size, receipt.written, len(receipt.sha256)) == (len(BODY), True, 64)


def test_the_same_name_again_changes_nothing(tmp_path: Path) -> None:
    first = put(str(tmp_path), "a.json", BODY)
    before = (tmp_path / "a.json").stat()
    again = put(str(tmp_path), "a.json", BODY)
    assert (first.written, again.written) == (True, False)
    assert msgspec.structs.replace(again, written=True) == first
    after = (tmp_path / "a.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_other_bytes_under_the_name_replace_the_file_at_once(tmp_path: Path) -> None:
    put(str(tmp_path), "a.json", b"x" * 200_000)
    seen: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.add(len((tmp_path / "a.json").read_bytes()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for size in (100_000, 200_000) * 10:
        put(str(tmp_path), "a.json", b"y" * size)
    done.set()
    watcher.join()
    assert seen <= {100_000, 200_000}
    assert names(tmp_path) == ["a.json"]


def test_many_writers_of_one_name_leave_one_whole_file(tmp_path: Path) -> None:
    bodies = [bytes([number]) * 50_000 for number in range(8)]
    threads = [threading.Thread(target=put, args=(str(tmp_path), "a.json", body)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a.json").read_bytes() in bodies
    assert names(tmp_path) == ["a.json"]


def test_an_object_store(memory: str) -> None:
    assert put(memory, "h/a.json", BODY).written
    assert not put(memory, "h/a.json", BODY).written
    assert put(memory, "h/a.json", BODY + b" ").written
    fs = fsspec.filesystem("memory")
    assert fs.find("/wire/out") == ["/wire/out/h/a.json"]
    assert fs.cat_file("/wire/out/h/a.json") == BODY + b" "


def test_a_server_without_atomic_writes_gets_a_temporary_name_first(tmp_path: Path) -> None:
    target = f"plainserver://{tmp_path}"
    assert put(target, "h/a.json", BODY).written
    assert not put(target, "h/a.json", BODY).written
    assert put(target, "h/a.json", b"new").written
    assert (tmp_path / "h/a.json").read_bytes() == b"new"
    assert names(tmp_path) == ["h/a.json"]


def test_a_dead_connection_is_not_kept(tmp_path: Path) -> None:
    target = f"flaky://desk:secret@host{tmp_path}"
    receipt = put(target, "a.json", BODY)
    assert receipt.url == f"flaky://host{tmp_path}/a.json"
    with pytest.raises(Retryable, match="storage-unreachable") as caught:
        put(target, "b.json", BODY)
    assert "secret" not in str(caught.value)
    assert put(target, "b.json", BODY).written
    assert Flaky.made == 2
    assert names(tmp_path) == ["a.json", "b.json"]


def test_exceptions_of_drivers_have_a_fate_and_those_of_others_are_bugs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"locked://{tmp_path}"
    with pytest.raises(AuthenticationException):
        put(target, "a.json", BODY)
    monkeypatch.setattr(AuthenticationException, "__module__", "paramiko.ssh_exception")
    with pytest.raises(Rejected, match="no-permission"):
        put(target, "a.json", BODY)
    monkeypatch.setattr(Locked, "raises", type("SSHException", (Exception,), {"__module__": "paramiko"}))
    with pytest.raises(Retryable, match="storage-failed"):
        put(target, "a.json", BODY)


@pytest.mark.parametrize(
    ("url", "reason"), [("nosuch://x/y", "bad-storage-url"), ("s3://bucket/prefix", "storage-driver-missing")]
)
def test_targets_that_cannot_work(url: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        put(url, "a.json", BODY)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "", "a//b", "./a"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Rejected, match="bad-name"):
        put(str(tmp_path), name, BODY)
    assert names(tmp_path) == []


def test_a_file_in_the_way_and_a_name_too_long(tmp_path: Path) -> None:
    (tmp_path / "h").write_text("a file")
    with pytest.raises(Rejected, match="path-in-use"):
        put(str(tmp_path), "h/a.json", BODY)
    with pytest.raises(Rejected, match="name-too-long"):
        put(str(tmp_path), "a" * 300, BODY)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Rejected, match="no-permission"):
        put(str(tmp_path), "a.json", BODY)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_tried_again_later(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match="disk-full"):
        put(f"fulldisk://{tmp_path}", "a.json", BODY)


@pytest.mark.parametrize(
    ("number", "fate", "reason"),
    [
        (errno.ENOSPC, Retryable, "disk-full"),
        (errno.EDQUOT, Retryable, "disk-full"),
        (errno.EROFS, Rejected, "no-permission"),
        (errno.EACCES, Rejected, "no-permission"),
        (errno.ECONNREFUSED, Retryable, "storage-unreachable"),
        (errno.EIO, Retryable, "storage-failed"),
    ],
)
def test_fates_of_system_errors(number: int, fate: type[Exception], reason: str) -> None:
    error = storage._fate_of(OSError(number, os.strerror(number)), "sftp://user:secret@host/x")
    assert isinstance(error, fate)
    assert str(error).startswith(reason)
    assert "secret" not in str(error)


def test_the_default_layout() -> None:
    assert layout(DEFAULT_LAYOUT, layout_values(event(), "json")) == "harbour/2026/03/art_7c1.r3.json"
    undated = layout(DEFAULT_LAYOUT, layout_values(event(published=None), "json"))
    assert undated == "harbour/2026/03/art_7c1.r3.json"


def test_a_layout_of_ones_own() -> None:
    values = layout_values(event(), "xml")
    assert layout("{section}/{kind}-{position:06}-{at:%H%M}.{extension}", values) == "Economy/published-000041-1430.xml"


@pytest.mark.parametrize(
    "template",
    [
        "{headline}",
        "{source.__class__}",
        "{source!r}",
        "{source[0]}",
        "{",
        "/{source}",
        "../{source}",
        "a//{source}",
        "{source}/..",
        "{}",
        "{revision:zz}",
        "",
        "a\\b",
    ],
)
def test_layouts_that_do_not_work(template: str) -> None:
    with pytest.raises(Rejected, match="bad-layout"):
        layout(template, layout_values(event(), "json"))


@given(st.text(), st.text(), st.integers())
def test_hostile_values_stay_within_the_target(source: str, article_id: str, revision: int) -> None:
    values: dict[str, str | int | dt.datetime] = {
        "source": source,
        "article_id": article_id,
        "revision": revision,
        "published": AT,
        "extension": "json",
    }
    path = layout(DEFAULT_LAYOUT, values)
    parts = path.split("/")
    assert len(parts) == 4
    assert parts[1:3] == ["2026", "03"]
    assert not any(part in ("", ".", "..") or part.startswith(".") for part in parts)
    assert not re.search(r"[\x00-\x1f\\]", path)
    assert all(len(part.encode()) <= 2 * COMPONENT_BYTES for part in parts)


def test_components() -> None:
    assert component("../../etc/passwd") == "-..-etc-passwd"
    assert component("..") == component("") == component(" . ") == "_"
    assert component("Эканоміка") == "Эканоміка"
    long_one, long_other = component("я" * 200), component("я" * 201)
    assert long_one != long_other
    assert len(long_one.encode()) <= COMPONENT_BYTES


def test_times_in_layouts_are_utc() -> None:
    zone = dt.timezone(dt.timedelta(hours=3))
    assert layout("{at:%H}", {"at": dt.datetime(2026, 1, 1, 1, tzinfo=zone)}) == "22"
