"""Text in, tree out: caps before parsing, lxml, and BeautifulSoup for what lxml would lose without a word.

libxml2 drops the rest of a page behind more than 2,048 nested tags and needs seconds for one tag with 30,000 attributes.
Both are noticed here, before or by comparing the tree with the raw text.
"""

from __future__ import annotations

import html
import re
from typing import Any

from bs4 import BeautifulSoup
from bs4.element import NavigableString, Tag
from lxml import etree

from services.ingest.extract.blocks import Cut, cut
from services.ingest.extract.charset import Decoded
from shared.errors import Rejected

MAX_BYTES = 16_000_000
MAX_TAGS = 400_000
LARGE = 8_000_000
"""Of a page of more bytes than this it is always asked whether the tree lost any."""
MAX_ATTRIBUTES = 500
"""A single tag with more attributes than this loses them all: libxml2's time grows with their square."""
MANY_EQUALS = 5_000
"""Below this no tag can hold enough attributes to matter."""
SOUP_DEPTH = 120
"""The fallback hangs what is nested deeper at this depth, in page order."""

_LONG_TAG = re.compile(r"<([a-zA-Z][\w:-]*)\s[^<>]{8000,}>")
_LONG = re.compile(rb"<[a-zA-Z][^<>]{8000,}>")
"""Every tag that is long in characters is long in bytes: where this finds none, no text is needed."""
_ATTRIBUTE = re.compile(r"\s[^\s=\"'<>/]+")
_MARKUP = re.compile(r"(?is)<(script|style|template|noscript|svg)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>")
_HIDDEN_IN_SOUP = frozenset({"script", "style", "template", "noscript", "svg"})
_NEVER_IN_HEAD = frozenset({"article", "aside", "figure", "footer", "header", "main", "nav", "section"})
_NAME = re.compile(r"[a-zA-Z][\w-]*\Z")
_UNFIT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


def page(source: Decoded | str) -> tuple[Any, Cut]:
    """The tree of a page and its cut. Rejected: nothing to parse, or more tags than any page has."""
    decoded = Decoded(source, "utf-8", "given") if isinstance(source, str) else source
    content = decoded.utf8 or decoded.text.encode("utf-8", "replace")
    mended = _mended(decoded, content)
    root = _lxml(content if mended is None else mended.encode("utf-8", "replace"))
    found = cut(root)
    if found.deep or len(content) > LARGE:
        text = decoded.text if mended is None else mended
        if _lost(text, root):
            root = _soup(text)
            found = cut(root)
    return root, found


def _mended(decoded: Decoded, content: bytes) -> str | None:
    """The text without NULs and monstrous tags; None where it has none, as nearly all. `content` are its bytes in UTF-8: they
    count faster, and need no text."""
    if b"<" not in content:
        _no_markup(decoded.text)
    if len(content) > MAX_TAGS and content.count(b"<") > MAX_TAGS:
        raise Rejected("too-many-tags", f"The page holds more than {MAX_TAGS:,} tags.")
    many = len(content) > MANY_EQUALS and content.count(b"=") > MANY_EQUALS and _LONG.search(content) is not None
    if b"\x00" not in content and not many:
        return None
    text = decoded.text.replace("\x00", "")
    return _LONG_TAG.sub(_bare, text) if many else text


def _no_markup(text: str) -> None:
    if text.isspace() or not text:
        raise Rejected("empty-page", "The page holds nothing but white space.")
    if text.lstrip()[:1] in ("{", "["):
        raise Rejected("not-html", "The page is JSON.")


def _bare(match: re.Match[str]) -> str:
    tag = match[0]
    return f"<{match[1]}>" if len(_ATTRIBUTE.findall(tag)) > MAX_ATTRIBUTES else tag


def _lxml(content: bytes) -> Any:
    parser = etree.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=True, collect_ids=False
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.LxmlError, ValueError) as error:
        raise Rejected("unparsable", f"The parser gave up: {str(error)[:150]}") from None
    if root is None:
        raise Rejected("empty-page", "The page holds no element and no text.")
    _embody(root)
    return root


def _embody(root: Any) -> None:
    """libxml2 knows no HTML 5: where no body tag was written it leaves an article in the head. From the first such on all is body."""
    head = root.find("head")
    first = next((child for child in head if child.tag in _NEVER_IN_HEAD), None) if head is not None else None
    if first is None:
        return
    body = root.find("body")
    if body is None:
        body = etree.SubElement(root, "body")
    for place, element in enumerate([first, *first.itersiblings()]):
        body.insert(place, element)


def _lost(text: str, root: Any) -> bool:
    """Whether the tree holds clearly less text than the page's source, markup taken away."""
    raw = sum(map(len, html.unescape(_MARKUP.sub(" ", text)).split()))
    kept = sum(len(word) for t in root.itertext() for word in t.split())
    return kept < raw * 0.9


def _soup(text: str) -> Any:
    """BeautifulSoup's tree copied into one of bounded depth, without recursion."""
    soup = BeautifulSoup(text, "html.parser")
    root = etree.Element("html")
    stack: list[tuple[Any, Any]] = [(root, child) for child in reversed(soup.contents)]
    depth = {root: 0}
    while stack:
        parent, node = stack.pop()
        if isinstance(node, Tag):
            if node.name in _HIDDEN_IN_SOUP or not _NAME.match(node.name):
                continue
            here = _hang(parent, node, depth)
            stack.extend((here, child) for child in reversed(node.contents))
        elif type(node) is NavigableString:
            _append_text(parent, _UNFIT.sub("", str(node)))
    return root


def _hang(parent: Any, node: Tag, depth: dict[Any, int]) -> Any:
    if depth[parent] >= SOUP_DEPTH:
        parent = parent.getparent()
    element = etree.SubElement(parent, node.name)
    depth[element] = depth[parent] + 1
    for key in ("class", "id", "href", "src", "content", "property", "name", "itemprop", "datetime", "rel"):
        value = node.get(key)
        if value is not None:
            element.set(key, _UNFIT.sub("", " ".join(value) if isinstance(value, list) else str(value)))
    return element


def _append_text(parent: Any, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def fragment(markup: str) -> Any:
    """The tree of a part of a page, as a profile's selector gave it."""
    return _lxml(f"<html><body>{markup}</body></html>".encode("utf-8", "replace"))
