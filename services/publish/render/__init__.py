"""Renderers, one format a file: an event in, bytes out. `render` is the one way in; `FORMATS` names what there is."""

from __future__ import annotations

from services.publish.render import brief
from services.publish.render.shapes import FeedInfo, Format, Rendered, RenderInput, omitted
from shared.errors import Rejected

__all__ = ["FORMATS", "FeedInfo", "Format", "RenderInput", "Rendered", "render"]

FORMATS: dict[str, Format] = {one.name: one for one in (brief.FORMAT,)}


def render(format_name: str, event: RenderInput) -> Rendered:
    """One event in one format. Raises Rejected("unknown-format") naming the formats there are."""
    known = FORMATS.get(format_name)
    if known is None:
        raise Rejected("unknown-format", f"{format_name!r} is none of {', '.join(FORMATS)}.")
    return Rendered(known.write(event), known.content_type, known.extension, omitted(event, known.cannot_hold))
