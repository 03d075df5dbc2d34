"""A person's word on articles: which categories hold or do not, which story they belong to, which links are none.

The enrichment reads it before it decides anything and never writes it. Who said it and why stands in the audit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, or_, select, update

from shared import records
from shared.models import ArticleRow, LinkRow, Row, RulingRow
from shared.store.rows import upsert

ALL = "*"
"""In the place of a code: whatever the scheme holds."""


class Ruling(msgspec.Struct, frozen=True):
    """One word of a person. `key` is "scheme:code" for categories, the other article's id for links, empty for stories."""

    kind: Literal["category", "story", "link"]
    key: str
    verdict: str
    category: records.Category | None = None


def said(connection: Connection, article_ids: Collection[str]) -> dict[str, list[Ruling]]:
    """Article id -> what people said about it, by kind and key; articles of which nobody said anything are left out."""
    found = select(*RulingRow.__table__.columns).where(RulingRow.article_id.in_(list(article_ids)))
    heard: dict[str, list[Ruling]] = {}
    for row in connection.execute(found.order_by(RulingRow.article_id, RulingRow.kind, RulingRow.key)).mappings():
        heard.setdefault(row["article_id"], []).append(_ruling(dict(row)))
    return heard


def set_categories(
    connection: Connection, article_id: str, gone: Sequence[str], new: Sequence[Ruling], now: dt.datetime
) -> None:
    """Puts new words on categories in the place of those whose key is, or begins with, one of `gone`."""
    for key in gone:
        same = RulingRow.key.startswith(key, autoescape=True) if key.endswith(":") else RulingRow.key == key
        connection.execute(delete(RulingRow).where(_of(article_id, "category"), same))
    upsert(connection, RulingRow, [_row(article_id, one, now) for one in new], conflict=["article_id", "kind", "key"])


def pin(connection: Connection, article_ids: Collection[str], story: str, now: dt.datetime) -> None:
    """These articles belong to that story, and the story stays as people made it: no machine merges it."""
    rows = [_row(article_id, Ruling("story", "", story), now) for article_id in sorted(article_ids)]
    upsert(connection, RulingRow, rows, conflict=["article_id", "kind", "key"])


def unpin(connection: Connection, article_id: str) -> bool:
    """The machine decides again which story the article belongs to. False: nobody had said anything."""
    return bool(connection.execute(delete(RulingRow).where(_of(article_id, "story"))).rowcount)


def move_pins(connection: Connection, before: str, after: str) -> None:
    """Whoever was put into one story is now in another that took it in."""
    pinned = update(RulingRow).where(RulingRow.kind == "story", RulingRow.verdict == before)
    connection.execute(pinned.values(verdict=after))


def pinned(connection: Connection, article_ids: Collection[str]) -> dict[str, str]:
    """Article id -> the story that a person put it into."""
    found = select(RulingRow.article_id, RulingRow.verdict).where(
        RulingRow.kind == "story", RulingRow.article_id.in_(list(article_ids))
    )
    return dict(connection.execute(found).all())


def made(connection: Connection, stories: Collection[str]) -> set[str]:
    """Those of the stories into which a person put an article."""
    found = select(RulingRow.verdict).where(RulingRow.kind == "story", RulingRow.verdict.in_(list(stories)))
    return set(connection.execute(found.distinct()).scalars())


def drop_link(connection: Connection, one: str, other: str, now: dt.datetime) -> None:
    """The two have nothing to do with each other, whatever a machine finds; links between them go at once."""
    rows = [_row(a, Ruling("link", b, "dropped"), now) for a, b in ((one, other), (other, one))]
    upsert(connection, RulingRow, rows, conflict=["article_id", "kind", "key"])
    pair = [one, other]
    connection.execute(delete(LinkRow).where(LinkRow.article_id.in_(pair), LinkRow.other_id.in_(pair)))


def allow_link(connection: Connection, one: str, other: str) -> bool:
    """The machine decides again whether the two are linked. False: nobody had dropped their link."""
    both = or_(*((RulingRow.article_id == a) & (RulingRow.key == b) for a, b in ((one, other), (other, one))))
    return bool(connection.execute(delete(RulingRow).where(RulingRow.kind == "link", both)).rowcount)


def dropped(connection: Connection, article_ids: Collection[str]) -> set[tuple[str, str]]:
    """(article, other) of links that people dropped, for these articles."""
    found = select(RulingRow.article_id, RulingRow.key).where(
        RulingRow.kind == "link", RulingRow.article_id.in_(list(article_ids))
    )
    return {(a, b) for a, b in connection.execute(found)}


def enrich_again(connection: Connection, article_ids: Collection[str], now: dt.datetime) -> None:
    """Has the newest revisions enriched anew, by what people say now."""
    names = sorted(article_ids)
    for i in range(0, len(names), 500):
        some = update(ArticleRow).where(ArticleRow.id.in_(names[i : i + 500]))
        connection.execute(some.values(again=True, due_at=now))


def _of(article_id: str, kind: str) -> ColumnElement[bool]:
    return (RulingRow.article_id == article_id) & (RulingRow.kind == kind)


def _row(article_id: str, one: Ruling, now: dt.datetime) -> Row:
    held = records.to_json(one.category).decode() if one.category else ""
    return {
        "article_id": article_id,
        "kind": one.kind,
        "key": one.key,
        "verdict": one.verdict,
        "category": held,
        "at": now,
    }


def _ruling(row: Row) -> Ruling:
    held = records.from_json(row["category"], records.Category) if row["category"] else None
    return Ruling(row["kind"], row["key"], row["verdict"], held)
