"""An article in, its neighbours out: found by the postings, judged by their profiles, and the article put into the index.

    prepare   headline and text -> Prepared (pure: before the transaction)
    link      Prepared -> Linked: the neighbours, each judged; the article is in the index afterwards

`duplicate` and `same_story` are looked for within a window of days around the article, `related` in all history.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from services.enrich import fingerprints, similarity
from services.enrich.similarity import Judgement, Profile, Relation, Signature
from shared.store import similar

SALIENT, SKETCH = 40, 32


class Search(msgspec.Struct, frozen=True):
    """How far to look. `postings` bounds what one look-up reads; `near` and `far` how many candidates are judged."""

    window_days: int = 14
    postings: int = 1500
    near: int = 20
    far: int = 12


USUAL = Search()


class Prepared(NamedTuple):
    """An article ready to be linked: all that its text alone can tell."""

    article_id: str
    day: int
    signature: Signature
    shingles: fingerprints.Hashes


class Neighbour(NamedTuple):
    """Another article and how it belongs with ours. `later`: it was published on a later day than ours."""

    article_id: str
    day: int
    relation: Relation
    score: float
    reasons: tuple[str, ...]
    later: bool


class Linked(NamedTuple):
    """The article's number in the index and its neighbours, strongest first, duplicates before the others."""

    doc: int
    neighbours: tuple[Neighbour, ...]


def prepare(article_id: str, headline: str, text: str, language: str | None, day: int) -> Prepared:
    """What linking needs of a text; `day` counts from 1970-01-01. The printed "Similar articles" must not be in the text."""
    signature = similarity.signature(headline, text, language)
    return Prepared(article_id, day, signature, fingerprints.shingles(f"{headline}\n{text}"))


def link(connection: Connection, prepared: Prepared, search: Search = USUAL) -> Linked:
    """Finds and judges the neighbours, and puts the article into the index (a revision takes its former text's place).

    Call `similar.enter` first in the transaction, so that two articles that arrive together find each other.
    """
    old = similar.known(connection, prepared.article_id)
    profile, frequency, total = weighed(connection, prepared)
    found = neighbours(connection, profile, prepared.day, frequency, total, search, but=old.doc if old else None)
    posted = _posted(prepared, profile)
    if old is None:
        return Linked(similar.index_article(connection, posted), found)
    similar.replace_article(connection, old, *_keys(old), posted)
    return Linked(old.doc, found)


def unlink(connection: Connection, article_id: str) -> bool:
    """Takes a withdrawn article out of the index; False where it is not in it."""
    old = similar.known(connection, article_id)
    if old is None:
        return False
    similar.remove_article(connection, old, *_keys(old))
    return True


def weighed(connection: Connection, prepared: Prepared) -> tuple[Profile, dict[int, int], int]:
    """The article's profile, the frequencies of its terms, and how many articles those are counted over."""
    signature = prepared.signature
    hashes = {term: fingerprints.term_hash(term) for term in signature.terms}
    total, frequency = similar.frequencies(connection, list(hashes.values()))
    by_term = {term: frequency[key] for term, key in hashes.items() if key in frequency}
    return similarity.weigh(signature, by_term, total, prepared.shingles), frequency, total


def neighbours(
    connection: Connection,
    profile: Profile,
    day: int,
    frequency: dict[int, int],
    total: int,
    search: Search = USUAL,
    but: int | None = None,
) -> tuple[Neighbour, ...]:
    """The judged neighbours of a profile; `but` is a number to leave out: the article's own."""
    docs = candidates(connection, profile, day, frequency, total, search)
    docs.discard(but or 0)
    found = [
        _neighbour(other, similarity.judge(profile, similarity.from_bytes(other.profile)), day, search)
        for other in similar.profiles(connection, docs)
    ]
    rank = {"duplicate": 0, "same_story": 1, "related": 2}
    kept = [one for one in found if one is not None]
    return tuple(sorted(kept, key=lambda one: (rank[one.relation], -one.score, one.article_id)))


def candidates(
    connection: Connection, profile: Profile, day: int, frequency: dict[int, int], total: int, search: Search = USUAL
) -> set[int]:
    """The numbers of the articles worth judging: near in time by wording and by terms, further away by terms."""
    terms = postings(profile)
    since, until = day - search.window_days, day + search.window_days
    span = similar.days(connection)
    if span is None:
        return set()
    sketch = fingerprints.unpack(profile.shingles)[:SKETCH].tolist()
    docs = {found.doc for found in similar.candidates_by_fp(connection, sketch, since, until)}
    share = min(1.0, (2 * search.window_days + 1) / (span[1] - span[0] + 1))
    near = similar.affordable(terms, frequency, share, postings=search.postings)
    docs |= {found.doc for found in similar.candidates_by_terms(connection, near, since, until, limit=search.near)}
    if span[0] < since or span[1] > until:
        far = similar.affordable(terms, frequency, 1.0, postings=search.postings)
        docs |= {found.doc for found in similar.candidates_by_terms(connection, far, limit=search.far)}
    return docs


def postings(profile: Profile) -> dict[int, float]:
    """The hashes and weights of the profile's salient terms."""
    return {fingerprints.term_hash(term): weight for term, weight in similarity.salient(profile, SALIENT)}


def _neighbour(other: similar.Known, judged: Judgement, day: int, search: Search) -> Neighbour | None:
    if judged.relation is None:
        return None
    far = abs(other.day - day) > search.window_days
    relation: Relation = "related" if far else judged.relation
    return Neighbour(other.article_id, other.day, relation, judged.score, judged.reasons, other.day > day)


def _posted(prepared: Prepared, profile: Profile) -> similar.Posted:
    return similar.Posted(
        article_id=prepared.article_id,
        day=prepared.day,
        terms=postings(profile),
        hashes=fingerprints.unpack(profile.shingles)[:SKETCH].tolist(),
        profile=similarity.to_bytes(profile),
        counted=[fingerprints.term_hash(term) for term in prepared.signature.terms],
    )


def _keys(old: similar.Known) -> tuple[list[int], list[int]]:
    """The keys of an indexed article's postings and fingerprints: they follow from its profile."""
    profile = similarity.from_bytes(old.profile)
    return list(postings(profile)), fingerprints.unpack(profile.shingles)[:SKETCH].tolist()
