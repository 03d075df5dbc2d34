"""One claimed article's waiting revisions in; its language, categories, links, story and status settled, its events logged."""

from __future__ import annotations

import msgspec

from services.enrich import language
from shared import queue
from shared.models import ArticleRow, Row
from shared.records import Annotations, Article, Category, body_text
from shared.store import articles, claims, events

CFG = queue.SETTINGS

_KINDS = {
    "new": "article.published",
    "update": "article.updated",
    "correction": "article.corrected",
    "restored": "article.updated",
}


class Studied(msgspec.Struct, frozen=True):
    """What a text tells by itself, without its neighbours."""

    article: Article


def study(article: Article) -> Studied:
    """Pure: language and fingerprints of one revision."""
    text = f"{article.headline}\n\n{article.lead or ''}\n\n{body_text(article.blocks)}"
    found = language.detect(text, CFG.enrich.languages, article.language)
    return Studied(msgspec.structs.replace(article, language=found.code, language_evidence=found.evidence))


def settle(work: queue.Work, row: Row, studied: list[Studied]) -> None:
    """Commits the revisions of one article in their order, unless the claim was lost."""
    upto = max((one.article.revision for one in studied), default=row["revision"])
    more = row["revision"] > upto
    if not claims.settle(work.connection, ArticleRow, row, enriched_revision=upto, due_at=work.now if more else None):
        return
    kinds = {line["revision"]: line["kind"] for line in articles.history(work.connection, row["id"])}
    for one in studied:
        _settle_revision(work, row, one, kinds[one.article.revision])


def _settle_revision(work: queue.Work, row: Row, one: Studied, kind: str) -> None:
    article = one.article
    categories = tuple(_categories(article))
    articles.set_categories(work.connection, article.id, categories)
    articles.annotate(work.connection, article, Annotations(categories=categories))
    articles.set_article(work.connection, article.id, language=article.language)
    if article.section and article.published:
        articles.observe_status(work.connection, article.id, row["source_id"], article.section, article.published.at,
                                article.category_status.value)  # fmt: skip
    if row["state"] == "usable":
        work.log(events.NewEvent(_KINDS[kind], article.id, article.revision, article.backfill))


def _categories(article: Article) -> list[Category]:
    if not article.section:
        return []
    return [Category(f"section:{article.source}", article.section, article.section, "publisher", "1", 1.0)]
