"""Troubles that people are told of, and the messages that tell them: rows, so that a restart neither forgets nor repeats one.

seen -> stands for a while -> told once -> gone -> stays gone for a while -> its end told once
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from shared.models import AlertRow, NoticeRow, Row
from shared.store import claims
from shared.store.rows import upsert

KEPT = dt.timedelta(days=30)
"""So long a trouble that is over, and a message that was sent, can be looked up."""


def known(connection: Connection, *, lock: bool = False) -> dict[str, Row]:
    """Every trouble that is not over and told, by key."""
    found = select(*AlertRow.__table__.columns).where(AlertRow.end_told_at.is_(None)).order_by(AlertRow.key)
    rows = connection.execute(found.with_for_update() if lock else found).mappings()
    return {row["key"]: dict(row) for row in rows}


def listed(connection: Connection, limit: int) -> list[Row]:
    """Troubles, those that go on first, then the newest that are over."""
    order = (AlertRow.ended_at.is_not(None), AlertRow.began_at.desc(), AlertRow.key)
    found = select(*AlertRow.__table__.columns).order_by(*order).limit(limit)
    return [dict(row) for row in connection.execute(found).mappings()]


def begin(connection: Connection, new: Mapping[str, tuple[str, str]], now: dt.datetime) -> None:
    """Troubles that were not there before: key -> (text, where to look)."""
    fresh = {"began_at": now, "seen_at": now, "ended_at": None, "told_at": None, "end_told_at": None}
    rows = [{"key": key, "text": text, "href": href} | fresh for key, (text, href) in new.items()]
    upsert(connection, AlertRow, rows, conflict=["key"])


def set_ended(connection: Connection, keys: Sequence[str], at: dt.datetime | None, now: dt.datetime) -> None:
    """These are gone since `at`; with None they are back before anybody heard that they were gone."""
    connection.execute(update(AlertRow).where(AlertRow.key.in_(keys)).values(ended_at=at, seen_at=now))


def set_told(connection: Connection, began: Sequence[str], ended: Sequence[str], now: dt.datetime) -> None:
    """People are told, in this transaction, that these began and those ended."""
    connection.execute(update(AlertRow).where(AlertRow.key.in_(began)).values(told_at=now))
    connection.execute(update(AlertRow).where(AlertRow.key.in_(ended)).values(end_told_at=now))


def drop(connection: Connection, keys: Sequence[str]) -> None:
    """Forgets troubles that were over before anybody had to hear of them."""
    connection.execute(delete(AlertRow).where(AlertRow.key.in_(keys)))


def forget_old(connection: Connection, now: dt.datetime) -> None:
    """Drops what is over, and messages that were sent or given up, after `KEPT`."""
    connection.execute(delete(AlertRow).where(AlertRow.end_told_at < now - KEPT))
    connection.execute(delete(NoticeRow).where(NoticeRow.due_at.is_(None), NoticeRow.made_at < now - KEPT))


def add_notice(connection: Connection, channel: str, body: bytes, now: dt.datetime) -> None:
    """A message to send."""
    values = {"channel": channel, "body": body, "made_at": now, "due_at": now, "lease_epoch": 0, "attempts": 0}
    connection.execute(insert(NoticeRow).values(values))


def last_notice_at(connection: Connection) -> dt.datetime | None:
    """When the newest message was made."""
    return connection.execute(select(func.max(NoticeRow.made_at))).scalar()


def due_notices(connection: Connection, now: dt.datetime) -> list[int]:
    """Messages to send now."""
    return list(connection.execute(select(NoticeRow.id).where(claims.due(NoticeRow, now)).limit(20)).scalars())


def claim_notices(connection: Connection, ids: Sequence[int], now: dt.datetime) -> list[Row]:
    """Takes messages to send."""
    return claims.claim(connection, NoticeRow, ids, now)


def sent(connection: Connection, row: Row, now: dt.datetime) -> None:
    """The other side took it."""
    claims.settle(connection, NoticeRow, row, sent_at=now, due_at=None, error=None)


def not_sent(connection: Connection, row: Row, again: dt.datetime | None, why: str) -> None:
    """It is tried again then; with None it is given up."""
    claims.settle(connection, NoticeRow, row, due_at=again, failures=row["failures"] + 1, error=why[:500])


def stuck(connection: Connection) -> list[Row]:
    """Messages that could not be sent so far or were given up, newest first."""
    failed = and_(NoticeRow.error.is_not(None), or_(NoticeRow.due_at.is_not(None), NoticeRow.sent_at.is_(None)))
    found = select(*NoticeRow.__table__.columns).where(failed).order_by(NoticeRow.id.desc()).limit(20)
    return [dict(row) for row in connection.execute(found).mappings()]
