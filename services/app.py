"""The web application of all services, and the web process of `briefwire up`.

It listens where the settings say, writes its address into `web.url` in the data folder (with port 0 nobody could know it
otherwise) and, while nobody can sign in yet, a one-time link into `first-sign-in.txt`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette

from services.console import accounts, alerts, traces
from services.console import web as console
from services.console.web import guard
from services.console.web.desk import Desk
from services.console.web.live import Ticker
from services.ingest import web as ingest
from services.publish import web as publish
from shared import api, clock, lifeline, logs, queue

log = logging.getLogger("briefwire.web")
WATCH_S = 5.0
"""How often troubles are looked for that people are to be told of."""


def application(desk: Desk) -> Starlette:
    """What sites and partners speak to, and the operators' desk."""
    site = api.Site(desk.settings, desk.store, desk.now)
    routes = [*ingest.routes(site), *publish.routes(site), *console.routes(desk)]

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.ticker = Ticker(desk)
        tasks = [
            asyncio.create_task(one)
            for one in (app.state.ticker.run(), app.state.ticker.run_slow(), tell(desk), trace(desk))
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: guard.lost(desk)})


async def tell(desk: Desk) -> None:
    """Has people told of troubles, beside everything else, until cancelled."""
    watch = alerts.Watch(desk.store, desk.settings, queue.door, desk.now)
    while True:
        await asyncio.sleep(WATCH_S)
        try:
            await asyncio.to_thread(watch.step, desk.sampler.latest)
        except Exception as error:  # the store may be away for a while; the next round looks again
            log.warning("troubles were not looked for: %s", error)


async def trace(desk: Desk) -> None:
    """Sends traces, where the settings name somebody who takes them, until cancelled."""
    if (missing := traces.why_not(desk.settings.traces)) is not None:
        log.error("no traces: %s %s", missing.what, missing.next_step)
    if missing is not None or not desk.settings.traces.endpoint:
        return
    tracer = traces.Tracer(desk.store, desk.settings.traces)
    while True:
        try:
            await asyncio.to_thread(tracer.step)
        except Exception as error:  # whoever takes them is away, or the store is; nothing is lost
            log.warning("traces were not sent: %s", error)
        await asyncio.sleep(WATCH_S)


def listen(host: str, port: int) -> socket.socket:
    """A bound TCP socket. It names its protocol: only then does asyncio switch Nagle's algorithm off, which costs 40 ms a page."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(address)
    return made


def main() -> None:
    """Serves until SIGTERM."""
    settings = queue.SETTINGS
    logs.begin("web", settings.logs)
    lifeline.watch()
    desk = Desk(settings, queue.store())
    config = uvicorn.Config(
        application(desk),
        host=settings.web.host,
        port=settings.web.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    listening = listen(settings.web.host, settings.web.port)
    host = f"[{settings.web.host}]" if ":" in settings.web.host else settings.web.host
    url = f"http://{host}:{listening.getsockname()[1]}"
    (settings.folder / "web.url").write_text(url + "\n", encoding="utf-8")
    with desk.store.write() as connection:
        link = accounts.first_link(connection, settings.folder, settings.web.url.rstrip("/") or url, clock.now())
    log.info(
        "listening on %s%s",
        url,
        f"; to sign in for the first time, open the link in {accounts.LINK_FILE}" if link else "",
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
