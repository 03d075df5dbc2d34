"""Each bundled profile's page of our own writing becomes exactly the record beside it; without a profile the text is the same."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from services.ingest import profiles
from services.ingest.extract import PageInput, draft
from shared.records import Draft, to_plain

PAGES = Path(__file__).parent / "pages"
NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
URL = "http://site.example/economy/river-ports-ask-common-tariff"
FOCUS = (PAGES / "belarus-in-focus.html").read_text("utf-8")
# The demo's profile reads the demo's own pages: tests/console/test_demo_site.py.
READ_ELSEWHERE = {"demo"}


def read(markup: str, name: str | None = "belarus-in-focus", url: str = URL) -> Draft:
    profile = profiles.load().named(name, NOW.date()) if name else None
    return draft(PageInput(markup.encode(), url, "text/html; charset=utf-8", NOW), profile)


def same(expected: Any, got: Any, path: str = "") -> None:
    """Every expected value is there; more is allowed."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert key in got, f"{path}.{key} is missing"
            same(value, got[key], f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(expected) == len(got), path
        for number, pair in enumerate(zip(expected, got, strict=True)):
            same(*pair, f"{path}[{number}]")
    else:
        assert expected == got, path


@pytest.mark.parametrize("name", [name for name in profiles.load().names() if name not in READ_ELSEWHERE])
def test_the_page_becomes_the_record(name: str) -> None:
    expected = json.loads((PAGES / f"{name}.json").read_text("utf-8"))
    same(expected, to_plain(read((PAGES / f"{name}.html").read_text("utf-8"), name)))


@pytest.mark.parametrize(("icon", "value"), [("up", "improved"), ("same", "unchanged"), ("down", "worsened")])
def test_the_status_follows_the_icon(icon: str, value: str) -> None:
    found = read(FOCUS.replace("status-icon status-up", f"status-icon status-{icon}"))
    assert (found.category_status.value, found.category_status.evidence) == (value, f"class status-{icon}")


def test_an_unknown_icon_is_unknown_and_a_miss() -> None:
    found = read(FOCUS.replace("status-icon status-up", "status-icon"))
    assert (found.category_status.value, found.category_status.label) == ("unknown", "Category status")
    assert found.missed == ("category_status",)


def test_without_a_profile_the_text_is_the_same() -> None:
    with_profile, without = read(FOCUS), read(FOCUS, None)
    assert without.blocks == with_profile.blocks
    assert without.lead == with_profile.lead
    assert without.images == with_profile.images
    assert without.headline == with_profile.headline
    assert (without.section, without.category_status.value) == (None, "unknown")
    assert without.published is not None
    assert (without.published.raw, without.published.zone_source) == ("May 06, 2015 08:30", "assumed")
    (entry,) = without.related
    assert entry.snapshot is not None
    assert entry.snapshot.blocks == with_profile.related[0].snapshot.blocks  # type: ignore[union-attr]


def test_a_change_of_the_similar_block_changes_nothing_else() -> None:
    other = read(FOCUS.replace("The locks are open until the first ice.", "The locks are closed."), None)
    assert other.blocks == read(FOCUS, None).blocks
    assert other.related != read(FOCUS, None).related


def test_a_plain_heading_of_similar_articles_ends_the_text() -> None:
    markup = FOCUS.replace('<div class="block block-views similar-articles">', "<div>").replace(
        "<h2>Similar", "<p>Similar"
    )
    found = read(markup.replace("Similar articles</h2>", "Similar articles</p>"), None)
    assert found.blocks == read(FOCUS, None).blocks
    assert [entry.heading for entry in found.related] == ["Similar articles"]


def test_a_moved_layout_shows_as_misses_and_the_engine_stands_in() -> None:
    moved = (
        FOCUS.replace('class="title"', "")
        .replace("field-name-body", "text-of-node")
        .replace('class="submitted"', 'class="when"')
    )
    found = read(moved)
    assert set(found.missed) == {"headline", "published", "body"}
    assert found.headline == "River ports ask for a common tariff"
    assert found.blocks == read(FOCUS).blocks
    assert found.published is not None
    assert found.published.zone_source == "configured"


def test_a_page_without_date_and_layout_is_none_of_the_articles() -> None:
    body = "".join(
        f"<p>This monitor is written by volunteers, and has been for {n} years, week after week.</p>" for n in range(9)
    )
    found = read(f"<html><body><div id=content><h1>About us</h1>{body}</div></body></html>")
    assert (found.verdict.kind, found.verdict.reason) == ("not-an-article", "static-page")


def test_origins_name_the_rule_and_what_lost() -> None:
    found = read(FOCUS)
    assert found.origins["section"].rule == "profile belarus-in-focus css link[rel=canonical]"
    assert found.origins["language"].rule == "html lang"
    assert found.origins["blocks"].lost[0].rule == "engine"


def test_removed_text_has_a_reason() -> None:
    reasons = {removed.text: removed.reason for removed in read(FOCUS, None).removed}
    assert reasons["River ports ask for a common tariff"] == "title"
    assert reasons["Image: Harbour.example"] == "caption"
    assert reasons["Similar articles"] == "related"
    assert any("Reprints are welcome" in text for text in reasons)


SEED = Path(__file__).parents[3].parent / "shared" / "seed-site"


@pytest.mark.skipif(not SEED.is_dir(), reason="the seed site is not beside this checkout")
@pytest.mark.parametrize("with_profile", [True, False])
@pytest.mark.parametrize("number", [0, 1])
def test_the_seed_pages(number: int, with_profile: bool) -> None:
    path = sorted((SEED / "expected").glob("*.json"))[number]
    text = path.read_text("utf-8")
    base = "http://127.0.0.1:8080"
    for key in ("url", "target"):
        text = text.replace(f'"{key}": "/', f'"{key}": "{base}/')
    expected = json.loads(text)
    url = expected.pop("url")
    markup = (SEED / "site" / (url.removeprefix(base + "/") + ".html")).read_text("utf-8")
    found = read(markup, "belarus-in-focus" if with_profile else None, url)
    assert found.canonical_url == url
    if with_profile:
        same(expected, to_plain(found))
    else:
        same({key: expected[key] for key in ("headline", "lead", "blocks", "images", "language")}, to_plain(found))
        assert (found.section, found.category_status.value) == (None, "unknown")
        assert len(found.related) == len(expected["related"])
