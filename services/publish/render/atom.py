"""Atom (RFC 4287): one event as an entry document, or a whole feed with self, hub and next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from html import escape

from lxml import etree

from services.publish.render.html import body_html
from services.publish.render.shapes import (
    FINDINGS,
    PROVENANCE,
    FeedInfo,
    Format,
    Rendered,
    RenderInput,
    article_uri,
    issued,
    language_tag,
    outward,
    printable,
    stamp,
    summary,
    title,
    uri,
    web_url,
)
from services.publish.render.xml import Element, child, default_namespace, document

_NS = "http://www.w3.org/2005/Atom"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def write(event: RenderInput) -> bytes:
    """An Atom entry document."""
    entry = etree.Element(_tag("entry"), nsmap=default_namespace(_NS))
    _entry(entry, event)
    return document(entry)


def write_feed(info: FeedInfo, events: Sequence[RenderInput]) -> Rendered:
    """A whole feed, entries in the order given."""
    feed = etree.Element(_tag("feed"), nsmap=default_namespace(_NS))
    language = language_tag(info.language)
    if language:
        feed.set(_XML_LANG, language)
    child(feed, _tag("id"), uri(info.id or info.url.partition("?")[0]))
    child(feed, _tag("title"), info.title)
    if info.description:
        child(feed, _tag("subtitle"), info.description)
    child(feed, _tag("updated"), stamp(info.updated))
    child(feed, _tag("author"))
    child(feed[-1], _tag("name"), info.title)
    child(feed, _tag("generator"), "Briefwire")
    child(feed, _tag("link"), rel="alternate", href=uri(info.home), type="text/html")
    for rel, href in (("self", info.url), ("hub", info.hub), ("next", info.next_url)):
        if href:
            kind = None if rel == "hub" else "application/atom+xml"
            child(feed, _tag("link"), rel=rel, href=uri(href), type=kind)
    for event in events:
        _entry(child(feed, _tag("entry")), event)
    return Rendered(document(feed), "application/atom+xml; charset=utf-8", FORMAT.extension)


def _entry(entry: Element, event: RenderInput) -> None:
    article = outward(event)
    language = language_tag(article.language)
    if language:
        entry.set(_XML_LANG, language)
    child(entry, _tag("id"), article_uri(article.id))
    child(entry, _tag("title"), title(event))
    child(entry, _tag("published"), stamp(issued(event)))
    child(entry, _tag("updated"), _updated(event))
    authors = [author for author in article.authors if author.strip()]
    for author in authors or [article.site_name or article.source]:
        child(child(entry, _tag("author")), _tag("name"), author)
    link = web_url(article.url)
    if link:
        child(entry, _tag("link"), rel="alternate", href=link, type="text/html")
    for category in (article.section, *article.tags):
        if category and category.strip():
            child(entry, _tag("category"), term=category)
    if summary(event):
        child(entry, _tag("summary"), summary(event))
    child(entry, _tag("content"), body_html(event) or f"<p>{escape(printable(title(event)))}</p>", type="html")


def _updated(event: RenderInput) -> str:
    """Events of one batch share their second, yet no two entries should have been updated at once: the position, as a
    fraction of that second, tells them apart and keeps their order."""
    at = event.at.astimezone(dt.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{event.position % 1_000_000:06}Z"


def _tag(name: str) -> str:
    return f"{{{_NS}}}{name}"


FORMAT = Format(
    "atom",
    "application/atom+xml;type=entry;charset=utf-8",
    "xml",
    write,
    ("modified", "site_name", "category_status.value", "revision", *PROVENANCE, *FINDINGS),
)
