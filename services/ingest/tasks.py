"""The ingest worker's tasks: poll a source, drain a host's lane, extract pages. Each claims, calls one function, commits."""

from __future__ import annotations

import functools
import random
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from services.ingest import lane, normalise, polling, profiles, schedule, storing
from services.ingest.normalise import Extracted, Finding
from shared import clock, queue
from shared.models import EntryRow, Row, SourceRow
from shared.queue import Failure, attempt, begin, holding
from shared.records import from_json, to_json
from shared.sandbox import Sandbox
from shared.store import claims, installation, intake

CFG = queue.SETTINGS
BIG = 1_000_000  # bytes above which a page is extracted in a child with a CPU limit

_careful = Sandbox("services.ingest.normalise:extract", cpu_s=10.0, memory_mb=2048, wall_s=30.0)


@functools.cache
def known_profiles() -> profiles.Profiles:
    """The publisher profiles of this installation, read once a process."""
    return profiles.load([Path(folder) for folder in CFG.ingest.profiles])


@queue.task("ingest.poll_source")
def poll_source(ids: list[int]) -> None:
    """Feed bytes become entries."""
    with begin() as work:
        rows = intake.claim_sources(work.connection, ids, work.now)
    for row in rows:
        with holding(SourceRow, [row]):
            got = attempt(polling.read, queue.door(), row, profile_of(row))
            with begin() as work:
                _settle_poll(work, row, got)


def _settle_poll(work: queue.Work, row: Row, got: polling.Read | Failure) -> None:
    state = from_json(row["rhythm"], schedule.PollState) if row["rhythm"] else schedule.PollState()
    limits = schedule.Limits(min_s=CFG.fetch.poll_min_s, max_s=CFG.fetch.poll_max_s, first_s=CFG.fetch.poll_min_s,
                             error_s=min(300.0, CFG.fetch.poll_min_s))  # fmt: skip
    values: dict[str, Any] = {"polled_at": work.now}
    if isinstance(got, Failure):
        outcome = schedule.Outcome(kind="failed", retry_after_s=got.after_s)
        values |= {"failures": row["failures"] + 1, "last_error": f"{got.reason}: {got.detail}"[:500]}
    else:
        outcome = got.outcome
        values |= {
            "failures": 0,
            "last_error": None,
            "ok_at": work.now,
            "etag": got.etag,
            "last_modified": got.last_modified,
        }
        _add_entries(work, row, got)
        values["first_polled_at"] = row["first_polled_at"] or work.now
    rhythm = schedule.learn(intake.known_since(work.connection, row["id"]), work.now)
    decided = schedule.decide(_with_rhythm(state, rhythm), outcome, work.now, random.random(), limits)  # noqa: S311 - jitter
    values |= {
        "due_at": decided.due_at,
        "rhythm": to_json(decided.state).decode(),
        "url": decided.move_to or row["url"],
    }
    for change in decided.tell:
        installation.audit(work.connection, "briefwire", f"source.{change}", row["name"], decided.reason, work.now)
    if decided.due_at is None:
        values |= {"state": "stopped", "last_error": decided.reason}
    claims.settle(work.connection, SourceRow, row, **values)


def _with_rhythm(state: schedule.PollState, rhythm: schedule.Rhythm) -> schedule.PollState:
    return schedule.PollState(rhythm, state.failures, state.moved_to, state.moved_seen, state.stopped)


def _add_entries(work: queue.Work, row: Row, got: polling.Read) -> None:
    if got.feed is None:
        return
    found = polling.new_entries(got.feed, first_poll=row["first_polled_at"] is None, now=work.now,
                                backfill_days=CFG.ingest.backfill_days)  # fmt: skip
    _, hosts = intake.add_entries(work.connection, row["id"], found, work.now)
    work.ring("host.due", hosts)


@queue.task("ingest.fetch_host")
def fetch_host(keys: list[str]) -> None:
    """A host's lane becomes pages, politely."""
    for key in keys:
        lane.drain(key)


@queue.task("ingest.extract_pages")
def extract_pages(ids: list[int]) -> None:
    """Pages become article revisions."""
    with begin() as work:
        rows = intake.claim_pages(work.connection, ids, work.now)
    with holding(EntryRow, rows):
        results = _results(rows)
        with begin() as work:
            for row, result in zip(rows, results, strict=True):
                _settle_page(work, row, result)


def _results(rows: list[Row]) -> list[Result]:
    with queue.store().read() as connection:
        pages = intake.pages(connection, [row["page_id"] for row in rows])
        sources = intake.source_facts(connection, {row["source_id"] for row in rows})
    found = [_extract(row, pages[row["page_id"]], sources[row["source_id"]]) for row in rows]
    with queue.store().read() as connection:
        return [_compared(connection, row, one) for row, one in zip(rows, found, strict=True)]


Result = tuple[Extracted, storing.Compared | None] | Failure


def _compared(connection: Connection, row: Row, found: Extracted | Failure) -> Result:
    if isinstance(found, Failure):
        return found
    compared = attempt(storing.compare, connection, row, found)
    return compared if isinstance(compared, Failure) else (found, compared)


def _extract(row: Row, page: Row, source: Row) -> Extracted | Failure:
    if claims.poisoned(row):
        return Failure("crashed", f"Extracting this page ended its worker {row['attempts'] - 1} times.", later=False)
    finding = Finding(source["name"], intake.entry_of(row), page["requested_url"], page["final_url"], row["backfill"])
    careful = page["size"] > BIG or row["attempts"] % 2 == 0
    function = _careful.call if careful else normalise.extract
    return attempt(
        function, page["body"], page["content_type"], page["fetched_at"], finding, profile_of(source), CFG.ingest.zone
    )


def _settle_page(work: queue.Work, row: Row, result: Result) -> None:
    if isinstance(result, Failure):
        state = (
            "quarantined" if row["state"] == "waiting" else row["state"]
        )  # a known article keeps its place in the book
        done: dict[str, Any] = {
            "state": state,
            "reason": result.reason,
            "detail": result.detail[:500],
            "step": None,
            "due_at": None,
        }
        claims.settle(work.connection, EntryRow, row, **done)
        return
    if not claims.settle(work.connection, EntryRow, row):
        return
    found, compared = result
    stored = storing.store(work.connection, row, found, compared, row["page_id"], work.now)
    published = found.article.published
    revisit = storing.revisit_at(published.at if published else row["seen_at"], work.now, CFG.fetch.revisit_pace)
    intake.finish_entry(work.connection, row["id"], stored.state, article_id=stored.article_id,
                        revisit_at=revisit if row["host"] and stored.state == "stored" else None)  # fmt: skip
    if stored.changed:
        work.ring("article.ingested", [stored.article_id])


def profile_of(source: Row) -> profiles.Profile | None:
    """The source's profile: the one it names, else the one whose hosts fit."""
    today = clock.now().date()
    if source["profile"]:
        return known_profiles().named(source["profile"], today)
    return known_profiles().for_url(source["url"], today) if source["url"] else None
