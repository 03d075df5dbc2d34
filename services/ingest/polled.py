"""What a poll came to, into the store: new entries, the source's health, and when it is polled next."""

from __future__ import annotations

import datetime as dt
import random
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from services.ingest import folder, lane, manners, polling, schedule
from services.ingest.profiles import Profile
from shared import clock, queue, vault
from shared.errors import Rejected
from shared.models import Row, SourceRow
from shared.queue import Failure, Work, attempt, holding
from shared.records import to_json
from shared.store import claims, installation, intake, lanes, switches, websub

CFG = queue.SETTINGS

NEW = dt.timedelta(days=2)
NEW_MAX_S = 3600.0
FEW = 10  # entries seen as they came out, below which the dates of older ones help

LIMITS = schedule.Limits(
    min_s=CFG.fetch.poll_min_s,
    max_s=CFG.fetch.poll_max_s,
    first_s=CFG.fetch.poll_min_s,
    error_s=min(300.0, CFG.fetch.poll_min_s),
)


LATE_S = 10.0  # a poll whose host is not to be spoken to for longer than this is put off

ProfileOf = Callable[[Row], Profile | None]


class Ready(NamedTuple):
    """A claimed source, and the instant at which its host may be asked."""

    row: Row
    at: dt.datetime


def poll(source_id: int, profile_of: ProfileOf) -> None:
    """One poll of a source that is due: claimed, fetched when its host may be spoken to, committed."""
    ready = lane.together.commit(lambda work: _claim(work, source_id))
    if ready is None:
        return
    if ready.row["kind"] == "folder":
        folder.poll(ready.row)
        return
    with holding(SourceRow, [ready.row]):
        time.sleep(max(0.0, (ready.at - clock.now()).total_seconds()))
        got = attempt(_read_politely, ready.row, profile_of(ready.row))
        lane.together.commit(lambda work: settle(work, ready.row, got))


def _read_politely(row: Row, profile: Profile | None) -> polling.Read:
    """The source, where robots.txt does not forbid it: a section page is a page; feeds and sitemaps are there to be read."""
    if row["kind"] == "listing" and queue.SETTINGS.fetch.robots:
        decision = manners.ask(row["url"])
        if not decision.allowed:
            raise Rejected("robots-disallowed", decision.why)
    return polling.read(queue.door(), row, profile, obey=queue.SETTINGS.fetch.obey)


def _claim(work: Work, source_id: int) -> Ready | None:
    """None: somebody else polls it, it is not due, or its host wants to be left alone; then it is due afterwards."""
    if "poll" in switches.stopped(work.connection):
        return None
    rows = intake.claim_sources(work.connection, [source_id], work.now)
    if not rows:
        return None
    row, host = rows[0], polling.host_of(rows[0]["url"])
    if host is None:
        return Ready(row, work.now)
    its = lanes.of_host(work.connection, host)
    at = lanes.reserve(
        work.connection, its, work.now, max(manners.gap_s(host, row["url"]), its["slow_s"]), within_s=LATE_S
    )
    if at is None:
        claims.settle(work.connection, SourceRow, row, due_at=its["blocked_until"])
        return None
    return Ready(row, at)


def settle(work: Work, row: Row, got: polling.Read | Failure) -> None:
    """Commits a poll of a claimed source."""
    if isinstance(got, Failure):
        _slow_down(work, row, got)
    outcome, values = _failed(row, got) if isinstance(got, Failure) else _read(work, row, got)
    limits = limits_of(work.now - row["created_at"])
    decided = schedule.decide(_state(work, row), outcome, work.now, random.random(), limits)  # noqa: S311 - jitter
    for change in decided.tell:
        installation.audit(work.connection, "briefwire", f"source.{change}", row["name"], decided.reason, work.now)
    if decided.due_at is None:
        values |= {"state": "stopped", "last_error": decided.reason}
    due_at = decided.due_at
    if due_at is not None and websub.pushed_since(work.connection, row["id"], claims.since(row)):
        due_at = work.now  # the push may have come after the feed was read
        work.ring("source.due", [row["id"]])
    values |= {"due_at": due_at, "url": decided.move_to or row["url"], "polled_at": work.now}
    claims.settle(work.connection, SourceRow, row, rhythm=to_json(decided.state).decode(), **values)


def limits_of(age: dt.timedelta) -> schedule.Limits:
    """The waits a source of that age may get: what it published on its first days says little about its rhythm."""
    return (
        LIMITS if age > NEW else msgspec.structs.replace(LIMITS, max_s=min(LIMITS.max_s, max(LIMITS.min_s, NEW_MAX_S)))
    )


def _slow_down(work: Work, row: Row, failure: Failure) -> None:
    """A host that asks for fewer requests gets fewer of all kinds: its pages wait too."""
    host = polling.host_of(row["url"])
    if failure.reason != "slow-down" or host is None:
        return
    its = lanes.of_host(work.connection, host)
    until = lane.pause_until(its, failure, work.now)
    if until is not None:
        slow_s = schedule.slower(its["slow_s"], manners.gap_s(host, row["url"]))
        lanes.block(work.connection, its, until, slow_s)


def _failed(row: Row, failure: Failure) -> tuple[schedule.Outcome, dict[str, Any]]:
    error = f"{failure.reason}: {failure.detail}"[:500]
    outcome = schedule.Outcome(kind="failed", retry_after_s=failure.after_s)
    return outcome, {"failures": row["failures"] + 1, "last_error": error}


def _read(work: Work, row: Row, got: polling.Read) -> tuple[schedule.Outcome, dict[str, Any]]:
    first = row["first_polled_at"] is None
    if got.feed is not None:
        found = polling.new_entries(got.feed, first_poll=first, now=work.now, backfill_days=CFG.ingest.backfill_days)
        _, hosts = intake.add_entries(work.connection, row["id"], found, work.now)
        work.ring("host.due", hosts)
        _declare(work, row["id"], got.hub)
    values = {
        "failures": 0,
        "last_error": None,
        "ok_at": work.now,
        "etag": got.etag,
        "last_modified": got.last_modified,
    }
    return got.outcome, values | {"first_polled_at": row["first_polled_at"] or work.now}


def _declare(work: Work, source_id: int, hub: tuple[str, str] | None) -> None:
    """A hub that the source names is asked to push, where it could reach us."""
    if not CFG.web.url:
        return
    token, secret = secrets.token_urlsafe(24), vault.seal(CFG.folder, [secrets.token_urlsafe(32)])
    asked = websub.declare(work.connection, source_id, hub, token, secret, work.now)
    if asked is not None:
        work.ring("websub.due", [asked])


def _state(work: Work, row: Row) -> schedule.PollState:
    """What the source's row remembers, with its rhythm as this poll leaves it."""
    state = schedule.remembered(row["rhythm"])
    seen = intake.known_since(work.connection, row["id"])
    if len(seen) < FEW:
        seen += intake.printed_dates(work.connection, row["id"])
    rhythm = schedule.learn(seen, work.now)
    return msgspec.structs.replace(state, rhythm=rhythm)
