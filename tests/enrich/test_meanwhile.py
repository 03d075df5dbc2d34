"""What happens to an article while its enrichment is under way is neither lost nor told in the wrong order."""

from __future__ import annotations

import datetime as dt
import threading

import msgspec
import pytest
from sqlalchemy import Connection

from services.enrich import enriching
from services.ingest import storing
from shared import records
from shared.models import ArticleRow, Row
from shared.queue import Work
from shared.store import articles, claims, events, intake
from shared.store.engine import Store

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(seconds=5)


def record(number: int = 1) -> records.Article:
    return records.Article(
        id=f"art_{number:016x}", source="harbour", source_item_id=None, url=None, requested_url=None, final_url=None, revision=1,
        state="usable", content_hash="0" * 64, headline=f"The harbour board meets {number}", language="en", language_evidence=None,
        authors=(), published=None, modified=None, section=None, category_status=records.CategoryStatus(), lead=None,
        blocks=(records.Paragraph("The board of the harbour met on Monday and spoke about the new quay for an hour."),),
        images=(), tags=(), related=(),
    )  # fmt: skip


def create(connection: Connection, *numbers: int) -> list[str]:
    source = intake.add_source(connection, name="s", url="http://h.example", kind="feed", profile=None, now=NOW)
    for n in numbers:
        articles.create(connection, record(n), f"{n:064x}", source, 1, None, NOW)
    return [record(n).id for n in numbers]


def studied(rows: list[Row], number: int = 1) -> dict[str, list[enriching.Studied]]:
    return {row["id"]: [enriching.study(record(number), NOW)] for row in rows}


def settle(connection: Connection, rows: list[Row], at: dt.datetime) -> None:
    work = Work(connection, at)
    enriching.settle(work, rows, studied(rows))
    work.finish()


def revise(connection: Connection, article_id: str) -> None:
    known = articles.locked(connection, article_id)
    assert known is not None
    changed = msgspec.structs.replace(record(), content_hash="1" * 64, headline="The harbour board does not meet")
    articles.revise(connection, known, changed, "update", 1, None, LATER)


def test_a_revision_that_arrives_meanwhile_is_enriched_next(store: Store) -> None:
    with store.write() as c:
        (article,) = create(c, 1)
        rows = articles.claim_articles(c, [article], NOW)
        revise(c, article)
        settle(c, rows, LATER)
        assert [row["id"] for row in articles.due_articles(c, LATER, 10)] == [article]
        rows = articles.claim_articles(c, [article], LATER)
        waiting = articles.to_enrich(c, rows)
        assert [one.revision for one in waiting[article]] == [2]


def test_an_article_withdrawn_meanwhile_is_not_published_after_its_withdrawal(store: Store) -> None:
    with store.write() as c:
        (article,) = create(c, 1)
        rows = articles.claim_articles(c, [article], NOW)
        work = Work(c, LATER)
        storing.withdraw(work, article, "gone")
        work.finish()
        settle(c, rows, LATER)
        assert [event.kind for event in events.of_article(c, article)] == ["article.withdrawn"]


def test_a_revision_is_due_although_the_one_before_it_failed(store: Store) -> None:
    with store.write() as c:
        (article,) = create(c, 1)
        (row,) = articles.claim_articles(c, [article], NOW)
        revise(c, article)
        articles.give_up(c, row, "bug", LATER)
        assert [one["id"] for one in articles.due_articles(c, LATER, 10)] == [article]


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_articles_are_locked_in_the_order_of_their_ids(store: Store) -> None:
    with store.write() as c:
        later, sooner = create(c, 2, 1)  # stored in the other order, in which an unsorted query would lock them
        rows = articles.claim_articles(c, [later, sooner], NOW)
    reached = threading.Event()

    def enrich() -> None:
        with store.write() as c:
            reached.set()
            claims.mine(c, ArticleRow, rows)

    with store.write() as c:
        articles.locked(c, sooner)
        other = threading.Thread(target=enrich)
        other.start()
        reached.wait(10)
        other.join(0.5)
        assert articles.locked(c, later) is not None
    other.join(10)
    assert not other.is_alive()
