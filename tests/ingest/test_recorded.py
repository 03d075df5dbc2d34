"""Articles stated field by field: what is stated is believed, the body is taken whole, bad input is named."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from services.ingest import normalise, pushing, recorded
from shared.errors import Rejected
from shared.records import Article, Entry, Heading, ListBlock, Paragraph, block_text

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
FULL: dict[str, Any] = {
    "headline": "Quay  rebuilt", "lead": "It took a year.", "authors": ["Ilse Brant", "Pavel Keld"], "section": "Economy",
    "published": "2026-05-04T12:00:00+02:00", "modified": "2026-05-04T13:00:00+02:00", "tags": ["harbour"], "language": "en",
    "site_name": "Harbour Desk", "id": "7", "url": "https://news.example/quay",
}  # fmt: skip


def taken(**fields: Any) -> Article:
    """The article that such a push becomes."""
    pushed = pushing.read(json.dumps(fields).encode(), "application/json")
    assert pushed.body is not None
    finding = normalise.Finding("desk", Entry(pushed.key, pushed.url), pushed.url, pushed.url)
    return normalise.extract(pushed.body, pushed.content_type, NOW, finding, None, "Europe/Tallinn").article


def test_every_stated_field_stands_in_the_record() -> None:
    found = taken(**FULL, text="The quay was rebuilt.\n\n- Stone\n- Steel\n\nIt opens in June.")
    assert (found.headline, found.lead, found.authors, found.section) == (
        "Quay rebuilt", "It took a year.", ("Ilse Brant", "Pavel Keld"), "Economy")  # fmt: skip
    assert found.published is not None
    assert found.modified is not None
    assert (found.published.utc, found.modified.utc) == ("2026-05-04T10:00:00+00:00", "2026-05-04T11:00:00+00:00")
    assert (found.tags, found.language, found.site_name, found.url, found.source_item_id) == (
        ("harbour",), "en", "Harbour Desk", "https://news.example/quay", "7")  # fmt: skip
    assert found.blocks == (
        Paragraph("The quay was rebuilt."),
        ListBlock(False, ("Stone", "Steel")),
        Paragraph("It opens in June."),
    )
    assert found.origins["section"].rule == "stated in the pushed record"


def test_a_fragment_of_html_is_taken_whole() -> None:
    fragment = "<h2>Why</h2><p>Short.</p><ul><li>One</li><li>Two</li></ul><p>Read also: <a href='/x'>this</a></p><script>x()</script>"
    found = taken(headline="Quay rebuilt", html=fragment)
    assert [block_text(block) for block in found.blocks] == ["Why", "Short.", "One\nTwo", "Read also: this"]
    assert isinstance(found.blocks[0], Heading)


def test_a_date_without_a_zone_is_read_in_the_installations() -> None:
    found = taken(headline="Quay rebuilt", text="It was.", published="2026-05-04 12:00")
    assert found.published is not None
    assert (found.published.utc, found.published.zone) == ("2026-05-04T09:00:00+00:00", "Europe/Tallinn")


@pytest.mark.parametrize(("fields", "reason"), [
    ({"headline": " ", "text": "x"}, "no-headline"),
    ({"headline": "x"}, "bad-json"),
    ({"headline": "x", "text": "y", "html": "z"}, "bad-json"),
    ({"headline": "x", "text": "y", "colour": "red"}, "bad-json"),
    ({"headline": 7, "text": "y"}, "bad-json"),
    ({"headline": "x", "text": "y", "published": "soon"}, "bad-date"),
    ({"headline": "x", "text": "y", "url": "javascript:1"}, "bad-url"),
    ({"headline": "x", "text": "y", "id": "a\nb"}, "bad-id"),
])  # fmt: skip
def test_bad_records_are_refused_with_the_reason(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected) as refused:
        pushing.read(json.dumps(fields).encode(), "application/json")
    assert refused.value.reason == reason


def test_a_text_that_mentions_a_headline_is_no_record() -> None:
    pushed = pushing.read(json.dumps({"text": 'Title\n\nSays "headline" here.'}).encode(), "application/json")
    assert pushed.content_type == "text/plain; charset=utf-8"


def test_an_empty_body_is_no_article() -> None:
    with pytest.raises(Rejected):
        taken(headline="Quay rebuilt", html="<script>x()</script>")
    assert recorded.read(b'{"headline": "x", "text": "y"}').headline == "x"
