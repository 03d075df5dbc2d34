"""Tree in, pieces out: one pass over the page that cuts it at its block elements.

In: the root of an lxml tree. Out: `Cut`: every run of text between two block borders as a `Piece` (with its box, its inline
spans and its share of link text), every picture and every embed, all in page order. Nothing is judged here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from services.ingest.extract.names import related

Element = Any  # lxml's elements carry no usable types

PROSE, LEAST_PROSE, CLOSE = 80, 4, 3
"""Prose is a text of more characters than this; so many are needed to go by them; boxes so many steps above are close."""

MAX_DEPTH = 240
"""Elements nested deeper than this are read as flat text: below it Python's own stack is safe."""

SKIP, INLINE, BLOCK, BREAK, PICTURE, FRAME, RULE = range(7)

_KINDS: dict[Any, int] = dict.fromkeys(
    [
        "script",
        "style",
        "template",
        "noscript",
        "svg",
        "math",
        "select",
        "option",
        "optgroup",
        "datalist",
        "textarea",
        "canvas",
        "object",
        "map",
        "input",
        "head",
        "title",
        "meta",
        "link",
        "base",
        "param",
        "area",
        "col",
        "colgroup",
        "track",
        "rp",
        "rt",
        "applet",
        "noframes",
        "frameset",
        "frame",
    ],
    SKIP,
)
_KINDS |= dict.fromkeys(
    [
        "a",
        "abbr",
        "acronym",
        "b",
        "bdi",
        "bdo",
        "big",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "ins",
        "kbd",
        "label",
        "mark",
        "nobr",
        "q",
        "ruby",
        "rb",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "var",
        "wbr",
        "blink",
        "center-inline",
        "tspan",
    ],
    INLINE,
)
_KINDS |= {"br": BREAK, "img": PICTURE, "amp-img": PICTURE, "hr": RULE}
_KINDS |= dict.fromkeys(
    [
        "iframe",
        "video",
        "audio",
        "embed",
        "amp-youtube",
        "amp-twitter",
        "amp-instagram",
        "amp-facebook",
        "amp-iframe",
        "amp-video",
    ],
    FRAME,
)

_MARKS = {
    "a": "link", "strong": "strong", "b": "strong", "em": "em", "i": "em", "code": "code", "kbd": "code", "samp": "code",
    "sub": "sub", "sup": "sup", "s": "strike", "del": "strike", "strike": "strike", "u": "underline", "ins": "underline",
}  # fmt: skip

# What a box stands in, as bits: cheap to carry down and to test.
(ARTICLE, MAIN, ASIDE, NAV, HEADER, FOOTER, FIGURE, LIST, TABLE, QUOTE, FORM, HIDDEN, LINK, CODE, CAPTION, ADDRESS, BUTTON,
 HEADING) = (1 << n for n in range(18))  # fmt: skip
FLAG_BITS = 17  # so many of them are features; what is a heading the element says
FLAGS = {
    "article": ARTICLE, "main": MAIN, "aside": ASIDE, "nav": NAV, "header": HEADER, "footer": FOOTER, "figure": FIGURE,
    "ul": LIST, "ol": LIST, "dl": LIST, "table": TABLE, "blockquote": QUOTE, "form": FORM, "pre": CODE,
    "figcaption": CAPTION, "caption": CAPTION, "h1": HEADING, "h2": HEADING, "h3": HEADING, "h4": HEADING, "h5": HEADING,
    "h6": HEADING, "address": ADDRESS, "button": BUTTON, "menu": NAV, "dialog": HIDDEN,
}  # fmt: skip
ROLES = {
    "main": MAIN, "article": ARTICLE, "navigation": NAV, "complementary": ASIDE, "banner": HEADER, "contentinfo": FOOTER,
    "search": FORM, "dialog": HIDDEN, "menu": NAV, "button": BUTTON, "alert": HIDDEN,
}  # fmt: skip
_TELLING = frozenset(("role", "hidden", "style", "aria-hidden"))
_HIDING = re.compile(r"display:\s*none|visibility:\s*hidden", re.I)
BREAK_SIGN = "\x00"
"""Stands for <br> among the parts of a piece: libxml2 never yields it, so it cannot be page text."""
SHRINKING = re.compile(r"[ \t\n\r\f]*\x00[ \t\n\r\f\x00]*|[ \t\n\r\f]{2,}|[\t\n\r\f]")


class Box:
    """A block element: where pieces stand. `names` is class, id and itemprop as written, for the token weights. Everything inside
    lies together: its pieces are numbers `first` to before `last`, its boxes `index` to before `end`."""

    __slots__ = ("depth", "element", "end", "first", "flags", "index", "last", "names", "parent", "tag")

    def __init__(
        self, index: int, parent: Box | None, element: Element, tag: str, names: str, flags: int, first: int
    ) -> None:
        self.index, self.parent, self.element, self.tag, self.names = index, parent, element, tag, names
        self.flags, self.first = flags, first
        self.last, self.end = first, index + 1
        self.depth: int = parent.depth + 1 if parent else 0

    def up(self) -> list[Box]:
        """This box and every box it stands in, innermost first."""
        found, box = [], self
        while box is not None:
            found.append(box)
            box = box.parent  # type: ignore[assignment]
        return found

    def holds(self, other: Box) -> bool:
        """Whether `other` is this box or stands inside it."""
        return self.index <= other.index < self.end


class Piece:
    """One run of text. `spans` are (start, end, kind, href) over `parts`; `links` counts the characters inside links."""

    __slots__ = ("box", "index", "inline", "links", "parts", "spans", "text")

    def __init__(
        self,
        index: int,
        box: Box,
        parts: list[str],
        spans: list[tuple[int, int, str, str | None]],
        text: str,
        links: int,
    ) -> None:
        self.index, self.box, self.parts, self.spans, self.text, self.links = index, box, parts, spans, text, links
        self.inline = ""


class Picture:
    """An image or embed and the number of the piece that follows it."""

    __slots__ = ("at", "box", "element", "href")

    def __init__(self, at: int, box: Box, element: Element, href: str | None) -> None:
        self.at, self.box, self.element, self.href = at, box, element, href


class Cut:
    """What the pass gave: boxes (parents before children), pieces, pictures and embeds, each in page order."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.pieces: list[Piece] = []
        self.pictures: list[Picture] = []
        self.frames: list[Picture] = []
        self.skipped: list[Element] = []  # subtrees far from any prose, not cut
        self.places: list[tuple[int, Box]] = []  # of each of them, the piece that follows and the box it stands in
        self.loose: list[
            Element
        ] = []  # elements that speak of the page wherever they stand: meta, link, script, time ...
        self.deep = False  # some part was nested deeper than MAX_DEPTH


def cut(root: Element, *, whole: bool = False) -> Cut:
    """The page under `root` as pieces. Unless the `whole` is wanted, subtrees far from any prose are left uncut: libxml2 finds
    the prose several times faster than this pass could look at menus and teasers."""
    loose = list(root.iter(*_LOOSE))
    cutter = _Cutter(*((set(), set()) if whole else _prose(root, [e for e in loose if e.tag == "h1"])))
    cutter.out.loose = loose
    cutter.enter(root, root.tag, None, 0, bool(cutter.spine))
    return cutter.out


_LOOSE = ("meta", "link", "script", "title", "base", "time", "h1")
_LONG_TEXT = etree.XPath(f"/html/body/descendant::text()[string-length(.) > {PROSE}]/parent::*")
_UNSEEN = frozenset(("script", "style", "title", "noscript", "template", "textarea", "option"))


def _prose(root: Element, heads: list[Element]) -> tuple[set[Element], set[Element]]:
    """The boxes above prose and headline: all of them (the spine), and those close enough that whatever they hold may be part of
    the article: around the headline, next to any prose, and further up where a fair part of all prose is close. Empty when there
    is too little prose to go by."""
    long: list[Element] = _LONG_TEXT(root)  # type: ignore[assignment]  # this path yields elements only
    found = [element for element in long if element.tag not in _UNSEEN]
    if len(found) < LEAST_PROSE:
        return set(), set()
    spine: set[Element] = set()
    near: set[Element] = set()
    hits: dict[Element, int] = {}
    for element in found:
        close = _climb(element, spine)
        near.add(close[0])
        for box in close:
            hits[box] = hits.get(box, 0) + 1
    least = max(2, len(found) // 10)
    near.update(box for box, number in hits.items() if number >= least)
    for element in heads:
        near.update(_climb(element, spine))
    near -= {e for e in near if e.tag in ("body", "html")}
    return spine, near


def _climb(element: Element, spine: set[Element]) -> list[Element]:
    """Adds the box of an element and all above it to the spine; gives the lowest CLOSE of them."""
    while _KINDS.get(element.tag) == INLINE and (above := element.getparent()) is not None:
        element = above
    close: list[Element] = []
    while element is not None and (len(close) < CLOSE or element not in spine):
        spine.add(element)
        if len(close) < CLOSE:
            close.append(element)
        element = element.getparent()
    return close


def opening(element: Element) -> str:
    """The first texts below an element, some 100 characters."""
    found, size = [], 0
    for text in spoken(element):
        found.append(text.strip())
        size += len(text)
        if size > 100:
            break
    return squeeze(" ".join(found))[:200]


def spoken(element: Element, depth: int = 0) -> Iterator[str]:
    """The texts below an element that are not blank, in page order. Of the first few, lxml's own iterator is dearer."""
    if depth > MAX_DEPTH:
        yield from (text for text in element.itertext() if text and not text.isspace())
        return
    text = element.text
    if text and not text.isspace():
        yield text
    for child in element:
        yield from spoken(child, depth + 1)
        tail = child.tail
        if tail and not tail.isspace():
            yield tail


def squeeze(text: str) -> str:
    """White space as a browser shows it: ASCII runs become one space, no-break spaces stay, line breaks as printed."""
    text = text.strip()
    if "\n" in text or "  " in text or BREAK_SIGN in text or "\t" in text or "\r" in text or "\f" in text:
        return SHRINKING.sub(shrunk, text).strip()
    return text


def shrunk(match: re.Match[str]) -> str:
    """What a run of white space becomes: a line break where the page broke the line, else one space."""
    return "\n" if BREAK_SIGN in match[0] else " "


def _stated(key: str, value: str) -> int:
    """What an attribute says of its box, as bits."""
    if key == "role":
        return ROLES.get(value, 0)
    if key == "style":
        return HIDDEN if _HIDING.search(value) else 0
    return HIDDEN if key == "hidden" or value == "true" else 0


class _Open:
    """A mark begun and not ended."""

    __slots__ = ("href", "kind", "start")

    def __init__(self, start: int, kind: str, href: str | None) -> None:
        self.start, self.kind, self.href = start, kind, href


class _Cutter:
    """The running pass: what is gathered of the present piece, and the marks that are open."""

    __slots__ = ("in_link", "inline", "link_chars", "near", "open", "out", "parts", "pieces", "spans", "spine")

    def __init__(self, spine: set[Element], near: set[Element]) -> None:
        self.spine, self.near = spine, near
        self.out = Cut()
        self.pieces = self.out.pieces
        self.parts: list[str] = []
        self.spans: list[tuple[int, int, str, str | None]] = []
        self.open: list[_Open] = []  # spans begun and not ended: [start, kind, href]
        self.in_link = 0
        self.link_chars = 0
        self.inline = ""

    def flush(self, box: Box) -> None:
        """Ends the running piece: whatever text was gathered belongs to `box`. Called only where there is some."""
        parts, spans = self.parts, self.spans
        text = squeeze(parts[0] if len(parts) == 1 else "".join(parts))
        if text:
            if self.open:
                spans.extend((s.start, len(parts), s.kind, s.href) for s in self.open if s.start < len(parts))
            pieces = self.pieces
            piece = Piece(len(pieces), box, parts, spans, text, self.link_chars)
            piece.inline = self.inline
            pieces.append(piece)
        self.parts, self.spans, self.link_chars, self.inline = [], [], 0, ""
        for span in self.open:
            span.start = 0

    def enter(self, element: Element, tag: str, parent: Box | None, depth: int, sparse: bool) -> None:
        """A block element: its attributes make the box, its children fill it; `sparse` when only some of it is worth cutting."""
        boxes = self.out.boxes
        flags = parent.flags if parent else 0
        if tag in FLAGS:
            flags |= FLAGS[tag]
        if self.in_link:
            flags |= LINK
        names = ""
        for key, value in element.items():
            if key == "class" or key == "id" or key == "itemprop":  # twice as fast as a set, and hot
                names += value + " "
            elif key in _TELLING:
                flags |= _stated(key, value)
        box = Box(len(boxes), parent, element, tag, names, flags, len(self.pieces))
        boxes.append(box)
        text = element.text
        if text and not text.isspace():
            self.text(text)
        self.fill(element, box, depth, sparse and element not in self.near)
        if self.parts:
            self.flush(box)
        box.last, box.end = len(self.pieces), len(boxes)

    def text(self, text: str) -> None:
        self.parts.append(text)
        if self.in_link:
            self.link_chars += len(text)

    def fill(self, element: Element, box: Box, depth: int, sparse: bool) -> None:
        """The children of `element`, each by its kind, and the text after each."""
        if depth > MAX_DEPTH:
            self.out.deep = True
            self.text(" ".join(t for child in element for t in child.itertext()))
            return
        for child in element:
            tag = child.tag
            kind = _KINDS.get(tag, BLOCK)
            if kind == INLINE:
                self.run(child, tag, box, depth)
            elif kind == BLOCK:
                if tag.__class__ is str:
                    if self.parts:
                        self.flush(box)
                    if sparse and child not in self.spine:
                        self.far(child, tag, box, depth + 1)
                    else:
                        self.enter(child, tag, box, depth + 1, sparse)
            elif kind != SKIP:
                self.single(child, kind, box)
            tail = child.tail
            if tail and (self.parts or not tail.isspace()):
                self.parts.append(tail)
                if self.in_link:
                    self.link_chars += len(tail)

    def far(self, child: Element, tag: str, box: Box, depth: int) -> None:
        """A block element far from prose: set aside, unless it names itself a block of related articles."""
        if related(child.get("class") or child.get("id") or ""):
            self.enter(child, tag, box, depth, False)
        else:
            self.out.skipped.append(child)
            self.out.places.append((len(self.pieces), box))

    def single(self, child: Element, kind: int, box: Box) -> None:
        """An element without text of its own: break, rule, picture, embed."""
        if kind == BREAK:
            parts = self.parts
            if (parts and parts[-1] == BREAK_SIGN) or (
                len(parts) > 1 and parts[-2] == BREAK_SIGN and parts[-1].isspace()
            ):
                self.flush(box)
            else:
                parts.append(BREAK_SIGN)
        elif kind == RULE:
            if self.parts:
                self.flush(box)
        else:
            href = next((s.href for s in reversed(self.open) if s.kind == "link"), None)
            kept = self.out.pictures if kind == PICTURE else self.out.frames
            kept.append(Picture(len(self.pieces), box, child, href))

    def run(self, child: Element, tag: str, box: Box, depth: int) -> None:
        """An inline element: its text runs on in the same piece, its mark is noted as a span."""
        kind = _MARKS.get(tag)
        text = child.text
        if kind is None:
            if not self.inline and not self.parts:
                self.inline = child.get("class") or ""
            if text:
                self.text(text)
            if len(child):
                self.fill(child, box, depth + 1, False)
            return
        href = None
        if kind == "link":
            href = child.get("href")
            self.in_link += 1
        span = _Open(len(self.parts), kind, href)
        self.open.append(span)
        if text:
            self.text(text)
        if len(child):
            self.fill(child, box, depth + 1, False)
        self.open.pop()
        if kind == "link":
            self.in_link -= 1
        if span.start < len(self.parts):
            self.spans.append((span.start, len(self.parts), kind, href))
