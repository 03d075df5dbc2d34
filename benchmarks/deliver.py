"""Deliveries a second to 50 partners, some of which hang: the wire's lanes, and Celery's first in, first out, in one run.

    python -m benchmarks.deliver [--events 60] [--partners 50]

Each round hands every partner the same number of signed events at once and measures until the partners that answer have them
all, at 0 and 50 ms latency, with none, 1 and 10 partners hanging (the deadline of a call is 5 s on both sides). The last line is
one JSON object:

    deliveries_per_s   none hanging, 0 ms; deliveries_50ms_per_s the same at 50 ms
    kept_1, kept_10    rate of each partner that answers with 1 and 10 hanging, as a share of its rate with none (0 ms); _50ms too
    p99_1, p99_10      99th percentile of the time until a delivery arrived, as a multiple of that with none hanging; _50ms too
    ratio              lanes against Celery with 1 of the partners hanging; ratio_none with none hanging (both 0 ms)
    cpu_ms             CPU milliseconds a delivery of the deliver worker
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select, update

from benchmarks.order import log_events, plain_record
from benchmarks.sinks import Sinks
from services.publish import sign
from services.publish.render import RenderInput, render
from shared import clock
from shared.models import DeliveryRow, LaneRow
from shared.store import claims, lanes, ledger
from tests.wire.harness import Wire, host_of

DEADLINE_S = 5.0
SETTINGS: dict[str, Any] = {"deliver": {"deadline_s": DEADLINE_S}, "workers": {"fetch": 2, "extract": 1, "enrich": 1}}
HANGING = (0, 1, 10)


class Bench:
    """The partners, the wire that serves them, and how many events have been logged so far."""

    def __init__(self, folder: Path, count: int, events: int) -> None:
        self.events, self.secret, self.cpu_s, self.delivered = events, sign.new_secret(os.urandom(32)), 0.0, 0
        self.sinks = Sinks(count)
        self.sinks.start()
        self.wire = Wire(folder, [host_of(url) for url in self.sinks.urls], **SETTINGS)
        self.wire.up()
        self.endpoints = [self.wire.add_partner(url, f"p{n}", self.secret) for n, url in enumerate(self.sinks.urls)]
        self.rounds = 0

    def close(self) -> None:
        self.wire.close()
        self.sinks.stop()

    def lanes(self, latency_s: float, hanging: int) -> tuple[float, float]:
        """One round over the wire: deliveries a second, and the 99th percentile of their waiting times in seconds."""
        self.forget()
        log_events(self.wire, self.events, self.events, name=f"round{self.rounds}", first=self.rounds * self.events)
        self.rounds += 1
        self.wire.wait(self._planned, 120, "the planner")
        self.sinks.behave(latency_s=latency_s, hanging=hanging)
        worker = self.wire.child("deliver@")
        before, started = _cpu_s(worker), time.monotonic()
        self._pause(paused=False)
        figures = self._until_all_have(hanging, started)
        self.cpu_s += _cpu_s(worker) - before
        self.delivered += self.events * (len(self.endpoints) - hanging)
        return figures

    def fifo(self, hanging: int) -> tuple[float, float]:
        """One round through a Celery queue that a worker with as many threads drains."""
        self.sinks.behave(hanging=hanging)
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.fifo:app", "worker", "-P", "threads", "-c",
                   str(self.wire.settings.workers.deliver), "-Q", "fifo", "-n", "fifo@%h", "-l", "ERROR",
                   "--without-gossip", "--without-mingle", "--without-heartbeat"]  # fmt: skip
        env = dict(os.environ) | {"BRIEFWIRE_DATA": str(self.wire.folder)}
        jobs = [
            (url, self.secret, f"msg_{n}_{i}", _body(i))
            for i in range(self.events)
            for n, url in enumerate(self.sinks.urls)
        ]
        subprocess.run([sys.executable, "-c", _SENDER], input=json.dumps(jobs).encode(), env=env, check=True)
        started = time.monotonic()
        worker = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not any(self.sinks.seen()):
                time.sleep(0.01)  # its start is not what is measured
            started = min(times[0] for times in self.sinks.seen() if times)
            return self._until_all_have(hanging, started)
        finally:
            worker.terminate()
            worker.wait()

    def _until_all_have(self, hanging: int, started: float) -> tuple[float, float]:
        while min(map(len, (seen := self.sinks.seen())[hanging:])) < self.events:
            if time.monotonic() - started > 600:
                raise RuntimeError(f"only {sum(map(len, seen))} deliveries in ten minutes")
            time.sleep(0.05)
        waits = sorted(at - started for times in seen[hanging:] for at in times)
        return len(waits) / waits[-1], waits[int(0.99 * len(waits))]

    def _planned(self) -> bool:
        with self.wire.store.read() as connection:
            return all(line.unplanned == 0 for line in ledger.books(connection).delivery)

    def _pause(self, *, paused: bool) -> None:
        with self.wire.store.write() as connection:
            for endpoint in self.endpoints:
                lanes.wake(connection, "endpoint", [lanes.endpoint_lane(endpoint)], clock.now())
                lanes.pause(connection, lanes.endpoint_lane(endpoint), paused=paused)

    def forget(self) -> None:
        """What hanging partners did not take is owed no more; no lane rests or remembers."""
        self._pause(paused=True)
        self.wire.wait(self._nobody_drains, 60, "the last calls to end")
        with self.wire.store.write() as connection:
            connection.execute(
                update(DeliveryRow).where(DeliveryRow.state == "due").values(state="superseded", due_at=None)
            )
            fresh = {"blocked_until": None, "failures": 0, "breaker": None, "due_at": None}
            connection.execute(update(LaneRow).where(LaneRow.kind == "endpoint").values(fresh))

    def _nobody_drains(self) -> bool:
        with self.wire.store.read() as connection:
            held = select(LaneRow.key).where(LaneRow.kind == "endpoint", ~claims.unleased(LaneRow, clock.now()))
            return connection.execute(held.limit(1)).first() is None


_SENDER = """
import json, sys
from benchmarks import fifo
with fifo.app.producer_pool.acquire(block=True) as producer:
    for job in json.load(sys.stdin):
        fifo.post.apply_async(job, producer=producer)
"""


def _body(number: int) -> str:
    event = RenderInput(type="article.published", at=clock.now(), position=number + 1, article=plain_record(number, 1))
    return render("brief", event).body.decode()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def run(folder: Path, count: int, events: int) -> dict[str, Any]:
    """All rounds; the figures."""
    bench = Bench(folder, count, events)
    try:
        bench.lanes(0.0, 0)  # connections, caches
        found = {
            (latency_s, hanging): bench.lanes(latency_s, hanging) for latency_s in (0.0, 0.05) for hanging in HANGING
        }
        cpu_ms = 1000 * bench.cpu_s / bench.delivered
        bench.forget()
        fifo = {hanging: bench.fifo(hanging) for hanging in (0, 1)}
    finally:
        bench.close()
    out: dict[str, Any] = {"partners": count, "events": events, "deliveries_per_s": round(found[0.0, 0][0], 1),
                           "deliveries_50ms_per_s": round(found[0.05, 0][0], 1)}  # fmt: skip
    for hanging in HANGING[1:]:
        for latency_s, suffix in ((0.0, ""), (0.05, "_50ms")):
            one, whole = found[latency_s, hanging], found[latency_s, 0]
            out[f"kept_{hanging}{suffix}"] = round(one[0] / (count - hanging) / (whole[0] / count), 3)
            out[f"p99_{hanging}{suffix}"] = round(one[1] / whole[1], 2)
    out |= {"fifo_per_s": round(fifo[0][0], 1), "fifo_1_per_s": round(fifo[1][0], 1)}
    out |= {"ratio": round(found[0.0, 1][0] / fifo[1][0], 2), "ratio_none": round(found[0.0, 0][0] / fifo[0][0], 2)}
    return out | {"cpu_ms": round(cpu_ms, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partners", type=int, default=50)
    parser.add_argument("--events", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(run(Path(name), options.partners, options.events)))


if __name__ == "__main__":
    main()
