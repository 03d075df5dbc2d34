"""Postings and fingerprints: how the articles that may belong with a new one are found, in any process, on both databases.

    sig   (term, day, doc, weight)   the salient terms of an article
    fp    (hash, day, doc)           the smallest shingle hashes of an article
    doc   doc -> article, day, profile
    term  in how many articles a term occurs

The statements of an article's way in are handed to the driver as they are, since compiling them took longer than running
them; they are the same on both databases but for the mark that stands for a value. Terms and shingles come as hashes; days
count from 1970-01-01; both ends of a range of days belong to it. What the candidates are to the new article is decided by
`services.enrich.similarity`, from their profiles.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from shared.models import DocRow, FpRow, SigRow, TermRow

FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""The days of year 1 and of year 9999: an open end of a range."""

_ALL = 0
"""The row of `term` that counts articles."""
_COUNTED_FULLY = 2000
_ONE_IN = 8
"""Beyond the first 2,000 articles every eighth is counted, eightfold: frequencies need no more, and it saves the writes."""
_SIZES = (8, 16, 24, 40, 64, 200, 600, 2000)
"""Numbers of values that a statement is made for, so that a handful of statements serves every query."""
_MOST_TERMS = 64


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
    found = dict(_in(connection, "SELECT term, n FROM term WHERE term IN", [_ALL, *terms]))
    return found.pop(_ALL, 0), found


def known(connection: Connection, article_ids: Collection[str]) -> list[Known]:
    """Those of the articles that are in the index, in no order."""
    return (
        [Known(*row) for row in connection.execute(_known(), {"ids": list(article_ids)}).all()] if article_ids else []
    )


def profiles(connection: Connection, docs: Collection[int]) -> list[Known]:
    """The indexed articles with these numbers, in no order."""
    wanted = "SELECT doc, article_id, day, profile FROM doc WHERE doc IN"
    return [Known(*row) for row in _in(connection, wanted, list(docs))]


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
    return candidates_by_fps(connection, [hashes], since, until, limit=limit)[0]


def candidates_by_fps(
    connection: Connection,
    sketches: Sequence[Collection[int]],
    since: int = FIRST_DAY,
    until: int = LAST_DAY,
    *,
    limit: int = 20,
) -> list[list[Found]]:
    """The same for several articles, whose fingerprints are read in one go."""
    wanted = sorted({value for hashes in sketches for value in hashes})
    holders: dict[int, list[int]] = {}
    for value, doc in _in(connection, "SELECT hash, doc FROM fp WHERE hash IN", wanted, _WITHIN, (since, until)):
        holders.setdefault(value, []).append(doc)
    return [_most_shared(holders, hashes, limit) for hashes in sketches]


def _most_shared(holders: Mapping[int, list[int]], hashes: Collection[int], limit: int) -> list[Found]:
    shared = Counter(doc for value in hashes for doc in holders.get(value, ()))
    ranked = sorted(shared.items(), key=lambda pair: (-pair[1], -pair[0]))[:limit]
    return [Found(doc, float(count)) for doc, count in ranked]


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
    pairs = list(terms.items())[:_MOST_TERMS]
    size = _size(len(pairs))
    # Padding: term 0 has no postings.
    pairs += [(_ALL, 0.0)] * (size - len(pairs))
    values = (*(value for pair in pairs for value in pair), since, until, limit)
    return [Found(doc, score) for doc, score in _run(connection, _by_terms(size), values)]


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
        marks = ", ".join("?" * len(names))
        statement = f"INSERT INTO {table.__tablename__} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - our names
        connection.exec_driver_sql(_marked(statement, connection.dialect.paramstyle), rows)


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
        statement = "INSERT INTO term (term, n) VALUES (?, ?) ON CONFLICT (term) DO UPDATE SET n = term.n + excluded.n"
        rows = [(term, step) for term in terms]
        connection.exec_driver_sql(_marked(statement, connection.dialect.paramstyle), rows)


@functools.cache
def _known() -> Any:
    return select(*_KNOWN).where(DocRow.article_id.in_(bindparam("ids", expanding=True)))


_WITHIN = " AND day BETWEEN ? AND ?"


def _in(
    connection: Connection, head: str, wanted: Sequence[int], tail: str = "", values: tuple[Any, ...] = ()
) -> list[Any]:
    """The rows of `head (wanted) tail`, in as few statements as there are lots of two thousand."""
    rows: list[Any] = []
    for start in range(0, len(wanted), _SIZES[-1]):
        part = tuple(wanted[start : start + _SIZES[-1]])
        size = _size(len(part))
        # Padding repeats the last: a value may stand in the list twice.
        marks = ", ".join("?" * size)
        rows += _run(connection, f"{head} ({marks}){tail}", (*part, *part[-1:] * (size - len(part)), *values))
    return rows


def _size(count: int) -> int:
    return next(size for size in _SIZES if size >= count)


def _run(connection: Connection, statement: str, values: tuple[Any, ...]) -> Sequence[Any]:
    return connection.exec_driver_sql(_marked(statement, connection.dialect.paramstyle), values).all()


@functools.cache
def _marked(statement: str, paramstyle: str) -> str:
    """The statement with the driver's mark for a value: `?` with SQLite's, `%s` with PostgreSQL's."""
    return statement if paramstyle == "qmark" else statement.replace("?", "%s")


@functools.cache
def _by_terms(size: int) -> str:
    """The join written out: CROSS JOIN makes SQLite walk the few query terms outside and their postings inside."""
    pairs = ", ".join(["(CAST(? AS BIGINT), CAST(? AS DOUBLE PRECISION))"] * size)
    return (
        f"WITH q(term, w) AS (VALUES {pairs}) "  # noqa: S608 - only marks for values are put in
        "SELECT s.doc, SUM(s.weight * q.w) AS score FROM q CROSS JOIN sig AS s "
        "WHERE s.term = q.term AND s.day BETWEEN ? AND ? "
        "GROUP BY s.doc ORDER BY score DESC, s.doc DESC LIMIT ?"
    )
