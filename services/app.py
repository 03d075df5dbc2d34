"""The web application of all services, and the web process of `briefwire up`."""

from __future__ import annotations

import logging

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared import lifeline, queue


async def health(_: Request) -> Response:
    """The web process is up."""
    return JSONResponse({"status": "ok"})


def application() -> Starlette:
    """All routes."""
    return Starlette(routes=[Route("/health", health)])


def main() -> None:
    """Serves until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s web %(levelname)s %(message)s")
    lifeline.watch()
    web = queue.SETTINGS.web
    uvicorn.run(application(), host=web.host, port=web.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
