"""For machines: /health and /ready, /metrics for Prometheus, and the live page's figures as JSON.

/health is 503 while something that should run does not: figures that have stopped, a queue that nobody consumes, a broker
that does not answer, a full disk. /ready says only whether this process can serve its pages.
"""

from __future__ import annotations

import shutil

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from services.console import metrics, numbers
from services.console.web import guard
from services.console.web.desk import Desk
from services.console.web.guard import Call
from shared import broker

STALE_S = 30.0
"""Figures older than this mean that this process has stopped asking, or the store has stopped answering."""


def checks(desk: Desk, found: numbers.Numbers | None) -> dict[str, bool]:
    """What must hold for the wire to be healthy, and whether it does."""
    fresh = found is not None and (desk.now() - found.at).total_seconds() < STALE_S
    workers = {f"worker-{w.queue}": not w.deaf for w in found.workers} if found else {}
    enough = shutil.disk_usage(desk.settings.folder).free >= numbers.DISK_LEAST
    return {"store": fresh, "broker": broker.answers(desk.settings), "disk": enough, **workers}


def health(call: Call) -> Response:
    """200 where everything that should run does."""
    found = checks(call.desk, call.desk.sampler.latest)
    good = all(found.values())
    return JSONResponse({"status": "ok" if good else "failing", "checks": found}, 200 if good else 503)


def ready(call: Call) -> Response:
    """200 where the store answers."""
    try:
        with call.desk.store.read() as connection:
            connection.execute(select(1))
    except DBAPIError:
        return JSONResponse({"status": "not ready"}, 503)
    return JSONResponse({"status": "ready"})


def prometheus(call: Call) -> Response:
    """The figures in Prometheus' text format."""
    return Response(metrics.exposition(call.desk.figures()), media_type=metrics.CONTENT_TYPE)


def figures(call: Call) -> Response:
    """The figures as JSON."""
    return Response(msgspec.json.encode(call.desk.figures()), media_type="application/json")


def routes(desk: Desk) -> list[BaseRoute]:
    return [
        guard.get(desk, "/health", health, None),
        guard.get(desk, "/ready", ready, None),
        guard.get(desk, "/metrics", prometheus),
        guard.get(desk, "/api/numbers", figures),
    ]
