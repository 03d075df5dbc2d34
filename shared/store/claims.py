"""Claims by compare-and-set: who works on which row, until when. One UPDATE; if no row changed, someone else has it.

A claim raises `attempts` and commits before the work starts, so a batch that kills its worker is found again one by one
and quarantined after `POISON` tries. A result commits only where `lease_epoch` is still the claimer's.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import psutil
from sqlalchemy import Connection, and_, or_, select, update

from shared.models import ArticleRow, EntryRow, HubRow, LaneRow, Row, SourceRow, WebsubRow
from shared.store.rows import update_many

POISON = 3
LEASE_S = 60.0

LEASED: tuple[type[Any], ...] = (LaneRow, SourceRow, EntryRow, ArticleRow, HubRow, WebsubRow)


def owner() -> str:
    """This process as the owner of leases: host, pid, and its start time, since pids come back."""
    pid = os.getpid()
    cached = _owner.get(pid)
    if cached is None:
        cached = _owner[pid] = f"{platform.node()}:{pid}:{psutil.Process(pid).create_time():.2f}"
    return cached


_owner: dict[int, str] = {}


def unleased(table: type[Any], now: dt.datetime) -> Any:
    """The condition that nobody holds the row."""
    return or_(table.lease_until.is_(None), table.lease_until < now)


def due(table: type[Any], now: dt.datetime) -> Any:
    """The condition that the row waits for work and nobody holds it."""
    return and_(table.due_at.is_not(None), table.due_at <= now, unleased(table, now))


def claim(
    connection: Connection, table: type[Any], keys: Collection[Any], now: dt.datetime, *, where: Sequence[Any] = (),
    lease_s: float = LEASE_S,
) -> list[Row]:  # fmt: skip
    """Takes those of `keys` that are due and free.

    Returns:
        The rows as dicts after the claim, in the order of their keys. Empty: someone else was first, or nothing is due.
    """
    key = table.__table__.primary_key.columns[0]
    picked = select(key).where(key.in_(list(keys)), due(table, now), *where).with_for_update(skip_locked=True)
    statement = (
        update(table)
        .where(key.in_(picked))
        .values(
            lease_owner=owner(),
            lease_epoch=table.lease_epoch + 1,
            lease_until=now + dt.timedelta(seconds=lease_s),
            attempts=table.attempts + 1,
        )
        .returning(*table.__table__.columns)
        .execution_options(synchronize_session=False)
    )
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    return sorted(rows, key=lambda row: str(row[key.name]))


def settle(connection: Connection, table: type[Any], row: Row, **values: Any) -> bool:
    """Ends a claim with a result, if it is still ours. False: the lease went to someone else, the result is late."""
    key = table.__table__.primary_key.columns[0]
    free: dict[str, Any] = {"lease_owner": None, "lease_until": None, "attempts": 0}
    statement = (
        update(table)
        .where(key == row[key.name], table.lease_epoch == row["lease_epoch"])
        .values(free | values)
        .execution_options(synchronize_session=False)
    )
    return connection.execute(statement).rowcount == 1


def mine(connection: Connection, table: type[Any], rows: Sequence[Row]) -> list[Row]:
    """Those claimed rows whose lease is still ours, as they are now, locked until the transaction ends.

    What was written beside the claim (a further revision, a withdrawal) is in them.
    """
    key = table.__table__.primary_key.columns[0].name
    epochs = {row[key]: row["lease_epoch"] for row in rows}
    columns = table.__table__.columns
    found = select(*columns).where(columns[key].in_(list(epochs))).order_by(columns[key]).with_for_update()
    fresh = {row[key]: dict(row) for row in connection.execute(found).mappings()}
    return [fresh[k] for k, epoch in epochs.items() if k in fresh and fresh[k]["lease_epoch"] == epoch]


def settle_many(connection: Connection, table: type[Any], results: Sequence[tuple[Row, Row]]) -> None:
    """Ends claims that `mine` found to be ours: (claimed row, its new values); all name the same columns."""
    key = table.__table__.primary_key.columns[0].name
    free: Row = {"lease_owner": None, "lease_until": None, "attempts": 0}
    update_many(connection, table, [free | values | {key: row[key]} for row, values in results], key=[key])


def since(row: Row) -> dt.datetime:
    """When a row was claimed for the usual time."""
    until: dt.datetime = row["lease_until"]
    return until - dt.timedelta(seconds=LEASE_S)


def renew(connection: Connection, table: type[Any], row: Row, now: dt.datetime, lease_s: float = LEASE_S) -> bool:
    """Prolongs a claim that is still ours; False where it is lost."""
    return settle(connection, table, row, lease_owner=row["lease_owner"], attempts=row["attempts"],
                  lease_until=now + dt.timedelta(seconds=lease_s))  # fmt: skip


def free_dead(connection: Connection, alive: Iterable[str] = ()) -> int:
    """Frees the leases of processes of this machine that are no more, except owners named `alive`. Returns how many rows."""
    freed, spared = 0, set(alive)
    for table in LEASED:
        held = select(table.lease_owner).where(table.lease_owner.is_not(None)).distinct()
        gone = [name for (name,) in connection.execute(held) if name not in spared and not is_alive(name)]
        if gone:
            statement = update(table).where(table.lease_owner.in_(gone)).values(lease_owner=None, lease_until=None)
            freed += connection.execute(statement.execution_options(synchronize_session=False)).rowcount
    return freed


def dead_owners(connection: Connection) -> list[str]:
    """Owners of leases that are processes of this machine and are no more. Only reads."""
    names = {name for table in LEASED
             for (name,) in connection.execute(select(table.lease_owner).where(table.lease_owner.is_not(None)).distinct())}  # fmt: skip
    return sorted(name for name in names if not is_alive(name))


def is_here(name: str) -> bool:
    """Whether the owner is a process of this machine."""
    return name.rsplit(":", 2)[0] == platform.node()


def is_alive(name: str) -> bool:
    """Whether the owner may still be at work. An owner on another machine counts as alive: its lease runs out by itself."""
    _, pid, started = name.rsplit(":", 2)
    if not is_here(name):
        return True
    try:
        process = psutil.Process(int(pid))
        return bool(abs(process.create_time() - float(started)) < 1.0 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def poisoned(row: Row) -> bool:
    """Whether this row has taken its workers down too often to try it again."""
    return int(row["attempts"]) > POISON
