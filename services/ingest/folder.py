"""A watched folder in: files that are new or changed become entries with their bytes. Nothing in the folder is ever changed.

    *.html *.htm    a page
    *.txt           a text: a headline, a blank line, paragraphs
    *.json          what may be pushed in as JSON: an address, a page, a text or a record

An entry is called by the file's path within the folder, so a changed file is a revision of the same article. A file that is
removed is no withdrawal. Names that begin with a dot or end in .part are left alone, and so is a file written to just now, and
what is no plain file. One that cannot be read holds up no other; the source says which.
"""

from __future__ import annotations

import datetime as dt
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from services.ingest import polling, pushing
from shared import clock, queue
from shared.errors import Rejected
from shared.models import Row, SourceRow
from shared.queue import Work, begin, holding
from shared.records import Entry
from shared.store import claims, intake, pushes

CFG = queue.SETTINGS
TYPES = {".html": "text/html", ".htm": "text/html", ".txt": "text/plain; charset=utf-8", ".json": "application/json"}
SETTLED_S = 2.0  # a file changed more lately than this may still be being written
BATCH = 20
LOOK_S = 5.0
TROUBLE_S = 60.0


class File(NamedTuple):
    """A file of the folder: its path within it, where it is, and a mark that changes with it."""

    name: str
    path: Path
    mark: str
    changed_at: dt.datetime


class Taken(NamedTuple):
    """A file as it was read: what it means, or why it cannot be taken, and its bytes."""

    file: File
    body: bytes
    pushed: pushing.Pushed | Rejected


def poll(row: Row) -> None:
    """Takes in what is new or changed in a claimed source's folder, a batch a transaction, then says when to look again."""
    trouble = None
    with holding(SourceRow, [row]):
        try:
            changed = list(_changed(root_of(row["url"]), row["id"]))
            for i in range(0, len(changed), BATCH):
                trouble = _take(row, changed[i : i + BATCH]) or trouble
        except OSError as error:
            trouble = f"folder: {row['url']} cannot be read: {error.strerror or error}."
        _settle(row, trouble)


def _settle(row: Row, trouble: str | None) -> None:
    with begin() as work:
        values = {"polled_at": work.now, "last_error": trouble, "failures": row["failures"] + 1 if trouble else 0}
        if trouble is None:
            values |= {"ok_at": work.now, "first_polled_at": row["first_polled_at"] or work.now}
        wait = dt.timedelta(seconds=TROUBLE_S if trouble else LOOK_S)
        claims.settle(work.connection, SourceRow, row, due_at=work.now + wait, **values)


def _take(row: Row, files: Sequence[File]) -> str | None:
    """Takes in these files; what is wrong with one that cannot be read, which the others do not wait for."""
    taken, trouble = [], None
    for file in files:
        try:
            taken.append(read(file))
        except FileNotFoundError:  # gone meanwhile
            continue
        except OSError as error:
            trouble = f"folder: {file.name} cannot be read: {error.strerror or error}."
    with begin() as work:
        for one in taken:
            _enter(work, row, one)
    return trouble


def root_of(url: str) -> Path:
    """The folder that a source of this kind names: a path, or a file URL."""
    return Path(url.removeprefix("file://"))


def listing(root: Path, now: dt.datetime) -> Iterator[File]:
    """The files that may be taken in, by name; links that lead out of the folder are none of them.

    Raises:
        OSError: the folder is not there, or cannot be read.
    """
    home = root.resolve(strict=True)
    if not home.is_dir():
        raise NotADirectoryError(0, "not a folder", str(root))
    for folder, inner, names in os.walk(home):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix.lower() not in TYPES or name.startswith(".") or not _within(home, path):
                continue
            found = _file(home, path, now)
            if found is not None:
                yield found


def _within(home: Path, path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(home)
    except (OSError, RuntimeError):  # a link that leads to itself
        return False


def _file(home: Path, path: Path, now: dt.datetime) -> File | None:
    try:
        found = path.stat()
    except OSError:  # gone meanwhile
        return None
    changed_at = dt.datetime.fromtimestamp(found.st_mtime, dt.UTC)
    if not stat.S_ISREG(found.st_mode) or abs((now - changed_at).total_seconds()) < SETTLED_S:
        return None
    name = os.fsencode(path.relative_to(home)).decode("utf-8", "backslashreplace")
    return File(name, path, f"{found.st_size}-{found.st_mtime_ns}", changed_at)


def read(file: File) -> Taken:
    """The file's bytes and what they mean. A file too large to be kept is refused unread."""
    limit = int(CFG.fetch.max_mb * 1024 * 1024)
    with file.path.open("rb") as opened:
        body = opened.read(limit + 1)
    if len(body) > limit:
        return Taken(
            file, b"", Rejected("too-large", f"{file.name} is larger than {CFG.fetch.max_mb:g} MB ([fetch] max_mb).")
        )
    try:
        return Taken(file, body, pushing.read(body, TYPES[file.path.suffix.lower()], item_id=file.name))
    except Rejected as error:
        return Taken(file, body, error)


def _changed(root: Path, source_id: int) -> Iterator[File]:
    with queue.store().read() as connection:
        known = intake.marks(connection, source_id)
    for file in listing(root, clock.now()):
        if known.get(intake.key_hash(file.name)) != file.mark:
            yield file


def _enter(work: Work, row: Row, taken: Taken) -> None:
    """The file as an entry: with its page, with an address to fetch, or in quarantine with its bytes."""
    file, pushed = taken.file, taken.pushed
    backfill = work.now - file.changed_at > dt.timedelta(days=CFG.ingest.backfill_days)
    if isinstance(pushed, pushing.Pushed) and pushed.body is None:
        entry = Entry(file.name, pushed.url, updated_raw=file.mark)
        entry_id, hosts = pushes.look_at(
            work.connection, row["id"], intake.NewEntry(entry, polling.host_of(pushed.url), backfill), work.now
        )
        work.ring("host.due", hosts)
    else:
        entry_id = _with_bytes(work, row["id"], taken, backfill)
    intake.mark(work.connection, entry_id, file.mark)


def _with_bytes(work: Work, source_id: int, taken: Taken, backfill: bool) -> int:
    pushed = taken.pushed
    if isinstance(pushed, Rejected):
        page = intake.NewPage(taken.body, None, None, 200, None, work.now)
    else:
        page = intake.NewPage(pushed.body or b"", pushed.url, pushed.url, 200, pushed.content_type, work.now)
    new = intake.NewEntry(Entry(taken.file.name, page.final_url), None, backfill)
    entry_id, fresh = intake.push_entry(work.connection, source_id, new, page, work.now)
    if isinstance(pushed, Rejected):
        intake.finish_entry(work.connection, entry_id, "quarantined", reason=pushed.reason, detail=pushed.detail)
    elif fresh:
        work.ring("page.fetched", [entry_id])
    return entry_id
