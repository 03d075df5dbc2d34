"""Claimed articles' waiting revisions in; their language, categories, links, stories and status settled, their events logged.

    study    one revision -> Studied             pure, before the transaction
    settle   a batch of Studied -> rows, events  one transaction: each of a batch finds the others

A computed link carries the instant it was drawn. Back-fill never links to what was published after it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec

from services.enrich import language, linking, neighbours, sections
from shared import queue
from shared.models import ArticleRow, Row
from shared.records import Annotations, Article, body_text
from shared.store import articles, claims, events, similar

CFG = queue.SETTINGS

_KINDS = {
    "new": "article.published",
    "update": "article.updated",
    "correction": "article.corrected",
    "restored": "article.updated",
}
_EPOCH = dt.date(1970, 1, 1)


class Studied(msgspec.Struct, frozen=True):
    """What a revision tells by itself, without its neighbours."""

    article: Article
    text: str
    prepared: neighbours.Prepared


def study(article: Article, seen_at: dt.datetime) -> Studied:
    """Pure: language and fingerprints of one revision. Its printed "Similar articles" are not part of its text."""
    text = words_of(article)
    found = language.detect(f"{article.headline}\n\n{text}", CFG.enrich.languages, article.language)
    at = article.published.at if article.published else seen_at
    day = (at.date() - _EPOCH).days
    prepared = neighbours.prepare(article.id, article.headline, text, found.code, day)
    return Studied(
        msgspec.structs.replace(article, language=found.code, language_evidence=found.evidence), text, prepared
    )


def words_of(article: Article) -> str:
    """Lead and body, the lead once."""
    body = body_text(article.blocks)
    return body if not article.lead or article.lead in body else f"{article.lead}\n\n{body}"


def settle(work: queue.Work, rows: Sequence[Row], studied: dict[str, list[Studied]]) -> None:
    """Commits the revisions of claimed articles in their order; of an article whose claim was lost, nothing."""
    similar.enter(work.connection)  # before any other lock; of two that arrive at once, the second sees the first
    mine = claims.mine(work.connection, ArticleRow, rows)
    usable = {row["id"]: row for row in mine if row["state"] == "usable" and studied[row["id"]]}
    placed = linking.link(work, [studied[article_id][-1].prepared for article_id in usable])
    guess = sections.predictor(work.connection)
    noted = {key: [_noted(one, placed, guess) for one in studied[key]] for key in usable}
    articles.annotate(work.connection, [pair for pairs in noted.values() for pair in pairs])
    articles.set_categories(work.connection, {key: pairs[-1][1].categories for key, pairs in noted.items()})
    articles.observe_statuses(
        work.connection, [seen for key, row in usable.items() for seen in _status(row, noted[key][-1][0])]
    )
    claims.settle_many(work.connection, ArticleRow, [(row, _ended(work, row, studied[row["id"]])) for row in mine])
    _log(work, usable, noted)
    linking.tell(work, (row["id"] for row in mine if row["state"] == "withdrawn"), placed)
    sections.wake(work, (category for pairs in noted.values() for category in pairs[-1][1].categories))


Noted = tuple[Article, Annotations]


def _noted(one: Studied, placed: linking.Placed, guess: sections.Guess | None) -> Noted:
    key = one.article.id
    filed = sections.categories(one.article, one.text, guess)
    return one.article, Annotations(filed, placed.story[key], placed.similar[key])


def _status(row: Row, article: Article) -> list[Row]:
    if not article.section or not article.published:
        return []
    return [{"article_id": article.id, "source_id": row["source_id"], "section": article.section,
             "at": article.published.at, "value": article.category_status.value}]  # fmt: skip


def _ended(work: queue.Work, row: Row, studied: Sequence[Studied]) -> Row:
    upto = max((one.article.revision for one in studied), default=row["enriched_revision"])
    language = studied[-1].article.language if studied else row["language"]
    return {"enriched_revision": upto, "due_at": work.now if row["revision"] > upto else None, "language": language}


def _log(work: queue.Work, usable: dict[str, Row], noted: dict[str, list[Noted]]) -> None:
    kinds = articles.kinds(work.connection, usable)
    for key, row in usable.items():
        for article, _ in noted[key]:
            kind = _KINDS[kinds[key, article.revision]]
            work.log(events.NewEvent(kind, key, article.revision, row["backfill"]))
