"""A watched folder: what is new or changed in it becomes articles, what cannot be read waits in quarantine, the folder stays as it was."""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.ingest import folder, polled, tasks
from shared import clock, queue
from shared.models import ArticleRow, EntryRow, SourceRow
from shared.store import engine, intake, ledger
from shared.store.engine import Store
from tests.serving import Rung

TEXT = "Harbour board doubles the fare\n\nThe board doubled the fare on Monday, its minutes say, and nobody objected.\n"
PAGE = "<!doctype html><title>Ferry</title><article><h1>Ferry stays in port</h1>{}</article>".format(
    "".join(f"<p>The ferry to {port} stays in port on Monday, said its master, since the wind from the north has not "
            "gone down and the quay there is too short for a ship of her size.</p>" for port in ("Oxley", "Brill", "Marrow"))
)  # fmt: skip


@pytest.fixture
def inbox(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(engine, "_current", store)
    monkeypatch.setattr(queue.bell, "ring", Rung())  # there is no broker to ring
    made = tmp_path / "inbox"
    made.mkdir()
    with store.write() as c:
        intake.add_source(c, name="inbox", url=str(made), kind="folder", profile=None, now=clock.now())
    return made


def put(path: Path, content: str | bytes, age_s: float = 60.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    at = time.time() - age_s
    os.utime(path, (at, at))


def look(store: Store) -> None:
    with store.write() as c:
        c.execute(SourceRow.__table__.update().values(due_at=clock.now() - dt.timedelta(seconds=1)))
    polled.poll(1, tasks.profile_of)
    with store.read() as c:
        waiting = list(c.execute(select(EntryRow.id).where(EntryRow.step == "extract")).scalars())
    tasks.extract_pages(waiting)


def entries(store: Store) -> dict[str, Any]:
    with store.read() as c:
        assert ledger.books(c).balanced
        return {json.loads(row.item)["key"]: row for row in c.execute(select(*EntryRow.__table__.columns))}


def headlines(store: Store) -> dict[str, int]:
    with store.read() as c:
        return dict(c.execute(select(ArticleRow.headline, ArticleRow.revision)).all())


def test_texts_pages_and_records_become_articles_once(inbox: Path, store: Store) -> None:
    put(inbox / "fare.txt", TEXT)
    put(inbox / "2026" / "ferry.html", PAGE)
    put(
        inbox / "quay.json",
        json.dumps({"headline": "Quay rebuilt", "text": "The quay was rebuilt.", "section": "Economy"}),
    )
    look(store)
    assert headlines(store) == {"Harbour board doubles the fare": 1, "Ferry stays in port": 1, "Quay rebuilt": 1}
    look(store)
    assert {key: row.state for key, row in entries(store).items()} == {
        "fare.txt": "stored", "2026/ferry.html": "stored", "quay.json": "stored"}  # fmt: skip


def test_a_changed_file_is_a_revision_and_a_removed_one_is_nothing(inbox: Path, store: Store) -> None:
    put(inbox / "fare.txt", TEXT)
    look(store)
    put(inbox / "fare.txt", TEXT.replace("nobody", "one member"), age_s=30)
    look(store)
    (inbox / "fare.txt").unlink()
    look(store)
    assert headlines(store) == {"Harbour board doubles the fare": 2}


def test_an_address_in_a_file_is_fetched(inbox: Path, store: Store) -> None:
    put(inbox / "link.json", json.dumps({"url": "https://news.example/a"}))
    look(store)
    look(store)
    row = entries(store)["link.json"]
    assert (row.step, row.url, row.host) == ("fetch", "https://news.example/a", "news.example")


def test_what_cannot_be_read_waits_in_quarantine_with_its_bytes(
    inbox: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "CFG", folder.CFG.__class__(fetch=type(folder.CFG.fetch)(max_mb=0.001)))
    put(inbox / "latin.txt", "Größe\n\nText".encode("latin-1"))
    put(inbox / "bad.json", '{"headline": ""')
    put(inbox / "empty.txt", " \n")
    put(inbox / "large.txt", "Headline\n\n" + "word " * 1000)
    put(inbox / "good.txt", TEXT)
    look(store)
    found = entries(store)
    assert {key: (row.state, row.reason) for key, row in found.items()} == {
        "latin.txt": ("quarantined", "bad-charset"), "bad.json": ("quarantined", "bad-json"), "empty.txt": ("quarantined", "empty"),
        "large.txt": ("quarantined", "too-large"), "good.txt": ("stored", None),
    }  # fmt: skip
    with store.read() as c:
        assert intake.pages(c, [found["latin.txt"].page_id]).popitem()[1]["body"] == "Größe\n\nText".encode("latin-1")
    put(inbox / "latin.txt", "Größe\n\nEin Text.", age_s=30)
    look(store)
    assert entries(store)["latin.txt"].state == "stored"


def test_half_written_hidden_and_foreign_files_are_left_alone(inbox: Path, store: Store, tmp_path: Path) -> None:
    put(tmp_path / "secret.txt", TEXT)
    put(inbox / "new.txt", TEXT, age_s=0)
    put(inbox / ".hidden.txt", TEXT)
    put(inbox / ".git" / "note.txt", TEXT)
    put(inbox / "brief.txt.part", TEXT)
    put(inbox / "photo.jpg", b"\xff\xd8")
    (inbox / "link.txt").symlink_to(tmp_path / "secret.txt")
    look(store)
    assert entries(store) == {}


def test_a_folder_that_is_not_there_is_told_and_looked_at_again(inbox: Path, store: Store) -> None:
    inbox.rmdir()
    look(store)
    with store.read() as c:
        row = intake.source(c, "inbox")
    assert "cannot be read" in row["last_error"]
    assert row["due_at"] > clock.now()
    inbox.mkdir()
    put(inbox / "fare.txt", TEXT)
    look(store)
    with store.read() as c:
        assert intake.source(c, "inbox")["last_error"] is None
    assert len(headlines(store)) == 1


def test_what_was_there_long_ago_is_back_fill(inbox: Path, store: Store) -> None:
    put(inbox / "old.txt", TEXT, age_s=30 * 86_400)
    put(inbox / "new.txt", TEXT.replace("fare", "toll"))
    look(store)
    assert {key: row.backfill for key, row in entries(store).items()} == {"old.txt": True, "new.txt": False}


def test_what_is_no_plain_file_is_left_alone(inbox: Path, store: Store) -> None:
    os.mkfifo(inbox / "a.txt")  # to open it would wait for ever
    (inbox / "b.txt").symlink_to(inbox / "b.txt")
    (inbox / "c.txt").symlink_to("/nowhere/at/all")
    (inbox / "d.txt").mkdir()
    for name in ("a.txt", "d.txt"):
        os.utime(inbox / name, (1e9, 1e9))
    put(inbox / "e.txt", TEXT)
    look(store)
    assert list(entries(store)) == ["e.txt"]


def test_a_name_that_is_no_utf_8_is_taken_in_once(inbox: Path, store: Store) -> None:
    for sign in (b"\xff", b"\xfe"):
        put(Path(os.fsdecode(os.fsencode(inbox) + b"/a" + sign + b".txt")), f"{TEXT}{sign!r}")
    for _ in range(2):
        look(store)
        assert sorted(entries(store)) == ["a\\xfe.txt", "a\\xff.txt"]


def test_a_file_that_vanishes_or_cannot_be_read_holds_up_no_other(
    inbox: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        put(inbox / name, f"{TEXT}{name}")
    listed = folder.listing

    def listing(root: Path, now: dt.datetime) -> Iterator[folder.File]:
        for file in listed(root, now):
            if file.name == "a.txt":
                file.path.unlink()
            if (
                file.name == "b.txt"
            ):  # who may read everything finds no file that may not be read; a folder cannot be, by anybody
                file.path.unlink()
                file.path.mkdir()
            yield file

    monkeypatch.setattr(folder, "listing", listing)
    look(store)
    assert list(entries(store)) == ["c.txt"]
    with store.read() as c:
        assert "b.txt cannot be read" in c.execute(select(SourceRow.last_error)).scalar_one()
