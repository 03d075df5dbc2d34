"""The bytes of a page and the record read from them in; the page out, for a frame: nothing in it runs or loads, and marks show
where each value of the record was read.

    bytes | decode, parse | text with the place of every sign | find each value where its rule looked | mark | sanitise (nh3)

A value that the page does not print stands in its head (meta, JSON-LD), in an attribute, or in its address; what was found in
the head is marked there, and the rest is listed at the end, so every value has an anchor. Pure. Pages are hostile: run it in
`shared.sandbox`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

import msgspec
import nh3
from bs4 import BeautifulSoup
from bs4.element import NavigableString, Tag
from lxml import etree
from soupsieve import SelectorSyntaxError

from services.ingest.extract import parse
from services.ingest.extract.charset import decode
from shared.errors import Rejected
from shared.records import Article, block_text, from_json

LIMIT = 70_000
"""Signs of markup that are shown of a page, its beginning: a frame stays below 100 kB with everything around them."""
HEAD_LIMIT = 6_000
"""Signs of each JSON-LD block that are shown."""
MANY = 12
"""Authors, tags, pictures and related articles that are looked for, each."""

_INLINE = frozenset(
    ("a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "i", "ins", "kbd", "mark", "q", "s", "samp",
     "small", "span", "strong", "sub", "sup", "time", "u", "var", "wbr")
)  # fmt: skip
_KEPT = _INLINE | {
    "address", "article", "aside", "blockquote", "br", "caption", "dd", "details", "div", "dl", "dt", "figcaption", "figure",
    "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "li", "main", "nav", "ol", "p", "pre", "section",
    "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}  # fmt: skip
_DROPPED = ("script", "style", "template", "noscript", "svg", "math", "iframe", "object", "select", "textarea", "audio", "video",
            "canvas", "title", "head")  # fmt: skip
_HIDDEN = frozenset(_DROPPED)
_UNFIT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_SPACE = re.compile(r"\s+")
_CSS_RULE = re.compile(r"profile \S+ css (.+)", re.DOTALL)


class Value(NamedTuple):
    """A value of a record to look for: the anchor of its mark, the field, its words, and the rule that gave it."""

    anchor: str
    field: str
    words: str
    rule: str


class Framed(msgspec.Struct, frozen=True):
    """What goes into the frame: sanitised markup, the style that lets a chosen value stand out, and whether it was cut off."""

    markup: str
    style: str
    cut: bool


def values(record: Article) -> list[Value]:
    """The record's values in reading order, the blocks of its body last."""
    moments = [(name, at.raw) for name, at in (("published", record.published), ("modified", record.modified)) if at]
    status = record.category_status
    single = [
        ("headline", record.headline), ("lead", record.lead), *moments, ("section", record.section),
        ("category_status", status.raw or status.label), ("language", record.language), ("canonical_url", record.url),
        ("site_name", record.site_name),
    ]  # fmt: skip
    found = [Value(name, name, words, _rule(record, name)) for name, words in single if words]
    many = {"authors": record.authors, "tags": record.tags, "images": [i.caption or "" for i in record.images],
            "related": [one.snapshot.headline if one.snapshot else "" for one in record.related]}  # fmt: skip
    for name, each in many.items():
        found += [
            Value(f"{name}-{n}", name, words, _rule(record, name)) for n, words in enumerate(each[:MANY]) if words
        ]
    bodies = ((n, block_text(block)) for n, block in enumerate(record.blocks))
    return found + [Value(f"block-{n}", "blocks", words, _rule(record, "blocks")) for n, words in bodies if words]


def _rule(record: Article, field: str) -> str:
    origin = record.origins.get(field)
    return origin.rule if origin else ""


def frame(body: bytes, content_type: str | None, record: bytes) -> Framed:
    """The page for the frame. `record` is the JSON of the `Article` that was read from it."""
    wanted = values(from_json(record, Article))
    root, head, text = _tree(body, content_type)
    cut = _shorten(root)
    printed = _Text(root)
    regions = _Regions(text)
    spans, left = [], []
    for value in wanted:
        place = printed.find(value, regions)
        if place:
            spans.append((*place, value.anchor))
        else:
            left.append(value)
    styled = printed.mark(spans, {value.anchor: value.field for value in wanted})
    noted, nowhere = _noted(head, left)
    page = etree.tostring(root, encoding="unicode", method="html", with_tail=False)
    markup = f"<div>{page}</div>{noted}{_unplaced(nowhere)}"
    return Framed(_sanitised(markup), styled, cut)


def _sanitised(markup: str) -> str:
    allowed = {"mark": {"id", "title", "class"}, "span": {"class"}, "section": {"class"}}
    return nh3.clean(
        markup, tags=set(_KEPT), attributes=allowed, clean_content_tags=set(_DROPPED) - {"title", "head"}, link_rel=None
    )


# The page as a tree


def _tree(body: bytes, content_type: str | None) -> tuple[Any, list[tuple[str, str]], str]:
    """The body of the page as a tree without attributes, what its head says, and its text as decoded."""
    text = decode(body, content_type).text
    if (content_type or "").partition(";")[0].strip() == "text/plain":
        return _plain(text), [], text
    try:
        root, _ = parse.page(text)
    except Rejected:
        return _plain(text), [], text
    head = list(_head(root))
    found = root if root.tag == "body" else root.find(".//body")
    kept = found if found is not None else root
    for element in list(kept.iter()):
        _bare(element)
    return kept, head, text


def _plain(text: str) -> Any:
    pre = etree.Element("pre")
    pre.text = _UNFIT.sub("", text[:LIMIT])
    return pre


def _bare(element: Any) -> None:
    """No attributes; what is not text becomes a note of what stood there, and what is never shown goes."""
    alt = element.get("alt") or ""
    element.attrib.clear()
    if not isinstance(element.tag, str) or element.tag in _HIDDEN:
        _remove(element)
    elif element.tag == "img":
        element.tag, element.text = "span", f"[picture{': ' + alt if alt else ''}]"
        element.set("class", "gone")
    elif element.tag in ("body", "mark"):
        element.tag = "div" if element.tag == "body" else "span"


def _remove(element: Any) -> None:
    parent = element.getparent()
    if parent is None:
        return
    if element.tail:
        before = element.getprevious()
        if before is not None:
            before.tail = (before.tail or "") + element.tail
        else:
            parent.text = (parent.text or "") + element.tail
    parent.remove(element)


def _head(root: Any) -> Iterator[tuple[str, str]]:
    """(name, words) of what the page says about itself where nobody sees it."""
    language = root.get("lang") or root.get("xml:lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang")
    if language:
        yield "html lang", language
    for element in root.iter("title", "meta", "link", "script"):
        name = element.get("property") or element.get("name") or element.get("itemprop") or ""
        if element.tag == "title" and element.text:
            yield "title", element.text
        elif element.tag == "meta" and name and element.get("content"):
            kind = "itemprop" if element.get("itemprop") == name else "meta"
            yield f"{kind} {name.lower()}", element.get("content")
        elif element.tag == "link" and "canonical" in (element.get("rel") or ""):
            yield "link canonical", element.get("href") or ""
        elif element.tag == "script" and "ld+json" in (element.get("type") or ""):
            yield "json-ld", _pretty(element.text or "")


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text, strict=False), ensure_ascii=False, indent=1)[:HEAD_LIMIT]
    except (ValueError, RecursionError):
        return text[:HEAD_LIMIT]


def _shorten(root: Any) -> bool:
    """Takes away what lies behind the first `LIMIT` signs. Returns whether something did."""
    used, late = 0, []
    for element in root.iter():
        used += len(element.text or "") + len(element.tail or "") + 2 * len(element.tag) + 5
        if used > LIMIT:
            late.append(element)
    for element in late:
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)
    return bool(late)


# Where a value stands


class _Regions:
    """What a profile's selectors pick, read from the page as it was: (words, how often the same stand before them)."""

    def __init__(self, text: str) -> None:
        self._text, self._found = text, dict[str, list[tuple[str, int]]]()
        self._soup: BeautifulSoup | None = None

    def of(self, rule: str) -> list[tuple[str, int]]:
        match = _CSS_RULE.fullmatch(rule)
        if match is None:
            return []
        if rule not in self._found:
            self._soup = self._soup or BeautifulSoup(self._text, "lxml")
            try:
                self._found[rule] = [_counted(one) for one in self._soup.select(match[1], limit=5)]
            except SelectorSyntaxError:
                self._found[rule] = []
        return self._found[rule]


def _counted(element: Tag) -> tuple[str, int]:
    words = _folded(element.get_text())
    before = [
        s
        for s in element.find_all_previous(string=True)
        if type(s) is NavigableString and s.parent and s.parent.name not in _HIDDEN
    ]
    return words, _folded("".join(reversed(before))).count(words) if words else 0


def _folded(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


class _Text:
    """The text under a tree as one string, white space folded, with the place of every sign: (piece, offset)."""

    def __init__(self, root: Any) -> None:
        self.pieces: list[tuple[Any, bool, str]] = []  # element, whether it is its tail, the raw text
        self._signs: list[str] = []
        self._places: list[tuple[int, int]] = []
        self._after = 0
        for event, element in etree.iterwalk(root, events=("start", "end")):
            if element.tag not in _INLINE:
                self._gap()
            if event == "start" and element.get("class") != "gone":
                self._take(element, False, element.text)
            elif event == "start":
                continue
            elif element is not root:
                self._take(element, True, element.tail)
        self.text = "".join(self._signs)
        self.headings = [_folded("".join(element.itertext())) for element in root.iter("h1", "h2", "h3")]

    def _gap(self) -> None:
        if self._signs and self._signs[-1] != " ":
            self._signs.append(" ")
            self._places.append((-1, 0))

    def _take(self, element: Any, tail: bool, raw: str | None) -> None:
        if not raw:
            return
        number = len(self.pieces)
        self.pieces.append((element, tail, raw))
        for offset, sign in enumerate(raw):
            if not sign.isspace():
                self._signs.append(sign)
                self._places.append((number, offset))
            elif self._signs and self._signs[-1] != " ":
                self._signs.append(" ")
                self._places.append((number, offset))

    def find(self, value: Value, regions: _Regions) -> tuple[int, int] | None:
        """Where the value is printed, by its rule: in what the profile picks, in a heading, or anywhere; None: nowhere."""
        words = _folded(value.words)
        if len(words) < 2 or value.rule.startswith(("json-ld", "meta", "title", "html", "link", "address")):
            return None
        headings = [(words, 0) for words in self.headings] if value.rule in ("h1", "h2", "h3") else []
        for region, before in regions.of(value.rule) or headings:
            start = self._nth(region, before) if words in region else -1
            if start >= 0:
                at = self.text.find(words, start)
                return at, at + len(words)
        at = self._from(words, self._after) if value.field == "blocks" else self.text.find(words)
        if at < 0:
            return None
        if value.field == "blocks":
            self._after = at + len(words)
        return at, at + len(words)

    def _nth(self, words: str, before: int) -> int:
        at = self.text.find(words)
        while before > 0 and (later := self.text.find(words, at + 1)) >= 0:
            at, before = later, before - 1
        return at

    def _from(self, words: str, start: int) -> int:
        at = self.text.find(words, start)
        return at if at >= 0 else self.text.find(words)

    def mark(self, spans: Sequence[tuple[int, int, str]], fields: dict[str, str]) -> str:
        """Puts the marks into the tree. Returns the style that lets all of a chosen value stand out."""
        cuts: dict[int, list[tuple[int, int, str]]] = {}
        for start, end, anchor in sorted(spans, key=lambda span: (span[0], -span[1])):
            for piece, first, last in self._stretches(start, end):
                cuts.setdefault(piece, []).append((first, last, anchor))
        first_of: dict[str, int] = {}
        for piece in sorted(cuts):
            for _, _, anchor in cuts[piece]:
                first_of.setdefault(anchor, piece)
        for piece in sorted(cuts, reverse=True):
            self._cut(piece, cuts[piece], fields, first_of)
        torn = [a for a in first_of if sum(a in (c[2] for c in of) for of in cuts.values()) > 1]
        return "".join(f"html:has(#{a}:target) .of-{a}{{background:var(--chosen)}}" for a in torn)

    def _stretches(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(piece, from, to) of the raw text behind a stretch of the folded one."""
        open_piece, first, last = -1, 0, 0
        for piece, offset in self._places[start:end]:
            if piece != open_piece:
                if open_piece >= 0:
                    yield open_piece, first, last
                open_piece, first = piece, offset
            last = offset + 1
        if open_piece >= 0:
            yield open_piece, first, last

    def _cut(
        self, piece: int, spans: Sequence[tuple[int, int, str]], fields: dict[str, str], first_of: dict[str, int]
    ) -> None:
        element, tail, raw = self.pieces[piece]
        edges = sorted({0, len(raw), *(e for first, last, _ in spans for e in (first, last))})
        nodes: list[Any] = []
        lead, named = "", set[str]()
        for start, end in itertools.pairwise(edges):
            over = [a for first, last, a in spans if first <= start and end <= last]
            if not over:
                if nodes:
                    nodes[-1].tail = raw[start:end]
                else:
                    lead = raw[start:end]
                continue
            here = [a for a in over if first_of[a] == piece and a not in named]
            named.update(here)
            nodes.append(_mark(raw[start:end], over, set(here), fields))
        _hang(element, tail, lead, nodes)


def _mark(words: str, anchors: Sequence[str], named: set[str], fields: dict[str, str]) -> Any:
    """Marks inside each other, one a value; those named carry the anchor."""
    outer = inner = None
    for anchor in anchors:
        made = etree.Element("mark")
        made.set("class", f"of-{anchor}")
        made.set("title", fields[anchor].replace("_", " "))
        if anchor in named:
            made.set("id", anchor)
        if inner is None:
            outer = made
        else:
            inner.append(made)
        inner = made
    assert inner is not None  # nobody marks for no value
    inner.text = words
    return outer


def _hang(element: Any, tail: bool, lead: str, nodes: Sequence[Any]) -> None:
    if tail:
        element.tail = None
        for node in reversed(nodes):
            element.addnext(node)
        element.tail = lead
        return
    element.text = lead
    for place, node in enumerate(nodes):
        element.insert(place, node)


# What is not printed


def _noted(head: Sequence[tuple[str, str]], left: Sequence[Value]) -> tuple[str, list[Value]]:
    """What the page says in its head, the values found there marked; and the values that were not."""
    rows, missing = [], list(left)
    for name, words in head:
        here = [v for v in missing if v.rule.lower() == name or (_speaks(name, v.rule) and v.words.strip() in words)]
        if not here and not name.startswith("json-ld"):
            continue
        missing = [v for v in missing if v not in here]
        rows.append(f"<dt>{escape(name)}</dt><dd><pre>{_marked(words, here)}</pre></dd>")
    listed = f"<section class='head'><h2>In its head</h2><dl>{''.join(rows)}</dl></section>" if rows else ""
    return listed, missing


def _speaks(name: str, rule: str) -> bool:
    """Whether a rule reads this part of the head: "json-ld headline" reads "json-ld"."""
    return rule.lower().startswith(name)


def _marked(words: str, here: Sequence[Value]) -> str:
    """The words with each value's first place marked; a place that is taken stays as it is, and the anchor stands before it."""
    spans: list[tuple[int, int, Value]] = []
    loose = ""
    for value in here:
        at = words.find(
            value.words.strip(), max(0, words.find(f'"{value.rule.rpartition(" ")[2]}":'))
        )  # behind its key in JSON
        span = (at, at + len(value.words.strip()), value) if at >= 0 else (0, len(words), value)
        if any(span[0] < end and start < span[1] for start, end, _ in spans):
            loose += f"<mark id='{value.anchor}' title='{value.field}'>{escape(value.field)}</mark> "
        else:
            spans.append(span)
    out, done = [loose], 0
    for start, end, value in sorted(spans, key=lambda span: span[0]):
        out += [
            escape(words[done:start]),
            f"<mark id='{value.anchor}' title='{value.field}'>{escape(words[start:end])}</mark>",
        ]
        done = end
    return "".join([*out, escape(words[done:])])


def _unplaced(nowhere: Sequence[Value]) -> str:
    if not nowhere:
        return ""
    rows = (
        f"<dt>{escape(v.field.replace('_', ' '))}</dt><dd><mark id='{v.anchor}'>{escape(v.words[:300])}</mark>"
        f" {'by ' + escape(v.rule) if v.rule else ''}</dd>"
        for v in nowhere
    )
    return f"<section class='head'><h2>Not printed in these words</h2><dl>{''.join(rows)}</dl></section>"
