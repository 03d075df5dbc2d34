"""Neighbours into links: articles' own, those of the articles they now belong with, their stories, and who must be told.

Rules: back-fill never links to what was published later than itself; a withdrawn article is nobody's neighbour; an older
article gets the link back at once, and `article.relinked` is logged where some partner asked for it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection

from services.enrich import neighbours, stories
from shared import queue
from shared.models import Row
from shared.records import Similar
from shared.store import articles, clusters, events, partners

METHOD, VERSION = "postings", "1"
MOST = 12  # links an article

_SEARCH = neighbours.Search(window_days=queue.SETTINGS.enrich.window_days)


class Placed(msgspec.Struct, frozen=True):
    """Where a batch belongs: article id -> links and story; `touched` are the older articles that now link back."""

    similar: dict[str, tuple[Similar, ...]] = {}
    story: dict[str, str] = {}
    touched: frozenset[str] = frozenset()


def link(work: queue.Work, batch: Sequence[neighbours.Prepared]) -> Placed:
    """Indexes the batch, finds each one's neighbours, draws the links both ways and settles the stories."""
    if not batch:
        return Placed()
    found = neighbours.link_many(work.connection, batch, _SEARCH)
    own = [one.article_id for one in batch]
    facts = articles.outlines(work.connection, {n.article_id for one in found for n in one.neighbours} | set(own))
    known = {article_id: [n for n in one.neighbours if n.article_id in facts and facts[n.article_id]["state"] == "usable"][:MOST]
             for article_id, one in zip(own, found, strict=True)}  # fmt: skip
    forward = {key: tuple(_forward(facts[key], held, facts, work.now)) for key, held in known.items()}
    articles.set_links(work.connection, forward)
    back = [pair for key, held in known.items() for pair in _back(facts[key], held, facts, work.now)]
    touched = frozenset(articles.link_back(work.connection, own, back)) - set(own)
    return Placed(forward, _stories(work, batch, known), touched)


def _forward(
    own: Row, held: Iterable[neighbours.Neighbour], facts: dict[str, Row], now: dt.datetime
) -> Iterable[Similar]:
    return (_similar(n, facts[n.article_id], now) for n in held if not (own["backfill"] and n.later))


def _back(
    own: Row, held: Iterable[neighbours.Neighbour], facts: dict[str, Row], now: dt.datetime
) -> Iterable[tuple[str, Similar]]:
    """The same links as their other ends hold them."""
    for n in held:
        we_are_later = not n.later and not n.same_day
        if not (facts[n.article_id]["backfill"] and we_are_later):
            yield n.article_id, _similar(n, own, now)


def _similar(one: neighbours.Neighbour, other: Row, now: dt.datetime) -> Similar:
    return Similar(other["id"], other["headline"], other["url"], one.relation, round(one.score, 4), METHOD, VERSION,
                   now.isoformat(), one.reasons)  # fmt: skip


def _stories(work: queue.Work, batch: Sequence[neighbours.Prepared],
             known: dict[str, list[neighbours.Neighbour]]) -> dict[str, str]:  # fmt: skip
    """The story that each article joins, or begins; stories that turn out to be one are merged into the older."""
    close = {n.article_id for held in known.values() for n in held if n.relation != "related"}
    member = clusters.of_articles(work.connection, close | set(known))
    began = clusters.living(work.connection, {clusters.name(article_id) for article_id in known})
    state = clusters.sizes(work.connection, set(member.values()) | set(began.values()))
    merges: dict[str, str] = {}
    changed: set[str] = set()
    for one in batch:
        before = member.pop(one.article_id, None)
        if before is not None:
            state[before] = state[before]._replace(size=state[before].size - 1)
        decision = stories.assign(_ties(known[one.article_id], member, state))
        begun = clusters.name(one.article_id)
        story = decision.story or began.get(begun, begun)
        for absorbed in decision.absorbed:
            merges[absorbed] = story
            state[story] = clusters.Story(state[story].size + state.pop(absorbed).size, state[story].born)
            member.update({article_id: story for article_id, s in member.items() if s == absorbed})
            changed.discard(absorbed)
        held = state.get(story, clusters.Story(0, one.day))
        state[story] = clusters.Story(held.size + 1, min(held.born, one.day))
        member[one.article_id] = story
        changed |= {story, before} if before in state else {story}
    mine = {one.article_id: member[one.article_id] for one in batch}
    clusters.keep(work.connection, mine, {s: state[s].size for s in changed if s in state}, merges, work.now)
    return mine


def _ties(
    held: Iterable[neighbours.Neighbour], member: dict[str, str], state: dict[str, clusters.Story]
) -> list[stories.Tie]:
    return [
        stories.Tie(story, n.score, state[story].size, state[story].born, n.relation == "duplicate")
        for n in held
        if n.relation != "related" and (story := member.get(n.article_id)) in state and story is not None
    ]


def tell(work: queue.Work, withdrawn: Iterable[str], placed: Placed) -> None:
    """Takes withdrawn articles out of everyone's links; re-issues what embeds a link that changed, where it is wanted."""
    touched = set(placed.touched)
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
    names = sorted(touched)
    held = articles.links(connection, names)
    articles.replace_similar(connection, {name: tuple(map(_stored, held.get(name, []))) for name in names})


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
