"""What a page prints becomes typed blocks, images, embeds, fields and a verdict."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from services.ingest.extract import PageInput, draft
from shared.records import Code, Draft, Embed, Heading, ListBlock, Mark, Nested, Paragraph, Quote, Table

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
URL = "https://news.example/politics/2026/bridge-closes"
LONG = "The council met on Tuesday and agreed, after a long debate, to repair the old bridge before the winter comes."
PROSE = [f"{number}. {LONG} {LONG}" for number in range(5)]
TEXT = "".join(f"<p>{paragraph}</p>" for paragraph in PROSE)


def read(body: str, head: str = "", url: str | None = URL) -> Draft:
    markup = (
        f"<!doctype html><html lang='en-GB'><head><title>Bridge closes for winter | The Example</title>{head}</head>"
    )
    markup += (
        f"<body><header><a href='/'>The Example</a></header><article><h1>Bridge closes for winter</h1>{body}</article>"
    )
    markup += (
        "<footer><p>All rights are with the editors of the paper, whose address is below.</p></footer></body></html>"
    )
    return draft(PageInput(markup.encode(), url, "text/html; charset=utf-8", NOW))


def between(markup: str) -> Draft:
    """A draft with some markup between prose."""
    return read(f"<p>{PROSE[0]}</p><p>{PROSE[1]}</p>{markup}<p>{PROSE[2]}</p><p>{PROSE[3]}</p>")


def test_paragraphs_and_their_marks() -> None:
    found = between(f"<p>It is <b>very</b>  <i>cold</i>, says <a href='/mayor'>the\n mayor</a>; {LONG}</p>").blocks[2]
    assert isinstance(found, Paragraph)
    assert found.text.startswith("It is very cold, says the mayor; ")
    assert found.marks == (
        Mark(6, 10, "strong"),
        Mark(11, 15, "em"),
        Mark(22, 31, "link", "https://news.example/mayor"),
    )


def test_breaks_are_kept_and_two_part_paragraphs() -> None:
    found = between(f"<div>{LONG}<br>{LONG}<br><br>{LONG}</div>").blocks
    assert [b.text for b in found[2:4] if isinstance(b, Paragraph)] == [f"{LONG}\n{LONG}", LONG]


def test_no_break_spaces_stay() -> None:
    found = between(f"<p>Five\u00a0hundred &nbsp;and twenty. {LONG}</p>").blocks[2]
    assert isinstance(found, Paragraph)
    assert found.text.startswith("Five\u00a0hundred \u00a0and twenty.")


def test_headings_have_levels() -> None:
    found = between("<h2>What comes next for the town</h2>").blocks
    assert Heading("What comes next for the town", 2) in found


def test_lists_nest() -> None:
    items = [f"{LONG} (one)", f"{LONG} (two)"]
    found = between(
        f"<ol><li>{items[0]}<ul><li>{LONG} (a)</li><li>{LONG} (b)</li></ul></li><li>{items[1]}</li></ol>"
    ).blocks
    inner = ListBlock(False, (f"{LONG} (a)", f"{LONG} (b)"))
    assert ListBlock(True, tuple(items), (), (Nested(0, inner),)) in found


def test_quotes_keep_their_paragraphs() -> None:
    assert Quote(f"{LONG}\n\n{LONG}") in between(f"<blockquote><p>{LONG}</p><p>{LONG}</p></blockquote>").blocks


def test_posts_are_embeds() -> None:
    post = f"<blockquote class='twitter-tweet'><p>{LONG}</p>— Mayor <a href='https://x.com/mayor/status/1'>May 1</a></blockquote>"
    embed = next(block for block in between(post).blocks if isinstance(block, Embed))
    assert (embed.url, embed.provider) == ("https://x.com/mayor/status/1", "x.com")
    assert embed.text is not None
    assert LONG in embed.text


def test_videos_are_embeds_where_they_stand() -> None:
    found = between(
        "<figure><iframe src='//www.youtube.com/embed/abc'></iframe></figure><iframe src='/ad.html'></iframe>"
    ).blocks
    assert found.index(Embed("https://www.youtube.com/embed/abc", "www.youtube.com")) == 2
    assert sum(isinstance(block, Embed) for block in found) == 1


def test_tables_keep_empty_cells() -> None:
    rows = "<tr><th>Bridge</th><th>Built</th></tr><tr><td>Old bridge</td><td>1902</td></tr><tr><td>New bridge</td><td></td></tr>"
    found = between(
        f"<p>The bridges of the town, and the years in which each of them was built:</p><table>{rows}</table>"
    ).blocks
    assert Table((("Bridge", "Built"), ("Old bridge", "1902"), ("New bridge", "")), 1) in found


def test_code_is_verbatim() -> None:
    code = "if x:\n    return 1  # " + LONG
    assert Code(code) in between(f"<pre>{code}</pre>").blocks


def test_images_with_caption_and_credit() -> None:
    figure = (
        "<figure><img src='small.jpg' data-src='/img/bridge.jpg' alt='The bridge'><figcaption>The bridge in May."
        "<span class='credit'>Photo: Ann Example</span></figcaption></figure>"
    )
    found = between(figure)
    (image,) = found.images
    assert (image.url, image.alt, image.position) == ("https://news.example/img/bridge.jpg", "The bridge", 2)
    assert "The bridge in May." in (image.caption or "")
    assert all("The bridge in May." not in str(block) for block in found.blocks)


def test_icons_are_no_images() -> None:
    assert (
        between(
            "<img src='/x.png' width='16' height='16'><img class='logo' src='/l.png'><img src='data:image/gif;base64,R0'>"
        ).images
        == ()
    )


def test_comments_stay_out() -> None:
    comments = "".join(
        f"<li class='comment'><p>I disagree with all of this, neighbour number {n}. {LONG}</p></li>" for n in range(4)
    )
    found = read(f"{TEXT}</article><section id='comments'><h3>4 comments</h3><ol>{comments}</ol></section><article>")
    assert [block.text for block in found.blocks if isinstance(block, Paragraph)] == PROSE
    assert any(removed.reason == "comment" for removed in found.removed)


def test_data_about_the_article() -> None:
    node = {
        "@context": "https://schema.org",
        "@type": "NewsArticle",
        "headline": "Bridge closes for winter",
        "datePublished": "2026-04-30T10:00:00+02:00",
        "dateModified": "2026-04-30T12:00:00Z",
        "author": [{"@type": "Person", "name": "Ann Example"}, {"@type": "Person", "name": "Bo Sample"}],
        "articleSection": "Politics",
        "keywords": "bridge, winter",
        "publisher": {"@type": "Organization", "name": "The Example"},
    }
    head = f"<script type='application/ld+json'>{json.dumps(node)}</script><link rel=canonical href='/politics/bridge'>"
    found = read(TEXT, head)
    assert found.headline == "Bridge closes for winter"
    assert found.authors == ("Ann Example", "Bo Sample")
    assert found.published is not None
    assert (found.published.utc, found.published.zone) == ("2026-04-30T08:00:00+00:00", "+02:00")
    assert found.modified is not None
    assert found.modified.utc == "2026-04-30T12:00:00+00:00"
    assert (found.section, found.tags, found.language) == ("Politics", ("bridge", "winter"), "en")
    assert found.canonical_url == "https://news.example/politics/bridge"
    assert found.site_name == "The Example"
    assert found.origins["published"].rule == "json-ld datePublished"


def test_data_that_the_page_contradicts_loses() -> None:
    node = {"@type": "NewsArticle", "headline": "The Example", "datePublished": "2031-01-01"}
    head = f"<script type='application/ld+json'>{json.dumps(node)}</script><meta property='og:title' content='Bridge closes for winter'>"
    found = read(f"<time datetime='2026-04-29'>29 April</time>{TEXT}", head)
    assert found.headline == "Bridge closes for winter"
    assert ("json-ld headline", "The Example") in [(lost.rule, lost.value) for lost in found.origins["headline"].lost]
    assert found.published is not None
    assert found.published.utc.startswith("2026-04-29")


def test_a_standfirst_is_the_lead_and_no_block() -> None:
    dek = "After forty years the town gives its oldest crossing a winter's rest"
    head = f"<meta name=description content='{dek}'><meta property='og:description' content='{dek}'>"
    found = read(f"<p class='standfirst article-summary'>{dek}</p><div class='article-body'>{TEXT}</div>", head)
    assert found.lead in (dek, PROSE[0])
    assert [block.text for block in found.blocks if isinstance(block, Paragraph)][-5:] == PROSE


@pytest.mark.parametrize(
    ("head", "access", "reason"),
    [
        (
            '<script type="application/ld+json">{"@type":"NewsArticle","isAccessibleForFree":false}</script>',
            "metered",
            "not-free-json-ld",
        ),
        ("<meta property='article:content_tier' content='locked'>", "blocked", "content-tier"),
        ("", "free", None),
    ],
)
def test_walls(head: str, access: str, reason: str | None) -> None:
    verdict = read(TEXT, head).verdict
    assert (verdict.kind, verdict.access, verdict.access_reason) == ("article", access, reason)


@pytest.mark.parametrize(
    ("markup", "reason"),
    [
        ("<title>404 Page not found</title><h1>Not found</h1><p>The page you wanted is gone.</p>", "soft-404"),
        (
            "<title>Just a moment...</title><p>Checking your browser</p><script>window._cf_chl_opt={}</script>",
            "challenge-page",
        ),
        (
            "<title>News</title>"
            + "".join(f"<h2><a href='/{n}'>A headline of some length, {n}</a></h2>" for n in range(20)),
            "listing-page",
        ),
        ("<title>x</title>", "no-text"),
    ],
)
def test_what_is_no_article(markup: str, reason: str) -> None:
    found = draft(PageInput(f"<html>{markup}</html>".encode(), URL, None, NOW))
    assert (found.verdict.kind, found.verdict.reason) == ("not-an-article", reason)


def test_a_page_without_an_address_keeps_its_links_as_printed() -> None:
    found = read(TEXT + "<figure><img src='/img/bridge.jpg' alt=''></figure>" + TEXT, url=None)
    assert [image.url for image in found.images] == ["/img/bridge.jpg"]
    assert found.canonical_url is None


def test_text_that_the_page_carries_again_counts_once() -> None:
    again = f"<div class='body'>{' '.join(PROSE)}</div>"
    found = read(f"<div class='body'>{TEXT}</div><div class='body'>{TEXT}</div>{again}")
    assert [block.text for block in found.blocks if isinstance(block, Paragraph)] == PROSE
    assert {removed.reason for removed in found.removed} >= {"copy"}


def test_reading_twice_gives_the_same() -> None:
    assert read(TEXT) == read(TEXT)
