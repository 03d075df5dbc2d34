"""The enrich worker's task: articles whose revisions wait. It claims, calls one function, commits."""

from __future__ import annotations

from services.enrich import enriching
from shared import queue
from shared.models import ArticleRow
from shared.queue import Failure, attempt, begin
from shared.store import articles, claims


@queue.task("enrich.enrich_articles")
def enrich_articles(ids: list[str]) -> None:
    """Revisions become events for partners."""
    with begin() as work:
        rows = articles.claim_articles(work.connection, ids, work.now)
    with queue.store().read() as connection:
        waiting = articles.to_enrich(connection, rows)
    studied = {row["id"]: [attempt(enriching.study, article) for article in waiting[row["id"]]] for row in rows}
    with begin() as work:
        for row in rows:
            results = studied[row["id"]]
            bad = next((result for result in results if isinstance(result, Failure)), None)
            if bad or claims.poisoned(row):
                reason = bad.reason if bad else "crashed"
                claims.settle(work.connection, ArticleRow, row, due_at=None, reason=reason)
            else:
                enriching.settle(work, row, [result for result in results if not isinstance(result, Failure)])
