"""A section page in, the `Feed` of its articles out: the repeating block of headline links, and the next page's link.

A page is a heap of links; headlines are told from menus by where they stand (heading, article, list of alike blocks,
beside a date) and what they look like (words, an address with a slug or a number). Links of one structure are judged
together, so that a short headline among long ones stays in and a long menu item stays out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import msgspec
import soupsieve
from bs4 import BeautifulSoup
from lxml import etree

from services.ingest.extract import charset
from services.ingest.extract.parse import page
from services.ingest.feed_dates import utc
from services.ingest.feeds import absolute, flat, key
from shared import urls
from shared.errors import Rejected
from shared.records import Entry, Feed

MAX_BYTES: Final = 8_000_000
MAX_LINKS: Final = 5_000
"""Links of a page that are looked at, in document order."""
MAX_ENTRIES: Final = 1_000
_PATH_END: Final = 300
"""Characters of a path that are searched for a slug; a hostile page prints long ones."""

_CHROME_TAGS: Final = frozenset({"nav", "footer", "aside", "form", "button", "select", "noscript", "template"})
_CHROME_WORDS: Final = frozenset({
    "nav", "navbar", "navigation", "menu", "submenu", "footer", "breadcrumb", "breadcrumbs", "crumbs", "pager",
    "pagination", "pages", "share", "sharing", "social", "socials", "lang", "langs", "language", "languages",
    "switcher", "login", "account", "cookie", "cookies", "consent", "sidebar", "aside", "widget", "banner", "advert",
    "ads", "sponsor", "promo", "popular", "trending", "related", "recommended", "mostread", "toolbar", "topbar",
    "subscribe", "newsletter", "search", "tags", "tagcloud", "skip", "copyright", "credits", "comments", "comment",
    "rss", "print", "author", "byline", "logo",
})  # fmt: skip
_NOT_NEWS: Final = re.compile(
    r"(?:^|/)(?:tags?|topics?|categor(?:y|ies)|authors?|users?|login|register|search|about(?:-us)?|contacts?"
    r"|privacy(?:-policy)?|terms(?:-of-(?:use|service))?|subscribe|share|print|rss|feeds?|page|wp-admin|cdn-cgi)(?:/|$)",
    re.IGNORECASE,
)
_FILES: Final = re.compile(
    r"\.(?:pdf|jpe?g|png|gif|webp|svg|mp[34]|zip|docx?|xlsx?|xml|rss|atom|json|css|js)$", re.IGNORECASE
)
_SLUG: Final = re.compile(r"[^\W_]+(?:[-_][^\W_]+){2,}|\d{4,}|\.html?$")
_DATE_PATH: Final = re.compile(r"/(?:19|20)\d{2}/\d{1,2}(?:/|$)")
_TOKENS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_STATE: Final = re.compile(r"\d|^(?:first|last|odd|even|active|sticky|is|has|no)$")
_NEXT_WORDS: Final = frozenset({
    "next", "older", "more", "»", "›", ">", "→", ">>", "»»", "next »", "older posts", "следующая", "вперёд", "вперед",
    "далее", "дальше", "ранее", "наступная", "далей", "наступна", "далі", "weiter", "nächste", "suivant", "suivante",
    "następna",
})  # fmt: skip
_MORE: Final = frozenset({
    "read", "see", "view", "continue", "reading", "more", "full", "article", "story", "text", "all", "the", "details",
    "подробнее", "читать", "далее", "полностью", "ещё", "больше", "падрабязней", "чытаць", "далей", "докладніше",
    "читати",
    "далі", "більше", "mehr", "weiterlesen", "lire", "la", "suite", "czytaj", "więcej",
})  # fmt: skip
_TITLE_WORDS: Final = frozenset({"title", "headline", "heading", "caption", "name"})
_DATE_HINT: Final = re.compile(r"(?:19|20)\d{2}|\d{1,2}:\d{2}")
_HEADINGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")


class _Link(msgspec.Struct):
    """One address on the page: its best anchor, the text there, the block of the item it heads, and how news-like it
    is.
    """

    url: str
    anchor: Any
    text: str
    shape: tuple[str, ...]
    heading: bool
    block: Any = None
    score: float = 0.0


def parse(
    body: bytes,
    url: str,
    *,
    link_selector: str | None = None,
    next_selector: str | None = None,
    content_type: str | None = None,
) -> Feed:
    """The articles that a section page links to, in the page's order, as a `Feed` of kind "listing".

    Args:
        url: the page's final address; only links on its host count, with or without "www.".
        link_selector: CSS for the headline links (or for blocks that hold one), instead of detection.
        next_selector: CSS for the link to the following page, instead of detection.

    Raises:
        Rejected: "too-large", "bad-url", "not-a-listing" when no block of headline links is found, "bad-selector", and
        what
            decoding and parsing a page refuse.
    """
    if len(body) > MAX_BYTES:
        raise Rejected("too-large", f"The page has {len(body)} bytes; section pages above {MAX_BYTES} are not read.")
    text = charset.decode(body, content_type).text
    tree = page(text)[0]
    base = _base(tree, url)
    chosen = _selected(text, link_selector) if link_selector else None
    links = _links(tree, url, base, chosen)
    _blocks(links)
    picked = links if chosen is not None else _picked(links, url)
    if not picked:
        what = (
            f"Nothing on the page matches {link_selector!r}."
            if link_selector
            else "No repeating block of headline links was found."
        )
        raise Rejected("not-a-listing", what)
    _blocks(picked)  # once more: links to sections and authors no longer part an item from its date
    following = _selected(text, next_selector) if next_selector else None
    return Feed(
        kind="listing",
        title=flat(tree.findtext(".//title")),
        language=tree.get("lang") or tree.get("xml:lang") or None,
        entries=tuple(_entry(link) for link in picked[:MAX_ENTRIES]),
        next_url=_next(tree, url, base, following),
    )


def _base(tree: Any, url: str) -> str:
    href = next((element.get("href") for element in tree.iter("base") if element.get("href")), "")
    return absolute(href, url) or url


def _selected(text: str, selector: str) -> set[str]:
    """The raw href values that a selector picks. Matching is soupsieve's; the tree it walks is BeautifulSoup's."""
    soup = BeautifulSoup(text, "lxml")
    try:
        matches = soup.select(selector)
    except (soupsieve.SelectorSyntaxError, ValueError) as error:
        raise Rejected("bad-selector", f"{selector!r} is not a CSS selector that we understand.") from error
    anchors = (match if match.has_attr("href") else match.find("a", href=True) for match in matches)
    return {str(anchor["href"]) for anchor in anchors if anchor is not None}


# Links


def _links(tree: Any, url: str, base: str, chosen: set[str] | None) -> list[_Link]:
    """One `_Link` per address on the same host, in document order, with the best of its anchors."""
    found: dict[str, _Link] = {}
    chrome = _chrome(tree) if chosen is None else set()
    for anchor in _anchors(tree):
        target = _target(anchor.get("href"), base)
        if target is None:
            continue
        if chosen is None:
            wanted = _could_be_news(target, url) and chrome.isdisjoint((anchor, *anchor.iterancestors()))
        else:
            wanted = anchor.get("href") in chosen
        if not wanted:
            continue
        link = _Link(target, anchor, _title(anchor), _shape(anchor), _in_heading(anchor))
        known = found.setdefault(target, link)
        if _better(link, known):
            known.anchor, known.text, known.shape, known.heading = link.anchor, link.text, link.shape, link.heading
    return [link for link in found.values() if link.text]


def _anchors(tree: Any) -> Iterator[Any]:
    for number, anchor in enumerate(tree.iter("a")):
        if number >= MAX_LINKS:
            return
        if (anchor.get("href") or "").strip():
            yield anchor


def _target(href: str, base: str) -> str | None:
    """The address as an identity: absolute, without fragment and tracking parameters."""
    found = None if href.lstrip().startswith("#") else absolute(href, base)
    return urls.canonical(found) if found else None


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").removeprefix("www.")


def _without_page(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def _could_be_news(target: str, page: str) -> bool:
    path, own = urlsplit(target).path.rstrip("/"), _without_page(page)
    if _host(target) != _host(page) or not path or path == own or (own + "/").startswith(path + "/"):
        return False
    return not _FILES.search(path) and not _NOT_NEWS.search(path[len(own) :] if path.startswith(own + "/") else path)


def _chrome(tree: Any) -> set[Any]:
    """Elements that are, or call themselves, navigation, a footer, a share bar and the like."""
    headings = sum(1 for _ in tree.iter("h1", "h2", "h3"))
    return {element for element in tree.iter(etree.Element) if _is_chrome(element, headings)}


def _is_chrome(element: Any, headings: int) -> bool:
    if element.tag in ("body", "html", "article", "main"):
        return False
    if element.tag in _CHROME_TAGS or element.get("role") in ("navigation", "contentinfo", "banner", "search", "menu"):
        return True
    if not _words(element) & _CHROME_WORDS:
        return False
    # A wrapper named "with-sidebar" holds the page's headings and is no sidebar.
    inside = sum(1 for _ in element.iter("h1", "h2", "h3"))
    return next(element.iter("h1"), None) is None and (inside < 3 or inside * 2 < headings)


def _words(element: Any) -> set[str]:
    names = f"{element.get('class') or ''} {element.get('id') or ''}"
    return {token.lower() for token in _TOKENS.findall(names)}


def _text(element: Any) -> str:
    return flat("".join(element.itertext())) or ""


def _title(anchor: Any) -> str:
    """The headline in a link: its heading, else what calls itself a title, else all it says, or what its picture says.

    A card is one link around picture, headline, summary and date.
    """
    heading = next((inner for inner in anchor.iter(*_HEADINGS)), None)
    if heading is None:
        heading = next((inner for inner in anchor.iter("div", "span", "p", "b", "strong") if _is_title(inner)), None)
    text = _text(anchor if heading is None else heading) or _picture_text(anchor)
    return "" if {word.strip(".,:…»›→>[]() ").lower() for word in text.split()} <= _MORE | {""} else text


def _is_title(element: Any) -> bool:
    return bool(_words(element) & _TITLE_WORDS) and bool(_text(element))


def _picture_text(anchor: Any) -> str:
    said = (anchor.get("title"), *(picture.get("alt") for picture in anchor.iter("img")))
    return next((text for one in said if (text := flat(one))), "")


def _in_heading(anchor: Any) -> bool:
    if next(anchor.iter(*_HEADINGS), None) is not None:
        return True
    parents = (parent for parent, _ in zip(anchor.iterancestors(), range(3), strict=False))
    return any(parent.tag in _HEADINGS for parent in parents)


def _better(link: _Link, known: _Link) -> bool:
    return (link.heading, len(link.text)) > (known.heading, len(known.text))


def _shape(anchor: Any) -> tuple[str, ...]:
    """The way down to the link, four levels of tag and class: what the items of one list have in common."""
    levels = []
    for element, _ in zip((anchor, *anchor.iterancestors()), range(4), strict=False):
        classes = sorted(name for name in (element.get("class") or "").split() if not _STATE.search(name))
        levels.append(f"{element.tag}.{'.'.join(classes[:3])}")
    return tuple(levels)


# Blocks: as much of the page around a link as belongs to no other link


def _blocks(links: list[_Link]) -> None:
    owners: dict[Any, int] = defaultdict(int)
    for link in links:
        for element in link.anchor.iterancestors():
            owners[element] += 1
    for link in links:
        link.block = link.anchor
        for element in link.anchor.iterancestors():
            if owners[element] > 1 or element.tag in ("body", "html", "main"):
                break
            link.block = element


def _date(link: _Link) -> tuple[str, str | None] | None:
    """The date printed in the block: a <time>, else the first short text that reads as one."""
    for element in link.block.iter("time"):
        printed = element.get("datetime") or _text(element)
        if printed:
            return printed, utc(printed)
    for text in _texts(link.block):
        if len(text) <= 60 and _DATE_HINT.search(text) and text != link.text and (instant := utc(text)):
            return text, instant
    return None


def _summary(link: _Link) -> str | None:
    texts = (_text(element) for element in link.block.iter("p"))
    return next((text for text in texts if text and text != link.text and len(text) >= 40), None)


def _texts(block: Any) -> Iterator[str]:
    for number, text in enumerate(block.itertext()):
        if number > 200:
            return
        clean = flat(str(text))
        if clean:
            yield clean


# Judging


def _score(link: _Link, page: str) -> float:
    words, path = len(link.text.split()), urlsplit(link.url).path[-_PATH_END:]
    points = 2.0 if link.heading else 0.0
    points += 2.0 if words >= 4 else 1.0 if words == 3 or len(link.text) >= 20 else -1.0
    points += 1.5 if _SLUG.search(path) or _SLUG.search(urlsplit(link.url).query[-_PATH_END:]) else 0.0
    points += 0.5 if _DATE_PATH.search(path) else 0.0
    points += 0.5 if urlsplit(link.url).path.startswith(_without_page(page) + "/") else 0.0
    points += 1.5 if _date(link) else 0.0
    return points + (0.5 if any(element.tag == "article" for element in link.anchor.iterancestors()) else 0.0)


def _picked(links: list[_Link], page: str) -> list[_Link]:
    """The best group of alike links, and the other groups that are about as good: a lead story, a second column."""
    groups: dict[tuple[str, ...], list[_Link]] = defaultdict(list)
    for link in links:
        link.score = _score(link, page)
        groups[link.shape].append(link)
    means = {shape: sum(link.score for link in group) / len(group) for shape, group in groups.items()}
    worth = {shape: mean * min(len(groups[shape]), 12) for shape, mean in means.items() if mean >= 2.5}
    if not worth:
        return []
    best = max(worth, key=lambda shape: worth[shape])
    if len(groups[best]) < 2 and means[best] < 5:
        return []
    accepted = {shape for shape in worth if means[shape] >= 0.75 * means[best]}
    return [link for link in links if link.shape in accepted and link.score >= 1.0]


def _entry(link: _Link) -> Entry:
    printed = _date(link)
    return Entry(
        key=key("", link.url),
        url=link.url,
        title=link.text,
        summary=_summary(link),
        published_raw=printed[0] if printed else None,
        published_utc=printed[1] if printed else None,
    )


# The page after this one


def _next(tree: Any, url: str, base: str, following: set[str] | None) -> str | None:
    """The following page on the same host: by selector, by rel=next, by the words of the link, by the number after
    ours.
    """
    if following is not None:
        targets = (_target(anchor.get("href"), base) for anchor in _anchors(tree) if anchor.get("href") in following)
    else:
        targets = (_target(href, base) for href in _next_hrefs(tree, url))
    return next(
        (target for target in targets if target and _host(target) == _host(url) and target != urls.canonical(url)), None
    )


def _next_hrefs(tree: Any, url: str) -> Iterator[str]:
    for element in tree.iter("link", "a"):
        if "next" in (element.get("rel") or "").lower().split() and element.get("href"):
            yield element.get("href")
    for anchor in _anchors(tree):
        words = _text(anchor).lower()
        label = (anchor.get("aria-label") or anchor.get("title") or "").lower()
        if (
            words in _NEXT_WORDS
            or words.rstrip(" »›→>") in _NEXT_WORDS
            or label in ("next", "next page", "go to next page")
        ):
            yield anchor.get("href")
    number = _page_number(url) + 1
    for anchor in _anchors(tree):
        if _text(anchor) == str(number) and _page_number(urljoin(url, anchor.get("href"))) in (number, number - 1):
            yield anchor.get("href")


def _page_number(url: str) -> int:
    """Which page of a listing an address names; 1 where it names none."""
    found = re.search(r"(?:[?&](?:page|p|paged|PAGEN_\d+)=|/page/?)(\d{1,4})\b", url)
    return int(found[1]) if found else 1
