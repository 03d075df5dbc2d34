"""Claimed articles' waiting revisions in; their language, names, categories, links, stories and status settled, events logged.

    study    one revision -> Studied             pure, before the transaction
    settle   a batch of Studied -> rows, events  one transaction: each of a batch finds the others

A computed link carries the instant it was drawn. Back-fill never links to what was published after it. What people said of
an article stands, however often it is enriched; enriching it again re-issues it only where that changed something.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from services.enrich import entities, language, linking, neighbours, sections, turns
from shared import queue
from shared.models import ArticleRow, Row
from shared.records import Annotations, Article, Name, body_text
from shared.store import articles, claims, events, rulings, similar

CFG = queue.SETTINGS
MOST_READ = 200_000  # characters of a text that are studied: some forty newspaper pages
MOST_NAMES = 20

_KINDS = {
    "new": "article.published",
    "update": "article.updated",
    "correction": "article.corrected",
    "restored": "article.restored",
}
_EPOCH = dt.date(1970, 1, 1)


class Studied(msgspec.Struct, frozen=True):
    """What a revision tells by itself, without its neighbours."""

    article: Article
    text: str
    prepared: neighbours.Prepared
    names: tuple[Name, ...]


def study(article: Article, seen_at: dt.datetime) -> Studied:
    """Pure: language, names and fingerprints of one revision. Its printed "Similar articles" are not part of its text.

    Of a text beyond MOST_READ characters the beginning is studied, and `language_evidence` says so.
    """
    whole = words_of(article)
    text = whole[:MOST_READ]
    found = language.detect(f"{article.headline}\n\n{text}", CFG.enrich.languages, article.language)
    evidence = found.evidence if text == whole else f"{found.evidence}; only the first {MOST_READ} characters were read"
    at = article.published.at if article.published else seen_at
    day = (at.date() - _EPOCH).days
    prepared = neighbours.prepare(article.id, article.headline, text, found.code, day)
    names = tuple(Name(*one) for one in entities.names(f"{article.headline}.\n{text}", MOST_NAMES))
    told = msgspec.structs.replace(article, language=found.code, language_evidence=evidence)
    return Studied(told, text, prepared, names)


def words_of(article: Article) -> str:
    """Lead and body, the lead once."""
    body = body_text(article.blocks)
    return body if not article.lead or article.lead in body else f"{article.lead}\n\n{body}"


def settle(work: queue.Work, rows: Sequence[Row], studied: dict[str, list[Studied]]) -> None:
    """Commits the revisions of claimed articles in their order; of an article whose claim was lost, nothing."""
    connection = work.connection
    similar.enter(connection)  # before any other lock; of two that arrive at once, the second sees the first
    mine = claims.mine(connection, ArticleRow, rows)
    usable = {row["id"]: row for row in mine if row["state"] == "usable" and studied[row["id"]]}
    before = articles.notes(connection, [key for key, row in usable.items() if row["again"]])
    placed = linking.link(work, [studied[article_id][-1].prepared for article_id in usable])
    noted = _noted(work, usable, studied, placed)
    withdrawn = [row["id"] for row in mine if row["state"] == "withdrawn"]
    series = turns.observe(work, [(row, noted[key][-1][0]) for key, row in usable.items()], withdrawn)
    articles.annotate(connection, [pair for pairs in noted.values() for pair in pairs])
    articles.set_categories(connection, {key: pairs[-1][1].categories for key, pairs in noted.items()})
    claims.settle_many(connection, ArticleRow, [(row, _ended(work, row, studied[row["id"]])) for row in mine])
    _log(work, usable, noted, before)
    linking.tell(work, withdrawn, placed.around)
    turns.tell(work, series)
    sections.wake(work, (category for pairs in noted.values() for category in pairs[-1][1].categories))


class Noted(NamedTuple):
    """A revision as it is kept, and what is worked out about it."""

    article: Article
    notes: Annotations


def _noted(
    work: queue.Work, usable: Mapping[str, Row], studied: Mapping[str, Sequence[Studied]], placed: linking.Placed
) -> dict[str, list[Noted]]:
    said = rulings.said(work.connection, usable)
    tools = sections.tools(work.connection)

    def noted(one: Studied) -> Noted:
        key = one.article.id
        found = sections.categories(one.article, f"{one.article.headline}\n{one.text}", tools)
        filed = sections.ruled(found, said.get(key, ()), tools.several)
        return Noted(one.article, Annotations(filed, placed.story[key], placed.similar[key], one.names))

    return {key: [noted(one) for one in studied[key]] for key in usable}


def _ended(work: queue.Work, row: Row, studied: Sequence[Studied]) -> Row:
    upto = max((one.article.revision for one in studied), default=row["enriched_revision"])
    language = studied[-1].article.language if studied else row["language"]
    # Asked for while this claim read its revisions, and there were none: it is for the next one.
    again = bool(row["again"] and not studied and row["state"] == "usable" and row["enriched_revision"])
    waits = row["revision"] > upto or again
    return {"enriched_revision": upto, "due_at": work.now if waits else None, "language": language, "again": again}


def _log(
    work: queue.Work, usable: Mapping[str, Row], noted: Mapping[str, Sequence[Noted]], before: Mapping[str, Annotations]
) -> None:
    kinds = articles.kinds(work.connection, usable)
    again: dict[str, Annotations] = {}
    for key, row in usable.items():
        for article, notes in noted[key]:
            if article.revision <= row["enriched_revision"]:
                again[key] = notes
                continue
            work.log(events.NewEvent(_KINDS[kinds[key, article.revision]], key, article.revision, row["backfill"]))
    _log_again(work, {key: usable[key] for key in again if len(noted[key]) == 1}, again, before)


def _log_again(
    work: queue.Work, rows: Mapping[str, Row], now: Mapping[str, Annotations], before: Mapping[str, Annotations]
) -> None:
    """What was enriched before is re-issued where that came to something else."""
    refiled = {key for key in rows if _filed(now[key]) != _filed(before[key])}
    moved = {key for key in rows if linking.told(now[key]) != linking.told(before[key])}
    told = events.occurrences(work.connection, "article.updated", refiled)
    for key in sorted(refiled):
        row = rows[key]
        work.log(events.NewEvent("article.updated", key, row["enriched_revision"], row["backfill"], told.get(key, 0)))
    linking.relinked(work, moved - refiled)


def _filed(notes: Annotations) -> tuple[object, ...]:
    return tuple((one.scheme, one.code, one.method, one.suggestion) for one in notes.categories)
