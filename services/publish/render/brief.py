"""Brief JSON: the whole record in the Standard Webhooks envelope. One event in, compact UTF-8 JSON out."""

from __future__ import annotations

from typing import Any

import msgspec

from services.publish.render.shapes import Format, RenderInput, json_bytes, outward, outward_annotations, stamp
from shared.records import Annotations, Article, SectionChange


class Data(msgspec.Struct, frozen=True):
    """`record` is what the publisher asserts, `annotations` what we worked out about it; where a partner wants links to
    large records, `link` stands instead of both. An event about a section holds its `change` and none of these."""

    article_id: str
    revision: int
    position: int
    occurrence: int
    record: Article | msgspec.UnsetType = msgspec.UNSET
    annotations: Annotations | msgspec.UnsetType = msgspec.UNSET
    link: str | msgspec.UnsetType = msgspec.UNSET
    change: SectionChange | msgspec.UnsetType = msgspec.UNSET


class Envelope(msgspec.Struct, frozen=True):
    """`type` names the event; `timestamp` is when it happened (not when this attempt was made), ISO 8601 UTC."""

    type: str
    timestamp: str
    data: Data


def write(event: RenderInput) -> bytes:
    """The envelope as JSON, with a link in place of a record that is too large."""
    whole = json_bytes(envelope(event))
    if event.link is None or len(whole) <= event.link_above:
        return whole
    return json_bytes(_envelope(event, link=event.link))


def envelope(event: RenderInput) -> Envelope:
    """The envelope with the record in it, or with what changed of a section."""
    if event.change is not None:
        return _envelope(event, change=event.change)
    return _envelope(event, record=outward(event), annotations=outward_annotations(event))


def _envelope(event: RenderInput, **contents: Any) -> Envelope:
    data = Data(event.article_id, event.revision, event.position, event.occurrence, **contents)
    return Envelope(type=event.type, timestamp=stamp(event.at), data=data)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the envelope."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Briefwire brief JSON",
        **msgspec.json.schema(Envelope),
    }


FORMAT = Format("brief", "application/json", "json", write)
