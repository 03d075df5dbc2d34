"""The ingest worker's tasks: poll a source, drain a host's lane, extract pages. Each claims, calls one function, commits."""

from __future__ import annotations

import datetime as dt
import functools
from pathlib import Path

from celery import signals
from sqlalchemy import Connection

from services.ingest import crew, lane, normalise, polled, profiles, storing, websub
from services.ingest.normalise import Extracted, Finding
from shared import clock, queue, vault
from shared.models import EntryRow, Row
from shared.queue import Failure, attempt, begin, holding
from shared.sandbox import Sandbox
from shared.store import claims, intake
from shared.store import websub as subscriptions

CFG = queue.SETTINGS
PATIENCE_S = 3.0  # for fetches under way when a worker ends
BIG = 1_000_000  # bytes above which a page is extracted in a child with a CPU limit

_careful = Sandbox("services.ingest.normalise:extract", cpu_s=10.0, memory_mb=2048, wall_s=30.0)


@functools.cache
def known_profiles() -> profiles.Profiles:
    """The publisher profiles of this installation, read once a process."""
    return profiles.load([Path(folder) for folder in CFG.ingest.profiles])


_crew: crew.Crew | None = None
"""Of a fetch worker; None elsewhere: there a task does its work itself."""


def _muster(**_: object) -> None:
    global _crew
    _crew = crew.Crew(CFG.fetch.in_flight)


def _dismiss(**_: object) -> None:
    if _crew is not None:
        _crew.end(PATIENCE_S)


signals.worker_init.connect(_muster)
signals.worker_shutdown.connect(_dismiss)


@queue.task("ingest.poll_source")
def poll_source(ids: list[int]) -> None:
    """Feed bytes become entries."""
    for source_id in ids:
        _hand_over(str(source_id), _poll, "source.due")


@queue.task("ingest.fetch_host")
def fetch_host(keys: list[str]) -> None:
    """A host's lane becomes pages, politely."""
    for key in keys:
        _hand_over(key, lane.drain, "host.due")


def _hand_over(key: str, task: crew.Task, wake: str) -> None:
    """Waiting for sites is the crew's; a task of the queue only waits where the crew is full."""
    again = functools.partial(_ring, wake)
    if _crew is not None:
        _crew.take(key, task, again)
    elif task(key):
        again(key)


def _ring(wake: str, key: str) -> None:
    queue.bell.ring(wake, [key])


def _poll(key: str) -> bool:
    polled.poll(int(key), profile_of)
    return False


@queue.task("ingest.ask_hubs")
def ask_hubs(ids: list[int]) -> None:
    """Hubs are asked to push, again before a lease ends."""
    with begin() as work:
        rows = subscriptions.claim_subscriptions(work.connection, ids, work.now)
    for row in rows:
        (secret,) = vault.unseal(CFG.folder, row["secret"])
        got = attempt(websub.ask, queue.door(), row, websub.callback(CFG.web.url, row["token"]), secret)
        with begin() as work:
            _settle_hub(work, row, got)


def _settle_hub(work: queue.Work, row: Row, got: Failure | None) -> None:
    if got is not None and not got.later:
        tomorrow = work.now + dt.timedelta(seconds=websub.DENIED_S)
        subscriptions.denied(work.connection, row, tomorrow, got.detail)
        return
    base_s = websub.UNREACHED_S if got else websub.UNVERIFIED_S
    wait_s = queue.backoff_s(row["failures"] + 1, base_s=base_s, limit_s=websub.DENIED_S)
    again = work.now + dt.timedelta(seconds=wait_s)
    subscriptions.asked(work.connection, row, again, got.detail if got else None)


@queue.task("ingest.extract_pages")
def extract_pages(ids: list[int]) -> None:
    """Pages become article revisions."""
    with begin() as work:
        rows = intake.claim_pages(work.connection, ids, work.now)
    with holding(EntryRow, rows):
        results, kinds = _results(rows)
        with begin() as work:
            storing.settle(work, sorted(zip(rows, results, strict=True), key=_article), kinds)


def _article(settled: tuple[Row, storing.Result]) -> str:
    """Articles are locked in the order of their ids, here as in enrichment: PostgreSQL would find a deadlock otherwise."""
    result = settled[1]
    return "" if isinstance(result, Failure) else result[0].article.id


def _results(rows: list[Row]) -> tuple[list[storing.Result], dict[int, str]]:
    """What extracting came to, and the kinds of the sources."""
    with queue.store().read() as connection:
        pages = intake.pages(connection, [row["page_id"] for row in rows])
        sources = intake.source_facts(connection, {row["source_id"] for row in rows})
    found = [_extract(row, pages.get(row["page_id"]), sources[row["source_id"]]) for row in rows]
    kinds = {source_id: str(source["kind"]) for source_id, source in sources.items()}
    with queue.store().read() as connection:
        return [_compared(connection, row, one) for row, one in zip(rows, found, strict=True)], kinds


def _compared(connection: Connection, row: Row, found: Extracted | Failure) -> storing.Result:
    if isinstance(found, Failure):
        return found
    compared = attempt(storing.compare, connection, row, found)
    return compared if isinstance(compared, Failure) else (found, compared)


def _extract(row: Row, page: Row | None, source: Row) -> Extracted | Failure:
    if page is None:
        return Failure("bytes-forgotten", "The bytes of this page are not kept any more.", later=False)
    if claims.poisoned(row):
        return Failure("crashed", f"Extracting this page ended its worker {row['attempts'] - 1} times.", later=False)
    finding = Finding(source["name"], intake.entry_of(row), page["requested_url"], page["final_url"], row["backfill"])
    careful = page["size"] > BIG or row["attempts"] % 2 == 0
    function = _careful.call if careful else normalise.extract
    return attempt(
        function, page["body"], page["content_type"], page["fetched_at"], finding, profile_of(source), CFG.ingest.zone
    )


def profile_of(source: Row) -> profiles.Profile | None:
    """The source's profile: the one it names, else the one whose hosts fit."""
    today = clock.now().date()
    if source["profile"]:
        return known_profiles().named(source["profile"], today)
    return known_profiles().for_url(source["url"], today) if source["url"] else None
