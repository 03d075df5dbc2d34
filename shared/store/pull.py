"""What an endpoint can fetch by itself: its newest articles as a feed, its events from a position on, and what it has fetched.

An endpoint of kind `pull` is sent nothing: its deliveries are due with no `due_at`, and count as delivered once they were
fetched (in a feed) or left behind by its cursor. Other endpoints may fetch the same besides being sent it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, and_, exists, insert, or_, select, update
from sqlalchemy.orm import aliased

from shared.models import ArticleRow, DeliveryRow, EndpointRow, EventHeadRow, EventRow, FeedStateRow, Row
from shared.store import events, partners

SHOWN = ("due", "delivered", "quarantined")
"""States of deliveries that an endpoint may see; held ones have no position, superseded ones gave way."""


class Place(msgspec.Struct, frozen=True):
    """How far an endpoint is: the epoch of the event log (a restore begins a new one) and its newest position."""

    epoch: int
    position: int


def place(connection: Connection, endpoint_id: int) -> Place:
    """How far the endpoint is in this snapshot."""
    position = connection.execute(select(EndpointRow.position).where(EndpointRow.id == endpoint_id)).scalar_one()
    return Place(connection.execute(select(EventHeadRow.epoch)).scalar_one(), position)


def newest(connection: Connection, endpoint_id: int, now: dt.datetime, limit: int, before: int | None = None,
           wish: Row | None = None) -> list[Row]:  # fmt: skip
    """The newest event of each article that may be shown, newest first, below the position `before` where given.

    With `wish`, a subscription, only what that one wanted: the article, or where it does not follow, this very revision.
    """
    later = aliased(DeliveryRow)
    overtaken = exists().where(
        later.endpoint_id == DeliveryRow.endpoint_id, later.article_id == DeliveryRow.article_id,
        later.position > DeliveryRow.position, later.state.in_(SHOWN), later.kind != events.SECTION,
    )  # fmt: skip
    found = _shown(endpoint_id).where(
        ArticleRow.state == "usable",
        _free(now),
        DeliveryRow.kind.not_in((partners.WITHDRAWN, events.SECTION)),
        ~overtaken,
    )
    if before is not None:
        found = found.where(DeliveryRow.position < before)
    if wish is not None:
        found = found.where(_of(endpoint_id, wish) if wish["follow"] else DeliveryRow.wanted_by.like(_mark(wish)))
    return _rows(connection, found.order_by(DeliveryRow.position.desc()).limit(limit))


def _of(endpoint_id: int, wish: Row) -> Any:
    """The condition that the subscription wanted some revision of the article."""
    mine = aliased(DeliveryRow)
    wanted = select(mine.article_id).where(mine.endpoint_id == endpoint_id, mine.wanted_by.like(_mark(wish)))
    return DeliveryRow.article_id.in_(wanted)


def _mark(wish: Row) -> str:
    return f"% {wish['id']} %"


def after(connection: Connection, endpoint_id: int, position: int, now: dt.datetime, limit: int) -> list[Row]:
    """The endpoint's events above that position, in order. Of a withdrawn article only its withdrawal is left, and what it
    changed of its section."""
    found = _told(endpoint_id, now).where(DeliveryRow.position > position)
    return _rows(connection, found.order_by(DeliveryRow.position).limit(limit))


def one(connection: Connection, endpoint_id: int, webhook_id: str, now: dt.datetime) -> Row | None:
    """The endpoint's event of that id, as far as it may be told."""
    rows = _rows(connection, _told(endpoint_id, now).where(DeliveryRow.webhook_id == webhook_id).limit(1))
    return rows[0] if rows else None


def _told(endpoint_id: int, now: dt.datetime) -> Select[Any]:
    told = or_(
        DeliveryRow.kind.in_((partners.WITHDRAWN, events.SECTION)), and_(ArticleRow.state == "usable", _free(now))
    )
    return _shown(endpoint_id).where(told)


def _shown(endpoint_id: int) -> Select[Any]:
    return (
        select(*DeliveryRow.__table__.columns, EventRow.at, EventRow.detail)
        .join(ArticleRow, ArticleRow.id == DeliveryRow.article_id)
        .join(EventRow, EventRow.number == DeliveryRow.event_number)
        .where(DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.position.is_not(None), DeliveryRow.state.in_(SHOWN))
    )


def _free(now: dt.datetime) -> Any:
    """The condition that nobody holds the article back."""
    return and_(ArticleRow.held.is_(False), or_(ArticleRow.embargo_until.is_(None), ArticleRow.embargo_until <= now))


def hidden(connection: Connection, article_ids: Iterable[str], now: dt.datetime) -> set[str]:
    """Those of the articles that may not be shown outward, not even as a link: held, under embargo or withdrawn."""
    found = select(ArticleRow.id).where(ArticleRow.id.in_(sorted(set(article_ids))),
                                        or_(~_free(now), ArticleRow.state != "usable"))  # fmt: skip
    return set(connection.execute(found).scalars())


def park(connection: Connection, endpoint_id: int) -> None:
    """What a `pull` endpoint is owed waits to be fetched, however long."""
    due = (DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.state == "due", DeliveryRow.due_at.is_not(None))
    connection.execute(update(DeliveryRow).where(*due).values(due_at=None))


def give_back(connection: Connection, endpoint_id: int, position: int, now: dt.datetime) -> int:
    """Has what a `pull` endpoint is owed above the position, and may not be shown just now, get a new position later.

    Else its cursor would pass it by. Returns how many deliveries.
    """
    kept = select(ArticleRow.id).where(ArticleRow.id == DeliveryRow.article_id, ~_free(now))
    owed = (DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.state == "due", DeliveryRow.position > position,
            DeliveryRow.kind != partners.WITHDRAWN, exists(kept))  # fmt: skip
    if connection.execute(select(DeliveryRow.id).where(*owed).limit(1)).first() is None:
        return 0
    held = update(DeliveryRow).where(*owed).values(state="held", position=None, due_at=None)
    return int(connection.execute(held.execution_options(synchronize_session=False)).rowcount)


def mark(connection: Connection, ids: Collection[int]) -> None:
    """Notes that the endpoint may have these now: a withdrawal will be owed to it."""
    shown = (DeliveryRow.id.in_(list(ids)), DeliveryRow.begun == 0)
    connection.execute(update(DeliveryRow).where(*shown).values(begun=1))


def unfetched(connection: Connection, endpoint_id: int, first: int, last: int, now: dt.datetime, limit: int = 500,
              wish: Row | None = None) -> list[Row]:  # fmt: skip
    """What a `pull` endpoint was or may be shown at these positions and has not fetched, oldest first; with `wish` only of
    articles that this subscription wanted."""
    free = exists(select(ArticleRow.id).where(ArticleRow.id == DeliveryRow.article_id, _free(now)))
    found = select(*DeliveryRow.__table__.columns).where(
        DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.state == "due", DeliveryRow.position.between(first, last),
        or_(free, DeliveryRow.begun > 0, DeliveryRow.kind == partners.WITHDRAWN),
    )  # fmt: skip
    if wish is not None:
        found = found.where(_of(endpoint_id, wish))
    return [dict(row) for row in connection.execute(found.order_by(DeliveryRow.position).limit(limit)).mappings()]


def fetched(connection: Connection, endpoint_id: int, rows: Collection[Row], how: str, now: dt.datetime) -> None:
    """The endpoint has these: each is delivered, and the log says by what."""
    mark(connection, [row["id"] for row in rows])
    tried = [
        partners.Tried(row | {"begun": max(row["begun"], 1) - 1}, "delivered", now, 0, status=200, response=how)
        for row in rows
    ]
    if tried:
        partners.record(connection, endpoint_id, tried)


def changed_at(connection: Connection, endpoint_id: int, digest: str, subscription_id: int = 0) -> dt.datetime | None:
    """Since when the feed, of the endpoint or of one subscription, has held this; None where it held something else when last
    seen."""
    found = select(FeedStateRow.changed_at).where(*_feed(endpoint_id, subscription_id), FeedStateRow.digest == digest)
    return connection.execute(found).scalar()


def change(
    connection: Connection, endpoint_id: int, digest: str, now: dt.datetime, subscription_id: int = 0
) -> dt.datetime:
    """Notes that the feed holds this from now on. Returns since when, if another request was first."""
    here = _feed(endpoint_id, subscription_id)
    found = select(FeedStateRow.digest, FeedStateRow.changed_at).where(*here)
    before = connection.execute(found.with_for_update()).first()
    if before is not None and before.digest == digest:
        since: dt.datetime = before.changed_at
        return since
    values: Row = {"digest": digest, "changed_at": now}
    if before is None:
        keys = {"endpoint_id": endpoint_id, "subscription_id": subscription_id}
        connection.execute(insert(FeedStateRow).values(keys | values))
    else:
        connection.execute(update(FeedStateRow).where(*here).values(values))
    return now


def _feed(endpoint_id: int, subscription_id: int) -> tuple[Any, Any]:
    return FeedStateRow.endpoint_id == endpoint_id, FeedStateRow.subscription_id == subscription_id


def _rows(connection: Connection, found: Select[Any]) -> list[Row]:
    return [dict(row) for row in connection.execute(found).mappings()]
