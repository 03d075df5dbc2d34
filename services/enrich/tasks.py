"""The enrich worker's tasks: articles whose revisions wait, models that are due. Each claims, calls one function, commits."""

from __future__ import annotations

from services.enrich import enriching, sections
from shared import queue
from shared.models import ArticleRow, Row
from shared.queue import Failure, attempt, begin, holding
from shared.records import Article
from shared.store import articles, claims, lanes


@queue.task("enrich.enrich_articles")
def enrich_articles(ids: list[str]) -> None:
    """Revisions become events for partners."""
    with begin() as work:
        rows = articles.claim_articles(work.connection, ids, work.now)
    if not rows:
        return
    with holding(ArticleRow, rows):
        _enrich(rows)


def _enrich(rows: list[Row]) -> None:
    with queue.store().read() as connection:
        waiting = articles.to_enrich(connection, rows)
    results = {row["id"]: _study(row, waiting[row["id"]]) for row in rows}
    good = {key: result for key, result in results.items() if not isinstance(result, Failure)}
    with begin() as work:
        for row in rows:
            failure = results[row["id"]]
            if isinstance(failure, Failure):
                articles.give_up(work.connection, row, failure.reason, work.now)
        enriching.settle(work, [row for row in rows if row["id"] in good], good)


def _study(row: Row, revisions: list[Article]) -> list[enriching.Studied] | Failure:
    if claims.poisoned(row):
        return Failure("crashed", "Enriching this article ended its worker again and again.", later=False)
    return attempt(lambda: [enriching.study(article, row["first_seen_at"]) for article in revisions])


@queue.task("enrich.train_model")
def train_model(keys: list[str]) -> None:
    """Filed articles become a model of their taxonomy."""
    with begin() as work:
        lane = lanes.claim(work.connection, keys[0], work.now, lease_s=600.0)
    if lane is None:
        return
    with queue.store().read() as connection:
        trained = attempt(sections.train, connection, keys[0].partition(":")[2])
    with begin() as work:
        if not isinstance(trained, Failure):
            sections.keep(work, trained)
        lanes.rest(work.connection, lane)
