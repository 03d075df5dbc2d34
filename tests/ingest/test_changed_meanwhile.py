"""A feed that names a newer text while the older one is under way: the newer one is fetched too, whatever the timing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import Connection

from services.ingest import fetch, lane
from shared import records
from shared.models import Row
from shared.queue import Failure, Work
from shared.store import intake, lanes
from shared.store.engine import Store

HOST = "h.example"
NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(seconds=5)


def poll(connection: Connection, source: int, title: str, at: dt.datetime) -> None:
    entry = records.Entry("key", f"http://{HOST}/1", title=title)
    intake.add_entries(connection, source, [intake.NewEntry(entry, HOST, backfill=False)], at)


def page(text: bytes = b"<html>old") -> intake.NewPage:
    return intake.NewPage(text, f"http://{HOST}/1", f"http://{HOST}/1", 200, "text/html", NOW)


def a_source(connection: Connection) -> int:
    return intake.add_source(connection, name="s", url=f"http://{HOST}/feed", kind="feed", profile=None, now=NOW)


def due(connection: Connection, at: dt.datetime) -> list[Row]:
    return intake.next_to_fetch(connection, HOST, at, 10)


def test_the_feed_changes_while_the_page_waits_for_extraction(store: Store) -> None:
    with store.write() as c:
        source = a_source(c)
        poll(c, source, "old", NOW)
        entry = due(c, NOW)[0]["id"]
        intake.keep_page(c, entry, page())
        assert intake.claim_pages(c, [entry], NOW)
        poll(c, source, "new", LATER)
        assert due(c, LATER) == []
        intake.finish_entry(c, entry, "stored")
        assert [row["id"] for row in due(c, LATER)] == [entry]
        assert lanes.claim(c, lanes.host_lane(HOST), LATER) is not None


def test_once_it_was_fetched_again_it_rests(store: Store) -> None:
    with store.write() as c:
        source = a_source(c)
        poll(c, source, "old", NOW)
        entry = due(c, NOW)[0]["id"]
        intake.keep_page(c, entry, page())
        poll(c, source, "new", LATER)
        intake.finish_entry(c, entry, "stored")
        intake.keep_page(c, entry, page(b"<html>new"))
        intake.finish_entry(c, entry, "stored")
        assert due(c, LATER) == []


def in_flight(connection: Connection) -> tuple[int, Row, Row]:
    """(source, lane, entry) as a drain holds them while it waits for the site."""
    source = a_source(connection)
    poll(connection, source, "old", NOW)
    held = lanes.claim(connection, lanes.host_lane(HOST), NOW)
    assert held is not None
    return source, held, due(connection, NOW)[0]


def answer(cls: Any, **more: Any) -> Any:
    url = f"http://{HOST}/1"
    return cls(requested_url=url, final_url=url, duration_s=0.1, fetched_at=NOW, **more)


ANSWERS = {
    "a page": lane.fetched(answer(fetch.Page, status=200, headers={}, content_type="text/html", body=b"<html>old", etag=None,
                                  last_modified=None, permanent=False, hops=(), max_age_s=None, peer="")),
    "not modified": answer(fetch.NotModified, etag='"1"', last_modified=None, permanent=False, max_age_s=None),
    "refused": Failure("http-400", "The page answered 400.", later=False),
}  # fmt: skip


@pytest.mark.parametrize("got", ANSWERS.values(), ids=ANSWERS)
def test_the_feed_changes_while_the_page_is_being_fetched(store: Store, got: Any) -> None:
    with store.write() as c:
        source, held, entry = in_flight(c)
        poll(c, source, "new", LATER)
        lane.settle(Work(c, LATER), held, entry, got)
        if isinstance(got, lane.Fetched):
            intake.finish_entry(c, entry["id"], "stored")
        assert [row["id"] for row in due(c, LATER)] == [entry["id"]]


@pytest.mark.parametrize("got", ANSWERS.values(), ids=ANSWERS)
def test_a_feed_that_stays_the_same_asks_for_nothing(store: Store, got: Any) -> None:
    with store.write() as c:
        source, held, entry = in_flight(c)
        poll(c, source, "old", LATER)
        lane.settle(Work(c, LATER), held, entry, got)
        if isinstance(got, lane.Fetched):
            intake.finish_entry(c, entry["id"], "stored")
        assert due(c, LATER) == []


def test_what_is_pushed_while_its_older_text_is_read_is_read_next(store: Store) -> None:
    new = intake.NewEntry(records.Entry("key", None), None, backfill=False)
    with store.write() as c:
        source = a_source(c)
        entry, _ = intake.push_entry(c, source, new, page(b"old"), NOW)
        (held,) = intake.claim_pages(c, [entry], NOW)
        intake.push_entry(c, source, new, page(b"new"), NOW)
        (again,) = intake.claim_pages(c, [entry], LATER)
        assert again["page_id"] != held["page_id"]
        assert again["lease_epoch"] != held["lease_epoch"]
