"""Sources and articles in bulk: archives and lists that go on where they stopped, OPML in and out, folders watched."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable, Iterator
from gzip import compress
from pathlib import Path

import brotli
import pytest
from sqlalchemy import select

from services.console.commands import past as command
from services.ingest import past
from shared import settings
from shared.errors import OperatorError
from shared.models import EntryRow, PageRow
from shared.store import engine
from tests.console.command import Said, within

Run = Callable[..., Said]
PAGE = b"<!doctype html><title>Page %d</title><article><h1>Page %d</h1><p>Its text.</p></article>"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return within(data, monkeypatch, capsys)


def rows(data: Path) -> list[tuple[str, str, bool]]:
    store = engine.Store(settings.load({}, data=data).store_url)
    with store.read() as c:
        found = [
            (row.url, row.step, row.backfill)
            for row in c.execute(select(*EntryRow.__table__.columns).order_by(EntryRow.id))
        ]
    store.close()
    return found


def archive(path: Path, count: int, *, gzip: bool = True) -> Path:
    """Pages 0 to `count`, after them a picture and a redirect, before them what describes the archive."""
    records = [_record("warcinfo", "", b"software: test\r\n")]
    records += [_answer(f"https://news.example/{n}", b"text/html; charset=utf-8", PAGE % (n, n)) for n in range(count)]
    records += [
        _answer("https://news.example/a.png", b"image/png", b"\x89PNG"),
        _answer("https://news.example/moved", b"text/html", b"", status=b"301 Moved"),
    ]
    path.write_bytes(b"".join(compress(record) if gzip else record for record in records))
    return path


def _answer(url: str, kind: bytes, body: bytes, status: bytes = b"200 OK") -> bytes:
    return _record("response", url, b"HTTP/1.1 %b\r\nContent-Type: %b\r\n\r\n%b" % (status, kind, body))


def _record(kind: str, url: str, block: bytes) -> bytes:
    head = f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{uuid.uuid4()}>\r\nWARC-Date: 2019-05-04T12:00:00Z\r\n"
    if url:
        head += f"WARC-Target-URI: {url}\r\nContent-Type: application/http; msgtype=response\r\n"
    return f"{head}Content-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n"


@pytest.mark.parametrize("gzip", [True, False])
def test_pages_of_an_archive_are_taken_as_they_are(run: Run, data: Path, tmp_path: Path, gzip: bool) -> None:
    file = archive(tmp_path / f"2019.warc{'.gz' if gzip else ''}", 120, gzip=gzip)
    said = run("source", "backfill", file, "--source", "news")
    assert (said.code, said.out) == (0, "120 taken in, 0 known before, 2 left out (no page, or no usable address).\n")
    assert rows(data) == [(f"https://news.example/{n}", "extract", True) for n in range(120)]
    store = engine.Store(settings.load({}, data=data).store_url)
    with store.read() as c:
        assert {row.year for row in c.execute(select(PageRow.fetched_at)).scalars()} == {2019}
    store.close()
    assert "was taken in already" in run("source", "backfill", file, "--source", "news").out


@pytest.mark.parametrize("kind", ["warc.gz", "warc", "txt"])
def test_what_was_stopped_goes_on_where_it_stopped(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "txt":
        file = tmp_path / "addresses.txt"
        file.write_text("# of 2019\n\n" + "\n".join(f"https://news.example/{n}" for n in range(120)))
    else:
        file = archive(tmp_path / f"2019.{kind}", 120, gzip=kind.endswith("gz"))
    whole, read = past.items, []

    def stopped(path: Path, position: int, max_bytes: int) -> Iterator[past.Item]:
        for n, item in enumerate(whole(path, position, max_bytes)):
            if n == 75:
                raise KeyboardInterrupt
            yield item

    def counted(path: Path, position: int, max_bytes: int) -> Iterator[past.Item]:
        for item in whole(path, position, max_bytes):
            read.append(item.url)
            yield item

    monkeypatch.setattr(command.past, "items", stopped)
    assert run("source", "backfill", file, "--source", "news").code == 130
    assert len(rows(data)) == 50
    assert run("source", "backfill", "--json").json[0]["taken"] == 50
    monkeypatch.setattr(command.past, "items", counted)
    said = run("source", "backfill", file, "--source", "news", "--json")
    assert (said.json["taken"], said.json["known"]) == (120, 0)
    assert [url for url, _, _ in rows(data)] == [f"https://news.example/{n}" for n in range(120)]
    assert read[0] == "https://news.example/50"


def test_known_pages_are_not_taken_twice(run: Run, data: Path, tmp_path: Path) -> None:
    run("source", "backfill", archive(tmp_path / "one.warc.gz", 5), "--source", "news")
    said = run("source", "backfill", archive(tmp_path / "two.warc.gz", 8), "--source", "news", "--json").json
    assert (said["taken"], said["known"], len(rows(data))) == (3, 5, 8)


def test_addresses_are_fetched_and_bad_ones_counted(run: Run, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("https://news.example/a\nnot an address\nhttps://news.example/b\nhttps://news.example/a\n")
    said = run("source", "backfill", file, "--source", "news", "--json").json
    assert (said["taken"], said["known"], said["left_out"]) == (2, 1, 1)
    assert rows(data) == [("https://news.example/a", "fetch", True), ("https://news.example/b", "fetch", True)]


def test_a_damaged_archive_is_told_and_what_was_read_stays(run: Run, data: Path, tmp_path: Path) -> None:
    file = archive(tmp_path / "2019.warc.gz", 60)
    file.write_bytes(file.read_bytes()[:-400] + b"\x00" * 400)
    said = run("source", "backfill", file, "--source", "news")
    assert (said.code in (0, 1), len(rows(data)) >= 50) == (True, True)
    assert "Traceback" not in said.err


def test_bad_use_is_one_sentence(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("https://news.example/a\n")
    for arguments, words in (
        ((file,), "--source"),
        ((tmp_path / "missing", "--source", "n"), "no file"),
    ):
        said = run("source", "backfill", *arguments)
        assert (said.code, words in said.err) == (2, True)
    assert "No back-fill so far" in run("source", "backfill").out or run("source", "backfill").code == 4


def test_feeds_come_and_go_as_opml(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "feeds.opml"
    file.write_text("""<opml version="2.0"><body>
        <outline text="News"><outline xmlUrl="https://news.example/rss"/><outline xmlUrl="https://www.news.example/atom"/></outline>
        <outline xmlUrl="javascript:1"/></body></opml>""")
    added = run("source", "import", file, "--json").json["added"]
    assert [(one["name"], one["url"]) for one in added] == [
        ("news.example", "https://news.example/rss"), ("news.example-2", "https://www.news.example/atom")]  # fmt: skip
    assert "0 added, 2 followed already" in run("source", "import", file).out
    assert run("source", "export", tmp_path / "out.opml").code == 0
    assert (tmp_path / "out.opml").read_text().count("xmlUrl=") == 2
    other = run("source", "import", tmp_path / "out.opml", "--json").json
    assert (other["added"], len(other["known"])) == ([], 2)
    (tmp_path / "feed.xml").write_text("<rss version='2.0'><channel/></rss>")
    said = run("source", "import", tmp_path / "feed.xml")
    assert (said.code, "add it as a source" in said.err) == (2, True)


def test_a_folder_is_watched(run: Run, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    said = run("source", "add", inbox)
    assert (said.code, "Added inbox: folder" in said.out) == (0, True)
    assert run("source", "list", "--json").json[0]["kind"] == "folder"
    assert run("source", "add", inbox, "--name", "again").code == 4
    assert run("source", "add", tmp_path / "missing").code == 2


def _encoded(coding: str, body: bytes, kind: bytes = b"text/html; charset=utf-8") -> bytes:
    packed = brotli.compress(body) if coding == "br" else zlib.compress(body)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Encoding: %b\r\n\r\n" % (kind, coding.encode())
    return _record("response", f"https://news.example/{coding}", head + packed)


def test_pages_are_unpacked_whatever_they_were_packed_by(tmp_path: Path) -> None:
    page = PAGE % (1, 1)
    path = tmp_path / "packed.warc"
    path.write_bytes(_encoded("br", page) + _encoded("deflate", page))
    assert [item.body for item in past.items(path, 0, 1_000_000)] == [page, page]
    assert [item.why_not for item in past.items(path, 0, 20)] == ["too-large", "too-large"]


def test_a_record_without_its_address_is_damage_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "odd.warc"
    path.write_bytes(_record("response", "", b"HTTP/1.1 200 OK\r\n\r\nx"))
    with pytest.raises(OperatorError, match="damaged"):
        list(past.items(path, 0, 1_000_000))
