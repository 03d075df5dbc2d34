"""The operators' desk in a browser: pages from the server, one small script, one stylesheet, nothing from elsewhere.

guard    who asks, may they, is the form theirs; the headers of every answer
desk     what every page works with: settings, store, figures, templates
live     figures as texts and curves, and the stream of server-sent events
pages    Wire, Quarantine, Sections, Ledger, Audit
sources  Sources, and one of them
partners Partners, and one endpoint; withdrawals with their proof
reading  Articles, and one article with its way through the wire
fetched  the page that an article was read from, for a frame beside its record
trying   a test of a source: what it lists now, and the record that a page of it would give
doing    an action: what it will mean, then doing it
access   sign-in, accounts, API tokens
signals  /health, /ready, /metrics, and the figures as JSON
"""

from __future__ import annotations

import itertools

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from services.console.web import access, doing, fetched, live, pages, partners, reading, signals, sources, trying
from services.console.web.desk import STATIC, Desk


def routes(desk: Desk) -> list[BaseRoute]:
    """Every route of the desk."""
    parts = (pages, sources, trying, partners, reading, fetched, doing, access, live, signals)
    static = Mount("/static", StaticFiles(directory=STATIC), name="static")
    return [*itertools.chain.from_iterable(part.routes(desk) for part in parts), static]
