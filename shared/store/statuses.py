"""What articles say about how their section's situation moved: observations in, the present and the history out.

A section is a source's: two sources that both print "Economy" have a series each.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Connection, delete, func, select

from shared.models import ArticleRow, Row, SourceRow, StatusRow
from shared.store.rows import upsert

Place = tuple[int, str]
"""(source id, section)."""


def observe(connection: Connection, seen: Sequence[Row], silent: Collection[str]) -> None:
    """Keeps what articles say now (article_id, source_id, section, at, value); those of `silent` say nothing any more."""
    upsert(connection, StatusRow, seen, conflict=["article_id"])
    if silent:
        connection.execute(delete(StatusRow).where(StatusRow.article_id.in_(list(silent))))


def places(connection: Connection, article_ids: Collection[str]) -> set[Place]:
    """The sections that these articles have spoken about."""
    found = select(StatusRow.source_id, StatusRow.section).where(StatusRow.article_id.in_(list(article_ids)))
    return {(source, section) for source, section in connection.execute(found)}


def newest(connection: Connection, place: Place, until: dt.datetime) -> str:
    """The value that the section has as of then; unknown where nothing was read."""
    found = select(StatusRow.value).where(*_at(place), StatusRow.value != "unknown", StatusRow.at <= until)
    last = found.order_by(StatusRow.at.desc(), StatusRow.article_id.desc()).limit(1)
    return connection.execute(last).scalar() or "unknown"


def readings(
    connection: Connection, place: Place, until: dt.datetime | None = None, *, known: bool = False
) -> list[Row]:
    """The section's observations (article_id, section, at, value), oldest first; only those that say something where asked."""
    found = select(StatusRow.article_id, StatusRow.section, StatusRow.at, StatusRow.value).where(*_at(place))
    if until is not None:
        found = found.where(StatusRow.at <= until)
    if known:
        found = found.where(StatusRow.value != "unknown")
    return [dict(row) for row in connection.execute(found.order_by(StatusRow.at, StatusRow.article_id)).mappings()]


def sections(connection: Connection, source: str | None = None) -> list[Row]:
    """Every section with its source's name and id, how many articles spoke about it and when the last one was published."""
    found = (
        select(SourceRow.id.label("source_id"), SourceRow.name.label("source"), StatusRow.section,
               func.count().label("articles"), func.max(StatusRow.at).label("last_at"))
        .join(SourceRow, SourceRow.id == StatusRow.source_id)
        .group_by(SourceRow.id, SourceRow.name, StatusRow.section)
        .order_by(SourceRow.name, StatusRow.section)
    )  # fmt: skip
    found = found.where(SourceRow.name == source) if source else found
    return [dict(row) for row in connection.execute(found).mappings()]


def source_names(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """Source id -> its name."""
    return dict(connection.execute(select(SourceRow.id, SourceRow.name).where(SourceRow.id.in_(list(ids)))).all())


def carriers(connection: Connection, article_ids: Collection[str]) -> dict[str, Row]:
    """Article id -> its newest enriched revision and whether it is back-fill."""
    found = select(ArticleRow.id, ArticleRow.enriched_revision, ArticleRow.backfill).where(
        ArticleRow.id.in_(list(article_ids)), ArticleRow.enriched_revision > 0
    )
    return {row["id"]: dict(row) for row in connection.execute(found).mappings()}


def _at(place: Place) -> tuple[ColumnElement[bool], ...]:
    return StatusRow.source_id == place[0], StatusRow.section == place[1]
