"""Stories: clusters of articles that keep their id as they grow; merged ones point to the story that goes on."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, func, select, update

from shared.models import ArticleRow, StoryRow
from shared.store.rows import insert_ignore

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Member(NamedTuple):
    """An article in a story: the story's id, how many articles it holds, the day (from 1970-01-01) of its first."""

    article_id: str
    story: str
    size: int
    born: int


def ties(connection: Connection, article_ids: Collection[str], but: str) -> list[Member]:
    """The stories of these articles; sizes leave the article `but` out, so that a revision may leave its story."""
    if not article_ids:
        return []
    found = select(ArticleRow.id, ArticleRow.story_id).where(
        ArticleRow.id.in_(list(article_ids)), ArticleRow.story_id.is_not(None)
    )
    story_of = dict(connection.execute(found).all())
    at = func.coalesce(ArticleRow.published_at, ArticleRow.first_seen_at)
    sizes = select(ArticleRow.story_id, func.count(), func.min(at, type_=ArticleRow.first_seen_at.type)).where(
        ArticleRow.story_id.in_(set(story_of.values())), ArticleRow.id != but
    )
    stories = {story: (n, first) for story, n, first in connection.execute(sizes.group_by(ArticleRow.story_id))}
    return [
        Member(article_id, str(story), stories[story][0], (stories[story][1] - _EPOCH).days)
        for article_id, story in sorted(story_of.items())
        if story in stories
    ]


def begin(connection: Connection, article_id: str, now: dt.datetime) -> str:
    """The story that this article begins: its id follows from the article's, so beginning twice is one story."""
    story = "sto_" + hashlib.sha256(article_id.encode()).hexdigest()[:16]
    insert_ignore(connection, StoryRow, [{"id": story, "created_at": now, "size": 0}], conflict=["id"])
    return _living(connection, story)


def join(connection: Connection, article_id: str, story: str) -> None:
    """The article is of this story now."""
    before = connection.execute(select(ArticleRow.story_id).where(ArticleRow.id == article_id)).scalar()
    if before == story:
        return
    connection.execute(update(ArticleRow).where(ArticleRow.id == article_id).values(story_id=story))
    connection.execute(update(StoryRow).where(StoryRow.id == story).values(size=StoryRow.size + 1))
    if before is not None:
        connection.execute(update(StoryRow).where(StoryRow.id == before).values(size=StoryRow.size - 1))


def merge(connection: Connection, absorbed: str, into: str) -> None:
    """The articles of one story become another's; the absorbed id points there for ever."""
    moved = connection.execute(update(ArticleRow).where(ArticleRow.story_id == absorbed).values(story_id=into)).rowcount
    connection.execute(update(StoryRow).where(StoryRow.id == absorbed).values(merged_into=into, size=0))
    connection.execute(update(StoryRow).where(StoryRow.merged_into == absorbed).values(merged_into=into))
    connection.execute(update(StoryRow).where(StoryRow.id == into).values(size=StoryRow.size + moved))


def _living(connection: Connection, story: str) -> str:
    merged = connection.execute(select(StoryRow.merged_into).where(StoryRow.id == story)).scalar()
    return merged or story
