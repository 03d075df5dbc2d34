"""The operators' desk in a browser: pages from the server, one small script, one stylesheet, nothing from elsewhere.

guard    who asks, may they, is the form theirs; the headers of every answer
desk     what every page works with: settings, store, figures, templates
live     figures as texts and curves, and the stream of server-sent events
pages    Wire, Sources, Partners, Quarantine, Sections, Ledger, Audit
reading  Articles, and one article with its way through the wire
fetched  the page that an article was read from, for a frame beside its record
doing    an action: what it will mean, then doing it
access   sign-in, accounts, API tokens
signals  /health, /ready, /metrics, and the figures as JSON
"""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from services.console.web import access, doing, fetched, live, pages, reading, signals
from services.console.web.desk import STATIC, Desk


def routes(desk: Desk) -> list[BaseRoute]:
    """Every route of the desk."""
    return [
        *pages.routes(desk), *reading.routes(desk), *fetched.routes(desk), *doing.routes(desk), *access.routes(desk), *live.routes(desk),
        *signals.routes(desk), Mount("/static", StaticFiles(directory=STATIC), name="static"),
    ]  # fmt: skip
