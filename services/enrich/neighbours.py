"""An article in, its neighbours out: found by the postings, judged by their profiles, and the article put into the index.

    prepare     headline and text -> Prepared (pure: before the transaction)
    link_many   Prepared -> Linked: the neighbours, each judged; the articles are in the index afterwards
    unlink      takes a withdrawn article out

`duplicate` and `same_story` are looked for within a window of days around the article, `related` in all history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from services.enrich import fingerprints, similarity
from services.enrich.similarity import Judgement, Profile, Relation, Signature
from services.enrich.words import words
from shared.store import similar

SALIENT, SKETCH = 32, 16
"""Postings and fingerprints an article."""


class Search(msgspec.Struct, frozen=True):
    """How far to look.

    `postings` bounds what one look-up reads; `worded`, `near` and `far` are the candidates judged: by wording and by terms
    within the window, by terms in all history.
    """

    window_days: int = 14
    postings: int = 800
    worded: int = 12
    near: int = 16
    far: int = 8


USUAL = Search()


class Prepared(NamedTuple):
    """An article ready to be linked: all that its text alone can tell."""

    article_id: str
    day: int
    signature: Signature
    shingles: fingerprints.Hashes
    hashes: dict[str, int]


class Neighbour(NamedTuple):
    """Another article and how it belongs with ours. `later`: it was published on a later day than ours."""

    article_id: str
    day: int
    relation: Relation
    score: float
    reasons: tuple[str, ...]
    later: bool
    same_day: bool = False


class Linked(NamedTuple):
    """The article's number in the index and its neighbours: duplicates, then its story, then background; strongest first."""

    doc: int
    neighbours: tuple[Neighbour, ...]


class Read(NamedTuple):
    """An indexed article with its profile read."""

    article_id: str
    day: int
    profile: Profile


class Frequencies(NamedTuple):
    """How many articles are counted, in how many of them each term (its hash) occurs, and the days they span."""

    total: int
    by_term: dict[int, int]
    first_day: int
    last_day: int


def prepare(article_id: str, headline: str, text: str, language: str | None, day: int) -> Prepared:
    """What linking needs of a text; `day` counts from 1970-01-01. The printed "Similar articles" must not be in the text."""
    top, body = words(headline), words(text)
    signature = similarity.signature_of(top, body, language)
    hashes = {term: fingerprints.term_hash(term) for term in signature.terms}
    return Prepared(article_id, day, signature, fingerprints.of_words([word.norm for word in top + body]), hashes)


def link(connection: Connection, prepared: Prepared, search: Search = USUAL) -> Linked:
    """`link_many` for one article."""
    return link_many(connection, [prepared], search)[0]


def link_many(connection: Connection, batch: Sequence[Prepared], search: Search = USUAL) -> list[Linked]:
    """Puts the articles into the index (a revision in its former text's place), then finds and judges their neighbours.

    All of a batch find each other. Call `similar.enter` first in the transaction, so that articles that arrive at the
    same time in two processes do as well. An article may be in a batch once.
    """
    if not batch:
        return []
    counts = frequencies(connection, batch)
    profiles = [weighed(prepared, counts) for prepared in batch]
    docs = _index(connection, batch, profiles)
    seen = {
        doc: Read(prepared.article_id, prepared.day, profile)
        for doc, prepared, profile in zip(docs, batch, profiles, strict=True)
    }
    found = _found(connection, [seen[doc] for doc in docs], counts, search)
    _read(connection, {doc for others in found for doc in others}, seen)
    linked = []
    for doc, prepared, others in zip(docs, batch, found, strict=True):
        judged = _judged(seen[doc], others - {doc}, similarity.printed_terms(prepared.signature, prepared.hashes), seen)
        linked.append(Linked(doc, tuple(sorted(_neighbours(seen[doc], judged, search), key=_rank))))
    return linked


def unlink(connection: Connection, article_id: str) -> bool:
    """Takes a withdrawn article out of the index; False where it is not in it."""
    old = similar.known(connection, [article_id])
    if not old:
        return False
    similar.remove_article(connection, old[0], *_keys(old[0]))
    return True


def frequencies(connection: Connection, batch: Sequence[Prepared]) -> Frequencies:
    """What the store knows about the terms of these articles, of which there is at least one."""
    total, by_term = similar.frequencies(connection, {key for prepared in batch for key in prepared.hashes.values()})
    own = [prepared.day for prepared in batch]
    first, last = similar.days(connection) or (min(own), max(own))
    return Frequencies(total, by_term, min(first, *own), max(last, *own))


def weighed(prepared: Prepared, counts: Frequencies) -> Profile:
    """The profile of a prepared article."""
    by_term = {term: counts.by_term[key] for term, key in prepared.hashes.items() if key in counts.by_term}
    return similarity.weigh(prepared.signature, by_term, counts.total, prepared.shingles)


def judge_all(
    connection: Connection,
    doc: int,
    printed: Mapping[int, str],
    seen: dict[int, Read],
    counts: Frequencies,
    search: Search = USUAL,
) -> list[tuple[Read, Judgement]]:
    """Every candidate of an article of `seen` with its judgement, those without a relation too; `seen` keeps what is read."""
    others = candidates(connection, seen[doc], counts, search) - {doc}
    _read(connection, others, seen)
    return _judged(seen[doc], others, printed, seen)


def candidates(connection: Connection, own: Read, counts: Frequencies, search: Search = USUAL) -> set[int]:
    """The numbers of the articles worth judging: near in time by wording and by terms, further away by terms."""
    return _found(connection, [own], counts, search)[0]


def _found(
    connection: Connection, batch: Sequence[Read], counts: Frequencies, search: Search = USUAL
) -> list[set[int]]:
    """The candidates of each of a batch; those of one day are looked for by wording in one go."""
    by_day: dict[int, list[int]] = {}
    for place, own in enumerate(batch):
        by_day.setdefault(own.day, []).append(place)
    found: list[set[int]] = [set() for _ in batch]
    for day, places in by_day.items():
        since, until = day - search.window_days, day + search.window_days
        sketches = [sketch(batch[place].profile) for place in places]
        worded = similar.candidates_by_fps(connection, sketches, since, until, limit=search.worded)
        for place, held in zip(places, worded, strict=True):
            found[place] = {one.doc for one in [*held, *_by_terms(connection, batch[place], counts, search)]}
    return found


def _by_terms(connection: Connection, own: Read, counts: Frequencies, search: Search) -> list[similar.Found]:
    terms = similarity.salient(own.profile, SALIENT)
    since, until = own.day - search.window_days, own.day + search.window_days
    share = min(1.0, (2 * search.window_days + 1) / (counts.last_day - counts.first_day + 1))
    near = similar.affordable(terms, counts.by_term, share, postings=search.postings)
    found = similar.candidates_by_terms(connection, near, since, until, limit=search.near)
    if search.far and (counts.first_day < since or counts.last_day > until):
        far = similar.affordable(terms, counts.by_term, 1.0, postings=search.postings)
        found += similar.candidates_by_terms(connection, far, limit=search.far)
    return found


def _read(connection: Connection, docs: set[int], seen: dict[int, Read]) -> None:
    """Reads the profiles that `seen` lacks."""
    for known in similar.profiles(connection, docs - seen.keys()):
        seen[known.doc] = Read(known.article_id, known.day, similarity.from_bytes(known.profile))


def _judged(
    own: Read, others: set[int], printed: Mapping[int, str], seen: Mapping[int, Read]
) -> list[tuple[Read, Judgement]]:
    found = [seen[other] for other in sorted(others) if other in seen]
    apart = [abs(other.day - own.day) for other in found]
    judged = similarity.compare(own.profile, [other.profile for other in found], printed, apart=apart)
    return list(zip(found, judged, strict=True))


def sketch(profile: Profile) -> list[int]:
    """The profile's fingerprints."""
    return [int(value) for value in fingerprints.unpack(profile.shingles)[:SKETCH]]


def _index(connection: Connection, batch: Sequence[Prepared], profiles: Sequence[Profile]) -> list[int]:
    """Adds the articles or puts them in their former texts' places; their numbers."""
    old = {known.article_id: known for known in similar.known(connection, [prepared.article_id for prepared in batch])}
    ready = [posted(prepared, profile) for prepared, profile in zip(batch, profiles, strict=True)]
    fresh = [one for one in ready if one.article_id not in old]
    docs = dict(zip((one.article_id for one in fresh), similar.bulk_load(connection, fresh), strict=True))
    for one in ready:
        if one.article_id in old:
            similar.replace_article(connection, old[one.article_id], *_keys(old[one.article_id]), one)
            docs[one.article_id] = old[one.article_id].doc
    return [docs[one.article_id] for one in ready]


def _neighbours(own: Read, judged: Iterable[tuple[Read, Judgement]], search: Search) -> Iterable[Neighbour]:
    for other, judgement in judged:
        if judgement.relation is not None:
            far = abs(other.day - own.day) > search.window_days
            relation: Relation = "related" if far else judgement.relation
            score, reasons = judgement.score, judgement.reasons
            later, same_day = other.day > own.day, other.day == own.day
            yield Neighbour(other.article_id, other.day, relation, score, reasons, later, same_day)


def _rank(one: Neighbour) -> tuple[int, float, str]:
    return ("duplicate", "same_story", "related").index(one.relation), -one.score, one.article_id


def posted(prepared: Prepared, profile: Profile) -> similar.Posted:
    """The article as the index takes it."""
    return similar.Posted(
        article_id=prepared.article_id,
        day=prepared.day,
        terms=similarity.salient(profile, SALIENT),
        hashes=sketch(profile),
        profile=similarity.to_bytes(profile),
        counted=tuple(prepared.hashes.values()),
    )


def _keys(old: similar.Known) -> tuple[list[int], list[int]]:
    """The keys of an indexed article's postings and fingerprints: they follow from its profile."""
    profile = similarity.from_bytes(old.profile)
    return list(similarity.salient(profile, SALIENT)), sketch(profile)
