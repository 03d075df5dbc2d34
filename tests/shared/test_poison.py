"""Work that takes its worker down: found again one by one, and given up after three tries, with its bytes kept."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import exc, select

from services.ingest import tasks
from shared import feeder, pipeline, queue, records
from shared.models import EntryRow
from shared.queue import Failure
from shared.store import claims, engine, intake
from shared.store.engine import Store

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
STAGE = pipeline.WAKES["page.fetched"]


def three_pages(store: Store) -> list[int]:
    """Three entries of one source that wait for extraction; their ids."""
    with store.write() as c:
        source = intake.add_source(c, name="harbour", url="http://h.example/feed", kind="feed", profile=None, now=NOW)
        new = [intake.NewEntry(records.Entry(key, f"http://h.example/{key}"), "h.example", False) for key in "abc"]
        intake.add_entries(c, source, new, NOW)
        ids = [row["id"] for row in intake.next_to_fetch(c, "h.example", NOW, 10)]
        for entry in ids:
            intake.keep_page(c, entry, intake.NewPage(b"<p>some bytes", None, None, 200, "text/html", NOW))
        return ids


def rung(store: Store, now: dt.datetime) -> list[list[int]]:
    """The batches that the feeder would ring."""
    with store.read() as c:
        return [sorted(batch) for batch in feeder._batched(intake.due_pages(c, now, 100), STAGE.batch)]


def test_a_batch_that_ended_its_worker_comes_again_one_by_one(store: Store) -> None:
    one, two, three = three_pages(store)
    assert rung(store, NOW) == [[one, two, three]]
    with store.write() as c:
        intake.claim_pages(c, [one, two], NOW)  # and then the worker died
    assert rung(store, NOW) == [[three]]
    after = NOW + dt.timedelta(seconds=claims.LEASE_S + 1)
    assert sorted(rung(store, after)) == [[one], [two], [three]]


def test_what_ends_its_worker_three_times_is_not_tried_again_and_its_bytes_stay(store: Store) -> None:
    entry, now, tries = three_pages(store)[0], NOW, 0
    while True:
        with store.write() as c:
            (row,) = intake.claim_pages(c, [entry], now)
        if claims.poisoned(row):
            break
        tries += 1
        now += dt.timedelta(seconds=claims.LEASE_S + 1)
    assert tries == claims.POISON
    with store.read() as c:
        page, source = intake.pages(c, [row["page_id"]])[row["page_id"]], intake.source_facts(c, [row["source_id"]])
    given_up = tasks._extract(row, page, source[row["source_id"]])
    assert isinstance(given_up, Failure)
    assert (given_up.reason, given_up.later) == ("crashed", False)
    assert page["body"] == b"<p>some bytes"


@pytest.mark.parametrize(("error", "attempts"), [
    (exc.DataError("INSERT", {}, Exception("a NUL in a text")), 1),
    (exc.StatementError("surrogates", "INSERT", {}, UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates")), 1),
    (exc.OperationalError("COMMIT", {}, Exception("disk full")), 0),
])  # fmt: skip
def test_what_the_store_refuses_counts_as_an_attempt_and_a_failing_store_does_not(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: exc.SQLAlchemyError, attempts: int
) -> None:
    monkeypatch.setattr(engine, "_current", store)
    entry = three_pages(store)[0]
    with store.write() as c:
        rows = intake.claim_pages(c, [entry], NOW)
    with pytest.raises(exc.SQLAlchemyError), queue.holding(EntryRow, rows):
        raise error
    with store.read() as c:
        found = c.execute(select(EntryRow.attempts, EntryRow.lease_owner).where(EntryRow.id == entry)).one()
    assert found == (attempts, None)
