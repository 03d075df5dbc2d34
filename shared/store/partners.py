"""Partners, their endpoints and subscriptions, what each of them is owed, and every attempt to deliver it."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, exists, func, insert, select, update
from sqlalchemy.orm import aliased

from shared.errors import OperatorError
from shared.models import AttemptRow, DeliveryRow, EndpointRow, PartnerRow, Row, SubscriptionRow
from shared.store import events, lanes
from shared.store.rows import insert_ignore, update_many

WITHDRAWN = "article.withdrawn"


class Planned(msgspec.Struct, frozen=True):
    """What the planner decided for one event and endpoint: a delivery under this id, or None: filtered."""

    endpoint_id: int
    event: events.Event
    webhook_id: str | None
    held: bool = False
    coalesce: bool = False


class Tried(msgspec.Struct, frozen=True):
    """How one attempt went. outcome: delivered | retry | dead | disabled. `due_at` is the next try of a retry."""

    delivery: Row
    outcome: str
    at: dt.datetime
    duration_ms: int
    status: int | None = None
    reason: str | None = None
    response: str | None = None
    due_at: dt.datetime | None = None


def add_partner(connection: Connection, *, name: str, kind: str, url: str, format: str, secrets: str, filter: str,
                backfill: bool, coalesce: bool, relinked: bool, concurrency: int, now: dt.datetime) -> tuple[int, int]:  # fmt: skip
    """A partner with one endpoint and one subscription, from the next event on. Returns (partner id, endpoint id)."""
    if connection.execute(select(PartnerRow.id).where(PartnerRow.name == name)).first():
        raise OperatorError(f"There is a partner named {name} already.", "Choose another with --name.")
    partner = connection.execute(
        insert(PartnerRow).values(name=name, created_at=now).returning(PartnerRow.id)
    ).scalar_one()
    joined, _ = events.head(connection, lock=True)  # an event after this lock is numbered higher and planned for us too
    values = {"partner_id": partner, "kind": kind, "url": url, "format": format, "secrets": secrets, "created_at": now,
              "joined_n": joined, "concurrency": concurrency}  # fmt: skip
    endpoint = connection.execute(insert(EndpointRow).values(values).returning(EndpointRow.id)).scalar_one()
    connection.execute(insert(SubscriptionRow).values(
        endpoint_id=endpoint, filter=filter, backfill=backfill, coalesce=coalesce, relinked=relinked))  # fmt: skip
    return int(partner), int(endpoint)


def endpoints(connection: Connection, *, states: Collection[str] = ("active", "paused", "disabled")) -> list[Row]:
    """Endpoints in these states with their partner's name and their subscriptions, by partner."""
    found = (
        select(*EndpointRow.__table__.columns, PartnerRow.name.label("partner"))
        .join(PartnerRow, PartnerRow.id == EndpointRow.partner_id)
        .where(EndpointRow.state.in_(list(states)))
        .order_by(PartnerRow.name, EndpointRow.id)
    )
    rows = [dict(row) | {"subscriptions": []} for row in connection.execute(found).mappings()]
    by_id = {row["id"]: row for row in rows}
    wishes = select(*SubscriptionRow.__table__.columns).where(SubscriptionRow.endpoint_id.in_(list(by_id)))
    for wish in connection.execute(wishes.order_by(SubscriptionRow.id)).mappings():
        by_id[wish["endpoint_id"]]["subscriptions"].append(dict(wish))
    return rows


def endpoint(connection: Connection, endpoint_id: int) -> Row | None:
    """One endpoint, whatever its state."""
    states = ("active", "paused", "disabled", "removed")
    return next((row for row in endpoints(connection, states=states) if row["id"] == endpoint_id), None)


def of_partner(connection: Connection, name: str) -> list[Row]:
    """The endpoints of a partner by name; raises OperatorError where there is none."""
    rows = [row for row in endpoints(connection) if row["partner"] == name]
    if not rows:
        raise OperatorError(f"There is no partner named {name}.", "`briefwire partner list` shows them.")
    return rows


def set_endpoint(connection: Connection, endpoint_id: int, **values: Any) -> None:
    """Changes an endpoint: pause, resume, disable, remove, new secrets."""
    connection.execute(update(EndpointRow).where(EndpointRow.id == endpoint_id).values(values))


def relinks_wanted(connection: Connection) -> bool:
    """Whether some endpoint asks to be told when only the links of an article changed."""
    found = select(SubscriptionRow.id).join(EndpointRow, EndpointRow.id == SubscriptionRow.endpoint_id)
    wanted = found.where(SubscriptionRow.relinked.is_(True), EndpointRow.state != "removed")
    return connection.execute(wanted.limit(1)).first() is not None


def followed(connection: Connection, pairs: Collection[tuple[int, str]]) -> set[tuple[int, str]]:
    """Those (endpoint id, article id) that were sent the article, or are about to be."""
    found = select(DeliveryRow.endpoint_id, DeliveryRow.article_id).where(
        DeliveryRow.article_id.in_(sorted({article_id for _, article_id in pairs})),
        DeliveryRow.state.in_(["due", "held", "delivered"]),
    )
    return {(e, a) for e, a in connection.execute(found.distinct())} & set(pairs)


def maybe_has(connection: Connection, endpoint_id: int, article_id: str) -> bool:
    """Whether the endpoint has the article, or may have it: some attempt was begun."""
    found = select(DeliveryRow.id).where(
        DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.article_id == article_id, DeliveryRow.begun > 0
    )
    return connection.execute(found.limit(1)).first() is not None


def plan(connection: Connection, planned: Sequence[Planned], upto: int, now: dt.datetime) -> list[str]:
    """Writes what the planner decided up to event `upto`: deliveries with positions, filtered counters, lanes awake.

    Returns the lanes that have work.
    """
    by_endpoint: dict[int, list[Planned]] = {}
    for item in planned:
        by_endpoint.setdefault(item.endpoint_id, []).append(item)
    awake = [
        lane
        for endpoint_id in sorted(by_endpoint)
        for lane in _plan_endpoint(connection, endpoint_id, by_endpoint[endpoint_id], now)
    ]
    events.set_planned(connection, upto)
    return awake


def _plan_endpoint(connection: Connection, endpoint_id: int, items: Sequence[Planned], now: dt.datetime) -> list[str]:
    counted = update(EndpointRow).where(EndpointRow.id == endpoint_id)
    start = connection.execute(
        counted.values(filtered=EndpointRow.filtered).returning(EndpointRow.position)  # locks the row
    ).scalar_one()
    rows: list[Row] = []
    position, filtered = start, 0
    for item in items:
        if item.webhook_id is None or not _give_way(connection, endpoint_id, item, rows):
            filtered += 1
            continue
        position += not item.held
        rows.append(_delivery_row(item, None if item.held else position, now))
    insert_ignore(connection, DeliveryRow, rows, conflict=["endpoint_id", "event_number"])
    connection.execute(counted.values(position=position, filtered=EndpointRow.filtered + filtered))
    if position == start:
        return []
    lane = lanes.endpoint_lane(endpoint_id)
    lanes.wake(connection, "endpoint", [lane], now)
    return [lane]


def _give_way(connection: Connection, endpoint_id: int, item: Planned, rows: list[Row]) -> bool:
    """Unsent deliveries of the article give way to a withdrawal or, where asked, to a newer revision.

    False: a withdrawal of what the endpoint never saw, which is nothing to tell it.
    """
    article_id = item.event.article_id
    if item.event.kind == WITHDRAWN:
        insert_ignore(connection, DeliveryRow, rows, conflict=["endpoint_id", "event_number"])
        rows.clear()
        supersede(connection, endpoint_id, article_id)
        return maybe_has(connection, endpoint_id, article_id)
    if item.coalesce:
        insert_ignore(connection, DeliveryRow, rows, conflict=["endpoint_id", "event_number"])
        rows.clear()
        supersede(connection, endpoint_id, article_id, below_revision=item.event.revision)
    return True


def _delivery_row(item: Planned, position: int | None, now: dt.datetime) -> Row:
    event = item.event
    return {
        "endpoint_id": item.endpoint_id, "event_number": event.number, "article_id": event.article_id,
        "revision": event.revision, "kind": event.kind, "occurrence": event.occurrence, "webhook_id": item.webhook_id,
        "state": "held" if item.held else "due", "position": position, "due_at": None if item.held else now,
        "begun": 0, "attempts": 0,
    }  # fmt: skip


def supersede(connection: Connection, endpoint_id: int, article_id: str, *, below_revision: int | None = None) -> int:
    """Unsent deliveries of the article give way (to a withdrawal, or to a newer revision). Returns how many."""
    where = [DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.article_id == article_id,
             DeliveryRow.state.in_(["due", "held"])]  # fmt: skip
    if below_revision is not None:
        where += [DeliveryRow.revision < below_revision, DeliveryRow.begun == 0]
    statement = update(DeliveryRow).where(*where).values(state="superseded", due_at=None)
    return int(connection.execute(statement).rowcount)


def sendable(
    connection: Connection, endpoint_id: int, now: dt.datetime, limit: int, busy: Collection[str] = ()
) -> list[Row]:
    """Deliveries that may go now: withdrawals first, then in order; each first in line of its article, none in `busy`."""
    found = in_line(endpoint_id, now).order_by(DeliveryRow.due_at, DeliveryRow.position).limit(limit + len(busy))
    urgent = connection.execute(found.where(DeliveryRow.kind == WITHDRAWN)).mappings().all()
    usual = connection.execute(found).mappings().all()
    rows = {row["id"]: dict(row) for row in (*urgent, *usual) if row["article_id"] not in busy}
    return list(rows.values())[:limit]


def in_line(endpoint_id: int, now: dt.datetime) -> Select[Any]:
    """Deliveries of the endpoint that are due, each the first of its article."""
    earlier = aliased(DeliveryRow)
    blocked = exists().where(
        earlier.endpoint_id == DeliveryRow.endpoint_id, earlier.article_id == DeliveryRow.article_id,
        earlier.state == "due", earlier.position < DeliveryRow.position,
    )  # fmt: skip
    return select(*DeliveryRow.__table__.columns).where(
        DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.state == "due", DeliveryRow.due_at <= now, ~blocked
    )


def begin_attempts(connection: Connection, ids: Collection[int]) -> set[int]:
    """Marks deliveries as being tried, before the first byte leaves. Returns those still due."""
    statement = (
        update(DeliveryRow)
        .where(DeliveryRow.id.in_(list(ids)), DeliveryRow.state == "due")
        .values(begun=DeliveryRow.begun + 1)
        .returning(DeliveryRow.id)
    )
    return set(connection.execute(statement).scalars())


def call_off(connection: Connection, ids: Collection[int]) -> None:
    """Deliveries marked as being tried of which no byte left: they were not."""
    due = (DeliveryRow.id.in_(list(ids)), DeliveryRow.begun > 0)
    connection.execute(update(DeliveryRow).where(*due).values(begun=DeliveryRow.begun - 1))


def record(connection: Connection, endpoint_id: int, tried: Sequence[Tried]) -> None:
    """Appends the attempts to the endpoint's chained log, and moves each delivery on, if it still waits."""
    chain = connection.execute(
        select(EndpointRow.chain).where(EndpointRow.id == endpoint_id).with_for_update()
    ).scalar_one()
    waiting = _waiting(connection, [one.delivery["id"] for one in tried])
    rows = []
    for one in tried:
        row = _attempt_row(endpoint_id, one, one.delivery["id"] not in waiting)
        chain = row["chain"] = chained(chain, row)
        rows.append(row)
    moved = [_moved(one, waiting[one.delivery["id"]]) for one in tried if one.delivery["id"] in waiting]
    update_many(connection, DeliveryRow, moved, key=["id"])
    connection.execute(insert(AttemptRow.__table__), rows)  # type: ignore[arg-type]  # a Table, typed as any FromClause
    connection.execute(update(EndpointRow).where(EndpointRow.id == endpoint_id).values(chain=chain))


def _waiting(connection: Connection, ids: Collection[int]) -> dict[int, int]:
    """Those deliveries that are still due, locked, with the attempts they have behind them."""
    found = select(DeliveryRow.id, DeliveryRow.attempts).where(
        DeliveryRow.id.in_(list(ids)), DeliveryRow.state == "due"
    )
    return dict(connection.execute(found.order_by(DeliveryRow.id).with_for_update()).all())


def _attempt_row(endpoint_id: int, one: Tried, late: bool) -> Row:
    return {
        "delivery_id": one.delivery["id"], "endpoint_id": endpoint_id, "number": one.delivery["begun"] + 1, "at": one.at,
        "duration_ms": one.duration_ms, "outcome": "late" if late else one.outcome, "status": one.status,
        "reason": one.reason, "response": one.response,
    }  # fmt: skip


_NEXT_STATE = {"delivered": "delivered", "retry": "due", "disabled": "due", "dead": "quarantined"}


def _moved(one: Tried, attempts: int) -> Row:
    """The delivery after that attempt."""
    state = _NEXT_STATE[one.outcome]
    return {"id": one.delivery["id"], "state": state, "attempts": attempts + 1, "reason": one.reason,
            "due_at": one.due_at or one.at if state == "due" else None,
            "delivered_at": one.at if state == "delivered" else None}  # fmt: skip


def chained(previous: str, attempt: Row) -> str:
    """The digest that ties an attempt to the one before it."""
    parts = [previous, *(str(attempt[k]) for k in ("delivery_id", "endpoint_id", "number", "duration_ms", "outcome", "status",
                                                   "reason", "response")), attempt["at"].astimezone(dt.UTC).isoformat()]  # fmt: skip
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def broken_chain(connection: Connection, endpoint_id: int) -> int | None:
    """The id of the first attempt that does not fit the chain, 0 where the end is missing, None where all fits."""
    previous = ""
    found = select(*AttemptRow.__table__.columns).where(AttemptRow.endpoint_id == endpoint_id).order_by(AttemptRow.id)
    with connection.execute(found.execution_options(yield_per=1000)) as rows:
        for row in rows.mappings():
            previous = chained(previous, dict(row))
            if previous != row["chain"]:
                return int(row["id"])
    kept = connection.execute(select(EndpointRow.chain).where(EndpointRow.id == endpoint_id)).scalar_one()
    return None if kept == previous else 0


def deliveries_of(connection: Connection, article_id: str) -> list[Row]:
    """What every endpoint was owed of an article, in order of events, with the partner's name."""
    found = (
        select(*DeliveryRow.__table__.columns, PartnerRow.name.label("partner"))
        .join(EndpointRow, EndpointRow.id == DeliveryRow.endpoint_id)
        .join(PartnerRow, PartnerRow.id == EndpointRow.partner_id)
        .where(DeliveryRow.article_id == article_id)
        .order_by(DeliveryRow.event_number, DeliveryRow.id)
    )
    return [dict(row) for row in connection.execute(found).mappings()]


def attempts_of(connection: Connection, delivery_ids: Collection[int]) -> list[Row]:
    """Every attempt of these deliveries, oldest first."""
    found = select(*AttemptRow.__table__.columns).where(AttemptRow.delivery_id.in_(list(delivery_ids)))
    return [dict(row) for row in connection.execute(found.order_by(AttemptRow.id)).mappings()]


def count_states(connection: Connection) -> dict[int, dict[str, int]]:
    """Endpoint id -> state -> how many deliveries."""
    found = select(DeliveryRow.endpoint_id, DeliveryRow.state, func.count())
    counts: dict[int, dict[str, int]] = {}
    for endpoint_id, state, n in connection.execute(found.group_by(DeliveryRow.endpoint_id, DeliveryRow.state)):
        counts.setdefault(endpoint_id, {})[state] = n
    return counts
