"""What the logs may forget: attempts, events and fetched pages older than the operator wants to keep them.

State is kept for ever (articles, revisions, deliveries); only what happened on the way to it is forgotten. The books balance
afterwards as before: what was forgotten leaves behind the count, the digest or the date that is needed to check the rest.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, update
from sqlalchemy.sql import ColumnElement

from shared.models import (
    AttemptRow,
    DeliveryRow,
    EndpointRow,
    EntryRow,
    EventHeadRow,
    EventPastRow,
    EventRow,
    MetaRow,
    PageRow,
)
from shared.settings import KeepSettings
from shared.store import partitions, rows
from shared.store.engine import Store
from shared.store.events import ONCE

BATCH = 2000  # rows a transaction, so that nobody waits long behind it
SINCE = "attempts_since"
_MARGIN = dt.timedelta(hours=1)  # an attempt begins before the delivery that it ends is marked as delivered


class Keep(NamedTuple):
    """From when on each log is kept; None: for ever."""

    attempts: dt.datetime | None = None
    events: dt.datetime | None = None
    pages: dt.datetime | None = None


class Pruned(NamedTuple):
    """What went, or would go: rows by log, the months dropped whole, and files of pages on a shelf to be removed."""

    rows: dict[str, int]
    parts: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


def since(days: KeepSettings, now: dt.datetime) -> Keep:
    """From when on, by the settings."""
    return Keep(
        *(now - dt.timedelta(days=n) if n else None for n in (days.attempts_days, days.events_days, days.pages_days))
    )


def prune(store: Store, keep: Keep, told: Callable[[str, int], None] = lambda log, done: None) -> Pruned:
    """Forgets what is older, in small transactions; may die and be repeated at any point. `told` hears (log, rows so far)."""
    gone, dropped, places = dict.fromkeys(_LOGS, 0), [], []
    for name, cutoff in keep._asdict().items():
        if cutoff is None:
            continue
        log = _LOGS[name]
        for part in _past(store, log, cutoff):
            with store.write() as connection:
                found = _drop_whole(connection, log, part, cutoff)
            if found is not None:
                dropped.append(part.name)
                gone[name] += found[0]
                places += found[1]
                told(name, gone[name])
        while step := _forget_some(store, log, cutoff):
            gone[name] += step[0]
            places += step[1]
            told(name, gone[name])
    return Pruned(gone, tuple(dropped), tuple(dict.fromkeys(places)))


def count(connection: Connection, keep: Keep) -> Pruned:
    """What `prune` would forget, without doing it."""
    found = {}
    for name, cutoff in keep._asdict().items():
        log = _LOGS[name]
        old = select(func.count()).select_from(log.row).where(log.old(connection, cutoff)) if cutoff else None
        found[name] = 0 if old is None else int(connection.execute(old).scalar_one())
    return Pruned(found)


def proven_since(connection: Connection) -> dt.datetime | None:
    """From when on every delivery still has the attempt that ended it; None: from the beginning."""
    kept = connection.execute(select(MetaRow.value).where(MetaRow.key == SINCE)).scalar()
    return dt.datetime.fromisoformat(kept) if kept else None


def unshared(connection: Connection, places: tuple[str, ...]) -> list[str]:
    """Those places on the shelf that no row names any more."""
    used = set(connection.execute(select(PageRow.place).where(PageRow.place.in_(places))).scalars())
    return [place for place in places if place not in used]


class _Log(NamedTuple):
    table: str
    row: Any
    key: Any
    old: Callable[[Connection, dt.datetime], ColumnElement[bool]]
    leave_behind: Callable[[Connection, ColumnElement[bool], dt.datetime], list[str]]


def _past(store: Store, log: _Log, cutoff: dt.datetime) -> list[partitions.Part]:
    with store.read() as connection:
        there = partitions.parts(connection)
    return [part for part in there if part.table == log.table and part.until is not None and part.until <= cutoff]


def _drop_whole(
    connection: Connection, log: _Log, part: partitions.Part, cutoff: dt.datetime
) -> tuple[int, list[str]] | None:
    """Drops the month where all of it may go; None where something in it is still needed."""
    inside = partitions.inside(part, log.row.__table__)
    total, oldest = connection.execute(select(func.count(), func.min(log.key)).where(inside)).one()
    going = log.old(connection, cutoff) & inside
    if total and connection.execute(select(func.count()).select_from(log.row).where(going)).scalar_one() < total:
        return None
    places = log.leave_behind(connection, going, cutoff) if oldest is not None else []
    partitions.drop(connection, part)
    return total, places


def _forget_some(store: Store, log: _Log, cutoff: dt.datetime) -> tuple[int, list[str]] | None:
    """Deletes the oldest rows that may go, at most a batch; None when there are none."""
    with store.write() as connection:
        found = select(log.key).where(log.old(connection, cutoff)).order_by(log.key).limit(BATCH)
        keys = connection.execute(found).scalars().all()
        if not keys:
            return None
        going = log.key.in_(keys)
        places = log.leave_behind(connection, going, cutoff)
        connection.execute(delete(log.row).where(going))
        return len(keys), places


# --- attempts: a chain of digests, forgotten from its beginning ---


def _old_attempts(connection: Connection, cutoff: dt.datetime) -> ColumnElement[bool]:
    """By id, so that what goes is the beginning of every chain even where a clock was set back."""
    first = connection.execute(select(func.min(AttemptRow.id)).where(AttemptRow.at >= cutoff)).scalar()
    newest = connection.execute(select(func.max(AttemptRow.id))).scalar() or 0
    return AttemptRow.id < (newest + 1 if first is None else first)


def _anchor(connection: Connection, going: ColumnElement[bool], cutoff: dt.datetime) -> list[str]:
    """Each chain begins anew at the digest of the last attempt that goes; deliveries before need no proof any more."""
    last = select(func.max(AttemptRow.id)).where(going).group_by(AttemptRow.endpoint_id)
    ends = connection.execute(
        select(AttemptRow.endpoint_id, AttemptRow.chain).where(AttemptRow.id.in_(last.scalar_subquery()))
    )
    for endpoint_id, chain in ends.all():
        connection.execute(update(EndpointRow).where(EndpointRow.id == endpoint_id).values(chain_from=chain))
    kept = proven_since(connection)
    since = max(cutoff + _MARGIN, kept) if kept else cutoff + _MARGIN
    rows.upsert(connection, MetaRow, [{"key": SINCE, "value": since.isoformat()}], conflict=["key"])
    return []


# --- events: those that every endpoint is done with ---


def _old_events(connection: Connection, cutoff: dt.datetime) -> ColumnElement[bool]:
    head = connection.execute(select(EventHeadRow.n, EventHeadRow.planned)).one()
    first = connection.execute(select(func.min(EventRow.number)).where(EventRow.at >= cutoff)).scalar()
    owed = connection.execute(
        select(func.min(DeliveryRow.event_number)).where(DeliveryRow.state.in_(("due", "held")))
    ).scalar()
    history = connection.execute(
        select(func.min(EndpointRow.history_at)).where(EndpointRow.history_since.is_not(None))
    ).scalar()
    bounds = [head.planned + 1, first, owed, None if history is None else history + 1]
    old: ColumnElement[bool] = EventRow.number < min(bound for bound in bounds if bound is not None)
    return old


def _past_events(connection: Connection, going: ColumnElement[bool], cutoff: dt.datetime) -> list[str]:
    """An event that may happen again to the same revision is counted, so that the next one gets a number of its own."""
    again = select(EventRow.article_id, EventRow.kind, func.count()).where(going, EventRow.kind.not_in(ONCE))
    for article_id, kind, n in connection.execute(again.group_by(EventRow.article_id, EventRow.kind)).all():
        key = (EventPastRow.article_id == article_id, EventPastRow.kind == kind)
        known = connection.execute(select(EventPastRow.n).where(*key)).scalar() or 0
        row = {"article_id": article_id, "kind": kind, "n": known + n}
        rows.upsert(connection, EventPastRow, [row], conflict=["article_id", "kind"])
    return []


# --- pages: those that no step still has to read ---


def _old_pages(connection: Connection, cutoff: dt.datetime) -> ColumnElement[bool]:
    undone = or_(
        EntryRow.state.in_(("waiting", "quarantined")), EntryRow.step.is_not(None), EntryRow.reason.is_not(None)
    )
    needed = exists().where(EntryRow.page_id == PageRow.id, EntryRow.id == PageRow.entry_id, undone)
    old: ColumnElement[bool] = and_(PageRow.fetched_at < cutoff, ~needed)
    return old


def _places(connection: Connection, going: ColumnElement[bool], cutoff: dt.datetime) -> list[str]:
    return list(connection.execute(select(PageRow.place).where(going, PageRow.place.is_not(None))).scalars())  # type: ignore[arg-type]  # not None


_LOGS = {
    "attempts": _Log("attempt", AttemptRow, AttemptRow.id, _old_attempts, _anchor),
    "events": _Log("event", EventRow, EventRow.number, _old_events, _past_events),
    "pages": _Log("page", PageRow, PageRow.id, _old_pages, _places),
}
