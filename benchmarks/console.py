"""What watching costs: ten browsers on the live page, and how many articles a second the wire keeps meanwhile.

    python -m benchmarks.console [--runs 5] [--articles 600] [--clients 10]

One wire, `2 * runs` loads of the same size through it, watched and unwatched in turns; which of a pair comes first alternates,
so that a machine that slows down, or other work on it, counts on both sides. The last line is one JSON object:

    cpu_share     CPU seconds a second of the web process while it is watched; its questions to SQLite are in it
    query_share   seconds a second that its questions to the store took, by the clock: waiting for others counts
    kept          articles a second watched over unwatched, by the clock: the median of the runs' ratios
    kept_cpu      the same by CPU time: what all processes of the wire (web, workers, broker) used an article, unwatched over
                  watched; other work on the machine is not in it
    per_s         articles a second of each pair, unwatched and watched
    cpu_ms        CPU milliseconds an article of each pair, unwatched and watched
    events        messages that the clients received in all
    stolen        the share of the machine's CPU time that other processes used meanwhile; above a tenth `kept` is noise
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

    def run(self) -> tuple[float, float]:
        """(articles a second from the first page handed over to the last receipt, CPU seconds an article of the whole wire)."""
        numbers = range(self.sent, self.sent + self.size)
        pages = [(bulk.page(n, 3, HOST), f"http://{HOST}{bulk.item(n, 3).brief.path}") for n in numbers]
        self.sent += self.size
        used, started = self.cpu_s(), time.perf_counter()
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
        return self.size / (time.perf_counter() - started), (self.cpu_s() - used) / self.size

    def cpu_s(self) -> float:
        """CPU seconds that the wire's processes have used."""
        return sum(_used_s(process) for process in self.wire.children())


def _used_s(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.Error:  # it ended meanwhile
        return 0.0
    return float(used.user + used.system)


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
        return _used_s(self.process)

    def query_s(self) -> float:
        answer = requests.get(f"{self.url}/api/numbers", cookies={"briefwire_session": self.cookie}, timeout=30)
        return float(answer.json()["spent_s"])


class Watched:
    """What the watched runs add up to."""

    def __init__(self, web: Web, load: Load, clients: int) -> None:
        self.web, self.load, self.clients = web, load, clients
        self.cpu_s = self.query_s = self.elapsed_s = 0.0
        self.events = 0

    def run(self) -> tuple[float, float]:
        """A load with watchers on the live page; an idle wire is watched for a while too."""
        watchers = Watchers(self.web.url, self.web.cookie, self.clients)
        time.sleep(1.0)
        before = (time.perf_counter(), self.web.cpu_s(), self.web.query_s())
        found = self.load.run()
        time.sleep(5.0)
        self.query_s += self.web.query_s() - before[2]
        self.cpu_s += self.web.cpu_s() - before[1]
        self.elapsed_s += time.perf_counter() - before[0]
        watchers.close()
        self.events += watchers.events
        return found


def measure(wire: Wire, load: Load, clients: int, runs: int) -> dict[str, Any]:
    """Pairs of runs; which comes first alternates."""
    watched = Watched(Web(wire), load, clients)
    load.run()  # warms everything up
    busy = _busy_s()
    started, used = time.perf_counter(), load.cpu_s()
    pairs = []
    for number in range(runs):
        if number % 2:
            later = watched.run()
            pairs.append((load.run(), later))
        else:
            pairs.append((load.run(), watched.run()))
    elapsed = time.perf_counter() - started
    others = (_busy_s() - busy - (load.cpu_s() - used)) / (elapsed * (psutil.cpu_count() or 1))
    return {
        "clients": clients, "runs": runs, "cpu_share": round(watched.cpu_s / watched.elapsed_s, 4),
        "query_share": round(watched.query_s / watched.elapsed_s, 4),
        "kept": round(statistics.median(b[0] / a[0] for a, b in pairs), 3),
        "kept_cpu": round(statistics.median(a[1] / b[1] for a, b in pairs), 3),
        "per_s": [[round(a[0], 1), round(b[0], 1)] for a, b in pairs],
        "cpu_ms": [[round(1000 * a[1], 2), round(1000 * b[1], 2)] for a, b in pairs],
        "events": watched.events, "stolen": round(others, 3), "cores": psutil.cpu_count(),
    }  # fmt: skip


def _busy_s() -> float:
    """CPU seconds that the machine has spent on anything."""
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("runs", 5), ("articles", 600), ("clients", 10)):
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
