"""Rings for what is due: the rows say what waits, the feeder sends the ids, gated by the depth of each queue.

It also frees the leases of processes that died, lifts embargoes that have ended, asks every queue for a sign of life and tells
the workers how large their pools are to be. What people stopped it does not ring. Two feeders may run: claims are atomic, a
doubled ring changes nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from shared import clock, housekeeping, lifeline, logs, pipeline, queue
from shared.models import Row
from shared.store import articles, claims, desk, intake, lanes, rulings, switches, websub, workers

log = logging.getLogger("briefwire.feeder")
TICK_S = 0.5
PING_S = 5.0
NAME = "feeder"  # of its sign of life
FORGET = dt.timedelta(days=1)
GRACE = dt.timedelta(seconds=0.75)  # a bell rung at commit gets this long to be answered before it is rung again


class Feeder:
    """One feeder's memory: when it last pinged."""

    def __init__(self) -> None:
        self.pinged = 0.0
        self.ended = False

    def run(self) -> None:
        """Ticks until told to end."""
        while not self.ended:
            started = time.monotonic()
            try:
                self.tick()
            except (SQLAlchemyError, redis.RedisError, OSError) as error:
                log.warning("a tick failed (%s: %s); the next one tries again", type(error).__name__, error)
            time.sleep(max(0.0, TICK_S - (time.monotonic() - started)))

    def tick(self) -> None:
        """One round: free what the dead held, let go what an embargo held, ring what is due."""
        free_dead()
        end_embargoes(clock.now())
        if time.monotonic() - self.pinged >= PING_S:
            self.pinged = time.monotonic()
            give_sign(clock.now())
            for name in pipeline.QUEUES:
                queue.bell.ping(name)
            set_sizes()
        ring_due(clock.now())

    def end(self, *_: Any) -> None:
        self.ended = True


def give_sign(now: dt.datetime) -> None:
    """Writes the feeder's own sign of life, and drops those of processes that have long been gone."""
    with queue.store().write() as connection:
        workers.beat(connection, NAME, now)
        workers.forget_old(connection, now - FORGET)


def set_sizes() -> None:
    """Tells the workers how large people want their pools, where somebody ever said so."""
    with queue.store().read() as connection:
        sizes = workers.sizes(connection)
    if sizes:
        queue.bell.resize(sizes)


def end_embargoes(now: dt.datetime) -> None:
    """Lets go what an embargo no longer holds; writes only where there is something."""
    with queue.store().read() as connection:
        ended = desk.ended_embargoes(connection, now)
    if ended:
        with queue.begin() as work:
            lift_embargoes(work)


def lift_embargoes(work: queue.Work) -> int:
    """Releases every article whose embargo has ended, unless the desk holds it besides. Returns how many embargoes ended."""
    lifted = 0
    for row in desk.ended_embargoes(work.connection, work.now):
        article = articles.locked(work.connection, row["id"])
        if article is None or article["embargo_until"] is None or article["embargo_until"] > work.now:
            continue  # another feeder was faster, or the desk set another instant
        articles.set_article(work.connection, row["id"], embargo_until=None)
        lifted += 1
        if article["enriched_revision"]:
            rulings.enrich_again(work.connection, [row["id"]], work.now)  # others' records may name it now
        if not article["held"]:
            work.ring("endpoint.due", desk.let_go(work.connection, row["id"], work.now))
    return lifted


def ring_due(now: dt.datetime) -> None:
    """Rings every stage that nobody stopped, whose queue has run dry and that has due work."""
    with queue.store().read() as connection:
        stopped = switches.stopped(connection)
    for wake, find in _FINDERS.items():
        stage = pipeline.WAKES[wake]
        if stage.name in stopped or queue.bell.depth(stage.queue) >= max(1, stage.high_water // 4):
            continue
        with queue.store().read() as connection:
            batches = find(connection, now, stage)
        if batches:
            queue.bell.send(stage, batches)


def free_dead() -> None:
    """Frees the leases of this machine's dead processes; writes only where there are any."""
    with queue.store().read() as connection:
        dead = claims.dead_owners(connection)
    if dead:
        with queue.begin() as work:
            freed = claims.free_dead(work.connection)
        log.warning("freed %d leases of dead processes", freed)


Batches = Sequence[Sequence[Any]]


def _sources(connection: Connection, now: dt.datetime, stage: pipeline.Stage) -> Batches:
    return [[key] for key in intake.due_sources(connection, now, stage.high_water)]


def _subscribers(connection: Connection, now: dt.datetime, stage: pipeline.Stage) -> Batches:
    return [[key] for key in websub.due_subscribers(connection, now, stage.high_water)]


def _subscriptions(connection: Connection, now: dt.datetime, stage: pipeline.Stage) -> Batches:
    return [[key] for key in websub.due_subscriptions(connection, now, stage.high_water)]


def _lanes(kind: str) -> Callable[[Connection, dt.datetime, pipeline.Stage], Batches]:
    def find(connection: Connection, now: dt.datetime, stage: pipeline.Stage) -> Batches:
        return [[key] for key in lanes.due_lanes(connection, kind, now, stage.high_water)]

    return find


def _pages(connection: Connection, now: dt.datetime, stage: pipeline.Stage) -> Batches:
    return _batched(intake.due_pages(connection, now - GRACE, stage.batch * stage.high_water), stage.batch)


def _articles(connection: Connection, now: dt.datetime, stage: pipeline.Stage) -> Batches:
    return _batched(articles.due_articles(connection, now - GRACE, stage.batch * stage.high_water), stage.batch)


def _batched(rows: Sequence[Row], size: int) -> Batches:
    """Rows never tried in batches; rows that were being worked on when a worker died, one by one."""
    fresh = [row["id"] for row in rows if not row["attempts"]]
    alone = [[row["id"]] for row in rows if row["attempts"]]
    return [*alone, *(fresh[i : i + size] for i in range(0, len(fresh), size))]


_FINDERS: dict[str, Callable[[Connection, dt.datetime, pipeline.Stage], Batches]] = {
    "source.due": _sources,
    "host.due": _lanes("host"),
    "page.fetched": _pages,
    "article.ingested": _articles,
    "event.logged": _lanes("plan"),
    "endpoint.due": _lanes("endpoint"),
    "model.due": _lanes("train"),
    "hub.due": _subscribers,
    "websub.due": _subscriptions,
}


def main() -> None:
    """The feeder as a process of its own."""
    logs.begin("feeder", queue.SETTINGS.logs)
    lifeline.watch()
    feeder = Feeder()
    housekeeping.start(queue.SETTINGS)
    signal.signal(signal.SIGTERM, feeder.end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    feeder.run()


if __name__ == "__main__":
    main()
