"""Texts that a page or a pushed record may state and that a store or a format cannot hold: left out, so that nothing behind them waits."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from sqlalchemy import select

from services.enrich import tasks as enrich
from services.ingest import normalise, recorded
from shared.models import ArticleRow, CategoryRow
from shared.records import Article, Entry, to_json
from shared.store.engine import Store
from tests.ingest.test_folder import TEXT, entries, inbox, look, put

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
URL = "https://news.example/a"
BODY = "".join(
    f"<p>The harbour board met on day {n} and decided nothing of the matter before it, said the mayor.</p>"
    for n in range(6)
)
RECORD = {"headline": "Harbour board doubles the fare", "text": TEXT.partition("\n\n")[2] * 3}

__all__ = ["inbox"]  # a fixture


def read(body: bytes, kind: str = "text/html; charset=utf-8") -> Article:
    return normalise.extract(body, kind, NOW, normalise.Finding("s", Entry(URL, URL), URL, URL), None, "UTC").article


def page(head: str) -> bytes:
    text = f"<article><h1>Harbour board</h1>{BODY}</article>"
    return f"<html><head><title>Harbour board</title>{head}</head><body>{text}</body></html>".encode()


@pytest.mark.parametrize("sign", ["\x00", "\x08", "\x0c", "\x1f", "\ud800", "\ufffe"], ids=ascii)
def test_no_control_character_of_a_json_ld_block_gets_into_a_record(sign: str) -> None:
    stated = {
        "@type": "NewsArticle", "headline": f"Harbour{sign} board doubles the fare", "articleSection": f"Eco{sign}nomy",
        "author": {"@type": "Person", "name": f"Ann{sign} Bee"}, "keywords": [f"har{sign}bour"], "url": f"{URL}{sign}b",
    }  # fmt: skip
    found = read(page(f'<script type="application/ld+json">{json.dumps(stated)}</script>'))
    assert sign not in json.loads(to_json(found)).__repr__().encode("utf-8", "surrogatepass").decode(
        "utf-8", "surrogatepass"
    )
    assert (found.section, found.authors, found.tags) == ("Economy", ("Ann Bee",), ("harbour",))


def test_signs_that_only_look_like_an_escape_stay() -> None:
    found = read(to_json({**RECORD, "headline": "How \\u0000 and \\b are written"}), recorded.CONTENT_TYPE)
    assert found.headline == "How \\u0000 and \\b are written"


def test_a_section_and_a_language_that_are_too_long_to_be_one_are_none() -> None:
    found = read(to_json({**RECORD, "section": "Economy " * 40, "language": "x" * 60}), recorded.CONTENT_TYPE)
    assert (found.section, found.language) == (None, None)


@pytest.mark.parametrize("stated", [
    {"headline": "Harbour\0 board"}, {"section": "Eco\0nomy"}, {"language": "\0"}, {"language": "x" * 60}, {"tags": ["\0"]},
    {"section": "Economy of the harbour " * 200}, {"site_name": "\0"}, {"lead": "\0"}, {"authors": ["\0"]},
])  # fmt: skip
def test_a_record_that_states_such_a_thing_is_stored_and_enriched(
    inbox: Path, store: Store, stated: dict[str, object]
) -> None:
    put(inbox / "a.json", json.dumps(RECORD | stated))
    look(store)
    assert {entry.state for entry in entries(store).values()} == {"stored"}
    with store.read() as c:
        ids = list(c.execute(select(ArticleRow.id)).scalars())
    enrich.enrich_articles(ids)
    with store.read() as c:
        assert c.execute(select(ArticleRow.enriched_revision)).scalars().all() == [1]
        assert all("\0" not in code for code in c.execute(select(CategoryRow.code)).scalars())
