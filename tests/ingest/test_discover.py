"""What a page offers, ranked; and where a hub is declared (the public WebSub list's discovery cases 100 to 104)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.discover import WebSub, discover, websub

URL = "https://gazette.example/economy"
HTML = {"Content-Type": "text/html; charset=utf-8"}
HUB, TOPIC = "https://hub.example/", "https://gazette.example/topic"


def page(head: str = "", body: str = "<p>Hello</p>") -> bytes:
    return f"<!DOCTYPE html><html><head><title>Gazette</title>{head}</head><body>{body}</body></html>".encode()


def alternate(href: str, kind: str = "application/rss+xml", title: str = "") -> str:
    return f'<link rel="alternate" type="{kind}" href="{href}" title="{title}">'


RSS = b"<rss version='2.0'><channel><title>Wire</title><item><link>https://gazette.example/1</link></item></channel></rss>"


def test_a_feed_is_its_own_best_offer() -> None:
    found = discover(RSS, URL, {})
    assert (found.page, found.title) == ("feed", "Wire")
    best = found.offers[0]
    assert (best.kind, best.url, best.entries, best.guess) == ("feed", URL, 1, False)
    assert best.reason == "The address itself is a feed (RSS) with 1 entry."


def test_a_json_feed_and_a_sitemap() -> None:
    feed = discover(b'{"version": "https://jsonfeed.org/version/1.1", "items": []}', URL, {})
    assert "JSON Feed" in feed.offers[0].reason
    sitemap = discover(b"<urlset><url><loc>https://gazette.example/1</loc></url></urlset>", URL, {})
    assert (sitemap.page, sitemap.offers[0].kind) == ("sitemap", "sitemap")


def test_feeds_named_in_the_head() -> None:
    head = (
        alternate("/comments/feed", title="Gazette: comments")
        + alternate("/feed", title="Gazette")
        + alternate("/atom", "application/atom+xml")
        + alternate("/feed.json", "application/feed+json")
        + alternate("/oembed?x=1", "application/json+oembed")
        + alternate("/be/", "text/html")
    )
    offers = [offer for offer in discover(page(head), URL, HTML).offers if not offer.guess]
    assert [(offer.kind, offer.url) for offer in offers] == [
        ("feed", "https://gazette.example/feed"),
        ("feed", "https://gazette.example/atom"),
        ("feed", "https://gazette.example/feed.json"),
        ("feed", "https://gazette.example/comments/feed"),
    ]
    assert offers[0].title == "Gazette"
    assert "Atom" in offers[1].reason
    assert "comments" in offers[3].reason


def test_the_section_s_own_feed_comes_first() -> None:
    head = alternate("/feed") + alternate("/economy/feed")
    assert discover(page(head), URL, HTML).offers[0].url == "https://gazette.example/economy/feed"


def test_a_link_header_names_a_feed() -> None:
    headers = {"link": '</feed>; rel="alternate"; type="application/atom+xml"; title="All, of it"'}
    best = discover(page(), URL, headers).offers[0]
    assert (best.url, best.title) == ("https://gazette.example/feed", "All, of it")
    assert "header" in best.reason


def test_a_link_that_looks_like_a_feed() -> None:
    body = (
        '<a href="/rss.xml">RSS</a><a href="https://elsewhere.example/feed">theirs</a><a href="/feedback">Feedback</a>'
    )
    offers = [offer for offer in discover(page(body=body), URL, HTML).offers if not offer.guess]
    assert [offer.url for offer in offers] == ["https://gazette.example/rss.xml"]


def test_base_href_is_respected() -> None:
    head = '<base href="https://static.gazette.example/x/">' + alternate("feed")
    assert discover(page(head), URL, HTML).offers[0].url == "https://static.gazette.example/x/feed"


def test_robots_names_sitemaps_and_news_sitemaps_rank_higher() -> None:
    robots = "User-agent: *\nDisallow: /x\nSitemap: https://gazette.example/sitemap.xml\nsitemap:/news-sitemap.xml\nSitemap:\n"
    offers = [offer for offer in discover(page(), URL, HTML, robots).offers if not offer.guess]
    assert [(offer.kind, offer.url) for offer in offers] == [
        ("sitemap", "https://gazette.example/news-sitemap.xml"),
        ("sitemap", "https://gazette.example/sitemap.xml"),
    ]


def test_a_section_page_can_be_watched_itself() -> None:
    items = "".join(
        f'<div class="row"><h2><a href="/economy/story-number-{n}-of-today">Story number {n} of today</a></h2>'
        f"<span>May {n + 1}, 2024</span></div>"
        for n in range(8)
    )
    best = discover(page(body=items), URL, HTML).offers[0]
    assert (best.kind, best.url, best.entries) == ("listing", URL, 8)
    assert best.reason == "The page lists 8 entries, 8 of them dated."


def test_an_article_with_related_links_is_a_poor_section_page() -> None:
    items = "".join(
        f'<h2><a href="/economy/story-number-{n}-of-today">Story number {n} of today</a></h2>' for n in range(4)
    )
    robots = "Sitemap: https://gazette.example/sitemap.xml"
    found = discover(page('<meta property="og:type" content="article">', items), URL, HTML, robots)
    assert [offer.kind for offer in found.offers if not offer.guess] == ["sitemap", "listing"]
    assert "article" in found.offers[1].reason or found.offers[1].guess


def test_a_feed_beats_the_section_page() -> None:
    items = "".join(
        f'<h2><a href="/economy/story-number-{n}-of-today">Story number {n} of today</a></h2>' for n in range(9)
    )
    found = discover(page(alternate("/feed"), items), URL, HTML)
    assert [offer.kind for offer in found.offers if not offer.guess] == ["feed", "listing"]


def test_guesses_come_last_and_say_so() -> None:
    offers = discover(page(alternate("/rss.xml")), URL, HTML).offers
    flags = [offer.guess for offer in offers]
    assert flags == sorted(flags)
    assert offers[0].url == "https://gazette.example/rss.xml"
    assert [offer.url for offer in offers].count("https://gazette.example/rss.xml") == 1
    assert all("not looked at yet" in offer.reason for offer in offers if offer.guess)


def test_something_else_offers_guesses_only() -> None:
    found = discover(b"\x89PNG\x00\x00\x00", URL, {"content-type": "image/png"})
    assert found.page == "other"
    assert found.offers
    assert all(offer.guess for offer in found.offers)


@given(st.binary(max_size=200), st.text(max_size=60), st.text(max_size=60))
def test_anything_gives_offers_in_order(body: bytes, link: str, robots: str) -> None:
    found = discover(body, URL, {"Link": link, "Content-Type": "text/html"}, robots)
    scores = [offer.score for offer in found.offers]
    assert scores == sorted(scores, reverse=True)
    assert all(offer.reason and offer.url.startswith("http") for offer in found.offers)


# WebSub


def atom(links: str) -> bytes:
    return f'<feed xmlns="http://www.w3.org/2005/Atom"><title>T</title>{links}</feed>'.encode()


def rss(links: str) -> bytes:
    return (
        f'<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel><title>T</title>{links}</channel></rss>'
    ).encode()


def header(hub: str, topic: str) -> dict[str, str]:
    return {"Link": f'<{hub}>; rel="hub", <{topic}>; rel="self"'}


def tags(prefix: str = "", hub: str = HUB, topic: str = TOPIC) -> str:
    return f'<{prefix}link rel="hub" href="{hub}"/><{prefix}link rel="self" href="{topic}"/>'


@pytest.mark.parametrize(
    ("body", "headers", "via"),
    [
        (page(), HTML | header(HUB, TOPIC), "header"),
        (page(tags()), HTML, "html"),
        (atom(tags()), {}, "atom"),
        (rss(tags("atom:")), {}, "rss"),
        (page(tags(hub="https://tag.example/", topic="https://tag.example/t")), HTML | header(HUB, TOPIC), "header"),
        (atom(tags(hub="https://tag.example/", topic="https://tag.example/t")), header(HUB, TOPIC), "header"),
    ],
    ids=["100 header", "101 html", "102 atom", "103 rss", "104 header beats html", "104 header beats atom"],
)
def test_websub_discovery(body: bytes, headers: dict[str, str], via: str) -> None:
    assert websub(body, URL, headers) == WebSub((HUB,), TOPIC, via)


def test_several_hubs_in_order_and_a_topic_that_is_not_declared() -> None:
    headers = {"link": '<https://one.example/>; rel=hub, </two>; rel="other hub", <https://one.example/>; rel=hub'}
    assert websub(page(), URL, headers) == WebSub(
        ("https://one.example/", "https://gazette.example/two"), URL, "header"
    )


def test_a_hub_in_the_header_takes_its_topic_from_the_body_where_it_names_none() -> None:
    found = websub(atom(tags(hub="https://tag.example/")), URL, {"Link": f"<{HUB}>; rel=hub"})
    assert found == WebSub((HUB,), TOPIC, "header")


def test_links_in_the_body_are_not_believed() -> None:
    """Readers' comments stand there."""
    assert websub(page(body=f"<div>{tags()}</div>"), URL, HTML) is None


def test_no_hub_no_websub() -> None:
    assert websub(page(), URL, {"Link": f'<{TOPIC}>; rel="self"'}) is None
    assert websub(b"", URL, {}) is None


def test_the_page_s_hub_is_part_of_what_is_discovered() -> None:
    assert discover(page(tags()), URL, HTML).websub == WebSub((HUB,), TOPIC, "html")


def test_a_hostile_link_header_is_bounded() -> None:
    assert websub(page(), URL, {"Link": "<" * 100_000}) is None
    assert websub(page(), URL, {"Link": "<a>;" + " ;" * 50_000}) is None
