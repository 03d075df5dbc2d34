"""Brief JSON: the whole record in the Standard Webhooks envelope. One event in, compact UTF-8 JSON out."""

from __future__ import annotations

from typing import Any

import msgspec

from services.publish.render.shapes import Format, RenderInput, json_bytes, outward, outward_annotations, stamp
from shared.records import Annotations, Article


class Data(msgspec.Struct, frozen=True):
    """`record` is what the publisher asserts, `annotations` what we worked out about it."""

    article_id: str
    revision: int
    position: int
    occurrence: int
    record: Article
    annotations: Annotations


class Envelope(msgspec.Struct, frozen=True):
    """`type` names the event; `timestamp` is when it happened (not when this attempt was made), ISO 8601 UTC."""

    type: str
    timestamp: str
    data: Data


def write(event: RenderInput) -> bytes:
    """The envelope as JSON."""
    return json_bytes(envelope(event))


def envelope(event: RenderInput) -> Envelope:
    """The envelope as a record."""
    data = Data(
        article_id=event.article_id,
        revision=event.revision,
        position=event.position,
        occurrence=event.occurrence,
        record=outward(event),
        annotations=outward_annotations(event),
    )
    return Envelope(type=event.type, timestamp=stamp(event.at), data=data)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the envelope."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Briefwire brief JSON",
        **msgspec.json.schema(Envelope),
    }


FORMAT = Format("brief", "application/json", "json", write)
