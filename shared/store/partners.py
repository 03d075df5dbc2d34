"""Partners, their endpoints and subscriptions, what each of them is owed, and every attempt to deliver it."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, case, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from shared.errors import OperatorError
from shared.models import (
    ArticleRow,
    AttemptRow,
    DeliveryRow,
    EndpointRow,
    EventHeadRow,
    EventRow,
    FeedStateRow,
    HubRow,
    PartnerRow,
    Row,
    SubscriptionRow,
)
from shared.store import events, lanes
from shared.store.rows import insert_ignore, update_many

WITHDRAWN = "article.withdrawn"


class Planned(msgspec.Struct, frozen=True):
    """What the planner decided for one event and endpoint: a delivery under this id, or None: filtered.

    `wanted_by` are the subscriptions that would have it for its own sake, not only to follow what came before.
    """

    endpoint_id: int
    event: events.Event
    webhook_id: str | None
    held: bool = False
    coalesce: bool = False
    wanted_by: tuple[int, ...] = ()


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
    omitted: tuple[str, ...] = ()


class PlannedAlready(Exception):
    """What a planner decided was decided by another one meanwhile."""


class Past(msgspec.Struct, frozen=True):
    """What the planner decided about a piece of the history that an endpoint asked for. `upto` is the event looked at last;
    `done` where nothing is left of it."""

    endpoint_id: int
    planned: tuple[Planned, ...]
    upto: int
    done: bool


def add_partner(connection: Connection, *, name: str, kind: str, url: str, format: str, secrets: str, filter: str,
                backfill: bool, coalesce: bool, relinked: bool, concurrency: int, now: dt.datetime, follow: bool = True,
                status_changes: bool = False, per_minute: int | None = None, layout: str | None = None,
                days: float = 0) -> tuple[int, int]:  # fmt: skip
    """A partner with one endpoint and one subscription, from the next event on, the last `days` first.

    Returns (partner id, endpoint id). OperatorError: the name is taken.
    """
    if connection.execute(select(PartnerRow.id).where(PartnerRow.name == name)).first():
        raise OperatorError(f"There is a partner named {name} already.", "Choose another with --name, or give it a further "
                            f"endpoint: `briefwire partner endpoint add {name} URL`.")  # fmt: skip
    partner = connection.execute(
        insert(PartnerRow).values(name=name, created_at=now).returning(PartnerRow.id)
    ).scalar_one()
    endpoint = add_endpoint(connection, int(partner), kind=kind, url=url, format=format, secrets=secrets, concurrency=concurrency,
                            per_minute=per_minute, layout=layout, now=now)  # fmt: skip
    wishes = {"filter": filter, "backfill": backfill, "coalesce": coalesce, "relinked": relinked, "follow": follow,
              "status_changes": status_changes}  # fmt: skip
    add_subscription(connection, endpoint, wishes, now, days=days)
    return int(partner), endpoint


def add_endpoint(connection: Connection, partner_id: int, *, kind: str, url: str, format: str, secrets: str, concurrency: int,
                 now: dt.datetime, per_minute: int | None = None, layout: str | None = None) -> int:  # fmt: skip
    """A further endpoint of a partner, from the next event on, without a subscription yet. Returns its id."""
    joined, _ = events.head(connection, lock=True)  # an event after this lock is numbered higher and planned for it too
    values = {"partner_id": partner_id, "kind": kind, "url": url, "format": format, "secrets": secrets, "created_at": now,
              "joined_n": joined, "concurrency": concurrency, "per_minute": per_minute, "layout": layout}  # fmt: skip
    return int(connection.execute(insert(EndpointRow).values(values).returning(EndpointRow.id)).scalar_one())


def add_subscription(
    connection: Connection, endpoint_id: int, wishes: Row, now: dt.datetime, *, days: float = 0
) -> int:
    """A wish of an endpoint: filter, backfill, coalesce, relinked, follow, status_changes. Returns its id; the last `days` are
    planned too."""
    made = insert(SubscriptionRow).values(wishes | {"endpoint_id": endpoint_id}).returning(SubscriptionRow.id)
    subscription_id = int(connection.execute(made).scalar_one())
    if days > 0:
        ask_history(connection, endpoint_id, now - dt.timedelta(days=days), now)
    return subscription_id


def subscription(connection: Connection, subscription_id: int) -> Row | None:
    """One subscription, with its endpoint's state and its partner's name."""
    found = (
        select(*SubscriptionRow.__table__.columns, PartnerRow.name.label("partner"), EndpointRow.state, EndpointRow.url)
        .join(EndpointRow, EndpointRow.id == SubscriptionRow.endpoint_id)
        .join(PartnerRow, PartnerRow.id == EndpointRow.partner_id)
        .where(SubscriptionRow.id == subscription_id)
    )
    row = connection.execute(found).mappings().first()
    return dict(row) if row else None


def set_subscription(connection: Connection, subscription_id: int, **values: Any) -> None:
    """Changes what an endpoint wants, from the next event that is planned."""
    connection.execute(update(SubscriptionRow).where(SubscriptionRow.id == subscription_id).values(values))


def remove_subscription(connection: Connection, subscription_id: int) -> None:
    """The wish is gone, its own feed and the hub's subscribers of that too; what was planned for it goes its way."""
    connection.execute(delete(SubscriptionRow).where(SubscriptionRow.id == subscription_id))
    connection.execute(delete(FeedStateRow).where(FeedStateRow.subscription_id == subscription_id))
    gone = _leave_hub(connection, HubRow.subscription_id == subscription_id)
    _stop(connection, gone)


def remove_endpoint(connection: Connection, endpoint_id: int) -> None:
    """Nothing is planned or sent for the endpoint any more, nor for the hub's subscribers of its feeds; its log stays."""
    _stop(connection, [endpoint_id, *_leave_hub(connection, HubRow.parent_id == endpoint_id)])


def _leave_hub(connection: Connection, which: ColumnElement[bool]) -> list[int]:
    """These subscribers of the hub are none any more. Returns the endpoints that delivered to them."""
    ids = connection.execute(select(HubRow.endpoint_id).where(which, HubRow.endpoint_id.is_not(None))).scalars().all()
    connection.execute(delete(HubRow).where(which))
    return [one for one in ids if one is not None]


def _stop(connection: Connection, ids: Collection[int]) -> None:
    gone = update(EndpointRow).where(EndpointRow.id.in_(list(ids)))
    connection.execute(gone.values(state="removed", history_since=None, reason=None))
    for one in ids:
        lanes.pause(connection, lanes.endpoint_lane(one), paused=True)


def endpoints(connection: Connection, *, states: Collection[str] = ("active", "paused", "disabled"),
              only: int | None = None) -> list[Row]:  # fmt: skip
    """Endpoints in these states (all, or this one) with their partner's name and their subscriptions, by partner.

    A subscriber of the hub (kind `websub`) wants what the endpoint or the subscription wants whose feed it follows, as that
    stands now.
    """
    found = (
        select(*EndpointRow.__table__.columns, PartnerRow.name.label("partner"), HubRow.parent_id,
               HubRow.subscription_id)
        .join(PartnerRow, PartnerRow.id == EndpointRow.partner_id)
        .outerjoin(HubRow, HubRow.endpoint_id == EndpointRow.id)
        .where(EndpointRow.state.in_(list(states)))
        .order_by(PartnerRow.name, EndpointRow.id)
    )  # fmt: skip
    found = found if only is None else found.where(EndpointRow.id == only)
    rows = [dict(row) for row in connection.execute(found).mappings()]
    owners = {row["id"]: row.pop("parent_id") or row["id"] for row in rows}
    one_of = {row["id"]: row.pop("subscription_id") for row in rows}
    wishes: dict[int, list[Row]] = {}
    asked = select(*SubscriptionRow.__table__.columns).where(SubscriptionRow.endpoint_id.in_(set(owners.values())))
    for wish in connection.execute(asked.order_by(SubscriptionRow.id)).mappings():
        wishes.setdefault(wish["endpoint_id"], []).append(dict(wish))
    return [
        row | {"subscriptions": [
            wish for wish in wishes.get(owners[row["id"]], []) if one_of[row["id"]] in (None, wish["id"])
        ]}
        for row in rows
    ]  # fmt: skip


def endpoint(connection: Connection, endpoint_id: int) -> Row | None:
    """One endpoint, whatever its state."""
    states = ("active", "paused", "disabled", "removed")
    return next(iter(endpoints(connection, states=states, only=endpoint_id)), None)


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
    """Those (endpoint id, article id) that were sent the article, may have it, or are about to be sent it."""
    found = select(DeliveryRow.endpoint_id, DeliveryRow.article_id).where(
        DeliveryRow.article_id.in_(sorted({article_id for _, article_id in pairs})),
        or_(DeliveryRow.state.in_(["due", "held", "delivered"]), DeliveryRow.begun > 0),
        DeliveryRow.kind != events.SECTION,
    )
    return {(e, a) for e, a in connection.execute(found.distinct())} & set(pairs)


def maybe_has(connection: Connection, endpoint_id: int, article_id: str) -> bool:
    """Whether the endpoint has the article, or may have it: some attempt was begun."""
    found = select(DeliveryRow.id).where(
        DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.article_id == article_id, DeliveryRow.begun > 0,
        DeliveryRow.kind != events.SECTION,
    )  # fmt: skip
    return connection.execute(found.limit(1)).first() is not None


def plan(connection: Connection, planned: Sequence[Planned], upto: int, now: dt.datetime) -> list[str]:
    """Writes what the planner decided up to event `upto`: deliveries with positions, filtered counters, lanes awake.

    Returns the lanes that have work.

    Raises:
        PlannedAlready: another planner was first, while this one's lease had run out; the transaction must not commit.
    """
    by_endpoint: dict[int, list[Planned]] = {}
    for item in planned:
        by_endpoint.setdefault(item.endpoint_id, []).append(item)
    awake = [
        lane
        for endpoint_id in sorted(by_endpoint)
        for lane in _plan_endpoint(connection, endpoint_id, by_endpoint[endpoint_id], now)
    ]
    first = min((item.event.number for item in planned), default=upto)
    if events.head(connection, lock=True)[1] >= first or not events.set_planned(connection, upto):
        raise PlannedAlready(f"Events from {first} on were planned by somebody else.")
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
    return _awake(connection, endpoint_id, now) if position != start else []


# The history that a new endpoint or subscription asks for


def ask_history(connection: Connection, endpoint_id: int, since: dt.datetime, now: dt.datetime) -> None:
    """Has the planner look at the articles since then that are older for the endpoint than its own beginning, or that its
    filters left out. An article that the endpoint is owed already is left as it is."""
    planned = select(EventHeadRow.planned).scalar_subquery()
    joined = EndpointRow.joined_n
    earlier = case(
        (EndpointRow.history_since < since, EndpointRow.history_since), else_=since
    )  # asked for before, not done
    values = {"history_since": earlier, "history_at": 0, "history_to": case((joined > planned, joined), else_=planned)}
    connection.execute(update(EndpointRow).where(EndpointRow.id == endpoint_id).values(values))
    lanes.wake(connection, "plan", [lanes.PLAN], now)


def wanting_history(connection: Connection) -> Row | None:
    """An endpoint that still waits for a history to be planned."""
    waits = select(EndpointRow.id).where(EndpointRow.history_since.is_not(None), EndpointRow.state != "removed")
    found = connection.execute(waits.order_by(EndpointRow.history_at, EndpointRow.id).limit(1)).scalar()
    return endpoint(connection, found) if found is not None else None


def history(connection: Connection, row: Row, limit: int) -> list[events.Event]:
    """The next events of the endpoint's history: of every article since then the newest one that carries its text."""
    later = aliased(EventRow)
    overtaken = exists().where(later.article_id == EventRow.article_id, later.number > EventRow.number,
                               later.number <= row["history_to"], later.kind.in_(events.TELLING))  # fmt: skip
    found = (
        select(*EventRow.__table__.columns)
        .join(ArticleRow, ArticleRow.id == EventRow.article_id)
        .where(EventRow.number > row["history_at"], EventRow.number <= row["history_to"], EventRow.kind.in_(events.TELLING),
               ArticleRow.state == "usable",
               func.coalesce(ArticleRow.published_at, ArticleRow.first_seen_at) >= row["history_since"], ~overtaken)
        .order_by(EventRow.number)
        .limit(limit)
    )  # fmt: skip
    return [msgspec.convert(dict(one), events.Event) for one in connection.execute(found).mappings()]


def plan_past(connection: Connection, past: Past, now: dt.datetime) -> list[str]:
    """Writes what the planner decided about a piece of history. Returns the lanes that have work."""
    here = EndpointRow.id == past.endpoint_id
    locked = update(EndpointRow).where(here).values(filtered=EndpointRow.filtered)
    start = connection.execute(locked.returning(EndpointRow.position)).scalar_one()
    wanted = [item for item in past.planned if item.webhook_id is not None]
    owed = select(DeliveryRow.article_id).where(
        DeliveryRow.endpoint_id == past.endpoint_id,
        DeliveryRow.article_id.in_([item.event.article_id for item in wanted]),
        DeliveryRow.kind != events.SECTION,
    )
    known = set(connection.execute(owed).scalars())  # planned since, by an event of its own
    position, rows = start, list[Row]()
    for item in (one for one in wanted if one.event.article_id not in known):
        position += not item.held
        rows.append(_delivery_row(item, None if item.held else position, now))
    insert_ignore(connection, DeliveryRow, rows, conflict=["endpoint_id", "event_number"])
    _also_wanted(connection, past.endpoint_id, [item for item in wanted if item.event.article_id in known])
    values = {"position": position, "backfilled": EndpointRow.backfilled + len(rows), "history_at": past.upto}
    connection.execute(update(EndpointRow).where(here).values(values | ({"history_since": None} if past.done else {})))
    return _awake(connection, past.endpoint_id, now) if position != start else []


def _also_wanted(connection: Connection, endpoint_id: int, items: Sequence[Planned]) -> None:
    """Articles that the endpoint has, or is owed, by another wish belong to the feeds of the wishes that look back now too."""
    by_article = {item.event.article_id: item.wanted_by for item in items}
    newest = (
        select(func.max(DeliveryRow.id))
        .where(DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.article_id.in_(by_article),
               DeliveryRow.kind.in_(events.TELLING))
        .group_by(DeliveryRow.article_id)
    )  # fmt: skip
    found = select(DeliveryRow.id, DeliveryRow.article_id, DeliveryRow.wanted_by).where(DeliveryRow.id.in_(newest))
    for row in connection.execute(found).all():
        ids = {int(one) for one in (row.wanted_by or "").split()} | set(by_article[row.article_id])
        mark = update(DeliveryRow).where(DeliveryRow.id == row.id).values(wanted_by=_marked(ids))
        connection.execute(mark)


def _marked(subscriptions: Collection[int]) -> str | None:
    return f" {' '.join(map(str, sorted(subscriptions)))} " if subscriptions else None


def _awake(connection: Connection, endpoint_id: int, now: dt.datetime) -> list[str]:
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
        "begun": 0, "attempts": 0, "wanted_by": _marked(item.wanted_by),
    }  # fmt: skip


def supersede(connection: Connection, endpoint_id: int, article_id: str, *, below_revision: int | None = None) -> int:
    """Unsent deliveries of the article give way (to a withdrawal, or to a newer revision). Returns how many."""
    where = [DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.article_id == article_id,
             DeliveryRow.state.in_(["due", "held"]), DeliveryRow.kind != events.SECTION]  # fmt: skip
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
    moved = [_moved(one, *waiting[one.delivery["id"]]) for one in tried if one.delivery["id"] in waiting]
    update_many(connection, DeliveryRow, moved, key=["id"])
    connection.execute(insert(AttemptRow.__table__), rows)  # type: ignore[arg-type]  # a Table, typed as any FromClause
    connection.execute(update(EndpointRow).where(EndpointRow.id == endpoint_id).values(chain=chain))


def _waiting(connection: Connection, ids: Collection[int]) -> dict[int, tuple[int, str]]:
    """Those deliveries that still wait, locked, with the attempts they have behind them, and whether they are due or held."""
    found = select(DeliveryRow.id, DeliveryRow.attempts, DeliveryRow.state).where(
        DeliveryRow.id.in_(list(ids)), DeliveryRow.state.in_(["due", "held"])
    )
    rows = connection.execute(found.order_by(DeliveryRow.id).with_for_update()).all()
    return {row.id: (row.attempts, row.state) for row in rows}


def _attempt_row(endpoint_id: int, one: Tried, late: bool) -> Row:
    return {
        "delivery_id": one.delivery["id"], "endpoint_id": endpoint_id, "number": one.delivery["begun"] + 1, "at": one.at,
        "duration_ms": one.duration_ms, "outcome": "late" if late else one.outcome, "status": one.status,
        "reason": one.reason, "response": one.response,
    }  # fmt: skip


_NEXT_STATE = {"delivered": "delivered", "retry": "due", "disabled": "due", "dead": "quarantined"}


def _moved(one: Tried, attempts: int, was: str) -> Row:
    """The delivery after that attempt; one that was held meanwhile stays held unless the partner has it."""
    state = _NEXT_STATE[one.outcome] if was == "due" or one.outcome == "delivered" else was
    return {"id": one.delivery["id"], "state": state, "attempts": attempts + 1, "reason": one.reason,
            "due_at": one.due_at or one.at if state == "due" else None,
            "delivered_at": one.at if state == "delivered" else None, "omitted": " ".join(one.omitted) or None}  # fmt: skip


def chained(previous: str, attempt: Row) -> str:
    """The digest that ties an attempt to the one before it."""
    parts = [previous, *(str(attempt[k]) for k in ("delivery_id", "endpoint_id", "number", "duration_ms", "outcome", "status",
                                                   "reason", "response")), attempt["at"].astimezone(dt.UTC).isoformat()]  # fmt: skip
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


class Chain(msgspec.Struct, frozen=True):
    """How an endpoint's log of attempts reads: how many there are, the digest of the newest, and where it does not fit.

    `broken` is the id of the first attempt that does not fit what stands before it, 0 where attempts are missing at the end,
    None where all fits. `passed` are those of the digests asked for that are part of the chain.
    """

    attempts: int
    head: str
    broken: int | None
    passed: frozenset[str] = frozenset()


def read_chain(connection: Connection, endpoint_id: int, noted: Collection[str] = ()) -> Chain:
    """Reads an endpoint's log from its beginning, or from where older attempts were forgotten. `noted` were its newest once."""
    ends = select(EndpointRow.chain_from, EndpointRow.chain).where(EndpointRow.id == endpoint_id)
    previous, kept = connection.execute(
        ends
    ).one()  # the end of what was forgotten (`store.retention`), and of what is kept
    n, passed = 0, {previous} & set(noted)
    found = select(*AttemptRow.__table__.columns).where(AttemptRow.endpoint_id == endpoint_id).order_by(AttemptRow.id)
    with connection.execute(found.execution_options(yield_per=1000)) as rows:
        for row in rows.mappings():
            previous, n = chained(previous, dict(row)), n + 1
            if previous != row["chain"]:
                return Chain(n, kept, int(row["id"]), frozenset(passed))
            if previous in noted:
                passed.add(previous)
    return Chain(n, kept, None if kept == previous else 0, frozenset(passed))


def broken_chain(connection: Connection, endpoint_id: int) -> int | None:
    """The id of the first attempt that does not fit the chain, 0 where the end is missing, None where all fits."""
    return read_chain(connection, endpoint_id).broken


def attempt(connection: Connection, attempt_id: int) -> Row | None:
    """One attempt by id."""
    row = (
        connection.execute(select(*AttemptRow.__table__.columns).where(AttemptRow.id == attempt_id)).mappings().first()
    )
    return dict(row) if row else None


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
