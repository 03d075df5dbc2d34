"""One suite for all renderers: every format, every record, the same promises.

Each format brings one thing: how to see the words in it (`SEEN`). What it promises is the same for all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree, html
from markdown_it import MarkdownIt

from services.publish.render import FORMATS, RenderInput, render
from services.publish.render.shapes import WITHDRAWN_NOTICE, block_text, printable
from shared.errors import Rejected
from shared.records import (
    Annotations,
    Article,
    Block,
    CategoryStatus,
    Code,
    Embed,
    Heading,
    Image,
    ListBlock,
    Mark,
    Paragraph,
    Quote,
    Related,
    Snapshot,
    Table,
)
from tests.publish.records import BLOCKS, event, withdrawn

HOSTILE = (
    "</title>]]>\"'<script>alert(1)</script>&amp;&#0;\x00\x1b[31m\x0b\ud800\uffff \u202eevil\n"
    "# *x* _y_ [z](javascript:1) |"
)
NBSPS = "A\u00a0b\u202fc\u2009d."
FEW_IMAGES = tuple(Image(f"https://i.example/{n}", None, f"Image number {n}", position=n) for n in (-3, 0, 5, 99))
LISTS = (ListBlock(True, ("- one", "2) two", "# three\nfour")), ListBlock(False, ("+ a",)))

RECORDS: dict[str, RenderInput] = {
    "everything": event(),
    "a correction": event("corrected", revision=4),
    "withdrawn": withdrawn(),
    "hostile headline": event(headline=HOSTILE, lead=HOSTILE, section=HOSTILE, authors=(HOSTILE,), tags=(HOSTILE,)),
    "hostile body": event(
        blocks=(
            Paragraph(HOSTILE, (Mark(0, 5, "link", "javascript:alert(1)"), Mark(2, 900, "strong"), Mark(9, 3, "em"))),
            Heading(HOSTILE, 99),
            Quote(HOSTILE, HOSTILE, (Mark(-4, 4, "blink"),)),
            Code(HOSTILE + "\n```\n````"),
            ListBlock(False, (HOSTILE, ""), ((Mark(0, 4, "code"),),)),
            Table(((HOSTILE,), ()), 1, HOSTILE),
            Embed("javascript:alert(2)", None, HOSTILE),
            Embed("data:text/html,<script>"),
        ),
        images=(Image("javascript:alert(3)", HOSTILE, HOSTILE, HOSTILE, HOSTILE, -1),),
        related=(
            Related("publisher_similar", HOSTILE, 1, "javascript:alert(4)", Snapshot(HOSTILE, "file:///etc/passwd")),
        ),
        url="javascript:alert(5)",
    ),
    "empty body": event(blocks=(), lead=None, images=(), related=()),
    "nothing but a headline": event(
        source_item_id=None,
        url=None,
        requested_url=None,
        final_url=None,
        language=None,
        authors=(),
        published=None,
        modified=None,
        section=None,
        category_status=CategoryStatus(),
        lead=None,
        blocks=(),
        images=(),
        tags=(),
        related=(),
        site_name=None,
        annotations=Annotations(),
    ),
    "Cyrillic": event(
        headline="Паром подорожает в мае",
        language="ru",
        lead="Цены — «новые».",
        blocks=(Paragraph("Цены — «новые»."),),
        url="https://harbour.example/паром?q=цена",
    ),
    "no-break spaces": event(headline="5\u00a0% of fares", lead=NBSPS, blocks=(Paragraph(NBSPS), Paragraph("\u00a0"))),
    "a lead of its own": event(lead="A lead that stands by itself.", blocks=(Paragraph("Then the body."),)),
    "blank headline": event(headline=" "),
    **{f"only a {type(block).__name__}": event(blocks=(block,), lead=None) for block in BLOCKS},
    "ragged table": event(blocks=(Table((("a", "b", "c"), ("d",), ())),), lead=None),
    "lists in a row": event(blocks=LISTS, lead=None),
    "images anywhere": event(images=FEW_IMAGES),
}


def markup_text(markup: str) -> str:
    """What a reader sees of HTML: code and line breaks kept apart from their neighbours."""
    root = html.fromstring(f"<div>{markup}</div>")
    for element in root.iter("br", "p", "li", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "figcaption", "caption"):
        element.tail = " " + (element.tail or "")
        if element.tag != "br":
            element.text = " " + (element.text or "")
    return "".join(str(text) for text in root.itertext())


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


def xml_texts(body: bytes) -> Iterator[str]:
    yield from element_texts(etree.fromstring(body))


def element_texts(element: Any) -> Iterator[str]:
    """Attributes and words in reading order; attributes of the page inside are no words."""
    if "xhtml" not in element.tag:
        yield from (str(value) for value in element.attrib.values())
    if element.text:
        carries_html = element.tag.endswith(("}encoded", "}content"))
        yield markup_text(element.text) if carries_html else element.text
    for child in element:
        yield from element_texts(child)
        yield child.tail or ""


def json_texts(body: bytes) -> Iterator[str]:
    for text in strings(json.loads(body)):
        yield markup_text(text) if re.match(r"<(p|h\d|ul|ol|blockquote|pre|table|figure)[ >]", text) else text


def markdown_texts(body: bytes) -> Iterator[str]:
    yield markup_text(MarkdownIt("commonmark").enable("table").render(body.decode()))


SEEN: dict[str, Callable[[bytes], Iterator[str]]] = {
    "brief": json_texts,
    "ninjs": json_texts,
    "jsonfeed": json_texts,
    "rss": xml_texts,
    "atom": xml_texts,
    "newsml": xml_texts,
    "html": lambda body: iter([markup_text(body.decode())]),
    "text": lambda body: iter([body.decode()]),
    "markdown": markdown_texts,
}


def ninjs_markup(body: bytes) -> Iterator[str]:
    return (one["value"] for one in json.loads(body).get("bodies", []) if one["contentType"] == "text/html")


def xml_markup(body: bytes) -> Iterator[str]:
    for element in etree.fromstring(body).iter():
        if isinstance(element.tag, str) and element.tag.endswith(("}encoded", "}content")):
            yield element.text or ""


def markdown_markup(body: bytes) -> Iterator[str]:
    yield MarkdownIt("commonmark", {"html": True}).enable("table").render(body.decode())


MARKUP: dict[str, Callable[[bytes], Iterator[str]]] = {
    "ninjs": ninjs_markup,
    "jsonfeed": lambda body: (item["content_html"] for item in json.loads(body)["items"]),
    "rss": xml_markup,
    "atom": xml_markup,
    "newsml": lambda body: iter([body.decode()]),
    "html": lambda body: iter([body.decode()]),
    "markdown": markdown_markup,
}


def flat(text: str) -> str:
    return re.sub(r"\s+", "", text)


def seen(name: str, body: bytes) -> str:
    return flat(printable(" ".join(SEEN[name](body))))


def pieces(block: Block) -> list[str]:
    """The words of a block in the order of every format; a table's caption stands before or after its cells."""
    if isinstance(block, Table):
        return [cell for row in block.rows for cell in row]
    return block_text(block).split("\n")


def contained(words: str, inside: str) -> bool:
    return flat(printable(words)) in inside


every_format = pytest.mark.parametrize("name", sorted(FORMATS))
every_record = pytest.mark.parametrize("record", sorted(RECORDS))


def test_the_suite_covers_every_format() -> None:
    assert set(SEEN) == set(FORMATS)


@every_format
@every_record
def test_renders_the_same_well_formed_bytes_each_time(name: str, record: str) -> None:
    rendered = render(name, RECORDS[record])
    assert rendered == render(name, RECORDS[record])
    assert rendered.content_type == FORMATS[name].content_type
    assert re.fullmatch(r"[a-z]+", rendered.extension)
    text = rendered.body.decode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", text)
    assert seen(name, rendered.body)


@every_format
@every_record
def test_headline_and_every_block_are_there_in_order(name: str, record: str) -> None:
    one = RECORDS[record]
    words = seen(name, render(name, one).body)
    assert contained(one.article.headline, words)
    if one.withdrawn:
        return
    at = 0
    for block in one.article.blocks:
        for piece in pieces(block):
            wanted = flat(printable(piece))
            found = words.find(wanted, at)
            assert found >= 0, f"{piece!r} is missing, or not in its place"
            at = found + len(wanted)


@every_format
def test_a_withdrawal_says_so_and_repeats_nothing(name: str) -> None:
    rendered = render(name, withdrawn())
    words = seen(name, rendered.body)
    assert contained(WITHDRAWN_NOTICE, words) or json.loads(rendered.body)["data"]["record"]["state"] == "withdrawn"
    for block in BLOCKS:
        assert not contained(block_text(block).split("\n")[0], words)
    assert "ferry.jpg" not in rendered.body.decode()
    assert "strike" not in rendered.body.decode()


@pytest.mark.parametrize("name", sorted(MARKUP))
@every_record
def test_markup_runs_nothing_and_leads_to_the_web_only(name: str, record: str) -> None:
    for markup in MARKUP[name](render(name, RECORDS[record]).body):
        root: Any = html.fromstring(f"<div>{markup}</div>")
        assert not list(root.iter("script", "iframe", "object", "style", "embed"))
        for element in root.iter():
            assert not [key for key in map(str, element.attrib) if key.lower().startswith("on")]
            for key in ("href", "src"):
                assert re.match(r"https?://|mailto:|urn:", element.get(key) or "https://")


@every_format
def test_a_lead_that_is_the_first_paragraph_is_printed_once_in_the_body(name: str) -> None:
    body = {"ninjs": 3, "brief": 2, "jsonfeed": 2, "rss": 2, "atom": 2, "newsml": 2}.get(name, 1)
    words = seen(name, render(name, event()).body)
    assert words.count(flat(block_text(BLOCKS[0]))) == body, "once as text, and once for each field that is a summary"
    apart = seen(name, render(name, RECORDS["a lead of its own"]).body)
    assert contained("A lead that stands by itself.", apart)


MARKERS: dict[str, tuple[str, ...]] = {
    "source_item_id": ("8812",),
    "url": ("https://harbour.example/fares",),
    "revision": ('"version":"3"', '"revision":3', 'version="3"'),
    "language": ('"en"', ">en<"),
    "authors": ("Jānis Bērziņš",),
    "published": ("March 5, 2026 16:20", "2026-03-05T14:20:00Z", "05 Mar 2026 14:20:00 GMT"),
    "modified": ("March 5, 2026 16:25", "2026-03-05T14:25:00Z"),
    "section": ("Economy",),
    "category_status.value": ("worsened",),
    "category_status.raw": ("arrow down",),
    "category_status.evidence": ("class down",),
    "images.url": ("https://harbour.example/ferry.jpg",),
    "images.alt": ("A ferry",),
    "images.caption": ("The Amber at quay",),
    "images.credit": ("Harbour.example",),
    "images.rights": ("All rights kept",),
    "tags": ("ferries",),
    "related": ("Dockers end their strike",),
    "site_name": ("Harbour News",),
    "annotations.categories": ("Tourism",),
    "annotations.story": ("story_12",),
    "annotations.similar": ("Board postpones fare rise",),
    "annotations.names": ("Lagoon Lines",),
}


@every_format
@pytest.mark.parametrize("field", sorted(MARKERS))
def test_a_field_is_in_the_output_or_named_as_omitted(name: str, field: str) -> None:
    rendered = render(name, event())
    there = any(marker in rendered.body.decode() for marker in MARKERS[field])
    assert there != (field in rendered.omitted), f"{field}: present {there}, omitted {rendered.omitted}"


@every_format
def test_nothing_is_named_as_omitted_that_the_record_does_not_hold(name: str) -> None:
    assert set(render(name, RECORDS["nothing but a headline"]).omitted) <= {"revision", "category_status.value"}


def held() -> list[str]:
    """The table of docs/wire-format.md: a line a field that some format cannot hold, a column a format."""
    fields = sorted({field for known in FORMATS.values() for field in known.cannot_hold})
    lines = [f"| field | {' | '.join(FORMATS)} |", f"|---|{'---|' * len(FORMATS)}"]
    return lines + [
        f"| `{field}` | {' | '.join('–' if field in known.cannot_hold else 'yes' for known in FORMATS.values())} |"
        for field in fields
    ]


def test_the_documented_table_says_what_each_format_holds() -> None:
    table = "\n".join(held())
    page = (Path(__file__).parents[2] / "docs/wire-format.md").read_text(encoding="utf-8")
    assert table in page, f"docs/wire-format.md needs this:\n{table}"


def test_unknown_formats_are_refused_by_name() -> None:
    with pytest.raises(Rejected, match="'pdf' is none of brief, ninjs"):
        render("pdf", event())


def test_records_hold_every_kind_of_block() -> None:
    used = {type(block) for one in RECORDS.values() for block in one.article.blocks}
    assert used == {Paragraph, Heading, ListBlock, Quote, Code, Table, Embed}
    assert isinstance(RECORDS["everything"].article, Article)
