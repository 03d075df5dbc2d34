"""Neighbours into links: an article's own, those of the articles it now belongs with, its story, and who must be told.

Rules: back-fill never links to what was published later than itself; a withdrawn article is nobody's neighbour; an older
article gets the link back at once, and `article.relinked` is logged where some partner asked for it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.enrich import neighbours, stories
from shared import queue
from shared.models import Row
from shared.records import Similar
from shared.store import articles, clusters, events, partners, similar

METHOD, VERSION = "postings", "1"
MOST = 12  # links an article

_SEARCH = neighbours.Search(window_days=queue.SETTINGS.enrich.window_days)


class Placed(msgspec.Struct, frozen=True):
    """Where an article belongs: its links, its story, and the older articles that now link back to it."""

    similar: tuple[Similar, ...] = ()
    story: str | None = None
    touched: tuple[str, ...] = ()


def link(work: queue.Work, batch: Sequence[neighbours.Prepared], rows: dict[str, Row]) -> dict[str, Placed]:
    """Indexes the batch, finds each one's neighbours, draws the links both ways and settles the stories."""
    if not batch:
        return {}
    similar.enter(work.connection)  # of two articles that arrive at once in two processes, the second sees the first
    found = neighbours.link_many(work.connection, batch, _SEARCH)
    others = {n.article_id for one in found for n in one.neighbours}
    facts = articles.outlines(work.connection, others | set(rows))
    return {one.article_id: _place(work, one, linked, facts) for one, linked in zip(batch, found, strict=True)}


def _place(work: queue.Work, own: neighbours.Prepared, linked: neighbours.Linked, facts: dict[str, Row]) -> Placed:
    now = work.now
    known = [n for n in linked.neighbours if n.article_id in facts and facts[n.article_id]["state"] == "usable"][:MOST]
    forward = tuple(_similar(n, facts[n.article_id], now) for n in known if _may_link(facts[own.article_id], n.later))
    articles.set_links(work.connection, own.article_id, forward)
    back = [n for n in known if _may_link(facts[n.article_id], n.day < own.day)]
    drawn = articles.link_back(work.connection, own.article_id, [_back(n, now) for n in back])
    return Placed(forward, _story(work, own, known), tuple(drawn))


def _may_link(holder: Row, other_is_later: bool) -> bool:
    return not (holder["backfill"] and other_is_later)


def _similar(one: neighbours.Neighbour, other: Row, now: dt.datetime) -> Similar:
    return Similar(other["id"], other["headline"], other["url"], one.relation, round(one.score, 4), METHOD, VERSION,
                   now.isoformat(), one.reasons)  # fmt: skip


def _back(one: neighbours.Neighbour, now: dt.datetime) -> dict[str, Any]:
    return {"article_id": one.article_id, "relation": one.relation, "score": round(one.score, 4), "method": METHOD,
            "version": VERSION, "as_of": now, "reasons": one.reasons}  # fmt: skip


def _story(work: queue.Work, own: neighbours.Prepared, known: Sequence[neighbours.Neighbour]) -> str:
    """The story the article joins, or begins; stories that turn out to be one are merged into the older."""
    ties = clusters.ties(work.connection, [n.article_id for n in known if n.relation != "related"], own.article_id)
    scored = {n.article_id: n for n in known}
    decision = stories.assign(
        stories.Tie(t.story, scored[t.article_id].score, t.size, t.born, scored[t.article_id].relation == "duplicate")
        for t in ties
    )
    story = decision.story or clusters.begin(work.connection, own.article_id, work.now)
    for absorbed in decision.absorbed:
        clusters.merge(work.connection, absorbed, story)
    clusters.join(work.connection, own.article_id, story)
    return story


def tell(work: queue.Work, withdrawn: Iterable[str], placed: dict[str, Placed]) -> None:
    """Takes withdrawn articles out of everyone's links; re-issues what embeds a link that changed, where it is wanted."""
    touched = {other for one in placed.values() for other in one.touched} - set(placed)
    for article_id in withdrawn:
        neighbours.unlink(work.connection, article_id)
        touched |= set(articles.unlink(work.connection, article_id))
    if not touched:
        return
    refresh(work.connection, touched)
    if partners.relinks_wanted(work.connection):
        work.log(*_relinked(work.connection, touched))


def refresh(connection: Connection, touched: Iterable[str]) -> None:
    """Rewrites the similar articles that the newest revisions carry."""
    for article_id in sorted(touched):
        links = tuple(_stored(row) for row in articles.links_of(connection, article_id))
        articles.replace_similar(connection, article_id, links)


def _stored(row: Row) -> Similar:
    return Similar(row["other_id"], row["headline"], row["url"], row["relation"], row["score"], row["method"], row["version"],
                   row["as_of"].isoformat(), tuple(row["reasons"]))  # fmt: skip


def _relinked(connection: Connection, touched: Iterable[str]) -> list[events.NewEvent]:
    told = events.occurrences(connection, "article.relinked", touched)
    return [
        events.NewEvent(
            "article.relinked", row["id"], row["enriched_revision"], row["backfill"], told.get(row["id"], 0)
        )
        for row in articles.outlines(connection, touched).values()
        if row["state"] == "usable" and row["enriched_revision"]
    ]
