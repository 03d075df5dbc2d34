"""Headline, names and dates as pages of many habits print them, each with the rule that gave it."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from services.ingest.extract import PageInput, draft
from shared.records import Draft, Moment

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
URL = "https://www.herald.example/news/bridge-to-close"
PROSE = (
    "The council met on Tuesday and agreed, after a long debate, to repair the old bridge before the winter comes.",
    "The mayor said that traffic would be led over the northern road until the end of October at the latest.",
    "A first estimate puts the price at four million, of which the province is asked to carry a third.",
    "Residents of the lower town had asked for the works for years, most recently in a petition with many names.",
)
TEXT = "".join(f"<p>{text}</p>" for text in PROSE)


def read(top: str, head: str = "", *, after: str = "", lang: str = "en", url: str = URL) -> Draft:
    markup = f"<!doctype html><html lang='{lang}'><head>{head}</head><body><article>{top}<div class=text>{TEXT}</div></article>"
    markup += f"{after}</body></html>"
    return draft(PageInput(markup.encode(), url, "text/html; charset=utf-8", NOW))


def data(**fields: object) -> str:
    return f"<script type='application/ld+json'>{json.dumps({'@type': 'NewsArticle', **fields})}</script>"


@pytest.mark.parametrize(
    ("top", "head", "headline"),
    [
        (
            "<h1><a href='/'>The Valley Post</a></h1><h2>Bridge to close</h2>",
            "<title>Bridge to close</title>",
            "Bridge to close",
        ),
        (
            "<h1>Herald</h1><h2>Bridge to close</h2>",
            "<title>Herald » Archive » Bridge to close</title>",
            "Bridge to close",
        ),
        (
            "<h1>Bridge to close</h1>",
            "<title>Bridge to close | herald.example | Your paper in the valley</title>",
            "Bridge to close",
        ),
        ("<h1>«We close the bridge»</h1>", "<title>«We close the bridge» | Herald</title>", "«We close the bridge»"),
        (
            "<h1><span>Old bridge:</span> «We close it»</h1>",
            "<meta property='og:title' content='«We close it»'><title>«We close it» - Herald</title>",
            "«We close it»",
        ),
        (
            "<h1>Bridge – closed for a month</h1>",
            "<meta property='og:title' content='Bridge - closed for a month'>",
            "Bridge – closed for a month",
        ),
        (
            "<h1>Bridge to close for a month, and nobody knows who is to pay</h1>",
            data(headline="Bridge to close for a month, and nobody...", datePublished="2026-04-01"),
            "Bridge to close for a month, and nobody knows who is to pay",
        ),
        ("<h1>旧橋を一か月閉鎖へ</h1>", "<title>旧橋を一か月閉鎖へ-谷新聞</title>", "旧橋を一か月閉鎖へ"),
    ],
)
def test_headlines(top: str, head: str, headline: str) -> None:
    assert read(top, head).headline == headline


@pytest.mark.parametrize(
    ("top", "head", "names", "rule"),
    [
        ("<p>By Ann Example and Bo Sample</p>", "", ("Ann Example", "Bo Sample"), "printed byline"),
        (
            "<p>von <a href='/autoren/anna-beispiel'>Dr. Anna Beispiel</a></p>",
            "",
            ("Dr. Anna Beispiel",),
            "printed byline",
        ),
        ("<p>3 April 2026 | <a href='/author/ann'>Ann Example</a></p>", "", ("Ann Example",), "author link"),
        ("<p class=byline>Автор: Анна Примерова</p>", "", ("Анна Примерова",), "byline"),
        ("<p class=byline>Twitter</p>", data(author={"name": "Herald"}), ("Herald",), "json-ld author"),
        (
            "<p class=byline>By Ann Example</p>",
            data(author={"@type": "Organization", "name": "Herald"}),
            ("Ann Example",),
            "byline",
        ),
        ("", data(author="Le Herald et AFP"), ("Le Herald et AFP",), "json-ld author"),
        (
            "",
            data(author=[{"name": "Ann Example"}, {"name": "Bo Sample"}]),
            ("Ann Example", "Bo Sample"),
            "json-ld author",
        ),
        ("", data(author="Herald staff reporter"), ("Herald staff reporter",), "json-ld author"),
        ("<p class=byline>Herald TimesApril 6</p>", "", (), None),
    ],
)
def test_names(top: str, head: str, names: tuple[str, ...], rule: str | None) -> None:
    found = read(f"<h1>Bridge to close</h1>{top}", head)
    assert found.authors == names
    assert (found.origins["authors"].rule if rule else "authors" in found.origins) == (rule or False)


def test_those_who_comment_did_not_write_the_article() -> None:
    comments = (
        "<section id=comments>"
        + "".join(f"<div class=comment><p>By Cora Reader</p><p>{PROSE[0]}</p></div>" for _ in range(3))
        + "</section>"
    )
    assert read("<h1>Bridge to close</h1>", after=comments).authors == ()


def published(found: Draft) -> Moment:
    assert found.published is not None
    return found.published


def test_the_date_by_the_headline_not_todays() -> None:
    menu = "".join(f"<p class=menu-entry>Entry {n}</p>" for n in range(9))
    found = read(
        f"<div class=date>Friday, 1 May 2026</div>{menu}<h1>Bridge to close</h1><div class=date>3 April 2026, 10:15</div>",
    )
    assert published(found).utc == "2026-04-03T10:15:00+00:00"


def test_a_zone_stated_elsewhere_for_the_same_clock() -> None:
    head = (
        data(datePublished="2026-04-03T10:15:00")
        + "<meta property='article:published_time' content='2026-04-03T10:15:20+02:00'>"
    )
    found = read("<h1>Bridge to close</h1>", head)
    assert (published(found).utc, published(found).zone_source) == ("2026-04-03T08:15:20+00:00", "stated")
    assert found.origins["published"].rule == "meta article:published_time"
    assert found.origins["published"].lost[0].rule == "json-ld datePublished"


@pytest.mark.parametrize(("lang", "day"), [("en-US", "2026-03-04"), ("en-GB", "2026-04-03"), ("fr", "2026-04-03")])
def test_whose_slashes(lang: str, day: str) -> None:
    assert published(read("<h1>Bridge to close</h1><p class=date>03/04/2026</p>", lang=lang)).utc[:10] == day


def test_a_dateline_and_an_address_are_better_than_nothing() -> None:
    markup = read("<h1>Bridge to close</h1>", url="https://herald.example/2026/04/03/bridge")
    assert (published(markup).utc[:10], markup.origins["published"].rule) == ("2026-04-03", "address")
