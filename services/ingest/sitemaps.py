"""The bytes of a sitemap in, a `Feed` out: plain, news, text form, gzipped, or an index whose entries are sitemaps.

Entities are never resolved, nothing is fetched, and both the unpacked size and the number of entries are bounded.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from lxml import etree

from services.ingest.feed_dates import utc
from services.ingest.feeds import PROLOG, absolute, decode, flat, key, looks_like
from shared.errors import Rejected
from shared.records import Entry, Feed

MAX_BYTES: Final = 52_428_800
"""The protocol's own limit for one unpacked sitemap."""
MAX_ENTRIES: Final = 50_000
"""The protocol's own limit of addresses in one sitemap."""

_ROOTS: Final = {"urlset": "sitemap", "sitemapindex": "sitemap-index"}
_ITEMS: Final = ("url", "sitemap")
_FIELDS: Final = ("loc", "lastmod", "title", "publication_date", "keywords", "language", "name")


class _Item(msgspec.Struct):
    """The texts of one <url> or <sitemap>, by namespace word ("" or "news") and local name."""

    own: dict[str, str]
    news: dict[str, str]


def parse(body: bytes, url: str | None, content_type: str | None = None) -> Feed:
    """The addresses of a sitemap, in its order; `Feed.kind` is sitemap, news-sitemap or sitemap-index.

    `<lastmod>` becomes `updated`; a news sitemap's title, date and keywords become title, `published` and categories.
    In an index every entry is a sitemap to be read in turn. Duplicates and addresses that are not http or https are
    left out.

    Raises:
        Rejected: "empty", "too-large" above 50 MB unpacked, "not-a-sitemap" with what it looks like.
    """
    text = decode(_unpacked(body), content_type)[0].lstrip("\ufeff").strip()
    if not text:
        raise Rejected("empty", "The answer has no content.")
    if "<" not in text[:2000]:
        return _from_text(text)
    root, items = _root_and_items(PROLOG.sub("", text, count=1).encode("utf-8"))
    if root not in _ROOTS:
        raise Rejected("not-a-sitemap", _what(text, root))
    entries = _entries(items, url)
    news = next((item for item in items if item.news), None)
    return Feed(
        kind="news-sitemap" if news and root == "urlset" else _ROOTS[root],
        title=news.news.get("name") if news else None,
        language=news.news.get("language") if news else None,
        entries=entries,
    )


def worth_reading(index: Feed, limit: int = 3) -> tuple[str, ...]:
    """The sitemaps of an index to read at a poll: those that call themselves news, then the latest changed, at most `limit`.

    An index without dates is read from its end: systems that number their sitemaps append to the last.
    """
    numbered = list(enumerate(entry for entry in index.entries if entry.url))
    numbered.sort(
        key=lambda pair: ("news" in (pair[1].url or "").lower(), pair[1].updated_utc or "", pair[0]), reverse=True
    )
    return tuple(entry.url for _, entry in numbered[:limit] if entry.url)


def _unpacked(body: bytes) -> bytes:
    """The document itself: .gz bodies unpacked, at most MAX_BYTES of it; a cut-off archive gives what it holds."""
    if len(body) > MAX_BYTES:
        raise Rejected("too-large", f"A sitemap may have {MAX_BYTES} bytes; this one has {len(body)}.")
    if not body.startswith(b"\x1f\x8b"):
        return body
    machine = zlib.decompressobj(wbits=31)
    try:
        unpacked = machine.decompress(body, MAX_BYTES + 1)
    except zlib.error as error:
        raise Rejected("not-a-sitemap", "This starts like a gzip file but cannot be unpacked.") from error
    if len(unpacked) > MAX_BYTES:
        raise Rejected("too-large", f"A sitemap may have {MAX_BYTES} bytes unpacked; this one has more.")
    return unpacked


def _what(text: str, root: str) -> str:
    if root in ("rss", "feed", "RDF"):
        return "This is a feed; add it with --kind feed."
    return looks_like(text).replace("no feed", "no sitemap").replace("not a feed", "not a sitemap")


def _root_and_items(body: bytes) -> tuple[str, list[_Item]]:
    root, items = "", []
    try:
        for event, element in _events(body):
            if event == "start":
                root = root or _local(element)
            elif _local(element) in _ITEMS:
                items.append(_item(element))
                element.clear()
            if len(items) >= MAX_ENTRIES or root not in _ROOTS:
                break
    except etree.XMLSyntaxError as error:  # cut off or broken: what was whole before the break counts
        if root in _ROOTS and not items:
            raise Rejected("not-a-sitemap", f"It starts like a sitemap but cannot be read ({error.msg}).") from error
    return root, items


def _events(body: bytes) -> Iterator[tuple[str, Any]]:
    return iter(
        etree.iterparse(
            io.BytesIO(body),
            events=("start", "end"),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            recover=False,
            remove_comments=True,
            remove_pis=True,
        )
    )


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _item(element: Any) -> _Item:
    item = _Item({}, {})
    for inner in element.iterdescendants(etree.Element):
        name, text = _local(inner), flat(inner.text)
        if text is None or name not in _FIELDS or len(inner):  # an unresolved entity would leave half an address
            continue
        if "sitemap-news" in inner.tag:
            item.news.setdefault(name, text)
        elif inner.getparent() is element:
            item.own.setdefault(name, text)
    return item


def _entries(items: list[_Item], base: str | None) -> tuple[Entry, ...]:
    kept: dict[str, Entry] = {}
    for item in items:
        link = absolute(item.own.get("loc"), base)
        if link is None or link in kept:
            continue
        published, updated = item.news.get("publication_date"), item.own.get("lastmod")
        keywords = (word.strip() for word in item.news.get("keywords", "").split(","))
        kept[link] = Entry(
            key=key("", link),
            url=link,
            title=item.news.get("title"),
            published_raw=published,
            published_utc=utc(published),
            updated_raw=updated,
            updated_utc=utc(updated),
            categories=tuple(dict.fromkeys(word for word in keywords if word)),
        )
    return tuple(kept.values())


def _from_text(text: str) -> Feed:
    """The protocol's text form: one address a line."""
    links = [absolute(line, None) for line in text.splitlines()[:MAX_ENTRIES] if line.strip()]
    if not links or None in links[:5]:
        raise Rejected("not-a-sitemap", _what(text, ""))
    entries = tuple(Entry(key("", link), link) for link in dict.fromkeys(links) if link)
    return Feed(kind="sitemap", title=None, language=None, entries=entries)
