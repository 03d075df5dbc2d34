"""The page shelf: bytes as files, named by their content, whole or not at all."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import pages, records
from shared.errors import Retryable
from shared.store import intake
from shared.store.engine import Store

NOW = dt.datetime(2026, 5, 4, tzinfo=dt.UTC)


@given(st.binary(max_size=4000))
def test_packing_is_undone_by_unpacking(body: bytes) -> None:
    assert pages.unpack(pages.pack(body), len(body)) == body


def test_the_same_bytes_stand_once_on_the_shelf(tmp_path: Path) -> None:
    shelf = f"file://{tmp_path}/shelf"
    place = pages.shelve(shelf, b"<p>bytes</p>")
    assert pages.shelve(shelf, b"<p>bytes</p>") == place
    assert pages.take(place, 12) == b"<p>bytes</p>"
    assert len([path for path in (tmp_path / "shelf").rglob("*") if path.is_file()]) == 1


def test_a_shelf_that_cannot_be_written_is_tried_again_later(tmp_path: Path) -> None:
    (tmp_path / "shelf").write_text("a file where the folder should be")
    with pytest.raises(Retryable, match="page shelf"):
        pages.shelve(f"file://{tmp_path}/shelf", b"bytes")


def test_a_lost_file_is_no_empty_page(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match="page shelf"):
        pages.take(f"file://{tmp_path}/nothing.zst", 5)


def test_a_shelved_page_is_read_back_through_its_row(store: Store, tmp_path: Path) -> None:
    place = pages.shelve(f"file://{tmp_path}/shelf", b"<p>bytes</p>")
    page = intake.NewPage(b"<p>bytes</p>", None, None, 200, "text/html", NOW, place=place)
    with store.write() as c:
        source = intake.add_source(c, name="s", url="", kind="push", profile=None, now=NOW)
        entry, _ = intake.push_entry(c, source, intake.NewEntry(records.Entry("k", None), None, False), page, NOW)
        (row,) = intake.claim_pages(c, [entry], NOW)
        assert intake.pages(c, [row["page_id"]])[row["page_id"]]["body"] == b"<p>bytes</p>"
