"""The page as fetched, for the frame: marks where the record's values were read, nothing that runs or loads, hostile pages survived."""

from __future__ import annotations

import datetime as dt
import re

import msgspec
import pytest
from lxml import html

from services.console import fetched
from services.ingest import normalise, profiles
from services.ingest.extract import PageInput, draft
from shared import records
from shared.errors import Rejected
from shared.sandbox import Sandbox

URL = "https://news.example/harbour/bridge"
NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
PAGE = """<!doctype html><html lang="en"><head><title>Harbour bridge reopens after repairs | Example News</title>
<link rel="canonical" href="/harbour/bridge"><meta property="og:site_name" content="Example News">
<script type="application/ld+json">{"@type":"NewsArticle","headline":"Harbour bridge reopens after repairs",
"datePublished":"2026-03-05T10:00:00Z","author":{"name":"Ann O'Hara"},"articleSection":"Harbour"}</script></head>
<body><nav><a href="/">Home</a> <a href="/harbour">Harbour</a></nav><mark id="headline">Advertisement</mark>
<h1>Harbour <i>bridge</i> reopens&nbsp;after   repairs</h1><p class="by">By Ann O'Hara</p>
<div class="text"><p>The harbour <a href="javascript:alert(1)">bridge</a> was closed by the <b>council</b> on Monday, officials said,
after a long and windy winter of repairs that nobody had asked for.</p>
<p onclick="steal()">Second paragraph with <img src="https://tracker.example/x.gif" onerror="alert(1)" alt="a <picture>"> words enough
to be counted as text, which officials had said too, more than once.</p>
<p>Third paragraph stands here &lt;script&gt;alert(2)&lt;/script&gt; and is kept as text, said the council on Tuesday.</p></div>
<iframe src="https://evil.example"></iframe><form action="https://evil.example"><input name="a"><button>Go</button></form>
<svg><script>alert(3)</script></svg><style>mark { display: none }</style></body></html>"""


def record_of(page: str, profile: profiles.Profile | None = None) -> records.Article:
    found = draft(PageInput(page.encode(), URL, "text/html; charset=utf-8", NOW), profile)
    return normalise.article(found, normalise.Finding("example", records.Entry(URL, URL), URL, URL))


def framed(page: str, record: records.Article) -> fetched.Framed:
    return fetched.frame(page.encode(), "text/html; charset=utf-8", records.to_json(record))


def marks(shown: fetched.Framed) -> dict[str, str]:
    """Anchor -> the words that stand under it, those of its other pieces too."""
    tree = html.fromstring(f"<div>{shown.markup}</div>")
    found = {}
    for mark in tree.xpath("//mark[@id]"):
        anchor = mark.get("id")
        pieces = tree.xpath(f"//mark[@id='{anchor}' or contains(concat(' ', @class, ' '), ' of-{anchor} ')]")
        found[anchor] = " ".join(" ".join("".join(piece.itertext()) for piece in pieces).split())
    return found


def test_each_value_is_marked_where_its_rule_read_it() -> None:
    record = record_of(PAGE)
    found = marks(framed(PAGE, record))
    assert found["headline"] == "Harbour bridge reopens after repairs"
    assert found["block-0" if "By" not in records.block_text(record.blocks[0]) else "block-1"].startswith(
        "The harbour bridge was"
    )
    assert found["published"] == "2026-03-05T10:00:00Z"
    assert found["section"] == "Harbour"
    assert found["authors-0"] == "Ann O'Hara"
    assert set(found) == {value.anchor for value in fetched.values(record)}


def test_values_of_the_data_are_marked_in_the_head_and_not_in_a_menu() -> None:
    shown = framed(PAGE, record_of(PAGE))
    page, _, head = shown.markup.partition("In its head")
    assert 'id="section"' not in page
    assert re.search(r'"articleSection": "<mark id="section"', head)
    assert 'id="headline"' in page


def test_a_value_over_several_elements_stands_out_as_a_whole() -> None:
    shown = framed(PAGE, record_of(PAGE))
    assert "html:has(#headline:target) .of-headline{" in shown.style
    assert shown.markup.count("of-headline") == 3


def test_nothing_of_the_page_runs_loads_or_leads_anywhere() -> None:
    shown = framed(PAGE, record_of(PAGE))
    tree = html.fromstring(f"<div>{shown.markup}</div>")
    assert {name for node in tree.iter() for name in node.attrib} <= {"id", "class", "title"}
    assert [n.tag for n in tree.iter("script", "style", "img", "iframe", "form", "input", "svg", "link", "meta")] == []
    assert "Advertisement" in tree.text_content()
    assert "[picture: a <picture>]" in tree.text_content()
    assert "<script>alert(2)</script>" in tree.text_content()  # as text
    assert "https://tracker.example" not in shown.markup


def test_a_profile_s_value_is_looked_for_where_its_selector_looks() -> None:
    page = PAGE.replace('<div class="text">', '<p class="rubric">Harbour</p><div class="text">')
    record = record_of(page)
    origin = records.Origin("profile example css p.rubric")
    shown = framed(page, msgspec.structs.replace(record, origins=record.origins | {"section": origin}))
    assert re.search(r'<p><mark[^>]* id="section">Harbour</mark>', shown.markup)


def test_an_endless_page_is_cut_and_every_value_keeps_an_anchor() -> None:
    record = record_of(PAGE)
    long = PAGE.replace("<nav>", "<ul>" + "<li>another link</li>" * 20_000 + "</ul><nav>")
    shown = framed(long, record)
    assert shown.cut
    assert len(shown.markup) < 100_000
    assert set(marks(shown)) == {value.anchor for value in fetched.values(record)}


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (b"", "text/html"),
        (b"just text <b>", "text/plain"),
        (b'{"a": 1}', "application/json"),
        (b"<", "text/html"),
        (b"\xff\xfe", None),
    ],
)
def test_odd_bytes_are_shown_as_text(page: bytes, kind: str | None) -> None:
    assert "<b>" not in fetched.frame(page, kind, records.to_json(record_of(PAGE))).markup


def test_hostile_pages_end_in_the_sandbox() -> None:
    sandbox = Sandbox("services.console.fetched:frame", cpu_s=4.0, memory_mb=1024, wall_s=10.0)
    record = records.to_json(record_of(PAGE))
    try:
        for page in (b"<div>" * 100_000 + b"x", b"<p " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">x"):
            assert len(sandbox.call(page, "text/html", record).markup) < 100_000
        with pytest.raises(Rejected, match="binary"):
            sandbox.call(bytes(range(256)) * 100, "text/html", record)
    finally:
        sandbox.close()
