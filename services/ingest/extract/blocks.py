"""Tree in, pieces out: one pass over the page that cuts it at its block elements.

In: the root of an lxml tree. Out: `Cut`: every run of text between two block borders as a `Piece` (with its box, its inline
spans and its share of link text), every picture and every embed, all in page order. Nothing is judged here.
"""

from __future__ import annotations

import re
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
ARTICLE, MAIN, ASIDE, NAV, HEADER, FOOTER, FIGURE, LIST, TABLE, QUOTE, FORM, HIDDEN, LINK, CODE, CAPTION, ADDRESS, BUTTON = (
    1 << n for n in range(17)
)  # fmt: skip
FLAGS = {
    "article": ARTICLE, "main": MAIN, "aside": ASIDE, "nav": NAV, "header": HEADER, "footer": FOOTER, "figure": FIGURE,
    "ul": LIST, "ol": LIST, "dl": LIST, "table": TABLE, "blockquote": QUOTE, "form": FORM, "pre": CODE,
    "figcaption": CAPTION, "caption": CAPTION, "address": ADDRESS, "button": BUTTON, "menu": NAV, "dialog": HIDDEN,
}  # fmt: skip
ROLES = {
    "main": MAIN, "article": ARTICLE, "navigation": NAV, "complementary": ASIDE, "banner": HEADER, "contentinfo": FOOTER,
    "search": FORM, "dialog": HIDDEN, "menu": NAV, "button": BUTTON, "alert": HIDDEN,
}  # fmt: skip
_HIDING = re.compile(r"display:\s*none|visibility:\s*hidden", re.I)
BREAK_SIGN = "\x00"
"""Stands for <br> among the parts of a piece: libxml2 never yields it, so it cannot be page text."""
SHRINKING = re.compile(r"[ \t\n\r\f]*\x00[ \t\n\r\f\x00]*|[ \t\n\r\f]{2,}|[\t\n\r\f]")


class Box:
    """A block element: where pieces stand. `names` is class, id, itemprop and role as written, for the token weights."""

    __slots__ = ("depth", "element", "flags", "index", "names", "parent", "tag")

    def __init__(self, index: int, parent: Box | None, element: Element, tag: str, names: str, flags: int) -> None:
        self.index, self.parent, self.element, self.tag, self.names, self.flags = (
            index,
            parent,
            element,
            tag,
            names,
            flags,
        )
        self.depth: int = parent.depth + 1 if parent else 0

    def up(self) -> list[Box]:
        """This box and every box it stands in, innermost first."""
        found, box = [], self
        while box is not None:
            found.append(box)
            box = box.parent  # type: ignore[assignment]
        return found


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
        self.deep = False  # some part was nested deeper than MAX_DEPTH


def cut(root: Element, *, whole: bool = False) -> Cut:
    """The page under `root` as pieces. Unless the `whole` is wanted, subtrees far from any prose are left uncut: libxml2 finds
    the prose several times faster than this pass could look at menus and teasers."""
    cutter = _Cutter(*((set(), set()) if whole else _prose(root)))
    cutter.enter(root, None, 0, bool(cutter.spine))
    return cutter.out


_LONG_TEXT = etree.XPath(f"/html/body//text()[string-length(.) > {PROSE}]/parent::*")
_UNSEEN = frozenset(("script", "style", "title", "noscript", "template", "textarea", "option"))


def _prose(root: Element) -> tuple[set[Element], set[Element]]:
    """The boxes above prose and headline: all of them (the spine), and those close enough that whatever they hold may be part of
    the article. Empty when there is too little prose to go by."""
    long: list[Element] = _LONG_TEXT(root)  # type: ignore[assignment]  # this path yields elements only
    found = [element for element in long if element.tag not in _UNSEEN]
    if len(found) < LEAST_PROSE:
        return set(), set()
    spine: set[Element] = set()
    near: set[Element] = set()
    for element in (*found, *root.iter("h1")):
        while element is not None and _KINDS.get(element.tag) == INLINE:
            element = element.getparent()
        steps = CLOSE
        while element is not None and (steps or element not in spine):
            spine.add(element)
            if steps:
                near.add(element)
                steps -= 1
            element = element.getparent()
    near -= {e for e in near if e.tag in ("body", "html")}
    return spine, near


def opening(element: Element) -> str:
    """The first texts below an element, some 100 characters."""
    found, size = [], 0
    for text in element.itertext():
        if text and not text.isspace():
            found.append(text.strip())
            size += len(text)
            if size > 100:
                break
    return squeeze(" ".join(found))[:200]


def squeeze(text: str) -> str:
    """White space as a browser shows it: ASCII runs become one space, no-break spaces stay, line breaks as printed."""
    if "\n" in text or "  " in text or BREAK_SIGN in text or "\t" in text or "\r" in text or "\f" in text:
        return SHRINKING.sub(shrunk, text).strip()
    return text.strip()


def shrunk(match: re.Match[str]) -> str:
    """What a run of white space becomes: a line break where the page broke the line, else one space."""
    return "\n" if BREAK_SIGN in match[0] else " "


class _Open:
    """A mark begun and not ended."""

    __slots__ = ("href", "kind", "start")

    def __init__(self, start: int, kind: str, href: str | None) -> None:
        self.start, self.kind, self.href = start, kind, href


class _Cutter:
    def __init__(self, spine: set[Element], near: set[Element]) -> None:
        self.spine, self.near = spine, near
        self.out = Cut()
        self.parts: list[str] = []
        self.spans: list[tuple[int, int, str, str | None]] = []
        self.open: list[_Open] = []  # spans begun and not ended: [start, kind, href]
        self.in_link = 0
        self.link_chars = 0
        self.inline = ""

    def flush(self, box: Box) -> None:
        """Ends the running piece: whatever text was gathered belongs to `box`."""
        parts = self.parts
        if not parts:
            return
        text = "".join(parts).strip()
        if text and (text := squeeze(text)):
            spans = self.spans
            spans.extend((s.start, len(parts), s.kind, s.href) for s in self.open if s.start < len(parts))
            pieces = self.out.pieces
            piece = Piece(len(pieces), box, parts, spans, text, self.link_chars)
            piece.inline = self.inline
            pieces.append(piece)
        self.parts, self.spans, self.link_chars, self.inline = [], [], 0, ""
        for span in self.open:
            span.start = 0

    def enter(self, element: Element, parent: Box | None, depth: int, sparse: bool) -> None:
        """A block element: its attributes make the box, its children fill it; `sparse` when only some of it is worth cutting."""
        boxes = self.out.boxes
        tag = element.tag
        flags = (parent.flags if parent else 0) | FLAGS.get(tag, 0)
        names = ""
        for key, value in element.items():
            if key in ("class", "id", "itemprop"):
                names += value + " "
            elif key == "role":
                flags |= ROLES.get(value, 0)
            elif (
                key == "hidden"
                or (key == "style" and _HIDING.search(value))
                or (key == "aria-hidden" and value == "true")
            ):
                flags |= HIDDEN
        if self.in_link:
            flags |= LINK
        box = Box(len(boxes), parent, element, tag, names, flags)
        boxes.append(box)
        text = element.text
        if text and not text.isspace():
            self.text(text)
        self.fill(element, box, depth, sparse and element not in self.near)
        self.flush(box)

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
            kind = _KINDS.get(child.tag, BLOCK)
            if kind == INLINE:
                self.run(child, box, depth)
            elif kind == BLOCK:
                if type(child.tag) is str:
                    self.flush(box)
                    if not sparse or child in self.spine:
                        self.enter(child, box, depth + 1, sparse)
                    elif related(child.get("class") or child.get("id") or ""):
                        self.enter(child, box, depth + 1, False)
                    else:
                        self.out.skipped.append(child)
            elif kind != SKIP:
                self.single(child, kind, box)
            tail = child.tail
            if tail and (self.parts or not tail.isspace()):
                self.parts.append(tail)
                if self.in_link:
                    self.link_chars += len(tail)

    def single(self, child: Element, kind: int, box: Box) -> None:
        """An element without text of its own: break, rule, picture, embed."""
        if kind == BREAK:
            if (self.parts and self.parts[-1] == BREAK_SIGN) or (
                len(self.parts) > 1 and self.parts[-2] == BREAK_SIGN and self.parts[-1].isspace()
            ):
                self.flush(box)
            else:
                self.parts.append(BREAK_SIGN)
        elif kind == RULE:
            self.flush(box)
        else:
            href = next((s.href for s in reversed(self.open) if s.kind == "link"), None)
            kept = self.out.pictures if kind == PICTURE else self.out.frames
            kept.append(Picture(len(self.out.pieces), box, child, href))

    def run(self, child: Element, box: Box, depth: int) -> None:
        """An inline element: its text runs on in the same piece, its mark is noted as a span."""
        kind = _MARKS.get(child.tag)
        text = child.text
        if kind is None:
            names = child.get("class")
            if names and not self.inline and not self.parts:
                self.inline = names
            if text:
                self.text(text)
            if len(child):
                self.fill(child, box, depth + 1, False)
            return
        href = child.get("href") if kind == "link" else None
        if kind == "link":
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
