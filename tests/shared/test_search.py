"""The search of articles by words, on both databases."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import delete, insert, select, text, update

from shared.models import ArticleRow
from shared.store import desk, intake, search
from shared.store.engine import Store

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
HEADLINES = {
    "art_1": ("Harbour bridge reopens after repairs", "https://a.example/news/harbour-bridge?id=77"),
    "art_2": ("Паром у гавани задержан", "https://a.example/ferry"),
    "art_3": ("橋は再び開通した", "https://a.example/bridge-jp"),
    "art_4": ("Harbours of the north: 100 % busy", None),
    "art_12": ('O\'Brien says "no"', "https://b.example/o%27brien"),
}


@pytest.fixture
def filled(store: Store) -> Store:
    with store.write() as c:
        source = intake.add_source(c, name="a", url="https://a.example", kind="feed", profile=None, now=NOW)
        for place, (article_id, (headline, url)) in enumerate(HEADLINES.items()):
            row = {"id": article_id, "source_id": source, "identity": article_id, "url": url, "revision": 1, "content_hash": "0",
                   "headline": headline, "first_seen_at": NOW + dt.timedelta(seconds=place), "backfill": False}  # fmt: skip
            c.execute(insert(ArticleRow).values(row))
    return store


def found(store: Store, words: str) -> list[str]:
    with store.read() as c:
        return [row["id"] for row in desk.find_articles(c, desk.Wish(words=words))]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("harbour", ["art_4", "art_1"]),  # a beginning is enough; newest first
        ("HARBOUR bridge", ["art_1"]),
        ("bridge harbour", ["art_1"]),
        ("arbour", []),
        ("art_1", ["art_1"]),  # an id, and not what begins like it
        ("https://www.a.example/news/harbour-bridge?id=77", ["art_1"]),
        ("news/harbour-bridge", ["art_1"]),
        ("паром", ["art_2"]),
        ("再び", ["art_3"]),  # inside a run of words without gaps
        ("o'brien", ["art_12"]),
        ('says "no"', ["art_12"]),
        ("100%", ["art_4"]),
        ("harbour OR ferry", []),  # words, no operators
        ("NOT harbour", []),
        ("'; DROP TABLE article; --", []),
        ("???", []),
        (" ".join(f"w{n}" for n in range(99)), []),
    ],
)
def test_words_find_headlines_and_addresses(filled: Store, words: str, ids: list[str]) -> None:
    assert found(filled, words) == ids


def test_no_words_find_everything(filled: Store) -> None:
    assert found(filled, "  ") == list(reversed(HEADLINES))


def test_a_changed_headline_is_found_by_its_new_words_only(filled: Store) -> None:
    with filled.write() as c:
        c.execute(update(ArticleRow).where(ArticleRow.id == "art_1").values(headline="Tram line extended"))
        c.execute(delete(ArticleRow).where(ArticleRow.id == "art_12"))
    assert found(filled, "tram") == ["art_1"]
    assert found(filled, "repairs") == []
    assert found(filled, "brien") == []
    assert found(filled, "harbour") == ["art_4", "art_1"]  # its address has kept the word


def test_the_index_answers_not_a_scan(filled: Store) -> None:
    with filled.read() as c:
        query = select(ArticleRow.id).where(search.holds(c, "harbour"))
        written = str(query.compile(c, compile_kwargs={"literal_binds": True}))
        if c.dialect.name == "postgresql":
            c.execute(text("SET LOCAL enable_seqscan = off"))
            plan = "\n".join(row[0] for row in c.exec_driver_sql("EXPLAIN " + written.replace("%", "%%")))
            assert "ix_article_words" in plan
        else:
            plan = "\n".join(row[3] for row in c.exec_driver_sql("EXPLAIN QUERY PLAN " + written))
            assert "SCAN article " not in plan + " "
            assert "SCAN article_words VIRTUAL TABLE INDEX" in plan
