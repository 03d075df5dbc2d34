"""What operators look at and steer, beyond the queries that the stages themselves have: rows in, plain dicts out."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Connection, func, or_, select, update
from sqlalchemy.orm import aliased

from shared.errors import OperatorError
from shared.models import (
    ArticleRow,
    DeliveryRow,
    EndpointRow,
    EntryRow,
    LinkRow,
    PageRow,
    PartnerRow,
    RevisionRow,
    Row,
    SourceRow,
    StatusRow,
)
from shared.store import events, lanes


def waiting(connection: Connection) -> dict[str, int]:
    """How much waits before each stage, retries that are not due yet included: fetch, extract, enrich, plan, deliver."""

    def count(table: type[Any], *where: Any) -> int:
        return int(connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one())

    head, planned = events.head(connection)
    return {
        "fetch": count(EntryRow, EntryRow.step == "fetch", EntryRow.state == "waiting"),
        "extract": count(EntryRow, EntryRow.step == "extract"),
        "enrich": count(ArticleRow, ArticleRow.due_at.is_not(None)),
        "plan": head - planned,
        "deliver": count(DeliveryRow, DeliveryRow.state == "due"),
    }


def due(connection: Connection, now: dt.datetime) -> dict[str, int]:
    """How many pieces each kind of lane and stage could work on now, by queue: fetch, extract, enrich, plan, deliver."""

    def count(key: Any, *where: Any) -> int:
        return int(connection.execute(select(func.count(key)).where(*where)).scalar_one())

    head, planned = events.head(connection)
    return {
        "fetch": count(EntryRow.id, EntryRow.step == "fetch", EntryRow.due_at <= now)
        + count(SourceRow.id, SourceRow.state == "active", SourceRow.due_at <= now),
        "extract": count(EntryRow.id, EntryRow.step == "extract", EntryRow.due_at <= now),
        "enrich": count(ArticleRow.id, ArticleRow.due_at <= now),
        "plan": head - planned,
        "deliver": count(DeliveryRow.id, DeliveryRow.state == "due", DeliveryRow.due_at <= now),
    }


# Articles


def find_article(connection: Connection, wanted: str, identity: str | None) -> str:
    """The id of an article by its id, the beginning of its id, its URL, or the URL's identity; OperatorError where there is none."""
    by_id = select(ArticleRow.id).where(
        or_(ArticleRow.id == wanted, ArticleRow.url == wanted, ArticleRow.identity == identity)
    )
    found = list(connection.execute(by_id.limit(1)).scalars())
    if not found and len(wanted) >= 6:
        escaped = wanted.replace("_", r"\_").replace("%", r"\%")
        starts = select(ArticleRow.id).where(ArticleRow.id.like(f"{escaped}%", escape="\\"))
        found = list(connection.execute(starts.limit(2)).scalars())
    if not found:
        found = _by_entry(connection, wanted)
    if len(found) != 1:
        what = f"More than one article's id begins with {wanted}." if found else f"There is no article {wanted}."
        raise OperatorError(what, "`briefwire article list` shows ids and headlines.", code=1)
    return found[0]


def _by_entry(connection: Connection, url: str) -> list[str]:
    """Through the address under which a feed named it."""
    found = select(EntryRow.article_id).where(EntryRow.url == url, EntryRow.article_id.is_not(None))
    return [str(article_id) for article_id in connection.execute(found.limit(1)).scalars()]


def list_articles(
    connection: Connection, *, limit: int, source: str | None, state: str | None, section: str | None
) -> list[Row]:
    """The newest articles by first sight, with their source's name."""
    columns = ("id", "headline", "section", "language", "state", "held", "revision", "enriched_revision", "backfill", "url",
               "published_at", "first_seen_at", "story_id", "reason")  # fmt: skip
    found = select(*(ArticleRow.__table__.c[name] for name in columns), SourceRow.name.label("source")).join(
        SourceRow, SourceRow.id == ArticleRow.source_id
    )
    for column, value in ((SourceRow.name, source), (ArticleRow.state, state), (ArticleRow.section, section)):
        found = found.where(column == value) if value else found
    found = found.order_by(ArticleRow.first_seen_at.desc(), ArticleRow.id).limit(limit)
    return [dict(row) for row in connection.execute(found).mappings()]


def entries_of(connection: Connection, article_id: str) -> list[Row]:
    """The entries that led to an article: when and in which source they were seen, where they stand in its book."""
    columns = (EntryRow.id, EntryRow.url, EntryRow.state, EntryRow.step, EntryRow.seen_at, EntryRow.due_at, EntryRow.backfill,
               EntryRow.reason, EntryRow.detail, SourceRow.name.label("source"))  # fmt: skip
    found = (
        select(*columns).join(SourceRow, SourceRow.id == EntryRow.source_id).where(EntryRow.article_id == article_id)
    )
    return [dict(row) for row in connection.execute(found.order_by(EntryRow.id)).mappings()]


def fetches_of(connection: Connection, entry_ids: list[int]) -> list[Row]:
    """The pages kept for these entries, oldest first, without their bytes."""
    columns = (PageRow.id, PageRow.entry_id, PageRow.final_url, PageRow.status, PageRow.content_type, PageRow.size,
               PageRow.sha256, PageRow.fetched_at)  # fmt: skip
    found = select(*columns).where(PageRow.entry_id.in_(entry_ids)).order_by(PageRow.id)
    return [dict(row) for row in connection.execute(found).mappings()]


def count_links(connection: Connection) -> dict[str, int]:
    """Relation -> how many computed links there are, each direction counted."""
    found = select(LinkRow.relation, func.count().label("n")).group_by(LinkRow.relation)
    return {row.relation: row.n for row in connection.execute(found.order_by(LinkRow.relation))}


def count_articles(connection: Connection) -> list[Row]:
    """How many articles there are by section, language and state."""
    by = (ArticleRow.section, ArticleRow.language, ArticleRow.state)
    found = select(*by, func.count().label("articles")).group_by(*by).order_by(*by)
    return [dict(row) for row in connection.execute(found).mappings()]


def count_revisions(connection: Connection) -> dict[str, int]:
    """Kind of revision (new, update, correction) -> how many there are."""
    found = select(RevisionRow.kind, func.count().label("n")).group_by(RevisionRow.kind).order_by(RevisionRow.kind)
    return {row.kind: row.n for row in connection.execute(found)}


def count_statuses(connection: Connection) -> dict[tuple[str, str], int]:
    """(section, status value) -> how many articles said so."""
    by = (StatusRow.section, StatusRow.value)
    found = select(*by, func.count()).group_by(*by)
    return {(section, value): n for section, value, n in connection.execute(found)}


def strongest_links(connection: Connection) -> list[Row]:
    """Each relation with how many pairs have it, and the headlines and score of its strongest pair."""
    one, other = aliased(ArticleRow), aliased(ArticleRow)
    found = (
        select(
            LinkRow.relation,
            LinkRow.article_id,
            LinkRow.other_id,
            LinkRow.score,
            one.headline,
            other.headline.label("with_"),
        )
        .join(one, one.id == LinkRow.article_id)
        .join(other, other.id == LinkRow.other_id)
        .order_by(LinkRow.score.desc(), LinkRow.article_id)
    )
    pairs: dict[str, dict[frozenset[str], Row]] = {}
    for row in connection.execute(found):
        pair = frozenset((row.article_id, row.other_id))
        pairs.setdefault(row.relation, {}).setdefault(
            pair, {"one": row.headline, "other": row.with_, "score": row.score}
        )
    return [
        {"relation": relation, "pairs": len(of), **next(iter(of.values()))} for relation, of in sorted(pairs.items())
    ]


def count_deliveries(connection: Connection) -> list[Row]:
    """How many deliveries each endpoint has by kind of event and state."""
    by = (DeliveryRow.endpoint_id, DeliveryRow.kind, DeliveryRow.state)
    found = select(*by, func.count().label("deliveries")).group_by(*by).order_by(*by)
    return [dict(row) for row in connection.execute(found).mappings()]


# Sources and partners that leave


def remove_source(connection: Connection, row: Row) -> None:
    """No more polls; what it brought stays. Its name becomes free."""
    name = f"{row['name'][:80]} (removed #{row['id']})"
    connection.execute(
        update(SourceRow).where(SourceRow.id == row["id"]).values(state="removed", due_at=None, name=name)
    )


def remove_partner(connection: Connection, name: str) -> None:
    """Nothing is planned or sent for it any more; its log stays. Its name becomes free."""
    partner_id = connection.execute(select(PartnerRow.id).where(PartnerRow.name == name)).scalar_one()
    endpoints = connection.execute(select(EndpointRow.id).where(EndpointRow.partner_id == partner_id)).scalars().all()
    connection.execute(update(EndpointRow).where(EndpointRow.partner_id == partner_id).values(state="removed"))
    for endpoint_id in endpoints:
        lanes.pause(connection, lanes.endpoint_lane(endpoint_id), paused=True)
    renamed = {"state": "removed", "name": f"{name[:80]} (removed #{partner_id})"}
    connection.execute(update(PartnerRow).where(PartnerRow.id == partner_id).values(renamed))
