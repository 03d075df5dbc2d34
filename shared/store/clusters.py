"""Stories: clusters of articles that keep their id as they grow; merged ones point to the story that goes on."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, func, select, update

from shared.models import ArticleRow, StoryRow
from shared.store.rows import insert_ignore, update_many

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Story(NamedTuple):
    """How many articles a story holds, and the day (from 1970-01-01) of its first."""

    size: int
    born: int


def of_articles(connection: Connection, article_ids: Collection[str]) -> dict[str, str]:
    """Article id -> its story, for those that have one."""
    found = select(ArticleRow.id, ArticleRow.story_id).where(
        ArticleRow.id.in_(list(article_ids)), ArticleRow.story_id.is_not(None)
    )
    return {article_id: str(story) for article_id, story in connection.execute(found)}


def sizes(connection: Connection, stories: Collection[str]) -> dict[str, Story]:
    """Story id -> its size and age."""
    at = func.coalesce(ArticleRow.published_at, ArticleRow.first_seen_at)
    first = func.min(at, type_=ArticleRow.first_seen_at.type)
    found = select(ArticleRow.story_id, func.count(), first).where(ArticleRow.story_id.in_(list(stories)))
    rows = connection.execute(found.group_by(ArticleRow.story_id))
    return {str(story): Story(n, (born - _EPOCH).days) for story, n, born in rows}


def name(article_id: str, parted_at: str = "") -> str:
    """The id of the story that an article begins: it follows from the article's, so beginning twice is one story.

    `parted_at` names a story that a person made by taking the article out of another.
    """
    return "sto_" + hashlib.sha256(f"{article_id}{parted_at}".encode()).hexdigest()[:16]


def living(connection: Connection, stories: Collection[str]) -> dict[str, str]:
    """Story id -> the story that goes on for it, for those that were merged into another."""
    found = select(StoryRow.id, StoryRow.merged_into).where(
        StoryRow.id.in_(list(stories)), StoryRow.merged_into.is_not(None)
    )
    return {story: str(into) for story, into in connection.execute(found)}


def keep(
    connection: Connection, members: Mapping[str, str], counts: Mapping[str, int], merges: Mapping[str, str],
    now: dt.datetime,
) -> set[str]:  # fmt: skip
    """Writes what was decided: article -> story, story -> size, absorbed story -> the story that goes on.

    Returns the articles that merging moved.
    """
    rows = [{"id": story, "created_at": now, "size": 0} for story in sorted(counts)]
    insert_ignore(connection, StoryRow, rows, conflict=["id"])
    update_many(
        connection, ArticleRow, [{"id": a, "story_id": story} for a, story in sorted(members.items())], key=["id"]
    )
    moved = {article_id for absorbed, into in merges.items() for article_id in _absorb(connection, absorbed, into)}
    update_many(connection, StoryRow, [{"id": story, "size": n} for story, n in sorted(counts.items())], key=["id"])
    return moved


def _absorb(connection: Connection, absorbed: str, into: str) -> list[str]:
    moved = update(ArticleRow).where(ArticleRow.story_id == absorbed).values(story_id=into).returning(ArticleRow.id)
    members = list(connection.execute(moved).scalars())
    connection.execute(update(StoryRow).where(StoryRow.merged_into == absorbed).values(merged_into=into))
    connection.execute(update(StoryRow).where(StoryRow.id == absorbed).values(merged_into=into, size=0))
    return members


def part(connection: Connection, article_ids: Collection[str], story: str, now: dt.datetime) -> None:
    """These articles leave their stories and make up a new one."""
    left = set(of_articles(connection, article_ids).values())
    insert_ignore(connection, StoryRow, [{"id": story, "created_at": now, "size": 0}], conflict=["id"])
    connection.execute(update(ArticleRow).where(ArticleRow.id.in_(list(article_ids))).values(story_id=story))
    count(connection, left | {story})


def unite(connection: Connection, absorbed: str, into: str) -> list[str]:
    """One story goes on in another. Returns the articles that moved."""
    moved = _absorb(connection, absorbed, into)
    count(connection, {into})
    return moved


def members(connection: Connection, story: str) -> list[str]:
    """The articles of a story, by id."""
    found = select(ArticleRow.id).where(ArticleRow.story_id == story).order_by(ArticleRow.id)
    return list(connection.execute(found).scalars())


def leave(connection: Connection, article_ids: Collection[str]) -> None:
    """Withdrawn articles belong to no story."""
    left = set(of_articles(connection, article_ids).values())
    if left:
        connection.execute(update(ArticleRow).where(ArticleRow.id.in_(list(article_ids))).values(story_id=None))
        count(connection, left)


def count(connection: Connection, stories: Collection[str]) -> None:
    """Writes how many articles these stories hold."""
    size = select(func.count()).where(ArticleRow.story_id == StoryRow.id).scalar_subquery()
    connection.execute(update(StoryRow).where(StoryRow.id.in_(list(stories))).values(size=size))
