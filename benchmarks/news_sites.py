"""Many news sites in one process, each with an address of its own in 127.0.0.0/8, a feed and pages made beforehand.

    sites = NewsSites(200, 10); sites.start(); sites.feeds; sites.release(); sites.stop()

Until `release`, feeds are empty. Only what HTTP needs is parsed: the wire is measured, not the sites.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from typing import Any

from services.console.demo import bulk

SEED = 11


class NewsSites:
    """`count` sites of `pages` pages each; `large` ones weigh 30 to 60 KB."""

    def __init__(self, count: int, pages: int, *, large: bool = True) -> None:
        self.feeds: list[str] = []
        self._ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_serve, args=(theirs, count, pages, large), daemon=True)

    def start(self) -> None:
        """Makes the pages, which takes a while, and listens."""
        self.process.start()
        self.feeds = self._ours.recv()

    def release(self, pages: int | None = None) -> None:
        """Each feed lists its first `pages` pages from now on; all of them unless given."""
        self._ours.send(("release", pages))
        self._ours.recv()

    def served(self) -> int:
        """How many pages were asked for."""
        self._ours.send(("served",))
        return int(self._ours.recv())

    def stop(self) -> None:
        self._ours.send(None)
        self.process.join(10)


class _Site:
    def __init__(self, number: int, pages: int) -> None:
        self.items = [bulk.item(number * pages + n, SEED) for n in range(pages)]
        self.base, self.pages, self.feed = "", {}, b""
        self.number = number

    def settle(self, base: str, *, large: bool) -> None:
        """Makes the pages, now that the address is known."""
        first, host = self.number * len(self.items), base.removeprefix("http://")
        self.base, self.feed = base, bulk.feed([], base)
        self.pages = {item.brief.path: _answer(bulk.page(first + n, SEED, host, large=large), b"text/html; charset=utf-8")
                      for n, item in enumerate(self.items)}  # fmt: skip

    def release(self, pages: int | None) -> None:
        self.feed = bulk.feed(self.items[:pages], self.base)


def _answer(body: bytes, kind: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (status, kind, len(body), body)


class _Visit(asyncio.Protocol):
    """One connection to one of the sites."""

    def __init__(self, site: _Site, served: Callable[[], None]) -> None:
        self.site, self.served, self.buffer = site, served, b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            path = self.buffer.split(b" ", 2)[1].decode("latin-1")
            self.buffer = self.buffer[end + 4 :]
            self.transport.write(self._answer(path))

    def _answer(self, path: str) -> bytes:
        if path == "/rss.xml":
            return _answer(self.site.feed, b"application/rss+xml")
        found = self.site.pages.get(path)
        if found is None:
            return _answer(b"", b"text/plain", b"404 Not Found")
        self.served()
        return bytes(found)


def _serve(pipe: Pipe, count: int, pages: int, large: bool) -> None:
    asyncio.run(_main(pipe, [_Site(n, pages) for n in range(count)], large=large))


async def _main(pipe: Pipe, sites: list[_Site], *, large: bool) -> None:
    loop, served = asyncio.get_running_loop(), [0]

    def count() -> None:
        served[0] += 1

    for n, site in enumerate(sites):
        address = f"127.0.{1 + n // 200}.{1 + n % 200}"
        server = await loop.create_server(lambda site=site: _Visit(site, count), address, 0, backlog=512)  # type: ignore[misc]  # a default binds the site
        site.settle(f"http://{address}:{server.sockets[0].getsockname()[1]}", large=large)
    ended = asyncio.Event()

    def asked() -> None:
        try:
            question = pipe.recv()
        except EOFError:  # whoever asked is gone
            question = None
        if question is None:
            loop.remove_reader(pipe.fileno())
            ended.set()
        elif question[0] == "served":
            pipe.send(served[0])
        else:
            for site in sites:
                site.release(question[1])
            pipe.send(True)

    loop.add_reader(pipe.fileno(), asked)
    pipe.send([f"{site.base}/rss.xml" for site in sites])
    await ended.wait()
