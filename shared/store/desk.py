"""What the operators' desk asks: cheap counts for the live page, lists for the other pages, accounts, sessions and tokens.

`reading` is asked every second or two and touches only small tables, partial indexes and what is new since the last one.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from shared import records
from shared.models import (
    AccountRow,
    ArticleRow,
    AttemptRow,
    AuditRow,
    CategoryRow,
    DeliveryRow,
    EndpointRow,
    EntryRow,
    EventHeadRow,
    EventRow,
    HeartbeatRow,
    LaneRow,
    PageRow,
    PartnerRow,
    RevisionRow,
    Row,
    SessionRow,
    SourceRow,
    StatusRow,
    StoryRow,
    TokenRow,
    WebsubRow,
)
from shared.store import events, lanes, quarantine, search, switches

SAMPLE = 200
"""Attempts of one reading whose latency is measured."""


class Waiting(msgspec.Struct, frozen=True):
    """What waits somewhere: how many, and since when the oldest does."""

    depth: int = 0
    since: dt.datetime | None = None


class Tried(msgspec.Struct, frozen=True):
    """One recent attempt: when it ended, how, how long the call took, how long after its event."""

    at: dt.datetime
    outcome: str
    duration_ms: int
    lag_s: float


class Lane(msgspec.Struct, frozen=True):
    """One endpoint as the live page needs it. `waiting.since` is when the event of its oldest unsent delivery was logged."""

    endpoint_id: int
    partner: str
    state: str
    breaker: str | None
    blocked_until: dt.datetime | None
    failures: int
    waiting: Waiting


class Source(msgspec.Struct, frozen=True):
    """One source as the live page needs it."""

    name: str
    state: str
    new_at: dt.datetime | None
    failures: int
    last_error: str | None


class Stopped(msgspec.Struct, frozen=True):
    """A stage that a person switched off, or all of them ("drain")."""

    key: str
    at: dt.datetime
    who: str
    reason: str


class Reading(msgspec.Struct, frozen=True):
    """Counters and depths of one instant; rates come from two of them."""

    at: dt.datetime
    poll: Waiting
    fetch: Waiting
    extract: Waiting
    enrich: Waiting
    plan: Waiting
    deliver: Waiting
    seen: int
    pages: int
    events: int
    planned: int
    last_attempt: int
    outcomes: dict[str, int]
    tried: tuple[Tried, ...]
    lanes: tuple[Lane, ...]
    beats: tuple[tuple[str, str, dt.datetime], ...]
    sources: tuple[Source, ...]
    stopped: tuple[Stopped, ...] = ()
    sizes: dict[str, int] = {}
    """Worker (as in its beat) -> threads or processes of its pool."""


# The live page


def reading(connection: Connection, now: dt.datetime, after_attempt: int | None) -> Reading:
    """One look at the whole wire. `after_attempt` is the last attempt that the previous reading saw, None for a first one."""
    polls, seen, sources = _polls(connection, now)
    head, planned, plan = _plan(connection)
    pages = connection.execute(select(func.max(PageRow.id))).scalar() or 0
    last = connection.execute(select(func.max(AttemptRow.id))).scalar() or 0
    after = last if after_attempt is None else after_attempt
    found = _lanes(connection)
    since = min((lane.waiting.since for lane in found if lane.waiting.since), default=None)
    return Reading(
        at=now, poll=polls, fetch=_to_fetch(connection, now), extract=_to_extract(connection), enrich=_to_enrich(connection),
        plan=plan, deliver=Waiting(sum(lane.waiting.depth for lane in found), since), seen=seen, pages=pages, events=head,
        planned=planned, last_attempt=last, outcomes=_outcomes(connection, after, last), tried=_tried(connection, after, last),
        lanes=tuple(found), beats=_beats(connection), sources=sources, stopped=_stopped(connection), sizes=_sizes(connection),
    )  # fmt: skip


def past_attempts(connection: Connection, since: dt.datetime, limit: int) -> list[tuple[dt.datetime, str, float]]:
    """(when, outcome, seconds after its event) of the newest attempts since then, at most `limit`, oldest first."""
    newest = select(AttemptRow.id, AttemptRow.at, AttemptRow.outcome, AttemptRow.delivery_id)
    newest = newest.order_by(AttemptRow.id.desc()).limit(limit)
    picked = newest.subquery()
    found = (
        select(picked.c.at, picked.c.outcome, EventRow.at.label("logged"))
        .join(DeliveryRow, DeliveryRow.id == picked.c.delivery_id)
        .join(EventRow, EventRow.number == DeliveryRow.event_number)
        .where(picked.c.at >= since)
        .order_by(picked.c.id)
    )
    return [(at, outcome, (at - logged).total_seconds()) for at, outcome, logged in connection.execute(found)]


def _polls(connection: Connection, now: dt.datetime) -> tuple[Waiting, int, tuple[Source, ...]]:
    columns = (SourceRow.name, SourceRow.state, SourceRow.new_at, SourceRow.failures, SourceRow.last_error)
    found = (
        select(*columns, SourceRow.due_at, SourceRow.seen).where(SourceRow.state != "removed").order_by(SourceRow.name)
    )
    rows = connection.execute(found).all()
    due = [row.due_at for row in rows if row.state == "active" and row.due_at is not None and row.due_at <= now]
    return (
        Waiting(len(due), min(due, default=None)),
        sum(row.seen for row in rows),
        tuple(Source(*row[:5]) for row in rows),
    )


def _to_fetch(connection: Connection, now: dt.datetime) -> Waiting:
    busy = select(func.substr(LaneRow.key, 6)).where(LaneRow.kind == "host", LaneRow.due_at <= now)
    found = select(func.count(), func.min(EntryRow.due_at)).where(
        EntryRow.step == "fetch", EntryRow.host.in_(busy), EntryRow.due_at <= now
    )
    return Waiting(*connection.execute(found).one())


def _to_extract(connection: Connection) -> Waiting:
    found = select(func.count(), func.min(EntryRow.due_at)).where(EntryRow.step == "extract")
    return Waiting(*connection.execute(found).one())


def _to_enrich(connection: Connection) -> Waiting:
    found = select(func.count(), func.min(ArticleRow.due_at)).where(ArticleRow.due_at.is_not(None))
    return Waiting(*connection.execute(found).one())


def _plan(connection: Connection) -> tuple[int, int, Waiting]:
    first = select(EventRow.at).where(EventRow.number == EventHeadRow.planned + 1).scalar_subquery()
    head, planned, since = connection.execute(select(EventHeadRow.n, EventHeadRow.planned, first)).one()
    return head, planned, Waiting(head - planned, since)


def _lanes(connection: Connection) -> list[Lane]:
    backlog = _backlog(connection)
    found = (
        select(
            EndpointRow.id, PartnerRow.name, EndpointRow.state, LaneRow.breaker, LaneRow.blocked_until, LaneRow.failures
        )
        .join(PartnerRow, PartnerRow.id == EndpointRow.partner_id)
        .outerjoin(LaneRow, LaneRow.key == _endpoint_key())
        .where(EndpointRow.state != "removed")
        .order_by(PartnerRow.name, EndpointRow.id)
    )
    return [Lane(id_, name, state, breaker, blocked, failures or 0, backlog.get(id_, Waiting()))
            for id_, name, state, breaker, blocked, failures in connection.execute(found)]  # fmt: skip


def _endpoint_key() -> Any:
    return literal("endpoint:").concat(cast(EndpointRow.id, String))


def _backlog(connection: Connection) -> dict[int, Waiting]:
    """Endpoint id -> what is due, and when the event of the lowest position was logged: both from the index of due rows."""
    due = (
        select(DeliveryRow.endpoint_id, func.count().label("n"), func.min(DeliveryRow.position).label("position"))
        .where(DeliveryRow.state == "due")
        .group_by(DeliveryRow.endpoint_id)
        .subquery()
    )
    found = (
        select(due.c.endpoint_id, due.c.n, EventRow.at)
        .outerjoin(
            DeliveryRow, and_(DeliveryRow.endpoint_id == due.c.endpoint_id, DeliveryRow.position == due.c.position)
        )
        .outerjoin(EventRow, EventRow.number == DeliveryRow.event_number)
    )
    return {endpoint_id: Waiting(n, at) for endpoint_id, n, at in connection.execute(found)}


def _outcomes(connection: Connection, after: int, last: int) -> dict[str, int]:
    if last <= after:
        return {}
    found = select(AttemptRow.outcome, func.count()).where(AttemptRow.id > after, AttemptRow.id <= last)
    return dict(connection.execute(found.group_by(AttemptRow.outcome)).all())


def _tried(connection: Connection, after: int, last: int) -> tuple[Tried, ...]:
    if last <= after:
        return ()
    found = (
        select(AttemptRow.at, AttemptRow.outcome, AttemptRow.duration_ms, EventRow.at.label("logged"))
        .join(DeliveryRow, DeliveryRow.id == AttemptRow.delivery_id)
        .join(EventRow, EventRow.number == DeliveryRow.event_number)
        .where(AttemptRow.id > max(after, last - SAMPLE), AttemptRow.id <= last)
    )
    return tuple(
        Tried(at, outcome, ms, (at - logged).total_seconds()) for at, outcome, ms, logged in connection.execute(found)
    )


def _beats(connection: Connection) -> tuple[tuple[str, str, dt.datetime], ...]:
    found = select(HeartbeatRow.kind, HeartbeatRow.worker, HeartbeatRow.at).order_by(
        HeartbeatRow.kind, HeartbeatRow.worker
    )
    return tuple((kind, worker, at) for kind, worker, at in connection.execute(found))


def _stopped(connection: Connection) -> tuple[Stopped, ...]:
    return tuple(Stopped(row["key"], row["at"], row["who"], row["reason"]) for row in switches.off(connection).values())


def _sizes(connection: Connection) -> dict[str, int]:
    found = select(HeartbeatRow.worker, HeartbeatRow.size)
    return {worker: size for worker, size in connection.execute(found) if size is not None}


def quarantine_size(connection: Connection) -> tuple[int, int]:
    """(entries, deliveries) that wait for a person, counted on indexes."""
    entries = select(func.count()).where(EntryRow.state == "quarantined", EntryRow.source_id.in_(select(SourceRow.id)))
    owed = select(func.count()).where(
        DeliveryRow.state == "quarantined", DeliveryRow.endpoint_id.in_(select(EndpointRow.id))
    )
    return connection.execute(entries).scalar_one(), connection.execute(owed).scalar_one()


# Sources


def source(connection: Connection, source_id: int) -> Row | None:
    """One source by id, whatever its state."""
    return _one(connection, select(*SourceRow.__table__.columns).where(SourceRow.id == source_id))


def entries_of(connection: Connection, source_id: int, limit: int, *, state: str | None = None) -> list[Row]:
    """A source's newest entries, without what the feed said."""
    found = select(*_ENTRY).where(EntryRow.source_id == source_id).order_by(EntryRow.id.desc()).limit(limit)
    return _all(connection, found.where(EntryRow.state == state) if state else found)


def entry_counts(connection: Connection, source_id: int) -> dict[str, int]:
    """State -> how many of the source's entries."""
    found = select(EntryRow.state, func.count()).where(EntryRow.source_id == source_id).group_by(EntryRow.state)
    return dict(connection.execute(found).all())


def hosts_of(connection: Connection, source_id: int, limit: int = 20) -> list[Row]:
    """The host lanes that the source's newest entries are fetched over."""
    newest = select(EntryRow.host).where(EntryRow.source_id == source_id, EntryRow.host.is_not(None))
    picked = newest.order_by(EntryRow.id.desc()).limit(500).subquery()
    keys = {lanes.host_lane(host) for host in connection.execute(select(picked.c.host).distinct()).scalars()}
    found = select(*LaneRow.__table__.columns).where(LaneRow.key.in_(sorted(keys))).order_by(LaneRow.key).limit(limit)
    return _all(connection, found)


def hub_of(connection: Connection, source_id: int) -> Row | None:
    """Our subscription at the hub that the source's feed names."""
    columns = [c for c in WebsubRow.__table__.columns if c.name not in ("token", "secret")]
    return _one(connection, select(*columns).where(WebsubRow.source_id == source_id))


# Articles


class Wish(msgspec.Struct, frozen=True):
    """Which articles a list shows. `before` is (first seen, id) of the last one of the page before."""

    words: str = ""
    source_id: int | None = None
    state: str = ""
    section: str = ""
    language: str = ""
    before: tuple[dt.datetime, str] | None = None
    limit: int = 50


def find_articles(connection: Connection, wish: Wish) -> list[Row]:
    """Articles with their source's name, newest first. `words`: see `shared.store.search`."""
    found = select(*ArticleRow.__table__.columns, SourceRow.name.label("source")).join(
        SourceRow, SourceRow.id == ArticleRow.source_id
    )
    if wish.words.strip():
        found = found.where(search.holds(connection, wish.words))
    equal = {ArticleRow.source_id: wish.source_id, ArticleRow.section: wish.section, ArticleRow.language: wish.language}
    found = found.where(*(column == value for column, value in equal.items() if value))
    if wish.state:
        found = found.where(ArticleRow.held) if wish.state == "held" else found.where(ArticleRow.state == wish.state)
    if wish.before:
        at, article_id = wish.before
        found = found.where(
            or_(ArticleRow.first_seen_at < at, and_(ArticleRow.first_seen_at == at, ArticleRow.id > article_id))
        )
    return _all(connection, found.order_by(ArticleRow.first_seen_at.desc(), ArticleRow.id).limit(wish.limit))


def entries_about(connection: Connection, article_id: str) -> list[Row]:
    """Every entry that led to the article, with its source's name, oldest first."""
    found = select(*_ENTRY, EntryRow.item, SourceRow.name.label("source")).join(
        SourceRow, SourceRow.id == EntryRow.source_id
    )
    return _all(connection, found.where(EntryRow.article_id == article_id).order_by(EntryRow.id))


def pages_about(connection: Connection, entry_ids: Collection[int], limit: int = 50) -> list[Row]:
    """What was fetched for these entries, without the bytes, newest first."""
    columns = (
        PageRow.id,
        PageRow.entry_id,
        PageRow.final_url,
        PageRow.status,
        PageRow.content_type,
        PageRow.size,
        PageRow.fetched_at,
        or_(PageRow.body.is_not(None), PageRow.place.is_not(None)).label("kept"),
    )
    found = select(*columns).where(PageRow.entry_id.in_(list(entry_ids))).order_by(PageRow.id.desc()).limit(limit)
    return _all(connection, found)


def revision_records(connection: Connection, article_id: str) -> list[Row]:
    """Every revision with its record as JSON, oldest first."""
    found = select(*RevisionRow.__table__.columns).where(RevisionRow.article_id == article_id)
    return _all(connection, found.order_by(RevisionRow.revision))


# Partners


def lane_rows(connection: Connection, keys: Collection[str]) -> dict[str, Row]:
    """Lanes by key."""
    found = select(*LaneRow.__table__.columns).where(LaneRow.key.in_(list(keys)))
    return {row["key"]: row for row in _all(connection, found)}


def success(connection: Connection, endpoint_id: int, since: dt.datetime) -> Row:
    """Attempts of an endpoint since then: `tried`, `delivered`, `mean_ms`, `last_at`."""
    good = func.sum(case((AttemptRow.outcome == "delivered", 1), else_=0))
    found = select(
        func.count().label("tried"), good.label("delivered"), func.avg(AttemptRow.duration_ms).label("mean_ms"),
        func.max(AttemptRow.at).label("last_at"),
    ).where(AttemptRow.endpoint_id == endpoint_id, AttemptRow.at >= since)  # fmt: skip
    row = dict(connection.execute(found).mappings().one())
    return row | {
        "delivered": row["delivered"] or 0,
        "mean_ms": float(row["mean_ms"]) if row["mean_ms"] is not None else None,
    }


def attempts(connection: Connection, endpoint_id: int, limit: int) -> list[Row]:
    """An endpoint's newest attempts with what they were for."""
    found = (
        select(*AttemptRow.__table__.columns, DeliveryRow.article_id, DeliveryRow.kind, DeliveryRow.revision, DeliveryRow.position,
               ArticleRow.headline)
        .join(DeliveryRow, DeliveryRow.id == AttemptRow.delivery_id)
        .join(ArticleRow, ArticleRow.id == DeliveryRow.article_id)
        .where(AttemptRow.endpoint_id == endpoint_id)
        .order_by(AttemptRow.at.desc(), AttemptRow.id.desc())
        .limit(limit)
    )  # fmt: skip
    return _all(connection, found)


def delivery_counts(connection: Connection, endpoint_id: int) -> dict[str, int]:
    """State -> how many of the endpoint's deliveries."""
    found = select(DeliveryRow.state, func.count()).where(DeliveryRow.endpoint_id == endpoint_id)
    return dict(connection.execute(found.group_by(DeliveryRow.state)).all())


def backlog(connection: Connection, endpoint_id: int, limit: int) -> list[Row]:
    """What the endpoint is owed next, in order, with headlines."""
    found = _owed().where(DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.state == "due")
    return _all(connection, found.order_by(DeliveryRow.due_at, DeliveryRow.position).limit(limit))


def delivery(connection: Connection, delivery_id: int) -> Row | None:
    """One delivery with its partner's name and the article's headline."""
    return _one(connection, _owed().where(DeliveryRow.id == delivery_id))


def _owed() -> Select[Any]:
    return (
        select(*DeliveryRow.__table__.columns, PartnerRow.name.label("partner"), ArticleRow.headline)
        .join(EndpointRow, EndpointRow.id == DeliveryRow.endpoint_id)
        .join(PartnerRow, PartnerRow.id == EndpointRow.partner_id)
        .join(ArticleRow, ArticleRow.id == DeliveryRow.article_id)
    )


def replay(connection: Connection, endpoint_id: int, first: int, last: int, now: dt.datetime) -> int:
    """Has the endpoint's deliveries at these positions sent again, in order, under their old ids. Returns how many.

    Of articles that are withdrawn only the withdrawal is; of articles that are held nothing is; of sections only what the log
    still knows.
    """
    barred = select(ArticleRow.id).where(
        or_(ArticleRow.state == "withdrawn", ArticleRow.held, ArticleRow.embargo_until > now)
    )
    again = (
        update(DeliveryRow)
        .where(DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.position.between(first, last),
               DeliveryRow.state.in_(["delivered", "quarantined"]), _known_still(),
               or_(DeliveryRow.kind == "article.withdrawn", DeliveryRow.article_id.not_in(barred)))
        .values(state="due", due_at=now, attempts=0, reason=None)
    )  # fmt: skip
    return _wake_after(connection, again, endpoint_id, now)


def _known_still() -> ColumnElement[bool]:
    """The condition that there is something to send: what is said of a section stands in the event, which may be forgotten."""
    return or_(DeliveryRow.kind != events.SECTION, exists().where(EventRow.number == DeliveryRow.event_number))


def redeliver(connection: Connection, row: Row, now: dt.datetime) -> str:
    """Has one delivery sent again, unless it is out of date. Returns its new state.

    due; superseded where it was not delivered and the endpoint has a newer one, or the article is withdrawn, or it is about a
    section and the log has forgotten what it said; held where the article is.
    """
    newer = select(DeliveryRow.id).where(
        DeliveryRow.endpoint_id == row["endpoint_id"], DeliveryRow.article_id == row["article_id"],
        DeliveryRow.state == "delivered", DeliveryRow.event_number > row["event_number"],
    )  # fmt: skip
    this = update(DeliveryRow).where(DeliveryRow.id == row["id"], DeliveryRow.state == row["state"])
    barred = barrier(connection, row, now)
    late = barred == "withdrawn" or connection.execute(newer.limit(1)).first()
    known = connection.execute(select(DeliveryRow.id).where(DeliveryRow.id == row["id"], _known_still())).first()
    if row["state"] != "delivered" and (late or not known):
        connection.execute(this.values(state="superseded", due_at=None))
        return "superseded"
    if barred:
        connection.execute(this.values(state="held", due_at=None, position=None))
        return "held"
    _wake_after(connection, this.values(state="due", due_at=now, attempts=0, reason=None), row["endpoint_id"], now)
    return "due"


def barrier(connection: Connection, row: Row, now: dt.datetime) -> str | None:
    """Why the delivery must not go out: its article is "withdrawn" or "held"; None where it may. A withdrawal always may, and
    what is said of a section."""
    if row["kind"] in ("article.withdrawn", events.SECTION):
        return None
    found = select(ArticleRow.state, ArticleRow.held, ArticleRow.embargo_until).where(
        ArticleRow.id == row["article_id"]
    )
    article = connection.execute(found).one()
    if article.state == "withdrawn":
        return "withdrawn"
    return "held" if article.held or (article.embargo_until is not None and article.embargo_until > now) else None


def _wake_after(connection: Connection, statement: Any, endpoint_id: int, now: dt.datetime) -> int:
    changed = int(connection.execute(statement).rowcount)
    if changed:
        lanes.wake(connection, "endpoint", [lanes.endpoint_lane(endpoint_id)], now)
    return changed


def open_lane(connection: Connection, key: str) -> None:
    """Forgets why the lane rests: the next drain speaks to the other side at once."""
    connection.execute(update(LaneRow).where(LaneRow.key == key).values(blocked_until=None, failures=0, breaker=None))


def hold_back(connection: Connection, article_id: str) -> int:
    """What waits to be sent of the article is held, whatever was tried before; positions that nobody saw are given up.

    A call that is under way goes on: its 2xx counts (`partners.record`), its failure is not repeated before the release.
    Returns how many deliveries.
    """
    waits = and_(
        DeliveryRow.article_id == article_id, DeliveryRow.state == "due", DeliveryRow.kind != "article.withdrawn"
    )
    seen = case((DeliveryRow.begun > 0, DeliveryRow.position), else_=None)
    held = update(DeliveryRow).where(waits).values(state="held", position=seen, due_at=None)
    return int(connection.execute(held).rowcount)


def let_go(connection: Connection, article_id: str, now: dt.datetime) -> list[str]:
    """What is held of the article becomes due at new positions, in order of events. Returns the lanes that have work."""
    found = select(DeliveryRow.id, DeliveryRow.endpoint_id).where(
        DeliveryRow.article_id == article_id, DeliveryRow.state == "held"
    )
    awake = set()
    for delivery_id, endpoint_id in connection.execute(found.order_by(DeliveryRow.event_number)).all():
        raised = update(EndpointRow).where(EndpointRow.id == endpoint_id).values(position=EndpointRow.position + 1)
        position = connection.execute(raised.returning(EndpointRow.position)).scalar_one()
        values = {"state": "due", "position": position, "due_at": now}
        connection.execute(update(DeliveryRow).where(DeliveryRow.id == delivery_id).values(values))
        awake.add(lanes.endpoint_lane(endpoint_id))
    lanes.wake(connection, "endpoint", awake, now)
    return sorted(awake)


def ended_embargoes(connection: Connection, now: dt.datetime) -> list[Row]:
    """Articles whose embargo has ended but that were not released yet: id and held."""
    return _all(connection, select(ArticleRow.id, ArticleRow.held).where(ArticleRow.embargo_until <= now))


def set_persons_category(connection: Connection, article_id: str, category: records.Category) -> None:
    """A person's word on an article, in the place of what a person said before under the same scheme."""
    same = and_(CategoryRow.article_id == article_id, CategoryRow.scheme == category.scheme)
    connection.execute(
        delete(CategoryRow).where(same, or_(CategoryRow.method == "person", CategoryRow.code == category.code))
    )
    values = msgspec.structs.asdict(category) | {"article_id": article_id, "reasons": json.dumps(category.reasons)}
    connection.execute(insert(CategoryRow).values(values))


def merge_stories(connection: Connection, row: Row, story_id: str, other_id: str) -> int:
    """An article and all of its story join another story, that of article `other_id`. Returns how many articles moved."""
    connection.execute(update(ArticleRow).where(ArticleRow.id == other_id).values(story_id=story_id))
    mine = ArticleRow.story_id == row["story_id"] if row["story_id"] else ArticleRow.id == row["id"]
    moved = connection.execute(update(ArticleRow).where(mine).values(story_id=story_id)).rowcount
    if row["story_id"] and row["story_id"] != story_id:
        connection.execute(update(StoryRow).where(StoryRow.id == row["story_id"]).values(merged_into=story_id, size=0))
    size = select(func.count()).where(ArticleRow.story_id == story_id).scalar_subquery()
    connection.execute(update(StoryRow).where(StoryRow.id == story_id).values(size=size))
    return int(moved)


# Quarantine


def quarantined_entries(connection: Connection, source_id: int, reason: str | None, limit: int) -> list[Row]:
    """Quarantined entries of a source under one reason, newest first, with what the feed said."""
    found = select(*_ENTRY, EntryRow.item).where(EntryRow.source_id == source_id, EntryRow.state == "quarantined")
    return _all(connection, found.where(_same(EntryRow.reason, reason)).order_by(EntryRow.id.desc()).limit(limit))


def quarantined_deliveries(connection: Connection, endpoint_id: int, reason: str | None, limit: int) -> list[Row]:
    """Quarantined deliveries of an endpoint under one reason, newest first."""
    found = _owed().where(DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.state == "quarantined")
    return _all(connection, found.where(_same(DeliveryRow.reason, reason)).order_by(DeliveryRow.id.desc()).limit(limit))


def stuck_articles(connection: Connection, source_id: int, reason: str | None, limit: int) -> list[Row]:
    """Articles of a source that enrichment could not pass on, under one reason, newest first."""
    columns = (ArticleRow.id, ArticleRow.headline, ArticleRow.revision, ArticleRow.reason, ArticleRow.first_seen_at)
    found = select(*columns).where(
        ArticleRow.source_id == source_id, *quarantine.STUCK, _same(ArticleRow.reason, reason)
    )
    return _all(connection, found.order_by(ArticleRow.first_seen_at.desc()).limit(limit))


def _same(column: Any, value: str | None) -> Any:
    return column.is_(None) if value is None else column == value


def entry(connection: Connection, entry_id: int) -> Row | None:
    """One entry with its source's name and what the feed said."""
    found = select(*_ENTRY, EntryRow.item, SourceRow.name.label("source")).join(
        SourceRow, SourceRow.id == EntryRow.source_id
    )
    return _one(connection, found.where(EntryRow.id == entry_id))


def retry_entry(connection: Connection, row: Row, now: dt.datetime) -> bool:
    """A quarantined entry is tried again from where it stopped. False: it has neither page nor link, or is not quarantined now."""
    step = "extract" if row["page_id"] else "fetch" if row["host"] else None
    if step is None:
        return False
    values = {
        "state": "waiting",
        "step": step,
        "due_at": now,
        "reason": None,
        "detail": None,
        "attempts": 0,
        "failures": 0,
    }
    waits = (EntryRow.id == row["id"], EntryRow.state == "quarantined")
    if not connection.execute(update(EntryRow).where(*waits).values(values)).rowcount:
        return False
    if step == "fetch":
        lanes.wake(connection, "host", [lanes.host_lane(row["host"])], now)
    return True


def drop_entry(connection: Connection, entry_id: int, reason: str) -> bool:
    """A quarantined entry is given up: it stands in the book as gone. False: it is not quarantined any more."""
    values = {"state": "gone", "step": None, "due_at": None, "reason": "dropped", "detail": reason[:500]}
    dropped = update(EntryRow).where(EntryRow.id == entry_id, EntryRow.state == "quarantined").values(values)
    return bool(connection.execute(dropped).rowcount)


def drop_delivery(connection: Connection, delivery_id: int) -> bool:
    """A quarantined delivery is given up: it stands in the book as superseded. False: it is not quarantined any more."""
    dropped = update(DeliveryRow).where(DeliveryRow.id == delivery_id, DeliveryRow.state == "quarantined")
    return bool(connection.execute(dropped.values(state="superseded", due_at=None, reason="dropped")).rowcount)


# Sections


def sections(connection: Connection, limit: int, skip: int = 0) -> list[Row]:
    """(source id, source, section) with how many observations each has and the newest one's time, by source and section."""
    counted = (
        select(StatusRow.source_id, StatusRow.section, func.count().label("n"), func.max(StatusRow.at).label("last_at"))
        .group_by(StatusRow.source_id, StatusRow.section)
        .subquery()
    )
    found = select(counted, SourceRow.name.label("source")).join(SourceRow, SourceRow.id == counted.c.source_id)
    return _all(connection, found.order_by(SourceRow.name, counted.c.section).limit(limit).offset(skip))


def observations(connection: Connection, source_id: int, section: str, limit: int) -> list[Row]:
    """The newest observations of a section's status, newest first."""
    found = select(StatusRow.article_id, StatusRow.at, StatusRow.value).where(
        StatusRow.source_id == source_id, StatusRow.section == section
    )
    return _all(connection, found.order_by(StatusRow.at.desc()).limit(limit))


def headlines(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """Article id -> its headline now."""
    found = select(ArticleRow.id, ArticleRow.headline).where(ArticleRow.id.in_(sorted(set(ids))))
    return dict(connection.execute(found).all())


# Audit


def audits(connection: Connection, *, who: str = "", action: str = "", target: str = "", before: int | None = None,
           limit: int = 50) -> list[Row]:  # fmt: skip
    """Lines of the audit, newest first, of one person, action or target."""
    found = select(*AuditRow.__table__.columns).order_by(AuditRow.id.desc()).limit(limit)
    equal = {AuditRow.who: who, AuditRow.action: action, AuditRow.target: target}
    found = found.where(*(column == value for column, value in equal.items() if value))
    return _all(connection, found.where(AuditRow.id < before) if before else found)


# Accounts, sessions, tokens


def account(connection: Connection, name: str) -> Row | None:
    return _one(connection, select(*AccountRow.__table__.columns).where(AccountRow.name == name))


def account_by_id(connection: Connection, account_id: int) -> Row | None:
    return _one(connection, select(*AccountRow.__table__.columns).where(AccountRow.id == account_id))


def account_by_invite(connection: Connection, invite_hash: str) -> Row | None:
    """The account that a one-time link was made for."""
    return _one(connection, select(*AccountRow.__table__.columns).where(AccountRow.invite_hash == invite_hash))


def accounts(connection: Connection) -> list[Row]:
    """Every account, by name."""
    return _all(connection, select(*AccountRow.__table__.columns).order_by(AccountRow.name))


def has_password(connection: Connection) -> bool:
    """Whether anybody can sign in."""
    return (
        connection.execute(select(AccountRow.id).where(AccountRow.password.is_not(None)).limit(1)).first() is not None
    )


def add_account(connection: Connection, name: str, role: str, now: dt.datetime) -> int:
    """A new account without a password."""
    values = {"name": name, "role": role, "state": "active", "created_at": now}
    return int(connection.execute(insert(AccountRow).values(values).returning(AccountRow.id)).scalar_one())


def set_account(connection: Connection, account_id: int, **values: Any) -> None:
    connection.execute(update(AccountRow).where(AccountRow.id == account_id).values(values))


def session(connection: Connection, token_hash: str) -> Row | None:
    """A session with its account's name, role and state."""
    found = select(*SessionRow.__table__.columns, AccountRow.name, AccountRow.role, AccountRow.state)
    return _one(
        connection,
        found.join(AccountRow, AccountRow.id == SessionRow.account_id).where(SessionRow.token_hash == token_hash),
    )


def add_session(connection: Connection, **values: Any) -> None:
    connection.execute(insert(SessionRow).values(values))


def touch_session(connection: Connection, token_hash: str, now: dt.datetime) -> None:
    connection.execute(update(SessionRow).where(SessionRow.token_hash == token_hash).values(seen_at=now))


def drop_sessions(connection: Connection, *, token_hash: str | None = None, account_id: int | None = None,
                  before: dt.datetime | None = None) -> None:  # fmt: skip
    """Ends the sessions that one of the criteria names."""
    if token_hash is not None:
        connection.execute(delete(SessionRow).where(SessionRow.token_hash == token_hash))
    if account_id is not None:
        connection.execute(delete(SessionRow).where(SessionRow.account_id == account_id))
    if before is not None:
        connection.execute(delete(SessionRow).where(SessionRow.created_at < before))


def tokens(connection: Connection) -> list[Row]:
    """Every API token, revoked ones too, by name."""
    return _all(connection, select(*TokenRow.__table__.columns).order_by(TokenRow.name))


def token(connection: Connection, token_hash: str) -> Row | None:
    return _one(connection, select(*TokenRow.__table__.columns).where(TokenRow.token_hash == token_hash))


def add_token(connection: Connection, **values: Any) -> None:
    connection.execute(insert(TokenRow).values(values))


def set_token(connection: Connection, token_id: int, **values: Any) -> None:
    connection.execute(update(TokenRow).where(TokenRow.id == token_id).values(values))


_ENTRY = [column for column in EntryRow.__table__.columns if column.name != "item"]


def _all(connection: Connection, found: Any) -> list[Row]:
    return [dict(row) for row in connection.execute(found).mappings()]


def _one(connection: Connection, found: Any) -> Row | None:
    row = connection.execute(found).mappings().first()
    return dict(row) if row else None
