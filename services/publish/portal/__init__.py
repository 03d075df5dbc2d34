"""A partner's own page and its API: how delivery stands, the log, filters, keys, a test event, replay, pause.

own      what a partner may see and do, whoever asks: rows and transactions in, records out
api      the same as JSON, under a pull key; described in /openapi.json
pages    the same as pages, after signing in with a pull key
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from services.publish.portal import api, pages
from shared.api import Site, here


def routes(site: Site | None = None) -> list[BaseRoute]:
    """The routes of the portal, over this process's store unless told otherwise."""
    at = site or here()
    return [*api.routes(at), *pages.routes(at)]
