"""The event log: what happened to articles, numbered without gaps in the order of commits.

The number comes from one row, raised at the very end of the transaction; a database sequence would leave gaps and commit
out of order, and a reader that follows a cursor would skip events.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from shared.models import EventHeadRow, EventPastRow, EventRow
from shared.records import decoder

ONCE = ("article.published", "article.corrected")
"""Kinds that a revision can have only once; of the others `occurrence` tells repeated events apart."""

SECTION = "section.status_changed"
"""Says of a section that its status is another now; carried by the article that says so, and not about that article."""


class NewEvent(msgspec.Struct, frozen=True):
    """An event to log. kind: article.published, .updated, .corrected, .withdrawn, .relinked, .restored; section.status_changed.

    `detail` is what an event about a section says, as JSON.
    """

    kind: str
    article_id: str
    revision: int
    backfill: bool
    occurrence: int = 0
    detail: str | None = None


class Event(msgspec.Struct, frozen=True):
    """A logged event."""

    number: int
    kind: str
    article_id: str
    revision: int
    occurrence: int
    backfill: bool
    at: dt.datetime
    detail: str | None = None


decoder(Event)  # known to msgspec before threads meet it


def append(connection: Connection, events: Sequence[NewEvent], now: dt.datetime) -> list[int]:
    """Numbers and logs the events that are not in the log yet; call it last before COMMIT. Returns their numbers."""
    if not events:
        return []
    n = connection.execute(select(EventHeadRow.n).with_for_update()).scalar_one()
    keys = [(e.article_id, e.revision, e.kind, e.occurrence) for e in events]
    # Asked by article, not by the whole key: SQLite would read all of the log for a list of keys.
    found = select(EventRow.article_id, EventRow.revision, EventRow.kind, EventRow.occurrence)
    there = {
        tuple(row) for row in connection.execute(found.where(EventRow.article_id.in_({e.article_id for e in events})))
    }
    fresh = list(dict.fromkeys(e for e, key in zip(events, keys, strict=True) if key not in there))
    if not fresh:
        return []
    numbers = list(range(n + 1, n + 1 + len(fresh)))
    connection.execute(insert(EventRow), [
        {"number": number, "at": now} | msgspec.structs.asdict(event) for number, event in zip(numbers, fresh, strict=True)
    ])  # fmt: skip
    connection.execute(update(EventHeadRow).values(n=n + len(fresh)))
    return numbers


def unplanned(connection: Connection, limit: int) -> list[Event]:
    """The oldest events that the planner has not seen."""
    planned = select(EventHeadRow.planned).scalar_subquery()
    return after(connection, planned, limit)


def after(connection: Connection, number: object, limit: int) -> list[Event]:
    """Events numbered above `number`, in order."""
    found = select(*EventRow.__table__.columns).where(EventRow.number > number).order_by(EventRow.number).limit(limit)
    return [msgspec.convert(dict(row), Event) for row in connection.execute(found).mappings()]


def set_planned(connection: Connection, number: int) -> bool:
    """Everything up to `number` has its deliveries. False: somebody said so of as much already."""
    moved = update(EventHeadRow).where(EventHeadRow.planned < number).values(planned=number)
    return connection.execute(moved.execution_options(synchronize_session=False)).rowcount == 1


def head(connection: Connection, *, lock: bool = False) -> tuple[int, int]:
    """(number of the newest event, number up to which deliveries are planned)."""
    found = select(EventHeadRow.n, EventHeadRow.planned)
    row = connection.execute(found.with_for_update() if lock else found).one()
    return row.n, row.planned


def new_epoch(connection: Connection) -> int:
    """The log was taken back to an older state: cursors given before are told so instead of being gone on from. Returns the epoch.

    A restore from a backup calls it once, before anything is planned or served.
    """
    raised = update(EventHeadRow).values(epoch=EventHeadRow.epoch + 1).returning(EventHeadRow.epoch)
    return int(connection.execute(raised).scalar_one())


def of_article(connection: Connection, article_id: str) -> list[Event]:
    """The article's events, oldest first."""
    found = select(*EventRow.__table__.columns).where(EventRow.article_id == article_id).order_by(EventRow.number)
    return [msgspec.convert(dict(row), Event) for row in connection.execute(found).mappings()]


TELLING = ("article.published", "article.updated", "article.corrected", "article.restored")
"""Kinds of events that carry an article's text to whoever has not got it yet."""


def newest_since(connection: Connection, since: dt.datetime) -> list[Event]:
    """Of every article that something was told of since then the newest event that carries its text, in order."""
    newest = select(func.max(EventRow.number)).where(EventRow.kind.in_(TELLING), EventRow.at >= since)
    found = select(*EventRow.__table__.columns).where(EventRow.number.in_(newest.group_by(EventRow.article_id)))
    return [msgspec.convert(dict(row), Event) for row in connection.execute(found.order_by(EventRow.number)).mappings()]


def occurrences(connection: Connection, kind: str, article_ids: Iterable[str]) -> dict[str, int]:
    """Article id -> how often an event of this kind was logged for it, those that are forgotten by now included."""
    ids = list(article_ids)
    counts: dict[str, int] = {}
    logged = select(EventRow.article_id, func.count()).where(EventRow.kind == kind, EventRow.article_id.in_(ids))
    past = select(EventPastRow.article_id, EventPastRow.n).where(
        EventPastRow.kind == kind, EventPastRow.article_id.in_(ids)
    )
    for found in (past, logged.group_by(EventRow.article_id)):
        for article_id, n in connection.execute(found).all():
            counts[article_id] = counts.get(article_id, 0) + n
    return counts


def told(connection: Connection, numbers: Sequence[int]) -> dict[int, tuple[dt.datetime, str | None]]:
    """Event number -> when it was logged, and what it says of a section."""
    found = select(EventRow.number, EventRow.at, EventRow.detail).where(EventRow.number.in_(list(numbers)))
    return {number: (at, detail) for number, at, detail in connection.execute(found)}
