"""What people switched off, and what is still in hand: a stage, or all of them for a drain. Rows, so that a restart forgets nothing.

A worker looks in the transaction of its claim (`shared.queue.begin`): what is off when it claims, it does not claim.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from sqlalchemy import Connection, delete, func, select, update

from shared import pipeline
from shared.models import (
    ArticleRow,
    EndpointRow,
    EntryRow,
    HubRow,
    LaneRow,
    PartnerRow,
    Row,
    SourceRow,
    SwitchRow,
    WebsubRow,
)
from shared.store import claims, lanes
from shared.store.rows import upsert

DRAIN = "drain"
"""The switch of all stages at once."""

_LANES = {"host": "fetch", "endpoint": "deliver", "plan": "plan", "train": "enrich"}
_TABLES = ((SourceRow, "poll"), (WebsubRow, "poll"), (EntryRow, "extract"), (ArticleRow, "enrich"), (HubRow, "deliver"))


def turn_off(connection: Connection, key: str, who: str, reason: str, now: dt.datetime) -> bool:
    """Switches a stage, or with DRAIN all of them, off. False: it was off, and stays so with its old reason."""
    if connection.execute(select(SwitchRow.key).where(SwitchRow.key == key)).first():
        return False
    upsert(connection, SwitchRow, [{"key": key, "at": now, "who": who[:100], "reason": reason}], conflict=["key"])
    return True


def turn_on(connection: Connection, key: str) -> bool:
    """Switches it on again. False: it was on."""
    return bool(connection.execute(delete(SwitchRow).where(SwitchRow.key == key)).rowcount)


def off(connection: Connection) -> dict[str, Row]:
    """What is switched off, by key, with when, by whom and why."""
    found = select(*SwitchRow.__table__.columns)
    return {row["key"]: dict(row) for row in connection.execute(found).mappings()}


def stopped(connection: Connection) -> Collection[str]:
    """The stages that claim nothing now."""
    keys = set(connection.execute(select(SwitchRow.key)).scalars())
    return pipeline.STAGES if DRAIN in keys else keys


def paused(connection: Connection) -> dict[str, list[str]]:
    """What stands still by a person's word, as people call it, by queue: "stage poll", "host news.example", "partner desk"."""
    stages = stopped(connection)
    found: dict[str, list[str]] = {name: [] for name in pipeline.QUEUES}
    for stage in pipeline.WAKES.values():
        if stage.name in stages and (name := f"stage {stage.name}") not in found[stage.queue]:
            found[stage.queue].append(name)
    sources = select(SourceRow.name).where(SourceRow.state == "paused").order_by(SourceRow.name)
    hosts = select(LaneRow.key).where(LaneRow.kind == "host", LaneRow.paused).order_by(LaneRow.key)
    endpoints = (
        select(PartnerRow.name)
        .join(EndpointRow, EndpointRow.partner_id == PartnerRow.id)
        .where(EndpointRow.state == "paused")
        .order_by(PartnerRow.name)
    )
    found["fetch"] += [f"source {name}" for name in connection.execute(sources).scalars()]
    found["fetch"] += [f"host {key.removeprefix('host:')}" for key in connection.execute(hosts).scalars()]
    found["deliver"] += [f"partner {name}" for name in dict.fromkeys(connection.execute(endpoints).scalars())]
    return found


def requeue_entry(connection: Connection, row: Row, now: dt.datetime) -> bool:
    """An entry that is in no quarantine is taken up at once: read, where it waits for that, else fetched again. False: it cannot be."""
    if row["state"] in ("quarantined", "gone") or (row["step"] != "extract" and not row["host"]):
        return False
    values = {"step": row["step"] if row["step"] == "extract" else "fetch", "due_at": now, "failures": 0}
    same = (EntryRow.id == row["id"], EntryRow.state == row["state"])
    changed = connection.execute(update(EntryRow).where(*same).values(values)).rowcount
    if changed and values["step"] == "fetch":
        lanes.wake(connection, "host", [lanes.host_lane(row["host"])], now)
    return bool(changed)


def in_hand(connection: Connection, now: dt.datetime) -> dict[str, int]:
    """How much workers hold at this instant, by stage: sources, lanes, pages, articles under a lease that has not run out."""
    held = dict.fromkeys(pipeline.STAGES, 0)
    for kind, n in _leases(connection, LaneRow, LaneRow.kind, now):
        held[_LANES[kind]] += n
    for table, stage in _TABLES:
        held[stage] += sum(n for _, n in _leases(connection, table, table.lease_owner, now))
    return held


def _leases(connection: Connection, table: type, by: object, now: dt.datetime) -> list[tuple[str, int]]:
    """How many rows living processes hold, by a column."""
    found = (
        select(by, table.lease_owner, func.count())  # type: ignore[call-overload, attr-defined]  # a column of `Leased`
        .where(table.lease_owner.is_not(None), table.lease_until > now)  # type: ignore[attr-defined]
        .group_by(by, table.lease_owner)  # type: ignore[attr-defined]
    )
    return [(key, n) for key, owner, n in connection.execute(found) if claims.is_alive(owner)]
