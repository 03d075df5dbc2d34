"""Postings and fingerprints: how the articles that may belong with a new one are found, in any process, on both databases.

    sig   (term, day, doc, weight)   the salient terms of an article
    fp    (hash, day, doc)           the smallest shingle hashes of an article
    doc   doc -> article, day, profile
    term  in how many articles a term occurs

Terms and shingles come as hashes; days count from 1970-01-01; both ends of a range of days belong to it. What the candidates
are to the new article is decided by `services.enrich.similarity`, from their profiles.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, TextClause, bindparam, delete, func, insert, select, text, update

from shared.models import DocRow, FpRow, SigRow, TermRow

FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""The days of year 1 and of year 9999: an open end of a range."""

_ALL = 0
"""The row of `term` that counts articles."""
_COUNTED_FULLY = 2000
_ONE_IN = 8
"""Beyond the first 2,000 articles every eighth is counted, eightfold: frequencies need no more, and it saves the writes."""
_SIZES = (8, 16, 24, 40, 64)
"""Numbers of terms that a statement is made for, so that a handful of statements serves every query."""


class Found(NamedTuple):
    """A candidate: its number, and the sum of weights or the number of hashes that it shares."""

    doc: int
    score: float


class Known(NamedTuple):
    """An article in the index."""

    doc: int
    article_id: str
    day: int
    profile: bytes


class Posted(NamedTuple):
    """An article for the index: its postings, its fingerprints, its profile, and every term that it counts for."""

    article_id: str
    day: int
    terms: Mapping[int, float]
    hashes: Collection[int]
    profile: bytes
    counted: Collection[int]


def enter(connection: Connection) -> None:
    """Waits until no other transaction links: of two articles that arrive together, the second then sees the first."""
    held = connection.execute(update(TermRow).where(TermRow.term == _ALL).values(n=TermRow.n))
    if not held.rowcount:
        _count(connection, [_ALL], 0)


def frequencies(connection: Connection, terms: Collection[int]) -> tuple[int, dict[int, int]]:
    """How many articles are counted, and in how many of them each of the terms occurs (absent: in none)."""
    found: dict[int, int] = {}
    wanted = [_ALL, *terms]
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        found.update(dict(connection.execute(_frequencies(), {"terms": part}).all()))
    return found.pop(_ALL, 0), found


def known(connection: Connection, article_ids: Collection[str]) -> list[Known]:
    """Those of the articles that are in the index, in no order."""
    return (
        [Known(*row) for row in connection.execute(_known(), {"ids": list(article_ids)}).all()] if article_ids else []
    )


def profiles(connection: Connection, docs: Collection[int]) -> list[Known]:
    """The indexed articles with these numbers, in no order."""
    return [Known(*row) for row in connection.execute(_profiles(), {"docs": list(docs)}).all()] if docs else []


def index_article(connection: Connection, posted: Posted) -> int:
    """Adds an article that is not in the index; returns its number."""
    return bulk_load(connection, [posted])[0]


def bulk_load(connection: Connection, batch: Sequence[Posted]) -> list[int]:
    """Adds many articles at once, none of them in the index; returns their numbers in the same order."""
    if not batch:
        return []
    docs = _new_docs(connection, batch)
    pairs = list(zip(docs, batch, strict=True))
    sig = [(term, one.day, doc, weight) for doc, one in pairs for term, weight in one.terms.items()]
    fp = [(value, one.day, doc) for doc, one in pairs for value in one.hashes]
    _insert_many(connection, SigRow, sorted(sig))
    _insert_many(connection, FpRow, sorted(fp))
    _count_terms(connection, pairs)
    return docs


def replace_article(
    connection: Connection, old: Known, terms: Iterable[int], hashes: Iterable[int], new: Posted
) -> None:
    """Puts a revision in the place of the article's former text, whose postings and fingerprints the caller names."""
    _drop_postings(connection, old, terms, hashes)
    values = {"day": new.day, "profile": new.profile}
    connection.execute(update(DocRow).where(DocRow.doc == old.doc).values(values))
    _insert_many(connection, SigRow, sorted((term, new.day, old.doc, weight) for term, weight in new.terms.items()))
    _insert_many(connection, FpRow, sorted((value, new.day, old.doc) for value in new.hashes))


def remove_article(connection: Connection, old: Known, terms: Iterable[int], hashes: Iterable[int]) -> None:
    """Takes an article out, so that nothing links to it any more."""
    _drop_postings(connection, old, terms, hashes)
    connection.execute(delete(DocRow).where(DocRow.doc == old.doc))


def candidates_by_fp(
    connection: Connection, hashes: Collection[int], since: int = FIRST_DAY, until: int = LAST_DAY, *, limit: int = 20
) -> list[Found]:
    """The articles that share the most fingerprints, most first."""
    if not hashes:
        return []
    values = {"hashes": list(hashes), "since": since, "until": until, "most": limit}
    return [Found(doc, float(shared)) for doc, shared in connection.execute(_by_fp(), values).all()]


def candidates_by_terms(
    connection: Connection,
    terms: Mapping[int, float],
    since: int = FIRST_DAY,
    until: int = LAST_DAY,
    *,
    limit: int = 20,
) -> list[Found]:
    """The articles that share the most of the salient terms' weight, greatest first.

    Every posting of every term in the range of days is read: `affordable` picks the terms.
    """
    if not terms:
        return []
    pairs = list(terms.items())[: _SIZES[-1]]
    size = next(size for size in _SIZES if size >= len(pairs))
    values: dict[str, Any] = {"since": since, "until": until, "most": limit}
    for place in range(size):
        # Padding: term 0 has no postings.
        values[f"t{place}"], values[f"w{place}"] = pairs[place] if place < len(pairs) else (_ALL, 0.0)
    return [Found(doc, score) for doc, score in connection.execute(_by_terms(size), values).all()]


def affordable(
    terms: Mapping[int, float], frequency: Mapping[int, int], share: float, *, postings: int, least: int = 6
) -> dict[int, float]:
    """Of the salient terms those whose postings can be read at a bounded cost, whatever the size of the store.

    Args:
        terms: term -> weight.
        frequency: in how many articles each occurs.
        share: the part of all articles that lies in the range of days searched, 0 to 1.
        postings: how many postings to read, about; the rarest `least` terms are taken in any case.
    """
    chosen: dict[int, float] = {}
    spent = 0.0
    for term in sorted(terms, key=lambda term: (frequency.get(term, 0), term)):
        cost = share * frequency.get(term, 0)
        if spent + cost > postings and len(chosen) >= least:
            break
        chosen[term] = terms[term]
        spent += cost
    return chosen


def days(connection: Connection) -> tuple[int, int] | None:
    """The first and the last day of the articles in the index; None while it is empty."""
    # Two selects: each then reads one end of the index, and not every row.
    first, last = connection.execute(text("SELECT (SELECT min(day) FROM doc), (SELECT max(day) FROM doc)")).one()
    return (first, last) if first is not None else None


_KNOWN = (DocRow.doc, DocRow.article_id, DocRow.day, DocRow.profile)


def _new_docs(connection: Connection, batch: Sequence[Posted]) -> list[int]:
    rows = [{"article_id": one.article_id, "day": one.day, "profile": one.profile} for one in batch]
    added = connection.execute(insert(DocRow).returning(DocRow.doc, sort_by_parameter_order=True), rows)
    return [int(doc) for doc in added.scalars()]


def _insert_many(connection: Connection, table: type[Any], rows: list[tuple[Any, ...]]) -> None:
    names = [column.name for column in table.__table__.columns]
    if rows:
        connection.execute(insert(table.__table__), [dict(zip(names, row, strict=True)) for row in rows])


def _drop_postings(connection: Connection, old: Known, terms: Iterable[int], hashes: Iterable[int]) -> None:
    gone = delete(SigRow).where(SigRow.doc == old.doc, SigRow.day == old.day, SigRow.term.in_(list(terms)))
    connection.execute(gone)
    connection.execute(delete(FpRow).where(FpRow.doc == old.doc, FpRow.day == old.day, FpRow.hash.in_(list(hashes))))


def _count_terms(connection: Connection, pairs: list[tuple[int, Posted]]) -> None:
    """Raises the frequencies by the batch."""
    raised: dict[int, int] = {}
    for doc, one in pairs:
        step = 1 if doc <= _COUNTED_FULLY else _ONE_IN if doc % _ONE_IN == 0 else 0
        if step:
            for term in (_ALL, *one.counted):
                raised[term] = raised.get(term, 0) + step
    for step in sorted(set(raised.values())):
        _count(connection, sorted(term for term, by in raised.items() if by == step), step)


def _count(connection: Connection, terms: list[int], step: int) -> None:
    # Ascending terms: two transactions that raise the same rows cannot wait for each other.
    if terms:
        connection.execute(_raise_term(), [{"term": term, "step": step} for term in terms])


@functools.cache
def _raise_term() -> TextClause:
    return text(
        "INSERT INTO term (term, n) VALUES (:term, :step) "
        "ON CONFLICT (term) DO UPDATE SET n = term.n + excluded.n"
    )  # fmt: skip


@functools.cache
def _frequencies() -> Any:
    return select(TermRow.term, TermRow.n).where(TermRow.term.in_(bindparam("terms", expanding=True)))


@functools.cache
def _known() -> Any:
    return select(*_KNOWN).where(DocRow.article_id.in_(bindparam("ids", expanding=True)))


@functools.cache
def _profiles() -> Any:
    return select(*_KNOWN).where(DocRow.doc.in_(bindparam("docs", expanding=True)))


@functools.cache
def _by_fp() -> Any:
    shared = func.count().label("shared")
    found = select(FpRow.doc, shared).where(
        FpRow.hash.in_(bindparam("hashes", expanding=True)), FpRow.day.between(bindparam("since"), bindparam("until"))
    )
    return found.group_by(FpRow.doc).order_by(shared.desc(), FpRow.doc.desc()).limit(bindparam("most"))


@functools.cache
def _by_terms(size: int) -> TextClause:
    """The join written out: CROSS JOIN makes SQLite walk the few query terms outside and their postings inside."""
    pairs = ", ".join(f"(CAST(:t{i} AS BIGINT), CAST(:w{i} AS DOUBLE PRECISION))" for i in range(size))
    return text(
        f"WITH q(term, w) AS (VALUES {pairs}) "  # noqa: S608 - only numbered placeholders are put in
        "SELECT s.doc, SUM(s.weight * q.w) AS score FROM q CROSS JOIN sig AS s "
        "WHERE s.term = q.term AND s.day BETWEEN :since AND :until "
        "GROUP BY s.doc ORDER BY score DESC, s.doc DESC LIMIT :most"
    )
