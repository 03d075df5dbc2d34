"""Partners and sites that cost next to nothing: many in one process, each answers 200 after a while, or never.

    sinks = Sinks(50); sinks.start(); sinks.urls; sinks.behave(latency_s=0.05, hanging=1); sinks.seen(); sinks.stop()

Partners have a port each; with `hosts` they are sites instead, each with an address of its own in 127.0.0.0/8.

Only what HTTP needs is parsed, nothing is verified: the senders are measured, not the receivers.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from multiprocessing.connection import Connection as Pipe
from typing import Any

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
_HTML = b"<!doctype html><title>Nothing new</title>" + b"".join(
    b"<li><a href='/%d'>This link leads to a page that is of no use to anybody</a>" % n for n in range(40)
)  # links alone: no article, so that nothing behind the fetch has work
_PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/html\r\n\r\n" % len(_HTML) + _HTML


class Sinks:
    """`count` partners, or sites, in a process of their own."""

    def __init__(self, count: int, *, hosts: bool = False) -> None:
        self.urls: list[str] = []
        self._ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_serve, args=(theirs, count, hosts), daemon=True)

    def start(self) -> None:
        """Listens from now on."""
        self.process.start()
        self.urls = self._ours.recv()

    def behave(self, *, latency_s: float = 0.0, hanging: int = 0) -> None:
        """The first `hanging` of them answer no more, the others after `latency_s`; forgets what was seen."""
        self._ours.send(("behave", latency_s, hanging))
        self._ours.recv()

    def seen(self) -> list[list[float]]:
        """For each when (on the system-wide monotonic clock) each different webhook id, or page, was answered 200."""
        self._ours.send(("seen",))
        times: list[list[float]] = self._ours.recv()
        return times

    def stop(self) -> None:
        self._ours.send(None)
        self.process.join(10)


class _State:
    def __init__(self, count: int) -> None:
        self.latency_s, self.hanging = 0.0, 0
        self.first: list[dict[bytes, float]] = [{} for _ in range(count)]


class _Sink(asyncio.Protocol):
    """One connection to one of the partners."""

    def __init__(self, state: _State, number: int) -> None:
        self.state, self.number, self.buffer = state, number, b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (head := self.buffer.find(b"\r\n\r\n")) >= 0:
            first, *rest = self.buffer[:head].split(b"\r\n")
            lines = dict(line.lower().split(b": ", 1) for line in rest)
            ends = head + 4 + int(lines.get(b"content-length", 0))
            if len(self.buffer) < ends:
                return
            self.buffer = self.buffer[ends:]
            if self.number >= self.state.hanging:
                asyncio.get_running_loop().call_later(
                    self.state.latency_s, self.answer, lines.get(b"webhook-id", first)
                )

    def answer(self, key: bytes) -> None:
        self.state.first[self.number].setdefault(key, time.monotonic())
        self.transport.write(_PAGE if key.startswith(b"GET") else _OK)


def _serve(pipe: Pipe, count: int, hosts: bool) -> None:
    asyncio.run(_main(pipe, count, hosts=hosts))


async def _main(pipe: Pipe, count: int, *, hosts: bool) -> None:
    loop, state = asyncio.get_running_loop(), _State(count)
    servers = []
    for n in range(count):
        address = f"127.0.{1 + n // 200}.{1 + n % 200}" if hosts else "127.0.0.1"
        servers.append(await loop.create_server(lambda n=n: _Sink(state, n), address, 0, backlog=512))  # type: ignore[misc]  # a default binds the number
    ended = asyncio.Event()

    def asked() -> None:
        try:
            question = pipe.recv()
        except EOFError:  # whoever asked is gone
            question = None
        if question is None:
            loop.remove_reader(pipe.fileno())
            ended.set()
        elif question[0] == "behave":
            _, state.latency_s, state.hanging = question
            state.first = [{} for _ in range(count)]
            pipe.send(True)
        else:
            pipe.send([list(times.values()) for times in state.first])

    loop.add_reader(pipe.fileno(), asked)
    names = [server.sockets[0].getsockname() for server in servers]
    pipe.send([f"http://{address}:{port}/{'page' if hosts else 'hook'}" for address, port in names])
    await ended.wait()
