"""Tree in, evidence out: what a page says about itself in meta tags, links, JSON-LD, microdata and time elements.

Nothing here is believed: `fields` and `dates` weigh it against what the page prints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec
from lxml import etree

Element = Any
_ARTICLE = re.compile(r"(article|posting|report|story|recipe|review|analysis|opinion)", re.I)
_PAGE = re.compile(r"(webpage|itempage|videoobject|event|product)\Z", re.I)
_WHOLE = re.compile(r"https?://[\w.-]+(?::\d+)?(?:/[^\s\x00-\x1f]*)?\Z", re.ASCII)
"""A web address that needs no joining: most are."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_TAIL = re.compile(r"[;\s]+\Z")
_ITEMS: Any = etree.XPath("//*[@itemprop]")
_MAX_NODES = 2000
_TYPES = frozenset({"application/ld+json"})


class Evidence(msgspec.Struct):
    """`meta`: lower-case name or property -> contents in page order. `article`: the JSON-LD node that describes the page's
    article (empty when there is none). `items`: itemprop -> its elements. `times`: every <time>. `base`: for relative URLs."""

    url: str | None
    base: str | None
    language: str | None
    title: str | None
    meta: dict[str, list[str]]
    links: dict[str, str]
    nodes: list[dict[str, Any]]
    article: dict[str, Any]
    items: dict[str, list[Element]]
    times: list[Element]

    def first(self, *names: str) -> tuple[str, str] | None:
        """The first meta tag of these names that says something: (name, content)."""
        for name in names:
            for value in self.meta.get(name, ()):
                if value.strip():
                    return name, value.strip()
        return None

    def absolute(self, link: str | None) -> str | None:
        """A link of the page as an absolute URL where the page's own is known; None for what is no web address."""
        if not link or not (link := link.strip()) or link.startswith(("#", "javascript:", "data:", "mailto:", "tel:")):
            return None
        if _WHOLE.match(link):
            return link
        try:
            found = urljoin(self.base, link) if self.base else link
            scheme = urlsplit(found).scheme
        except ValueError:
            return None
        return found if scheme in ("http", "https", "") else None


def gather(
    root: Element, url: str | None, loose: Iterable[Element] | None = None, *, microdata: bool = True
) -> Evidence:
    """All evidence of one page. `loose`: its meta, link, script, title, base and time elements where they are known already;
    `microdata` is False where the source is known to hold none."""
    found = Evidence(url, url, _language(root), None, {}, {}, [], {}, {}, [])
    raw: list[str] = []
    for element in root.iter("meta", "link", "script", "title", "base", "time") if loose is None else loose:
        _take(element, found, raw)
    for element in _ITEMS(root) if microdata else ():
        for name in element.get("itemprop").split():
            found.items.setdefault(name, []).append(element)
    for text in raw:
        found.nodes.extend(_nodes(text))
    found.article = _article(found)
    return found


def _language(root: Element) -> str | None:
    top = root if root.tag == "html" else root.find(".//html")
    if top is None:
        return None
    stated = top.get("lang") or top.get("{http://www.w3.org/XML/1998/namespace}lang") or top.get("xml:lang")
    return stated.strip() or None if stated else None


def _take(element: Element, found: Evidence, raw: list[str]) -> None:
    tag = element.tag
    if tag == "meta":
        name = element.get("property") or element.get("name") or element.get("http-equiv")
        content = element.get("content")
        if name and content:
            found.meta.setdefault(name.strip().lower(), []).append(content)
    elif tag == "script":
        if (element.get("type") or "").partition(";")[0].strip().lower() in _TYPES and element.text:
            raw.append(element.text)
    elif tag == "link":
        for rel in (element.get("rel") or "").lower().split():
            if href := element.get("href"):
                found.links.setdefault(rel, href)
    elif tag == "title":
        if found.title is None and element.text and element.getparent().tag in ("head", "html"):
            found.title = " ".join(element.text.split())
    elif tag == "time":
        found.times.append(element)
    elif tag == "base" and element.get("href") and found.url:
        found.base = found.absolute(element.get("href")) or found.base


def _nodes(text: str) -> Iterator[dict[str, Any]]:
    """Every object of a JSON-LD script, outer before inner; broken JSON is read as far as usual slips allow."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = _lenient(text)
    stack, seen = [(value, "")], 0
    while stack and seen < _MAX_NODES:
        value, role = stack.pop()
        seen += 1
        if isinstance(value, dict):
            if "@type" in value:
                yield value if not role else {**value, "": role}
            stack.extend((inner, key) for key, inner in reversed(value.items()) if isinstance(inner, dict | list))
        elif isinstance(value, list):
            stack.extend((inner, role if role != "@graph" else "") for inner in reversed(value))


def _lenient(text: str) -> Any:
    text = text.strip().removeprefix("<!--").removesuffix("-->").strip()
    text = _TAIL.sub("", text.removeprefix("//<![CDATA[").removesuffix("//]]>"))
    for attempt in (text, re.sub(r",\s*([}\]])", r"\1", text)):
        try:
            return json.loads(_SURROGATE.sub("", json.dumps(json.loads(attempt, strict=False), ensure_ascii=False)))
        except (ValueError, RecursionError):
            continue
    return None


def types(node: dict[str, Any]) -> str:
    """The node's types as one string."""
    kind = node.get("@type")
    return " ".join(k for k in kind if isinstance(k, str)) if isinstance(kind, list) else str(kind or "")


def _article(found: Evidence) -> dict[str, Any]:
    """The node that most likely describes this page: article types before pages, outer nodes before list members."""
    best: tuple[float, dict[str, Any]] = (0.0, {})
    for node in found.nodes:
        score = 0.0
        if _ARTICLE.search(types(node)):
            score = 3.0
        elif _PAGE.search(types(node)):
            score = 1.0
        if not score:
            continue
        score -= 2.0 if node.get("") not in (None, "@graph", "mainEntity", "mainEntityOfPage") else 0.0
        score += 0.5 * sum(bool(node.get(k)) for k in ("headline", "datePublished", "author", "articleBody"))
        score += 0.5 * (same_page(node.get("url"), found.url) or same_page(node.get("mainEntityOfPage"), found.url))
        if score > best[0]:
            best = (score, node)
    return best[1]


def same_page(stated: Any, url: str | None) -> bool:
    """Whether a JSON-LD reference names this very page."""
    if isinstance(stated, dict):
        stated = stated.get("@id") or stated.get("url")
    if not isinstance(stated, str) or not url:
        return False
    return (
        stated.rstrip("/").partition("://")[2].partition("?")[0]
        == url.rstrip("/").partition("://")[2].partition("?")[0]
    )


def texts(value: Any, *keys: str) -> list[str]:
    """The strings in a JSON-LD value: itself, or in the named keys of its objects, lists flattened in order."""
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if isinstance(value, list):
        return [t for inner in value[:100] for t in texts(inner, *keys)]
    if isinstance(value, dict):
        for key in keys:
            if (found := value.get(key)) is not None and found != "":
                return texts(found, *keys)
    return []
