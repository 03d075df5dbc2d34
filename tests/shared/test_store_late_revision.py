"""What happens to an article while it is being enriched is not lost: a claim ends by what the row says then."""

from __future__ import annotations

import datetime as dt

from shared.models import ArticleRow
from shared.records import Article, CategoryStatus, Entry, Paragraph
from shared.store import articles, claims, intake
from shared.store.engine import Store

NOW = dt.datetime(2026, 5, 4, 9, 30, tzinfo=dt.UTC)
URL = "https://news.example/a"


def record(text: str) -> Article:
    return Article(
        id="art_1", source="news", source_item_id=None, url=URL, requested_url=URL, final_url=URL, revision=1, state="usable",
        content_hash=text, headline="A headline", language="en", language_evidence=None, authors=(), published=None,
        modified=None, section=None, category_status=CategoryStatus(), lead=text, blocks=(Paragraph(text),), images=(),
        tags=(), related=(),
    )  # fmt: skip


def test_a_revision_and_a_withdrawal_during_enrichment_are_seen_at_its_end(store: Store) -> None:
    with store.write() as connection:
        source = intake.add_source(connection, name="news", url=URL, kind="feed", profile=None, now=NOW)
        intake.add_entries(connection, source, [intake.NewEntry(Entry(URL, URL), "news.example", False)], NOW)
        articles.create(connection, record("first"), "identity", source, 1, None, NOW)
        claimed = articles.claim_articles(connection, ["art_1"], NOW)
    with store.write() as connection:
        known = articles.locked(connection, "art_1")
        assert known is not None
        articles.revise(connection, known, record("second"), "update", 1, None, NOW)
        articles.set_article(connection, "art_1", state="withdrawn")
    with store.write() as connection:
        mine = claims.mine(connection, ArticleRow, claimed)
        lost = claims.mine(connection, ArticleRow, [claimed[0] | {"lease_epoch": 7}])
    assert [(row["revision"], row["state"]) for row in mine] == [(2, "withdrawn")]
    assert lost == []
