"""Files of the past in, entries out: WARC archives, whose pages are taken as they are, and lists of addresses to be fetched.

A batch of entries and how far the file was read commit together, so that a run which died, or was stopped, goes on from
there; a page that is known already is not taken twice. All of it is back-fill: only partners that asked for it get it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import brotli
from warcio.archiveiterator import ArchiveIterator
from warcio.bufferedreaders import BufferedReader
from warcio.exceptions import ArchiveLoadFailed

from services.ingest import polling
from shared import urls
from shared.errors import OperatorError
from shared.models import Row
from shared.queue import Work
from shared.records import Entry
from shared.store import backfills, intake

BATCH = 50
PAGES = ("text/html", "application/xhtml+xml")
_ENDS = 65_536  # bytes of either end that tell files of one size apart


class _Brotli:
    """As warcio would have it; its own does not work with today's brotli."""

    unused_data: bytes | None = None

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def decompress(self, data: bytes) -> bytes:
        return bytes(self._stream.process(data))

    def flush(self) -> bytes:
        return b""


BufferedReader.DECOMPRESSORS["br"] = _Brotli


class Item(NamedTuple):
    """One page or address; `body` is None where it is to be fetched. `why_not` says why it is left out. `position`: after it."""

    position: int
    url: str | None
    body: bytes | None = None
    content_type: str | None = None
    at: dt.datetime | None = None
    why_not: str | None = None


def digest(path: Path) -> str:
    """What a file is known by when it comes again, under whatever name."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(_ENDS)
        file.seek(max(0, size - _ENDS))
        return hashlib.sha256(b"%d\0" % size + first + b"\0" + file.read(_ENDS)).hexdigest()


def is_warc(path: Path) -> bool:
    """Whether it is an archive, by its name or its first bytes."""
    if path.name.lower().endswith((".warc", ".warc.gz")):
        return True
    with path.open("rb") as file:
        return file.read(5) == b"WARC/"


def total(path: Path) -> int:
    """How much there is: bytes of an archive, lines of a list."""
    if is_warc(path):
        return path.stat().st_size
    with path.open("rb") as file:
        return sum(1 for _ in file)


def items(path: Path, position: int, max_bytes: int) -> Iterator[Item]:
    """What the file holds from `position` on.

    Raises:
        OperatorError: it cannot be read, or is neither an archive nor a list.
    """
    try:
        with path.open("rb") as file:
            yield from _pages(file, position, max_bytes) if is_warc(path) else _addresses(file, position)
    except (ArchiveLoadFailed, AttributeError) as error:  # the latter where a record lacks its address
        raise OperatorError(
            f"{path.name} is damaged: {error}.", "What stood before the damage was taken in.", code=1
        ) from None
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None


def _pages(file: BinaryIO, position: int, max_bytes: int) -> Iterator[Item]:
    """Pages that answered 200, with the bytes and the instant of the archive."""
    file.seek(position)
    with contextlib.closing(ArchiveIterator(file)) as records:
        for record in records:
            found = _page(record, max_bytes)
            records.read_to_end(record)
            if found is not None:
                yield found._replace(position=records.offset)  # where the next record begins


def _page(record: Any, max_bytes: int) -> Item | None:
    if record.rec_type != "response" or record.http_headers is None:
        return None
    url = urls.absolute(None, record.rec_headers.get_header("WARC-Target-URI") or "")
    kind = record.http_headers.get_header("Content-Type") or ""
    if record.http_headers.get_statuscode() != "200":
        return Item(0, url, why_not="not-answered-200")
    if kind.partition(";")[0].strip().lower() not in PAGES:
        return Item(0, url, why_not="no-page")
    if url is None:
        return Item(0, None, why_not="bad-url")
    body = record.content_stream().read(max_bytes + 1)
    if len(body) > max_bytes:
        return Item(0, url, why_not="too-large")
    return Item(0, url, body, kind, _instant(record.rec_headers.get_header("WARC-Date")))


def _instant(raw: str | None) -> dt.datetime | None:
    try:
        at = dt.datetime.fromisoformat(raw or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)


def _addresses(file: BinaryIO, position: int) -> Iterator[Item]:
    """An address a line; empty lines and those that begin with # mean nothing."""
    for number, line in enumerate(file, start=1):
        text = line.decode("utf-8", "replace").strip()
        if number <= position or not text or text.startswith("#"):
            continue
        url = urls.absolute(None, text)
        host = polling.host_of(url)
        yield Item(number, url, why_not=None if host else "bad-url")


def take(work: Work, row: Row, batch: list[Item], position: int) -> tuple[int, int]:
    """Commits a batch and how far the file was read. Returns how many were new, and how many were known."""
    source, taken = row["source_id"], 0
    wanted = [item for item in batch if item.why_not is None]
    for item in wanted:
        taken += _enter(work, source, item)
    backfills.advance(work.connection, row["id"], position, taken=taken, known=len(wanted) - taken,
                      left_out=len(batch) - len(wanted))  # fmt: skip
    return taken, len(wanted) - taken


def _enter(work: Work, source_id: int, item: Item) -> bool:
    entry, host = Entry(str(item.url), item.url), polling.host_of(item.url)
    if item.body is None:
        new, hosts = intake.add_entries(
            work.connection, source_id, [intake.NewEntry(entry, host, backfill=True)], work.now
        )
        work.ring("host.due", hosts)
        return bool(new)
    if intake.is_known(work.connection, source_id, entry.key):
        return False
    page = intake.NewPage(item.body, item.url, item.url, 200, item.content_type, item.at or work.now)
    entry_id, fresh = intake.push_entry(
        work.connection, source_id, intake.NewEntry(entry, None, backfill=True), page, work.now
    )
    work.ring("page.fetched", [entry_id])
    return fresh
