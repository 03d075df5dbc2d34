"""Pages a second from 200 sites, each at an address of its own on loopback, without and with three that hang.

    python -m benchmarks.fetch [--hosts 200] [--pages 3]

Each round has every site's lane fetch the same number of pages (no gap between them, a deadline of 5 s) and measures until the
sites that answer have served them all. The last line is one JSON object: pages_per_s (none hanging, 0 ms), pages_50ms_per_s,
kept_3 (rate of each site that answers with three hanging, as a share of its rate with none, at 50 ms), p99_3 (99th percentile of the
time until a page was served, as a multiple of that with none hanging), cpu_ms (CPU milliseconds a page of the fetch worker).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.sinks import Sinks
from shared import clock, records
from shared.store import intake
from tests.wire.harness import Wire, host_of

SETTINGS: dict[str, Any] = {"fetch": {"deadline_s": 5.0}, "workers": {"extract": 1, "enrich": 1, "deliver": 2}}


class Bench:
    """Sites, and a wire that fetches from them."""

    def __init__(self, folder: Path, hosts: int, pages: int) -> None:
        self.pages, self.rounds, self.cpu_s, self.served = pages, 0, 0.0, 0
        self.sinks = Sinks(hosts, hosts=True)
        self.sinks.start()
        self.wire = Wire(folder, [host_of(url) for url in self.sinks.urls], **SETTINGS)
        self.wire.up()
        with self.wire.store.write() as connection:
            self.source = intake.add_source(
                connection, name="pages", url="http://h.example", kind="push", profile=None, now=clock.now()
            )

    def close(self) -> None:
        self.wire.close()
        self.sinks.stop()

    def round(self, *, latency_s: float, hanging: int) -> tuple[float, float]:
        """Pages a second, and the 99th percentile of the time until a page was served, in seconds."""
        self.rounds += 1
        self.sinks.behave(latency_s=latency_s, hanging=hanging)
        new = [self._entry(f"{url}/{self.rounds}/{n}") for url in self.sinks.urls for n in range(self.pages)]
        worker = self.wire.child("fetch@")
        before, started = _cpu_s(worker), time.monotonic()
        with self.wire.store.write() as connection:
            intake.add_entries(connection, self.source, new, clock.now())
        while min(map(len, (seen := self.sinks.seen())[hanging:])) < self.pages:
            if time.monotonic() - started > 600:
                raise RuntimeError(f"only {sum(map(len, seen))} pages in ten minutes")
            time.sleep(0.05)
        self.cpu_s += _cpu_s(worker) - before
        waits = sorted(at - started for times in seen[hanging:] for at in times)
        self.served += len(waits)
        return len(waits) / waits[-1], waits[int(0.99 * len(waits))]

    def _entry(self, url: str) -> intake.NewEntry:
        return intake.NewEntry(records.Entry(url, url), host_of(url), backfill=False)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def run(folder: Path, hosts: int, pages: int) -> dict[str, Any]:
    """All rounds; the figures."""
    bench = Bench(folder, hosts, pages)
    try:
        bench.round(latency_s=0.0, hanging=0)  # connections, caches
        quick = bench.round(latency_s=0.0, hanging=0)
        usual = bench.round(latency_s=0.05, hanging=0)
        hung = bench.round(latency_s=0.05, hanging=3)  # last: what hangs stays owed
    finally:
        bench.close()
    return {"hosts": hosts, "pages": pages, "pages_per_s": round(quick[0], 1), "pages_50ms_per_s": round(usual[0], 1),
            "kept_3": round(hung[0] / (hosts - 3) / (usual[0] / hosts), 3), "p99_3": round(hung[1] / usual[1], 2),
            "cpu_ms": round(1000 * bench.cpu_s / bench.served, 2)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--pages", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(run(Path(name), options.hosts, options.pages)))


if __name__ == "__main__":
    main()
