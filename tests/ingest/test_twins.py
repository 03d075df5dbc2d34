"""Versions of one article, and articles that only look like versions."""

from __future__ import annotations

import datetime as dt

import pytest

from services.ingest import normalise, twins
from shared.records import Entry

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
URL = "https://news.example/2026/harbour"
TEXT = "".join(f"<p>The harbour board met on day {n} and decided nothing of the matter before it, said the mayor of the town.</p>"
               for n in range(6))  # fmt: skip


def page(head: str = "", language: str = "en") -> bytes:
    title = "<title>The harbour board decides nothing</title>"
    return (f"<html lang={language}><head>{title}{head}</head><body><article><h1>The harbour board decides nothing</h1>{TEXT}"
            "</article></body></html>").encode()  # fmt: skip


def read(url: str, head: str = "", language: str = "en") -> tuple[str | None, str]:
    """(address, identity) of a page fetched from `url`."""
    finding = normalise.Finding("s", Entry(url, url), url, url)
    found = normalise.extract(page(head, language), "text/html; charset=utf-8", NOW, finding, None, "UTC")
    return found.article.url, found.identity


def canonical(url: str) -> str:
    return f'<link rel="canonical" href="{url}">'


VERSIONS = {
    "AMP that names its canonical page": ("https://news.example/2026/harbour/amp", canonical(URL)),
    "AMP on a host of its own": ("https://amp.news.example/2026/harbour", canonical(URL)),
    "mobile host": ("https://m.news.example/2026/harbour", canonical(URL)),
    "AMP without a canonical address": ("https://news.example/2026/harbour/amp/", ""),
    "AMP by a parameter": ("https://news.example/2026/harbour?amp=1", ""),
    "print version": ("https://news.example/2026/harbour?print=1", ""),
    "print path": ("https://news.example/2026/harbour/print", ""),
    "tracking": ("https://news.example/2026/harbour?utm_source=feed", ""),
}


@pytest.mark.parametrize(("url", "head"), VERSIONS.values(), ids=VERSIONS)
def test_versions_of_one_article_have_one_identity(url: str, head: str) -> None:
    assert read(url, head)[1] == read(URL)[1]


def test_a_foreign_host_claims_nothing() -> None:
    assert read("https://other.example/x", canonical(URL))[0] == "https://other.example/x"
    assert read("https://amp.other.example/x", canonical(URL))[0] == "https://amp.other.example/x"


def test_translations_are_articles_of_their_own_even_under_one_canonical_address() -> None:
    other = "https://news.example/be/2026/harbour"
    stated = (
        f'<link rel="alternate" hreflang="en" href="{URL}"><link rel="alternate" hreflang="be" href="/be/2026/harbour">'
    )
    assert read(other, stated + canonical(URL), "be")[0] == other
    assert read(other, stated + canonical(URL), "be")[1] != read(URL, stated + canonical(URL))[1]


def test_a_page_that_is_not_among_the_translations_is_a_version() -> None:
    stated = f'<link rel="alternate" hreflang="en" href="{URL}">'
    assert read(f"{URL}/amp", stated + canonical(URL))[1] == read(URL)[1]


@pytest.mark.parametrize("url", [
    "https://news.example/amp-hours-explained", "https://news.example/print/the-last-press", "https://news.example/?id=4&page=2",
    "https://news.example/champ", "https://news.example/q?camp=1",
])  # fmt: skip
def test_what_only_sounds_like_a_version_stays_as_it_is(url: str) -> None:
    assert twins.whole(url) == url


def test_hosts_of_two_words_keep_them() -> None:
    assert not twins.same_site("m.example", "example")
    assert twins.same_site("www.news.example", "amp.news.example")
    assert not twins.same_site("news.example", "news.other")


def test_broken_heads_name_nothing() -> None:
    assert twins.languages(b"<link rel=alternate hreflang=en>" + b"<link " * 5000, URL) == {}
