"""Articles in, what the product makes of them out: the enrichment's own code over a store of its own (a SQLite file).

Nothing is measured here by other means than the product's: `neighbours.link_many` in transactions of fifty, `stories.assign`
on the links, `neighbours.judge_all` for a ranking.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from benchmarks.variations import Story
from services.enrich import neighbours, similarity, stories
from services.enrich.neighbours import Linked, Neighbour, Prepared, Search
from shared.models import Base
from shared.store import similar
from shared.store.engine import Store

BATCH = 50
WIDE = Search(worded=20, near=60, far=20, postings=6000)
"""For rankings: a mean average precision needs more than the twenty candidates that linking judges."""


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """A store with every table in the folder."""
    store = Store(f"sqlite:///{folder / 'bench.db'}")
    Base.metadata.create_all(store.engine)
    try:
        yield store
    finally:
        store.close()


def prepared(one: Story, language: str | None = "en") -> Prepared:
    """An article ready to be linked."""
    return neighbours.prepare(one.key, one.headline, one.text, language, one.day)


def feed(store: Store, articles: Iterable[Story], search: Search = neighbours.USUAL) -> Iterator[tuple[Story, Linked]]:
    """Links the articles in their order, fifty a transaction, commits included."""
    for batch in batches(articles, BATCH):
        ready = [prepared(one) for one in batch]
        with store.write() as connection:
            similar.enter(connection)
            linked = neighbours.link_many(connection, ready, search)
        yield from zip(batch, linked, strict=True)


def load(store: Store, articles: Iterable[Story]) -> int:
    """Puts the articles into the index without looking for neighbours: how a store is filled from an archive."""
    count = 0
    for batch in batches(articles, 200):
        ready = [prepared(one) for one in batch]
        with store.write() as connection:
            counts = neighbours.frequencies(connection, ready)
            posted = [neighbours.posted(one, neighbours.weighed(one, counts)) for one in ready]
            count += len(similar.bulk_load(connection, posted))
    return count


def ranking(store: Store, one: Story, search: Search = WIDE) -> list[tuple[str, float]]:
    """The indexed articles that are likest to an indexed one, likest first, with the chance that they tell its story."""
    ready = prepared(one)
    with store.read() as connection:
        known = similar.known(connection, [one.key])[0]
        seen = {known.doc: neighbours.Read(one.key, known.day, similarity.from_bytes(known.profile))}
        counts = neighbours.frequencies(connection, [ready])
        judged = neighbours.judge_all(connection, known.doc, {}, seen, counts, search)
    ranked = sorted(judged, key=lambda pair: (-_chance(pair[1]), pair[0].article_id))
    return [(other.article_id, _chance(judgement)) for other, judgement in ranked]


def look_up(store: Store, one: Story, search: Search = neighbours.USUAL) -> tuple[float, float]:
    """Wall and CPU seconds that finding the candidates of an indexed article takes."""
    ready = prepared(one)
    with store.read() as connection:
        known = similar.known(connection, [one.key])[0]
        own = neighbours.Read(one.key, known.day, similarity.from_bytes(known.profile))
        wall, cpu = time.perf_counter(), time.thread_time()
        counts = neighbours.frequencies(connection, [ready])
        neighbours.candidates(connection, own, counts, search)
        return time.perf_counter() - wall, time.thread_time() - cpu


class Clusters:
    """Stories as the links of a stream make them; the same decisions as in the product, kept in memory."""

    def __init__(self) -> None:
        self.story_of: dict[str, str] = {}
        self.members: dict[str, list[str]] = {}
        self._born: dict[str, int] = {}

    def add(self, key: str, found: Sequence[Neighbour]) -> None:
        """Places an article by its links."""
        decision = stories.assign(
            self._tie(one) for one in found if one.relation != "related" and one.article_id in self.story_of
        )
        story = decision.story or f"story {key}"
        self._born.setdefault(story, len(self._born))
        for gone in decision.absorbed:
            for member in self.members.pop(gone):
                self.story_of[member] = story
                self.members[story].append(member)
        self.story_of[key] = story
        self.members.setdefault(story, []).append(key)

    def _tie(self, one: Neighbour) -> stories.Tie:
        story = self.story_of[one.article_id]
        return stories.Tie(story, one.score, len(self.members[story]), self._born[story], one.relation == "duplicate")


def _chance(judgement: similarity.Judgement) -> float:
    return 1.0 + judgement.score if judgement.relation == "duplicate" else judgement.score


def batches(articles: Iterable[Story], size: int) -> Iterator[list[Story]]:
    """The articles in lists of `size`."""
    source = iter(articles)
    while batch := list(islice(source, size)):
        yield batch
