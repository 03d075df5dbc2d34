"""Renderers, one format a file: an event in, bytes out. `render` is the one way in; `FORMATS` names what there is.

`render_feed` writes a whole pull feed in one of `FEED_FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.publish.render import atom, brief, html, jsonfeed, markdown, newsml, ninjs, rss, text
from services.publish.render.shapes import FeedInfo, Format, Rendered, RenderInput, newest, omitted
from shared.errors import Rejected

__all__ = ["FEED_FORMATS", "FORMATS", "FeedInfo", "Format", "RenderInput", "Rendered", "render", "render_feed"]

_MODULES = (brief, ninjs, newsml, rss, atom, jsonfeed, text, markdown, html)

FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in _MODULES}

FEED_FORMATS: dict[str, Callable[[FeedInfo, Sequence[RenderInput]], Rendered]] = {
    "rss": rss.write_feed,
    "atom": atom.write_feed,
    "jsonfeed": jsonfeed.write_feed,
}


def render(format_name: str, event: RenderInput) -> Rendered:
    """One event in one format; what changed of a section is always brief JSON, for no other format has a place for it.

    Raises Rejected("unknown-format") naming the formats there are.
    """
    known = FORMATS.get(format_name)
    if known is None:
        raise Rejected("unknown-format", f"{format_name!r} is none of {', '.join(FORMATS)}.")
    if event.change is not None:
        return Rendered(brief.write(event), brief.FORMAT.content_type, brief.FORMAT.extension)
    return Rendered(known.write(event), known.content_type, known.extension, omitted(event, known.cannot_hold))


def render_feed(format_name: str, info: FeedInfo, events: Sequence[RenderInput]) -> Rendered:
    """A whole feed, each article once with its newest event. Raises Rejected("unknown-format") naming the feed formats there are."""
    writer = FEED_FORMATS.get(format_name)
    if writer is None:
        raise Rejected("unknown-format", f"{format_name!r} is none of {', '.join(FEED_FORMATS)}.")
    return writer(info, newest(events))
