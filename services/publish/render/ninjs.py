"""IPTC ninjs 3.1: one event in, one news object out. Withdrawn is `pubStatus: canceled` with the identity only.

The category status has no field in ninjs; it is a subject with rel "categoryStatus". Images, the publisher's related
articles and our similar ones are associations; the last two are partial.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.publish.render.html import body_html
from services.publish.render.shapes import (
    WITHDRAWN_NOTICE,
    Format,
    RenderInput,
    article_uri,
    block_text,
    json_bytes,
    language_tag,
    outward,
    outward_annotations,
    stamp,
    uri,
    web_url,
)
from shared.records import Annotations, Article, Block, Image, Moment, Related, Similar

MEDIA_TOPICS = "http://cv.iptc.org/newscodes/mediatopic/"
SCHEMA = "http://www.iptc.org/std/ninjs/ninjs-schema_3.1.json"

_STATUS = {"usable": "usable", "held": "withheld", "withdrawn": "canceled"}


def write(event: RenderInput) -> bytes:
    """The news object as JSON."""
    return json_bytes(news_object(event))


def news_object(event: RenderInput) -> dict[str, Any]:
    """The news object as a dict that fits the schema."""
    article, annotations = outward(event), outward_annotations(event)
    return _filled(
        {
            "uri": article_uri(article.id),
            "type": "text",
            "representationType": "partial" if event.withdrawn else "full",
            "version": str(article.revision),
            "versionCreated": stamp(event.at),
            "contentCreated": _time(article.published),
            "pubStatus": _STATUS[article.state],
            "language": language_tag(article.language),
            "by": ", ".join(article.authors),
            "edNote": WITHDRAWN_NOTICE if event.withdrawn else None,
            "headlines": [{"role": "main", "contentType": "text/plain", "value": article.headline}],
            "descriptions": _descriptions(article.lead),
            "bodies": [] if event.withdrawn else _bodies(event, article),
            "subjects": list(_subjects(article, annotations)),
            "people": _named(annotations, "person"),
            "organisations": _named(annotations, "organisation"),
            "places": _named(annotations, "place"),
            "events": [{"rel": "story", "id": annotations.story}] if annotations.story else [],
            "infoSources": [{"name": article.site_name or article.source, "role": "source", "literal": article.source}],
            "renditions": _page(article.url),
            "associations": list(_associations(article, annotations)),
            "altIds": [{"role": "sourceItemId", "value": article.source_item_id}] if article.source_item_id else [],
            "standard": {"name": "ninjs", "version": "3.1", "schema": SCHEMA},
        }
    )


def _bodies(event: RenderInput, article: Article) -> list[dict[str, Any]]:
    plain = "\n\n".join(block_text(block) for block in article.blocks)
    counts = {"charCount": len(plain), "wordCount": len(plain.split())}
    return [
        {"role": "main", "contentType": "text/html", **counts, "value": body_html(event)},
        {"role": "main", "contentType": "text/plain", **counts, "value": plain},
    ]


def _subjects(article: Article, annotations: Annotations) -> Iterator[dict[str, Any]]:
    if article.section:
        yield {"rel": "section", "name": article.section, "creator": article.source}
    status = article.category_status
    if status.value != "unknown" or status.label:
        name = status.raw or status.value
        yield {"rel": "categoryStatus", "name": name, "literal": status.value, "creator": article.source}
    for tag in article.tags:
        yield {"rel": "keyword", "name": tag, "creator": article.source}
    for category in annotations.categories:
        yield _filled(
            {
                "rel": "suggestion" if category.suggestion else "category",
                "name": category.label,
                "uri": MEDIA_TOPICS + uri(category.code) if category.scheme == "medtop" else None,
                "literal": f"{category.scheme}:{category.code}",
                "creator": f"{category.method} {category.version}".strip(),
                "confidence": min(max(round(category.score * 100), 0), 100),
            }
        )


def _named(annotations: Annotations, kind: str) -> list[dict[str, Any]]:
    """Names of that kind, as printed; the format has no place for names of which we know no kind, nor for counts."""
    return [{"name": one.text, "rel": "mentioned"} for one in annotations.names if one.kind == kind]


def _associations(article: Article, annotations: Annotations) -> Iterator[dict[str, Any]]:
    yield from _pictures(article.images, article_uri(article.id))
    for one in article.related:
        yield _printed(one, article_uri(article.id))
    for number, similar in enumerate(annotations.similar, start=1):
        yield _similar(similar, number)


def _pictures(images: tuple[Image, ...], owner: str) -> Iterator[dict[str, Any]]:
    for number, image in enumerate(images, start=1):
        url = web_url(image.url)
        texts = (("caption", image.caption), ("alt", image.alt))
        yield _filled(
            {
                "name": f"image-{number}",
                "rel": "image",
                "uri": url or f"{owner}:image-{number}",
                "type": "picture",
                "by": image.credit,
                "usageTerms": image.rights,
                "descriptions": [{"role": role, "value": value} for role, value in texts if value],
                "renditions": [{"name": "original", "href": url}] if url else [],
            }
        )


def _printed(one: Related, owner: str) -> dict[str, Any]:
    snapshot = one.snapshot
    url = web_url(one.target or (snapshot.url if snapshot else None))
    blocks: tuple[Block, ...] = snapshot.blocks if snapshot else ()
    return _filled(
        {
            "name": f"related-{one.position}",
            "rel": one.relation,
            "uri": url or f"{owner}:related-{one.position}",
            "type": "text",
            "representationType": "partial",
            "title": one.heading,
            "contentCreated": _time(snapshot.published) if snapshot else None,
            "headlines": [{"value": snapshot.headline}] if snapshot else [],
            "descriptions": _descriptions(snapshot.lead if snapshot else None),
            "bodies": [{"contentType": "text/plain", "value": "\n\n".join(map(block_text, blocks))}] if blocks else [],
            "renditions": _page(url),
            "associations": list(_pictures(snapshot.images, f"{owner}:related-{one.position}")) if snapshot else [],
        }
    )


def _similar(similar: Similar, number: int) -> dict[str, Any]:
    return _filled(
        {
            "name": f"similar-{number}",
            "rel": similar.relation,
            "uri": article_uri(similar.article_id),
            "type": "text",
            "representationType": "partial",
            "headlines": [{"value": similar.headline}],
            "edNote": f"Score {similar.score:.3f} by {similar.method} {similar.version}, as of {similar.as_of}.",
            "renditions": _page(similar.url),
        }
    )


def _descriptions(lead: str | None) -> list[dict[str, Any]]:
    return [{"role": "lead", "contentType": "text/plain", "value": lead}] if lead else []


def _page(url: str | None) -> list[dict[str, Any]]:
    href = web_url(url)
    return [{"name": "web", "href": href, "contentType": "text/html"}] if href else []


def _time(moment: Moment | None) -> str | None:
    return stamp(moment.at) if moment else None


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


FORMAT = Format(
    "ninjs", "application/json", "json", write, ("modified", "removed", "origins", "category_status.evidence")
)
