"""RSS 2.0: one event as a feed of one item, or a whole feed of many. guid is the article's URI, dates are RFC 822."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from email.utils import format_datetime
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
    summary,
    title,
    uri,
    web_url,
)
from services.publish.render.xml import Element, child, document

_ATOM = "http://www.w3.org/2005/Atom"
_CONTENT = "http://purl.org/rss/1.0/modules/content/"
_DC = "http://purl.org/dc/elements/1.1/"


def write(event: RenderInput) -> bytes:
    """A feed that holds this one item."""
    return _document(single(event), [event])


def write_feed(info: FeedInfo, events: Sequence[RenderInput]) -> Rendered:
    """A whole feed, items in the order given."""
    return Rendered(_document(info, events), FORMAT.content_type, FORMAT.extension)


def single(event: RenderInput) -> FeedInfo:
    """The feed around one pushed event: it has no address of its own, so its article's page stands for it."""
    article = event.article
    home = web_url(article.url) or article_uri(article.id)
    return FeedInfo(article.site_name or article.source, "", home, event.at, language=article.language)


def _document(info: FeedInfo, events: Sequence[RenderInput]) -> bytes:
    root = etree.Element("rss", nsmap={"atom": _ATOM, "content": _CONTENT, "dc": _DC}, version="2.0")
    channel = child(root, "channel")
    child(channel, "title", info.title)
    child(channel, "link", uri(info.home))
    child(channel, "description", info.description or info.title)
    language = language_tag(info.language)
    if language:
        child(channel, "language", language)
    child(channel, "lastBuildDate", _date(info.updated))
    child(channel, "generator", "Briefwire")
    for rel, href in (("self", info.url), ("hub", info.hub), ("next", info.next_url)):
        if href:
            kind = None if rel == "hub" else "application/rss+xml"
            child(channel, f"{{{_ATOM}}}link", rel=rel, href=uri(href), type=kind)
    for event in events:
        _item(child(channel, "item"), event)
    return _PLAIN.sub(_numeric, document(root))


# Readers disagree whether these hold text or HTML; the RSS profile's advice, numeric references, is read alike by both.
_PLAIN = re.compile(rb"<(title|category)>[^<]*</\1>")


def _numeric(found: re.Match[bytes]) -> bytes:
    return found[0].replace(b"&amp;", b"&#x26;").replace(b"&lt;", b"&#x3C;").replace(b"&gt;", b"&#x3E;")


def _item(item: Element, event: RenderInput) -> None:
    article = outward(event)
    child(item, "title", title(event))
    link = web_url(article.url)
    if link:
        child(item, "link", link)
    # A description is HTML by custom, so plain words are escaped once more.
    child(item, "description", escape(printable(summary(event)), quote=False))
    for author in filter(str.strip, article.authors):
        child(item, f"{{{_DC}}}creator", author)
    for category in (article.section, *article.tags):
        if category and category.strip():
            child(item, "category", category)
    child(item, "guid", article_uri(article.id), isPermaLink="false")
    child(item, "pubDate", _date(issued(event)))
    child(item, f"{{{_CONTENT}}}encoded", body_html(event))


def _date(at: dt.datetime) -> str:
    return format_datetime(at.astimezone(dt.UTC).replace(microsecond=0), usegmt=True)


FORMAT = Format(
    "rss",
    "application/rss+xml; charset=utf-8",
    "xml",
    write,
    ("modified", "category_status.value", "revision", *PROVENANCE, *FINDINGS),
)
