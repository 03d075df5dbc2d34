"""Lanes: a host, an endpoint or the planner as a row. `due_at` says when there is work, `blocked_until` when to speak again.

Whoever adds work to a lane raises it in the same transaction (`wake`); whoever drains it ends with `rest`, which locks the
row first and then looks for what is left, so work added meanwhile is never forgotten.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, case, func, or_, select, update

from shared.models import ArticleRow, DeliveryRow, EndpointRow, EntryRow, EventHeadRow, LaneRow, Row
from shared.store import claims
from shared.store.rows import insert_ignore

PLAN = "plan"


def host_lane(host: str) -> str:
    return f"host:{host}"


def endpoint_lane(endpoint_id: int) -> str:
    return f"endpoint:{endpoint_id}"


def wake(connection: Connection, kind: str, keys: Iterable[str], at: dt.datetime) -> None:
    """There is work from `at` on. Lanes come into being with their first work."""
    names = sorted(set(keys))
    insert_ignore(connection, LaneRow, [{"key": name, "kind": kind, "due_at": at, "lease_epoch": 0, "attempts": 0, "failures": 0}
                                        for name in names], conflict=["key"])  # fmt: skip
    sooner = case((or_(LaneRow.due_at.is_(None), LaneRow.due_at > at), at), else_=LaneRow.due_at)
    for name in names:
        connection.execute(update(LaneRow).where(LaneRow.key == name).values(due_at=sooner))


def claim(connection: Connection, key: str, now: dt.datetime, lease_s: float = claims.LEASE_S) -> Row | None:
    """The lane, if it has work, may be spoken to, and is nobody's."""
    open_ = or_(LaneRow.blocked_until.is_(None), LaneRow.blocked_until <= now)
    rows = claims.claim(connection, LaneRow, [key], now, where=(open_, LaneRow.paused.is_(False)), lease_s=lease_s)
    return rows[0] if rows else None


def rest(connection: Connection, lane: Row, **values: Any) -> dt.datetime | None:
    """Ends a drain: frees the lane and sets when it has work again. Returns that instant, None when it is empty."""
    connection.execute(select(LaneRow.key).where(LaneRow.key == lane["key"]).with_for_update()).all()
    left = next_work(connection, lane["kind"], lane["key"])
    claims.settle(connection, LaneRow, lane, due_at=left, **values)
    return left


def keep(connection: Connection, lane: Row, **values: Any) -> bool:
    """Writes down something about a lane that is ours, in the middle of its drain. False where it is not ours any more."""
    mine = (LaneRow.key == lane["key"], LaneRow.lease_epoch == lane["lease_epoch"])
    return bool(connection.execute(update(LaneRow).where(*mine).values(values)).rowcount)


def held(connection: Connection, lane: Row) -> Row | None:
    """A claimed lane as it is now, locked until the transaction ends; None where the claim was lost."""
    found = select(*LaneRow.__table__.columns).where(
        LaneRow.key == lane["key"], LaneRow.lease_epoch == lane["lease_epoch"]
    )
    row = connection.execute(found.with_for_update()).mappings().first()
    return dict(row) if row else None


def reserve(
    connection: Connection, lane: Row, now: dt.datetime, gap_s: float, *, within_s: float
) -> dt.datetime | None:
    """The next instant at which a request may go to a host whose lane is locked, now its caller's alone.

    The one after that is `gap_s` later, whoever asks: drains of several workers, polls. None where it is more than
    `within_s` seconds away; nothing is reserved then.
    """
    at = max(now, lane["blocked_until"] or now)
    if (at - now).total_seconds() > within_s:
        return None
    free_at = at + dt.timedelta(seconds=gap_s)
    if free_at > now:
        connection.execute(update(LaneRow).where(LaneRow.key == lane["key"]).values(blocked_until=free_at))
    return at


def keep_free(connection: Connection, lane: Row, until: dt.datetime) -> None:
    """No request goes to the host of a held lane before that instant."""
    connection.execute(update(LaneRow).where(LaneRow.key == lane["key"]).values(blocked_until=until))


def of_host(connection: Connection, host: str) -> Row:
    """The lane of a host, locked until the transaction ends; made where it is not there yet, without work."""
    key = host_lane(host)
    insert_ignore(connection, LaneRow, [{"key": key, "kind": "host", "lease_epoch": 0, "attempts": 0, "failures": 0}],
                  conflict=["key"])  # fmt: skip
    found = select(*LaneRow.__table__.columns).where(LaneRow.key == key).with_for_update()
    return dict(connection.execute(found).mappings().one())


def block(connection: Connection, lane: Row, until: dt.datetime, slow_s: float) -> None:
    """A host that asked for fewer requests is left alone until then, and spoken to more slowly afterwards."""
    until = max(until, lane["blocked_until"] or until)
    connection.execute(update(LaneRow).where(LaneRow.key == lane["key"]).values(blocked_until=until, slow_s=slow_s))


def next_work(connection: Connection, kind: str, key: str) -> dt.datetime | None:
    """When the earliest waiting piece of the lane is due; None where nothing waits."""
    name = key.partition(":")[2]
    if kind == "host":
        found = select(func.min(EntryRow.due_at)).where(EntryRow.step == "fetch", EntryRow.host == name)
    elif kind == "endpoint":
        found = select(func.min(DeliveryRow.due_at)).where(
            DeliveryRow.state == "due", DeliveryRow.endpoint_id == int(name)
        )
    elif kind == "train":
        return None  # woken again by the next filed article
    else:
        head = connection.execute(select(EventHeadRow.n, EventHeadRow.planned)).one()
        past = select(EndpointRow.id).where(EndpointRow.history_since.is_not(None), EndpointRow.state != "removed")
        waits = head.n > head.planned or connection.execute(past.limit(1)).first() is not None
        return dt.datetime(2000, 1, 1, tzinfo=dt.UTC) if waits else None
    return connection.execute(found).scalar()


def due_lanes(connection: Connection, kind: str, now: dt.datetime, limit: int) -> list[str]:
    """Keys of the lanes of that kind with work that nobody holds, longest waiting first."""
    open_ = or_(LaneRow.blocked_until.is_(None), LaneRow.blocked_until <= now)
    found = (
        select(LaneRow.key)
        .where(LaneRow.kind == kind, claims.due(LaneRow, now), open_, LaneRow.paused.is_(False))
        .order_by(LaneRow.due_at)
        .limit(limit)
    )
    return list(connection.execute(found).scalars())


def get(connection: Connection, key: str) -> Row | None:
    row = connection.execute(select(*LaneRow.__table__.columns).where(LaneRow.key == key)).mappings().first()
    return dict(row) if row else None


def pause(connection: Connection, key: str, *, paused: bool) -> None:
    """Stops or starts a lane; its work waits."""
    connection.execute(update(LaneRow).where(LaneRow.key == key).values(paused=paused))


def waiting(connection: Connection) -> int:
    """How many pages wait for extraction and articles for enrichment: the books count before and after these."""
    pages = select(func.count()).where(EntryRow.step == "extract")
    articles = select(func.count()).where(ArticleRow.due_at.is_not(None))
    return int(connection.execute(pages).scalar_one() + connection.execute(articles).scalar_one())
