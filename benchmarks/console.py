"""What watching costs: ten browsers on the live page, and how many articles a second the wire keeps meanwhile.

    python -m benchmarks.console [--runs 5] [--articles 400] [--clients 10]

One wire, `2 * runs` loads of the same size through it, every second one watched. The last line is one JSON object:

    cpu_share     CPU seconds a second of the web process while it is watched (SQLite's part of the queries is in it)
    query_share   seconds a second that its questions to the store took, by the clock
    kept          articles a second watched, over articles a second unwatched: the median of the runs' ratios
    per_s         articles a second of each run, unwatched and watched
    events        messages that the clients received in all
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import requests

from services.console import accounts
from services.console.demo import bulk
from services.console.demo.receiver import Receiver
from services.publish import sign
from shared import clock, records
from shared.store import desk, intake
from tests.wire.harness import Wire, host_of, running

HOST = "bulk.example"


class Watchers:
    """Browsers on the live page: raw sockets in one thread, so that they cost next to nothing themselves."""

    def __init__(self, url: str, cookie: str, count: int) -> None:
        address = url.removeprefix("http://").rpartition(":")
        head = f"GET /live HTTP/1.1\r\nHost: {HOST}\r\nCookie: briefwire_session={cookie}\r\nAccept: text/event-stream\r\n\r\n"
        self.events, self._ended, self._sockets = 0, threading.Event(), selectors.DefaultSelector()
        for _ in range(count):
            made = socket.create_connection((address[0], int(address[2])))
            made.sendall(head.encode())
            made.setblocking(False)
            self._sockets.register(made, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._sockets.select(0.2):
                assert isinstance(key.fileobj, socket.socket)
                self.events += key.fileobj.recv(1 << 20).count(b"data: {")

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for key in list(self._sockets.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()


class Load:
    """A wire with one source and one partner, and articles to put through it."""

    def __init__(self, wire: Wire, receiver: Receiver, secret: str, size: int) -> None:
        self.wire, self.receiver, self.size, self.sent = wire, receiver, size, 0
        self.source = wire.add_source(f"http://{HOST}/", kind="push")
        wire.add_partner(receiver.url, "partner", secret)

    def run(self) -> float:
        """Articles a second from the first page handed over to the last receipt."""
        numbers = range(self.sent, self.sent + self.size)
        pages = [(bulk.page(n, 3, HOST), f"http://{HOST}{bulk.item(n, 3).brief.path}") for n in numbers]
        self.sent += self.size
        started = time.perf_counter()
        with self.wire.store.write() as c:
            now = clock.now()
            for page, url in pages:
                stored = intake.NewPage(page, url, url, 200, "text/html; charset=utf-8", now)
                intake.push_entry(
                    c, self.source, intake.NewEntry(records.Entry(url, url), None, backfill=False), stored, now
                )
        until = time.monotonic() + 300
        while len(self.receiver.accepted) < self.sent:
            assert time.monotonic() < until, f"{len(self.receiver.accepted)} of {self.sent} arrived"
            time.sleep(0.05)
        return self.size / (time.perf_counter() - started)


class Web:
    """The wire's web process, from outside."""

    def __init__(self, wire: Wire) -> None:
        self.url = (wire.folder / "web.url").read_text().strip()
        self.process = wire.child("services.app")
        with wire.store.write() as c:
            account = desk.account(c, "admin")
            secret = (
                accounts.invite(c, account["id"], clock.now())
                if account
                else accounts.add(c, "admin", "admin", clock.now())
            )
            self.cookie = accounts.accept(c, secret, "a sentence for the benchmark", clock.now()).cookie

    def cpu_s(self) -> float:
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def query_s(self) -> float:
        answer = requests.get(f"{self.url}/api/numbers", cookies={"briefwire_session": self.cookie}, timeout=30)
        return float(answer.json()["spent_s"])


def measure(wire: Wire, load: Load, clients: int, runs: int) -> dict[str, Any]:
    """Interleaved runs, first unwatched, then watched."""
    web = Web(wire)
    load.run()  # warms everything up
    plain, watched, cpu, query, elapsed, events = [], [], 0.0, 0.0, 0.0, 0
    for _ in range(runs):
        plain.append(load.run())
        watchers = Watchers(web.url, web.cookie, clients)
        time.sleep(1.0)
        before = (time.perf_counter(), web.cpu_s(), web.query_s())
        watched.append(load.run())
        time.sleep(5.0)  # an idle wire is watched too
        query += web.query_s() - before[2]
        cpu += web.cpu_s() - before[1]
        elapsed += time.perf_counter() - before[0]
        watchers.close()
        events += watchers.events
    ratios = [b / a for a, b in zip(plain, watched, strict=True)]
    return {
        "clients": clients, "runs": runs, "cpu_share": round(cpu / elapsed, 4), "query_share": round(query / elapsed, 4),
        "kept": round(statistics.median(ratios), 3), "per_s": [[round(a, 1), round(b, 1)] for a, b in zip(plain, watched, strict=True)],
        "events": events, "cores": psutil.cpu_count(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("runs", 5), ("articles", 400), ("clients", 10)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    given = parser.parse_args()
    secret = sign.new_secret(os.urandom(32))
    receiver = Receiver(secret)
    receiver.start()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), [host_of(receiver.url)]) as wire:
        result = measure(wire, Load(wire, receiver, secret, given.articles), given.clients, given.runs)
    receiver.stop()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
