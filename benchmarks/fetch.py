"""Pages a second from 200 sites, each at an address of its own on loopback, without and with three that hang.

    python -m benchmarks.fetch [--hosts 200] [--pages 3] [--rounds 5]

Each round has every site's lane fetch the same number of pages (no gap between them, a deadline of 5 s) and measures until the
last of them was served. Rounds without and with three further sites that answer nothing, other ones each time, take turns: what
else the machine does meets both alike. The last line is one JSON object: pages_per_s (none hanging, 0 ms), pages_50ms_per_s (each
answer takes 50 ms), kept_3 (the rate with three hanging as a share of the rate with none just before or after, at 50 ms: the median
of the rounds), p99_3 (99th percentile of the time until a page was served, as a multiple of that with none hanging, the median
too), cpu_ms (CPU milliseconds a page of the fetch worker).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.sinks import Sinks
from shared import clock, records
from shared.store import intake
from tests.wire.harness import Wire, host_of

HANGING = 3
SETTINGS: dict[str, Any] = {"fetch": {"deadline_s": 5.0}, "workers": {"extract": 1, "enrich": 1, "deliver": 2}}


class Round(NamedTuple):
    """Pages a second, and the 99th percentile of the time until a page was served, in seconds."""

    per_s: float
    p99_s: float


class Bench:
    """Sites, and a wire that fetches from them. The first `spare` sites are those that hang, a few each round."""

    def __init__(self, folder: Path, hosts: int, pages: int, spare: int) -> None:
        self.pages, self.spare, self.rounds, self.hung, self.cpu_s, self.served = pages, spare, 0, 0, 0.0, 0
        self.sinks = Sinks(spare + hosts, hosts=True)
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

    def round(self, *, latency_s: float, hanging: int) -> Round:
        """All pages of the sites that answer, while `hanging` others are asked too and do not."""
        self.rounds += 1
        self.sinks.behave(latency_s=latency_s, hanging=self.spare)
        silent, self.hung = self.sinks.urls[self.hung : self.hung + hanging], self.hung + hanging
        new = [self._entry(f"{url}/{self.rounds}/{n}") for url in [*silent, *self.sinks.urls[self.spare :]]
               for n in range(self.pages)]  # fmt: skip
        worker = self.wire.child("fetch@")
        before, started = _cpu_s(worker), time.monotonic()
        with self.wire.store.write() as connection:
            intake.add_entries(connection, self.source, new, clock.now())
        while min(map(len, (seen := self.sinks.seen()[self.spare :]))) < self.pages:
            if time.monotonic() - started > 600:
                raise RuntimeError(f"only {sum(map(len, seen))} pages in ten minutes")
            time.sleep(0.05)
        self.cpu_s += _cpu_s(worker) - before
        waits = sorted(at - started for times in seen for at in times)
        self.served += len(waits)
        return Round(len(waits) / waits[-1], waits[int(0.99 * len(waits))])

    def _entry(self, url: str) -> intake.NewEntry:
        return intake.NewEntry(records.Entry(url, url), host_of(url), backfill=False)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def run(folder: Path, hosts: int, pages: int, rounds: int) -> dict[str, Any]:
    """All rounds; the figures."""
    bench = Bench(folder, hosts, pages, spare=HANGING * rounds)
    try:
        bench.round(latency_s=0.0, hanging=0)  # connections, caches
        quick = [bench.round(latency_s=0.0, hanging=0) for _ in range(2)]
        pairs = [_pair(bench, hung_first=bool(n % 2)) for n in range(rounds)]
    finally:
        bench.close()
    return {
        "hosts": hosts, "pages": pages, "rounds": rounds,
        "pages_per_s": round(max(one.per_s for one in quick), 1),
        "pages_50ms_per_s": round(statistics.median(usual.per_s for usual, _ in pairs), 1),
        f"kept_{HANGING}": round(statistics.median(hung.per_s / usual.per_s for usual, hung in pairs), 3),
        f"p99_{HANGING}": round(statistics.median(hung.p99_s / usual.p99_s for usual, hung in pairs), 2),
        "cpu_ms": round(1000 * bench.cpu_s / bench.served, 2),
    }  # fmt: skip


def _pair(bench: Bench, *, hung_first: bool) -> tuple[Round, Round]:
    """A round without and one with sites that hang."""
    ordered = [bench.round(latency_s=0.05, hanging=n) for n in ((HANGING, 0) if hung_first else (0, HANGING))]
    return (ordered[1], ordered[0]) if hung_first else (ordered[0], ordered[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--pages", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of rounds without and with sites that hang")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(run(Path(name), options.hosts, options.pages, options.rounds)))


if __name__ == "__main__":
    main()
