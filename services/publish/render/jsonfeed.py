"""JSON Feed 1.1: one event as a feed of one item, or a whole feed; the rest stands under `_briefwire`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.publish.render.html import body_html
from services.publish.render.rss import single
from services.publish.render.shapes import (
    PROVENANCE,
    FeedInfo,
    Format,
    Rendered,
    RenderInput,
    article_uri,
    issued,
    json_bytes,
    outward,
    outward_annotations,
    stamp,
    summary,
    title,
    uri,
    web_url,
)
from shared.records import to_plain

_VERSION = "https://jsonfeed.org/version/1.1"


def write(event: RenderInput) -> bytes:
    """A feed that holds this one item."""
    return _document(single(event), [event])


def write_feed(info: FeedInfo, events: Sequence[RenderInput]) -> Rendered:
    """A whole feed, items in the order given."""
    return Rendered(_document(info, events), FORMAT.content_type, FORMAT.extension)


def _document(info: FeedInfo, events: Sequence[RenderInput]) -> bytes:
    feed: dict[str, Any] = {
        "version": _VERSION,
        "title": info.title,
        "home_page_url": web_url(info.home),
        "feed_url": uri(info.url) if info.url else None,
        "description": info.description or None,
        "language": info.language,
        "next_url": uri(info.next_url) if info.next_url else None,
        "hubs": [{"type": "WebSub", "url": uri(info.hub)}] if info.hub else None,
        "items": [_item(event) for event in events],
    }
    return json_bytes(_present(feed))


def _item(event: RenderInput) -> dict[str, Any]:
    article = outward(event)
    pictures = [url for image in article.images if (url := web_url(image.url))]
    return _present(
        {
            "id": article_uri(article.id),
            "url": web_url(article.url),
            "title": title(event),
            "content_html": body_html(event),
            "summary": summary(event),
            "image": pictures[0] if pictures else None,
            "date_published": stamp(issued(event)),
            "date_modified": stamp(article.modified.at if article.modified else event.at),
            "authors": [{"name": author} for author in article.authors] or None,
            "tags": [tag for tag in (article.section, *article.tags) if tag] or None,
            "language": article.language,
            "_briefwire": _extension(event),
        }
    )


def _extension(event: RenderInput) -> dict[str, Any]:
    article, annotations = outward(event), outward_annotations(event)
    return {
        "about": "https://jsonfeed.org/version/1.1#extensions-a-name-extensions-a",
        "article_id": article.id,
        "revision": article.revision,
        "state": article.state,
        "source": article.source,
        "category_status": article.category_status.value,
        "annotations": to_plain(annotations),
    }


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


FORMAT = Format("jsonfeed", "application/feed+json; charset=utf-8", "json", write, PROVENANCE)
