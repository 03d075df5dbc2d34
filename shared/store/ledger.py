"""The two books. Intake, per source, unit entry; delivery, per endpoint, unit event.

    seen                          = waiting + stored + duplicate + quarantined + gone
    events since it joined + back-filled
                                  = unplanned + filtered + held + due + delivered + superseded + quarantined

The left sides are counters that other transactions wrote; the right sides count rows (`filtered` is the planner's counter).
Every `delivered` must also have an attempt that a 2xx, or a written file, ended.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, exists, func, select

from shared.models import AttemptRow, DeliveryRow, EventRow, SourceRow
from shared.store import events, intake, partners

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
    intake: tuple[IntakeLine, ...]
    delivery: tuple[DeliveryLine, ...]

    @property
    def balanced(self) -> bool:
        return all(line.balanced for line in self.intake) and all(line.balanced for line in self.delivery)

    @property
    def settled(self) -> bool:
        """Whether nothing is under way: no entry waits, nothing is unplanned or due."""
        return not any(line.waiting for line in self.intake) and not any(
            line.unplanned + line.due for line in self.delivery
        )


def books(connection: Connection) -> Books:
    """Both books as of this snapshot."""
    return Books(tuple(_intake(connection)), tuple(_delivery(connection)))


def _intake(connection: Connection) -> list[IntakeLine]:
    counts = intake.count_states(connection)
    lines = []
    for source_id, name, seen in connection.execute(
        select(SourceRow.id, SourceRow.name, SourceRow.seen).order_by(SourceRow.name)
    ):
        states = counts.get(source_id, {})
        parts = {state: states.get(state, 0) for state in INTAKE}
        lines.append(IntakeLine(name, seen, **parts, balanced=seen == sum(states.values()) == sum(parts.values())))
    return lines


def _delivery(connection: Connection) -> list[DeliveryLine]:
    head, planned = events.head(connection)
    counts, unproven = partners.count_states(connection), _unproven(connection)
    return [_delivery_line(connection, row, head, planned, counts.get(row["id"], {}), unproven.get(row["id"], 0))
            for row in partners.endpoints(connection)]  # fmt: skip


def _delivery_line(connection: Connection, row: dict[str, object], head: int, planned: int, states: dict[str, int],
                   unproven: int) -> DeliveryLine:  # fmt: skip
    joined, backfilled, filtered = (int(str(row[k])) for k in ("joined_n", "backfilled", "filtered"))
    waits = select(func.count()).where(EventRow.number > max(planned, joined))
    unplanned = connection.execute(waits).scalar_one()
    parts = {state: states.get(state, 0) for state in DELIVERY}
    right = unplanned + filtered + sum(parts.values())
    balanced = head - joined + backfilled == right and sum(states.values()) == sum(parts.values()) and not unproven
    return DeliveryLine(str(row["partner"]), int(str(row["id"])), head - joined, backfilled, unplanned, filtered, **parts,
                        unproven=unproven, balanced=balanced)  # fmt: skip


def _unproven(connection: Connection) -> dict[int, int]:
    proof = exists().where(AttemptRow.delivery_id == DeliveryRow.id, AttemptRow.outcome == "delivered",
                           (AttemptRow.status.is_(None)) | (AttemptRow.status.between(200, 299)))  # fmt: skip
    found = select(DeliveryRow.endpoint_id, func.count()).where(DeliveryRow.state == "delivered", ~proof)
    return dict(connection.execute(found.group_by(DeliveryRow.endpoint_id)).all())
