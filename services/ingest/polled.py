"""What a poll came to, into the store: new entries, the source's health, and when it is polled next."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from services.ingest import polling, schedule
from shared import queue
from shared.models import Row, SourceRow
from shared.queue import Failure, Work
from shared.records import from_json, to_json
from shared.store import claims, installation, intake

CFG = queue.SETTINGS

LIMITS = schedule.Limits(
    min_s=CFG.fetch.poll_min_s,
    max_s=CFG.fetch.poll_max_s,
    first_s=CFG.fetch.poll_min_s,
    error_s=min(300.0, CFG.fetch.poll_min_s),
)


def settle(work: Work, row: Row, got: polling.Read | Failure) -> None:
    """Commits a poll of a claimed source."""
    outcome, values = _failed(row, got) if isinstance(got, Failure) else _read(work, row, got)
    decided = schedule.decide(_state(work, row), outcome, work.now, random.random(), LIMITS)  # noqa: S311 - jitter
    for change in decided.tell:
        installation.audit(work.connection, "briefwire", f"source.{change}", row["name"], decided.reason, work.now)
    if decided.due_at is None:
        values |= {"state": "stopped", "last_error": decided.reason}
    values |= {"due_at": decided.due_at, "url": decided.move_to or row["url"], "polled_at": work.now}
    claims.settle(work.connection, SourceRow, row, rhythm=to_json(decided.state).decode(), **values)


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
    values = {
        "failures": 0,
        "last_error": None,
        "ok_at": work.now,
        "etag": got.etag,
        "last_modified": got.last_modified,
    }
    return got.outcome, values | {"first_polled_at": row["first_polled_at"] or work.now}


def _state(work: Work, row: Row) -> schedule.PollState:
    """What the source's row remembers, with its rhythm as this poll leaves it."""
    state = from_json(row["rhythm"], schedule.PollState) if row["rhythm"] else schedule.PollState()
    rhythm = schedule.learn(intake.known_since(work.connection, row["id"]), work.now)
    return msgspec.structs.replace(state, rhythm=rhythm)
