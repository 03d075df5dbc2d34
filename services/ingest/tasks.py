"""The ingest worker's tasks: poll a source, drain a host's lane, extract pages. Each claims, calls one function, commits."""

from __future__ import annotations

import functools
from pathlib import Path

from sqlalchemy import Connection

from services.ingest import lane, normalise, polled, polling, profiles, storing
from services.ingest.normalise import Extracted, Finding
from shared import clock, queue
from shared.models import EntryRow, Row, SourceRow
from shared.queue import Failure, attempt, begin, holding
from shared.sandbox import Sandbox
from shared.store import claims, intake

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
                polled.settle(work, row, got)


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
            for row, result in sorted(zip(rows, results, strict=True), key=_article):
                _settle_page(work, row, result)


def _article(settled: tuple[Row, Result]) -> str:
    """Articles are locked in the order of their ids, here as in enrichment: PostgreSQL would find a deadlock otherwise."""
    result = settled[1]
    return "" if isinstance(result, Failure) else result[0].article.id


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
    if not claims.settle(work.connection, EntryRow, row):
        return
    if isinstance(result, Failure):
        # A known article keeps its place in the book.
        state = "quarantined" if row["state"] == "waiting" else row["state"]
        intake.finish_entry(work.connection, row["id"], state, reason=result.reason, detail=result.detail)
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
