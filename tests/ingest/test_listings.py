"""Section pages in, articles out: layouts of many kinds, written here, and pages that list nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest import feeds, listings
from shared import records
from shared.errors import Rejected

URL = "https://gazette.example/economy"
HEADLINES = (
    "Central bank keeps its rate after a long debate",
    "Ferry fares stay as they are",
    "Harbour dredging starts two weeks early this year",
    "Mill reopens",
    "Beet harvest finds no buyers abroad",
    "Tax office moves to the old customs house",
)
MENU = "".join(
    f'<li><a href="/{path}">{label}</a></li>'
    for path, label in (
        ("politics", "Politics and society"),
        ("economy", "Economy"),
        ("foreign-affairs", "Foreign affairs and security policy"),
        ("about", "About this newspaper"),
    )
)
FOOTER = (
    '<footer><a href="/imprint-and-legal-notice">Imprint and legal notice of the publisher</a>'
    '<a href="https://other.example/partner-site-of-the-year">Our partner site of the year</a></footer>'
)


def slug(headline: str) -> str:
    return headline.lower().replace(" ", "-")


def page(body: str, head: str = "") -> bytes:
    return (
        f"<!DOCTYPE html><html lang='en'><head><title>Economy</title>{head}</head><body>{body}</body></html>".encode()
    )


def urls(feed: records.Feed) -> list[str]:
    return [entry.url or "" for entry in feed.entries]


WANTED = [f"https://gazette.example/economy/{slug(headline)}" for headline in HEADLINES]


def drupal(number: int, headline: str) -> str:
    return (
        f'<div class="views-row views-row-{number}"><h2><a href="/economy/{slug(headline)}">{headline}</a></h2>'
        f'<div class="submitted">May {number + 1:02}, 2024 11:49</div></div>'
    )


def wordpress(number: int, headline: str) -> str:
    return (
        f'<article id="post-{number}" class="post-{number} post"><a href="/economy/{slug(headline)}"><img alt=""></a>'
        f'<h3 class="entry-title"><a href="/economy/{slug(headline)}?utm_source=list#top">{headline}</a></h3>'
        f'<span class="byline"><a href="/author/ada-wren-of-the-desk">Ada Wren of the desk</a></span>'
        f'<time datetime="2024-05-{number + 1:02}T11:49:00+03:00">May {number + 1}</time>'
        f"<p>A summary that is long enough to be taken for one, number {number}.</p>"
        f'<a class="more" href="/economy/{slug(headline)}">Read more</a>'
        f'<a rel="tag" href="/tag/budget-and-taxes-of-the-state">Budget and taxes of the state</a>'
        f'<div class="share-buttons"><a href="/economy/{slug(headline)}/share-with-friends">Share</a></div></article>'
    )


def cards(number: int, headline: str) -> str:
    return (
        f'<a class="card" href="/economy/{slug(headline)}"><div class="card-body"><h4>{headline}</h4>'
        f"<p>A summary that is long enough to be taken for one, number {number}.</p>"
        f"<small>{number + 1:02}.05.2024, 11:49</small></div></a>"
    )


def plain_list(number: int, headline: str) -> str:
    return f'<li>{number + 1:02}.05.2024 <a href="/economy/{slug(headline)}">{headline}</a></li>'


def table(number: int, headline: str) -> str:
    return f'<tr><td>2024-05-{number + 1:02} 11:49</td><td><a href="/economy/{slug(headline)}">{headline}</a></td></tr>'


def with_sections(number: int, headline: str) -> str:
    section = ("Politics and society", "/politics") if number % 2 else ("Economy", "/economy")
    return (
        f'<div class="teaser"><div class="meta"><a href="{section[1]}">{section[0]}</a>'
        f"<span>{number + 1:02}.05.2024 11:49</span></div>"
        f'<a class="pic" href="/economy/{slug(headline)}"><img src="x.jpg" alt="A bridge"></a>'
        f'<a class="teaser-link" href="/economy/{slug(headline)}">{headline}</a></div>'
    )


def bare_cards(number: int, headline: str) -> str:
    return (
        f'<a href="/economy/{slug(headline)}"><img alt="A bridge"><div class="card-title">{headline}</div>'
        f"<div>A summary that is long enough to be taken for one.</div><div>{number + 1:02}.05.2024</div></a>"
    )


LAYOUTS = {
    "with sections": ('<div class="teasers">{}</div>', with_sections),
    "bare cards": ('<div class="grid">{}</div>', bare_cards),
    "drupal": ('<div id="content"><h1>Economy</h1><div class="view">{}</div></div>', drupal),
    "wordpress": ('<main><h1>Economy</h1><div class="posts">{}</div></main>', wordpress),
    "cards": ('<div class="grid">{}</div>', cards),
    "list": ("<ul class='archive'>{}</ul>", plain_list),
    "table": ("<table class='archive'>{}</table>", table),
    "with a sidebar in its name": ('<div class="layout-with-sidebar"><h1>Economy</h1>{}</div>', drupal),
}


def laid_out(name: str) -> str:
    frame, item = LAYOUTS[name]
    items = "".join(item(number, headline) for number, headline in enumerate(HEADLINES))
    popular = "".join(
        f'<li><a href="/politics/popular-story-{number}-of-the-week">Popular story number {number} of the week</a></li>'
        for number in range(5)
    )
    return (
        f'<header><a href="/">Gazette</a><nav><ul>{MENU}</ul></nav>'
        f'<ul class="language-switcher"><li><a href="/be/economy-and-business-news">Беларуская</a></li></ul></header>'
        f'<div class="breadcrumb"><a href="/sections-of-the-newspaper">Sections of the newspaper</a></div>'
        f"{frame.format(items)}"
        f'<aside class="sidebar"><h3>Most read</h3><ol>{popular}</ol></aside>'
        f'<ul class="pager"><li class="next"><a href="?page=1">next ›</a></li>'
        f'<li><a href="?page=9">last »</a></li></ul>{FOOTER}'
    )


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_layouts(name: str) -> None:
    feed = listings.parse(page(laid_out(name)), URL)
    assert urls(feed) == WANTED
    assert [entry.title for entry in feed.entries] == list(HEADLINES)
    assert [entry.key for entry in feed.entries] == WANTED
    assert (feed.kind, feed.title, feed.language) == ("listing", "Economy", "en")
    assert feed.next_url == "https://gazette.example/economy?page=1"


@pytest.mark.parametrize("name", ["drupal", "wordpress", "cards", "bare cards", "table", "with sections"])
def test_dates_in_the_blocks(name: str) -> None:
    feed = listings.parse(page(laid_out(name)), URL)
    assert [(entry.published_utc or "")[:10] for entry in feed.entries] == [f"2024-05-{day:02}" for day in range(1, 7)]


def test_summaries_and_zones() -> None:
    entry = listings.parse(page(laid_out("wordpress")), URL).entries[0]
    assert entry.summary == "A summary that is long enough to be taken for one, number 0."
    assert entry.published_raw == "2024-05-01T11:49:00+03:00"
    assert entry.published_utc == "2024-05-01T08:49:00+00:00"


def test_a_lead_story_in_other_markup_is_kept() -> None:
    lead = '<section class="hero"><h1><a href="/economy/budget-passes-at-last">Budget passes at last</a></h1></section>'
    feed = listings.parse(
        page("<main>" + lead + LAYOUTS["drupal"][0].format("".join(map(drupal, range(6), HEADLINES))) + "</main>"), URL
    )
    assert urls(feed) == ["https://gazette.example/economy/budget-passes-at-last", *WANTED]


def test_a_section_with_two_articles() -> None:
    body = "".join(drupal(number, HEADLINES[number]) for number in (0, 2))
    assert urls(listings.parse(page(f"<ul>{MENU}</ul><div>{body}</div>{FOOTER}"), URL)) == [WANTED[0], WANTED[2]]


def test_a_headline_that_starts_with_more_is_a_headline() -> None:
    titles = (
        "More boats than berths in the harbour",
        "Read the small print, says judge",
        "All quiet at the mill tonight",
    )
    body = "".join(drupal(number, title) for number, title in enumerate(titles))
    assert [entry.title for entry in listings.parse(page(body), URL).entries] == list(titles)


def test_cyrillic_page_in_its_own_charset() -> None:
    titles = ("Мост через реку закрыт до осени", "Паром больше не ходит", "В порту начались работы по углублению дна")
    items = "".join(
        f'<div class="item"><h3><a href="/news/{n}412.html">{title}</a></h3></div>' for n, title in enumerate(titles)
    )
    head = "<head><meta charset='windows-1251'><title>Новости</title></head>"
    body = f"<html>{head}<body>{items}<a href='/news/?page=2'>Далее</a></body></html>"
    feed = listings.parse(body.encode("windows-1251"), "https://gazette.example/news/")
    assert [entry.title for entry in feed.entries] == list(titles)
    assert feed.next_url == "https://gazette.example/news/?page=2"


def test_www_and_bare_host_are_one_site() -> None:
    body = laid_out("drupal").replace('href="/economy/', 'href="https://www.gazette.example/economy/')
    assert len(listings.parse(page(body), URL).entries) == len(HEADLINES)


def test_base_href_is_respected() -> None:
    body = laid_out("drupal").replace('href="/economy/', 'href="economy/')
    assert urls(listings.parse(page(body, "<base href='https://gazette.example/'>"), URL)) == WANTED


# Selectors


def test_a_link_selector_overrules_detection() -> None:
    feed = listings.parse(page(laid_out("wordpress")), URL, link_selector="aside a")
    assert [entry.title for entry in feed.entries] == [
        f"Popular story number {number} of the week" for number in range(5)
    ]


def test_a_selector_may_name_the_block_around_the_link() -> None:
    assert urls(listings.parse(page(laid_out("drupal")), URL, link_selector=".views-row")) == WANTED


def test_a_next_selector() -> None:
    feed = listings.parse(page(laid_out("drupal")), URL, next_selector=".pager li:last-child a")
    assert feed.next_url == "https://gazette.example/economy?page=9"


def test_a_selector_that_finds_nothing_and_one_that_is_none() -> None:
    with pytest.raises(Rejected, match="Nothing on the page matches"):
        listings.parse(page(laid_out("drupal")), URL, link_selector=".gone")
    with pytest.raises(Rejected, match="bad-selector"):
        listings.parse(page(laid_out("drupal")), URL, link_selector="a[")


# Paging


@pytest.mark.parametrize(
    ("pager", "address", "following"),
    [
        ('<link rel="next" href="/economy?page=3">', "/economy?page=2", "/economy?page=3"),
        ('<a rel="next" href="/economy/page/2/">2</a>', "/economy", "/economy/page/2/"),
        (
            '<a href="/economy?page=1">« Previous</a><a href="/economy?page=3">Older posts »</a>',
            "/economy?page=2",
            "/economy?page=3",
        ),
        (
            '<a href="/economy?page=1">1</a><b>2</b><a href="/economy?page=3">3</a>',
            "/economy?page=2",
            "/economy?page=3",
        ),
        ('<a href="/economy?page=1" aria-label="Next page">▸</a>', "/economy", "/economy?page=1"),
        ('<a href="https://other.example/economy?page=2" rel="next">next</a>', "/economy", None),
        ('<a href="/economy" rel="next">next</a>', "/economy", None),
        ('<a href="/economy?page=1">1</a><a href="/economy?page=2">2</a><b>3</b>', "/economy?page=3", None),
        ("", "/economy", None),
    ],
)
def test_the_following_page(pager: str, address: str, following: str | None) -> None:
    body = "".join(drupal(number, headline) for number, headline in enumerate(HEADLINES))
    found = listings.parse(page(f"{body}<div>{pager}</div>"), f"https://gazette.example{address}").next_url
    assert found == (f"https://gazette.example{following}" if following else None)


# What is no listing


@pytest.mark.parametrize(
    "body",
    [
        f"<nav><ul>{MENU}</ul></nav><p>Nothing here yet.</p>{FOOTER}",
        f'<div class="menu"><ul>{MENU}</ul></div><h1>Sign in</h1><form><input></form>',
        "<h1>Not found</h1><p>Go <a href='/'>home</a> or <a href='/contact'>write to us</a>.</p>",
        "<p>Only <a href='https://other.example/a-long-story-elsewhere-today'>a long story elsewhere today</a></p>",
    ],
)
def test_pages_without_headlines_are_refused(body: str) -> None:
    with pytest.raises(Rejected) as caught:
        listings.parse(page(body), URL)
    assert caught.value.reason == "not-a-listing"


def test_a_page_too_large_is_refused() -> None:
    with pytest.raises(Rejected, match="too-large"):
        listings.parse(b"<a>" * listings.MAX_BYTES, URL)


def test_a_page_of_twenty_thousand_links_is_bounded() -> None:
    items = "".join(
        f'<li><a href="/economy/story-number-{n}-of-many">Story number {n} of many</a></li>' for n in range(20_000)
    )
    assert len(listings.parse(page(f"<ul>{items}</ul>"), URL).entries) == listings.MAX_ENTRIES


def outcome(body: bytes) -> tuple[records.Feed | None, str | None]:
    """The feed, or the reason of its refusal; any other error is a bug and fails the test."""
    try:
        return listings.parse(body, URL), None
    except Rejected as refusal:
        return None, refusal.reason


@pytest.mark.parametrize(
    "body",
    [
        b"<div>" * 30_000 + b"<a href='/economy/deep-down-in-the-page'>Deep down in the page</a>",
        b"<a href='/economy/" + b"a" * 200_000 + b"'>A very long address of a page</a>" * 3,
        b"<a href='https://[broken'>Broken brackets in an address</a>" * 3,
        b"<a href='/economy/x-y-z-1'>" + b"word " * 50_000 + b"</a>",
        b"<base href='javascript:alert(1)'><a href='relative-story-of-the-day'>Relative story of the day</a>",
        b"\x00\x01\x02" * 100,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_hostile_pages_are_read_or_refused(body: bytes) -> None:
    feed, refusal = outcome(body)
    assert (feed is None) == (refusal is not None)
    assert feed is None or all((entry.url or "").startswith("https://gazette.example/") for entry in feed.entries)


@settings(max_examples=40)
@given(st.permutations(range(len(HEADLINES))), st.integers(0, len(HEADLINES)))
def test_the_order_is_the_page_s_and_repeats_are_dropped(order: list[int], repeats: int) -> None:
    body = "".join(drupal(number, HEADLINES[number]) for number in [*order, *order[:repeats]])
    assert urls(listings.parse(page(body), URL)) == [WANTED[number] for number in order]


SEED = Path(__file__).parents[3] / "shared" / "seed-site" / "site"


@pytest.mark.skipif(not SEED.exists(), reason="the seed site is not beside the checkout")
def test_the_seed_site_s_section_and_feed_name_the_same_articles() -> None:
    base = "http://127.0.0.1:8000"
    section = (SEED / "international-relations" / "index.html").read_bytes()
    feed = feeds.parse((SEED / "rss.xml").read_bytes().replace(b"{base}", base.encode()), f"{base}/rss.xml", None)
    listing = listings.parse(section, f"{base}/international-relations")
    assert urls(listing) == urls(feed)
    assert [entry.title for entry in listing.entries] == [entry.title for entry in feed.entries]
    assert [entry.key.split()[0] for entry in feed.entries] == ["9544", "8301"]
    assert [entry.published_raw for entry in listing.entries] == ["October 02, 2017 11:49", "April 22, 2016 19:45"]
