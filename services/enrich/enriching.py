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
from shared.store import articles, claims, events

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
    mine = [row for row in rows if _end_claim(work, row, studied[row["id"]])]
    usable = {row["id"]: row for row in mine if row["state"] == "usable" and studied[row["id"]]}
    linked = linking.link(work, [studied[article_id][-1].prepared for article_id in usable], usable)
    guess = sections.predictor(work.connection)
    kinds = articles.kinds(work.connection, usable)
    for article_id, row in usable.items():
        for one in studied[article_id]:
            notes = Annotations(sections.categories(one.article, one.text, guess), linked[article_id].story,
                                linked[article_id].similar)  # fmt: skip
            _settle_revision(work, row, one.article, notes, kinds[article_id, one.article.revision])
    linking.tell(work, (row["id"] for row in mine if row["state"] == "withdrawn"), linked)


def _end_claim(work: queue.Work, row: Row, studied: Sequence[Studied]) -> bool:
    upto = max((one.article.revision for one in studied), default=row["enriched_revision"])
    more = work.now if row["revision"] > upto else None
    return claims.settle(work.connection, ArticleRow, row, enriched_revision=upto, due_at=more)


def _settle_revision(work: queue.Work, row: Row, article: Article, notes: Annotations, kind: str) -> None:
    articles.set_categories(work.connection, article.id, notes.categories)
    articles.annotate(work.connection, article, notes)
    articles.set_article(work.connection, article.id, language=article.language, story_id=notes.story)
    if article.section and article.published:
        articles.observe_status(work.connection, article.id, row["source_id"], article.section, article.published.at,
                                article.category_status.value)  # fmt: skip
    work.log(events.NewEvent(_KINDS[kind], article.id, article.revision, article.backfill))
    sections.wake(work, notes.categories)
