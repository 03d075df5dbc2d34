"""The two books. Intake, per source, unit entry; delivery, per endpoint, unit event.

    seen                          = waiting + stored + duplicate + quarantined + gone
    events since it joined + back-filled
                                  = unplanned + filtered + held + due + delivered + superseded + quarantined

The left sides are counters that other transactions wrote; the right sides count rows (`filtered` is the planner's counter).
Every `delivered` must also have an attempt that a 2xx, or a written file, ended.

That is the proof, and it reads every row. Without it (`proof=False`) only what waits, or was set aside, is counted, and
`stored` and `delivered` are what the equation leaves: the figures of a page, which say nothing about the balance.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, exists, func, select

from shared.models import AttemptRow, DeliveryRow, EndpointRow, EntryRow, EventRow, Row, SourceRow
from shared.store import events, intake, partners, retention

INTAKE = ("waiting", "stored", "duplicate", "quarantined", "gone")
DELIVERY = ("held", "due", "delivered", "superseded", "quarantined")


class IntakeLine(msgspec.Struct, frozen=True):
    """One source's book."""

    source: str
    seen: int
    waiting: int
    stored: int
    duplicate: int
    quarantined: int
    gone: int
    balanced: bool


class DeliveryLine(msgspec.Struct, frozen=True):
    """One endpoint's book. `unproven` counts deliveries without the attempt that ended them; it must be 0."""

    partner: str
    endpoint: int
    events: int
    backfilled: int
    unplanned: int
    filtered: int
    held: int
    due: int
    delivered: int
    superseded: int
    quarantined: int
    unproven: int
    balanced: bool


class Books(msgspec.Struct, frozen=True):
    """Both books. `proved`: every row was counted; otherwise the lines balance because the last figure was worked out."""

    intake: tuple[IntakeLine, ...]
    delivery: tuple[DeliveryLine, ...]
    proved: bool = True

    @property
    def balanced(self) -> bool:
        return all(line.balanced for line in self.intake) and all(line.balanced for line in self.delivery)

    @property
    def settled(self) -> bool:
        """Whether nothing is under way: no entry waits, nothing is unplanned or due."""
        return not any(line.waiting for line in self.intake) and not any(
            line.unplanned + line.due for line in self.delivery
        )


def books(connection: Connection, *, proof: bool = True) -> Books:
    """Both books as of this snapshot; see above for what `proof` costs and gives."""
    return Books(tuple(_intake(connection, proof=proof)), tuple(_delivery(connection, proof=proof)), proof)


def _intake(connection: Connection, *, proof: bool) -> list[IntakeLine]:
    counts = intake.count_states(connection) if proof else _unsettled_entries(connection)
    found = select(SourceRow.id, SourceRow.name, SourceRow.seen).order_by(SourceRow.name)
    lines = []
    for source_id, name, seen in connection.execute(found):
        states = counts.get(source_id, {})
        parts = {state: states.get(state, 0) for state in INTAKE}
        if not proof:
            parts["stored"] = seen - sum(parts.values())
        lines.append(
            IntakeLine(name, seen, **parts, balanced=not proof or seen == sum(states.values()) == sum(parts.values()))
        )
    return lines


def _delivery(connection: Connection, *, proof: bool) -> list[DeliveryLine]:
    head, planned = events.head(connection)
    counts = partners.count_states(connection) if proof else _undelivered(connection)
    unproven = _unproven(connection) if proof else None
    return [_delivery_line(connection, row, head, planned, counts.get(row["id"], {}), unproven)
            for row in partners.endpoints(connection)]  # fmt: skip


def _delivery_line(connection: Connection, row: Row, head: int, planned: int, states: dict[str, int],
                   unproven: dict[int, int] | None) -> DeliveryLine:  # fmt: skip
    waits = select(func.count()).where(EventRow.number > max(planned, row["joined_n"]))
    unplanned = int(connection.execute(waits).scalar_one())
    parts = {state: states.get(state, 0) for state in DELIVERY}
    left, right = head - row["joined_n"] + row["backfilled"], unplanned + row["filtered"] + sum(parts.values())
    without_proof = 0 if unproven is None else unproven.get(row["id"], 0)
    balanced = left == right and sum(states.values()) == sum(parts.values()) and not without_proof
    if unproven is None:
        parts["delivered"], balanced = left - right, True
    return DeliveryLine(row["partner"], row["id"], head - row["joined_n"], row["backfilled"], unplanned, row["filtered"], **parts,
                        unproven=without_proof, balanced=balanced)  # fmt: skip


def _unsettled_entries(connection: Connection) -> dict[int, dict[str, int]]:
    """Source id -> state -> entries in every state but stored: ranges of the index, not all of it."""
    states = [state for state in INTAKE if state != "stored"]
    found = select(SourceRow.id, EntryRow.state, func.count()).join(
        EntryRow, and_(EntryRow.source_id == SourceRow.id, EntryRow.state.in_(states))
    )
    return _counted(connection.execute(found.group_by(SourceRow.id, EntryRow.state)))


def _undelivered(connection: Connection) -> dict[int, dict[str, int]]:
    """Endpoint id -> state -> deliveries in every state but delivered."""
    states = [state for state in DELIVERY if state != "delivered"]
    found = select(EndpointRow.id, DeliveryRow.state, func.count()).join(
        DeliveryRow, and_(DeliveryRow.endpoint_id == EndpointRow.id, DeliveryRow.state.in_(states))
    )
    return _counted(connection.execute(found.group_by(EndpointRow.id, DeliveryRow.state)))


def _counted(rows: Iterable[Any]) -> dict[int, dict[str, int]]:
    counts: dict[int, dict[str, int]] = {}
    for owner_id, state, n in rows:
        counts.setdefault(owner_id, {})[state] = n
    return counts


def _unproven(connection: Connection) -> dict[int, int]:
    proof = exists().where(AttemptRow.delivery_id == DeliveryRow.id, AttemptRow.outcome == "delivered",
                           (AttemptRow.status.is_(None)) | (AttemptRow.status.between(200, 299)))  # fmt: skip
    found = select(DeliveryRow.endpoint_id, func.count()).where(DeliveryRow.state == "delivered", ~proof)
    since = retention.proven_since(connection)  # the attempts before are forgotten
    if since is not None:
        found = found.where(DeliveryRow.delivered_at >= since)
    return dict(connection.execute(found.group_by(DeliveryRow.endpoint_id)).all())
