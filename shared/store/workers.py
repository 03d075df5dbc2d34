"""Signs of life: one row a queue and process, written whenever a worker answers a ping. And how large people want the pools."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import psutil
from sqlalchemy import Connection, delete, func, select

from shared.models import HeartbeatRow, PoolRow, Row
from shared.store import claims
from shared.store.rows import upsert


def beat(
    connection: Connection, queue: str, now: dt.datetime, size: int | None = None, owner: str | None = None
) -> None:
    """This process, or the `owner` whose pool it belongs to, consumes that queue, now, with so many threads or processes."""
    row = {"worker": f"{queue}@{owner or claims.owner()}"[:120], "kind": queue, "at": now, "size": size}
    upsert(connection, HeartbeatRow, [row], conflict=["worker"])


def last_beats(connection: Connection) -> dict[str, dt.datetime]:
    """Queue -> when it was last seen consumed."""
    found = select(HeartbeatRow.kind, func.max(HeartbeatRow.at)).group_by(HeartbeatRow.kind)
    return dict(connection.execute(found).all())


def all_beats(connection: Connection) -> list[Row]:
    """Every process's last sign of life, newest first."""
    found = select(*HeartbeatRow.__table__.columns).order_by(HeartbeatRow.at.desc())
    return [dict(row) for row in connection.execute(found).mappings()]


def frozen(beats: Sequence[Row]) -> list[Row]:
    """Those whose process is on this machine and was stopped (SIGSTOP, a debugger): it lives, and does nothing."""
    return [beat for beat in beats if _is_frozen(beat["worker"].partition("@")[2])]


def _is_frozen(owner: str) -> bool:
    if owner.count(":") < 2 or not claims.is_here(owner) or not claims.is_alive(owner):
        return False
    try:
        return psutil.Process(int(owner.rsplit(":", 2)[1])).status() in (
            psutil.STATUS_STOPPED,
            psutil.STATUS_TRACING_STOP,
        )
    except psutil.NoSuchProcess:
        return False


def forget_old(connection: Connection, before: dt.datetime) -> None:
    """Drops signs of life older than `before`: their processes are no more."""
    connection.execute(delete(HeartbeatRow).where(HeartbeatRow.at < before))


def set_size(connection: Connection, kind: str, size: int, who: str, now: dt.datetime) -> None:
    """From now on each worker of the kind has so many threads or processes."""
    upsert(connection, PoolRow, [{"kind": kind, "size": size, "who": who[:100], "at": now}], conflict=["kind"])


def forget_size(connection: Connection, kind: str) -> None:
    """Back to what the settings say, from the worker's next start on."""
    connection.execute(delete(PoolRow).where(PoolRow.kind == kind))


def sizes(connection: Connection) -> dict[str, int]:
    """Kind of worker -> threads or processes each of it is to have, where a person said so."""
    return dict(connection.execute(select(PoolRow.kind, PoolRow.size)).all())
