"""Neighbours into links: articles' own, those of the articles they now belong with, their stories, and who must be told.

Rules: back-fill never links to what was published later than itself; a withdrawn or held article is shown in nobody's
links; what a person said of links and stories stands; whoever embeds a link that changed is brought up to date at once, and
`article.relinked` is logged for exactly those where some partner asked for it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from services.enrich import neighbours, stories
from services.enrich.similarity import Relation
from shared import queue
from shared.models import Row
from shared.records import Annotations, Similar
from shared.store import articles, clusters, events, partners, rulings

METHOD, VERSION = "postings", "1"
MOST = 12  # links that a record carries
RELATIONS = ("duplicate", "same_story", "related")

_SEARCH = neighbours.Search(window_days=queue.SETTINGS.enrich.window_days)


class Placed(msgspec.Struct, frozen=True):
    """Where a batch belongs: article id -> links and story; `around` are the others whose links or stories may have changed."""

    similar: dict[str, tuple[Similar, ...]] = {}
    story: dict[str, str] = {}
    around: frozenset[str] = frozenset()


def link(work: queue.Work, batch: Sequence[neighbours.Prepared], search: neighbours.Search = _SEARCH) -> Placed:
    """Indexes the batch, finds each one's neighbours, settles the stories and draws the links both ways."""
    if not batch:
        return Placed()
    connection = work.connection
    own = [one.article_id for one in batch]
    found = neighbours.link_many(connection, batch, search)
    facts = articles.outlines(connection, {n.article_id for one in found for n in one.neighbours} | set(own))
    dropped = rulings.dropped(connection, own)
    known = {
        article_id: [n for n in one.neighbours if _counts(article_id, n, facts, dropped)][:MOST]
        for article_id, one in zip(own, found, strict=True)
    }
    placing = _stories(work, batch, known)
    pairs = [
        pair for key, held in known.items() for n in held for pair in _both(facts[key], n, facts, placing, work.now)
    ]
    around = articles.draw(connection, own, pairs) | placing.moved - set(own)
    return Placed(embedded(connection, own, work.now), placing.mine, frozenset(around))


def _counts(own: str, n: neighbours.Neighbour, facts: Mapping[str, Row], dropped: Collection[tuple[str, str]]) -> bool:
    return n.article_id in facts and facts[n.article_id]["state"] == "usable" and (own, n.article_id) not in dropped


def _both(
    own: Row, n: neighbours.Neighbour, facts: Mapping[str, Row], placing: Placing, now: dt.datetime
) -> Iterable[tuple[str, Similar]]:
    """The link as each end holds it; back-fill holds none to what was published after it."""
    other = facts[n.article_id]
    relation = placing.relation(own["id"], n)
    for holder, target in ((own, other), (other, own)):
        if not (holder["backfill"] and target["dated"] > holder["dated"]):
            yield holder["id"], Similar(target["id"], target["headline"], target["url"], relation, round(n.score, 4), METHOD,
                                        VERSION, now.isoformat(), n.reasons)  # fmt: skip


class Placing(msgspec.Struct, frozen=True):
    """The stories of a batch and its neighbours. `moved` are articles whose story was taken in by another."""

    mine: dict[str, str]
    member: dict[str, str]
    pinned: dict[str, str]
    moved: set[str]

    def relation(self, own: str, n: neighbours.Neighbour) -> Relation:
        """What people put into different stories is no longer called the same one."""
        people_said = own in self.pinned or n.article_id in self.pinned
        apart = self.member.get(own) != self.member.get(n.article_id)
        return "related" if n.relation == "same_story" and people_said and apart else n.relation


def _stories(work: queue.Work, batch: Sequence[neighbours.Prepared],
             known: dict[str, list[neighbours.Neighbour]]) -> Placing:  # fmt: skip
    """The story that each article joins, or begins; stories that turn out to be one are merged into the older.

    Where a person put an article, it stays, and no machine merges a story that people made.
    """
    connection = work.connection
    close = {n.article_id for held in known.values() for n in held if n.relation != "related"}
    member = clusters.of_articles(connection, close | set(known))
    began = clusters.living(connection, {clusters.name(article_id) for article_id in known})
    state = clusters.sizes(connection, set(member.values()) | set(began.values()))
    pinned = rulings.pinned(connection, close | set(known))
    fixed = rulings.made(connection, state.keys() | set(pinned.values()))
    merges: dict[str, str] = {}
    changed: set[str] = set()
    for one in batch:
        before = member.pop(one.article_id, None)
        if before is not None:
            state[before] = state[before]._replace(size=state[before].size - 1)
        decision = _decide(pinned.get(one.article_id), _ties(known[one.article_id], member, state), fixed)
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
    moved = clusters.keep(connection, mine, {s: state[s].size for s in changed if s in state}, merges, work.now)
    return Placing(mine, member, pinned, moved)


def _decide(pin: str | None, ties: list[stories.Tie], fixed: set[str]) -> stories.Decision:
    if pin is not None:
        return stories.Decision("join", pin)
    decision = stories.assign(ties)
    if decision.absorbed and fixed & {decision.story, *decision.absorbed}:
        # Both stay: it joins the one that people made, else the one that would have gone on.
        ours = [story for story in (decision.story, *decision.absorbed) if story in fixed]
        return stories.Decision("join", ours[0], (), decision.score)
    return decision


def _ties(
    held: Iterable[neighbours.Neighbour], member: dict[str, str], state: dict[str, clusters.Story]
) -> list[stories.Tie]:
    return [
        stories.Tie(story, n.score, state[story].size, state[story].born, n.relation == "duplicate")
        for n in held
        if n.relation != "related" and (story := member.get(n.article_id)) in state and story is not None
    ]


def tell(work: queue.Work, withdrawn: Iterable[str], around: Iterable[str]) -> None:
    """Takes withdrawn articles out of everyone's links and stories; re-issues what embeds a change, where it is wanted."""
    touched, gone = set(around), sorted(withdrawn)
    for article_id in gone:
        neighbours.unlink(work.connection, article_id)
        touched |= set(articles.unlink(work.connection, article_id))
    clusters.leave(work.connection, gone)
    changed = refresh(work.connection, touched, work.now) if touched else set()
    if changed:
        relinked(work, changed)


def refresh(connection: Connection, ids: Collection[str], now: dt.datetime) -> set[str]:
    """Brings the links and the story that newest revisions carry up to date. Returns whose record says something else now."""
    links = embedded(connection, ids, now)
    story = clusters.of_articles(connection, ids)

    def renewed(article_id: str, notes: Annotations) -> Annotations:
        new = msgspec.structs.replace(
            notes, similar=links.get(article_id, ()), story=story.get(article_id, notes.story)
        )
        return new if told(new) != told(notes) else notes

    return articles.rewrite(connection, ids, renewed)


def told(notes: Annotations) -> tuple[object, ...]:
    """What a reader learns from links and story: scores, reasons and dates alone are no news."""
    return notes.story, *((one.article_id, one.relation, one.headline, one.url) for one in notes.similar)


def embedded(connection: Connection, ids: Collection[str], now: dt.datetime) -> dict[str, tuple[Similar, ...]]:
    """Article id -> the links that its record carries: the strongest, without what is withdrawn or held back."""
    held = articles.links(connection, ids)
    return {key: tuple(map(_stored, sorted((row for row in held.get(key, []) if _shown(row, now)), key=_rank)[:MOST]))
            for key in ids}  # fmt: skip


def _shown(row: Row, now: dt.datetime) -> bool:
    embargo = row["embargo_until"]
    return row["state"] == "usable" and not row["held"] and not (embargo is not None and embargo > now)


def _rank(row: Row) -> tuple[int, float, str]:
    return RELATIONS.index(row["relation"]), -row["score"], row["other_id"]


def _stored(row: Row) -> Similar:
    return Similar(row["other_id"], row["headline"], row["url"], row["relation"], row["score"], row["method"], row["version"],
                   row["as_of"].isoformat(), tuple(row["reasons"]))  # fmt: skip


def relinked(work: queue.Work, ids: Collection[str]) -> None:
    """Logs that only the links of these articles changed, where some partner asked for it."""
    connection = work.connection
    if not partners.relinks_wanted(connection):
        return
    before = events.occurrences(connection, "article.relinked", ids)
    for row in articles.outlines(connection, ids).values():
        if row["state"] == "usable" and not row["held"] and row["enriched_revision"]:
            work.log(
                events.NewEvent(
                    "article.relinked", row["id"], row["enriched_revision"], row["backfill"], before.get(row["id"], 0)
                )
            )
