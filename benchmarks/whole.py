"""The whole way: pages of many sites, fetched, read, linked and pushed to those of many partners that want them. And the plain way.

Used by `benchmarks.pipeline --whole`. Sites and receivers run on the same cores. Each article is wanted by three partners, who
say so by a filter over sources. The clock runs from the moment the feeds list their pages to the last receipt.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.news_sites import NewsSites
from benchmarks.sinks import Sinks
from services.publish import sign
from shared import broker, clock, migrations
from shared.store import intake
from tests.wire.harness import Wire, host_of

WANTED_BY = 3
SECRET = sign.new_secret(bytes(range(32)))
LIMIT_S = 900.0


class World:
    """Sites, partners, and an installation that knows both but has seen nothing yet."""

    def __init__(self, folder: Path, sites: int, pages: int, partners: int, *, large: bool) -> None:
        self.sites, self.sinks = NewsSites(sites, pages, large=large), Sinks(partners)
        self.sites.start()
        self.sinks.start()
        self.articles = sites * pages
        hosts = [host_of(url) for url in (*self.sites.feeds, *self.sinks.urls)]
        self.wire = Wire(folder, hosts, fetch={"poll_min_s": 3600.0, "poll_max_s": 3600.0})

    def furnish(self) -> list[int]:
        """Adds partners and sources; the sources' ids, in the order of the sites."""
        names = [f"site{n}" for n in range(len(self.sites.feeds))]
        for n, url in enumerate(self.sinks.urls):
            wanted = ", ".join(
                f'"{name}"' for s, name in enumerate(names) if (n - s) % len(self.sinks.urls) < WANTED_BY
            )
            self.wire.add_partner(url, f"partner{n}", SECRET, filter=f"source in ({wanted})")
        with self.wire.store.write() as connection:
            return [intake.add_source(connection, name=name, url=url, kind="feed", profile=None, now=clock.now())
                    for name, url in zip(names, self.sites.feeds, strict=True)]  # fmt: skip

    def arrived(self) -> list[float]:
        """When each delivery came."""
        return [at for partner in self.sinks.seen() for at in partner]

    def wait(self, started: float) -> float:
        """Until every partner has what it wants; how long that took."""
        while len(times := self.arrived()) < self.articles * WANTED_BY:
            if time.monotonic() - started > LIMIT_S:
                raise RuntimeError(f"only {len(times)} of {self.articles * WANTED_BY} deliveries arrived")
            time.sleep(0.5)
        return max(times) - started

    def close(self) -> None:
        self.wire.close()
        self.sites.stop()
        self.sinks.stop()


def measure(
    side: Callable[[World], dict[str, Any]], sites: int, pages: int, partners: int, *, large: bool
) -> dict[str, Any]:
    """One side, in a world of its own."""
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name) / "data", sites, pages, partners, large=large)
        try:
            return side(world)
        finally:
            world.close()


def ours(world: World) -> dict[str, Any]:
    """The wire as it is."""
    from benchmarks.pipeline import by_process, cpu_s

    world.sites.release()
    world.wire.up()
    before, others = by_process(world.wire), _others(world)
    started = time.monotonic()
    world.furnish()
    took = world.wait(started)
    after = by_process(world.wire)
    cpu = {name: round(1000 * (after[name] - before[name]) / world.articles, 2) for name in before}
    cpu["sites"] = round(1000 * (cpu_s(psutil.Process(world.sites.process.pid)) - others[0]) / world.articles, 2)
    cpu["receivers"] = round(1000 * (cpu_s(psutil.Process(world.sinks.process.pid)) - others[1]) / world.articles, 2)
    return {"articles_per_s": round(world.articles / took, 1), "cpu_ms": cpu}


def _others(world: World) -> tuple[float, float]:
    from benchmarks.pipeline import cpu_s

    return cpu_s(psutil.Process(world.sites.process.pid)), cpu_s(psutil.Process(world.sinks.process.pid))


def plain(world: World) -> dict[str, Any]:
    """The plain chain: one message with the document in it from stage to stage, requests for every call."""
    from benchmarks.pipeline import plain_workers, tree_cpu_s

    os.environ["BRIEFWIRE_DATA"] = str(world.wire.folder)
    os.environ["PLAIN_EXTRACTOR"] = "trafilatura"
    migrations.upgrade(world.wire.store)
    server = broker.start(world.wire.settings)
    world.sites.release()
    world.furnish()
    try:
        with plain_workers(world.wire, fetch=True) as workers:
            before, started = tree_cpu_s(workers), time.monotonic()
            subprocess.run([sys.executable, "-c", _SENDER], input="\n".join(world.sites.feeds), text=True, check=True)
            took = world.wait(started)
            spent = tree_cpu_s(workers) - before
    finally:
        server.terminate()
        server.wait()
    return {"articles_per_s": round(world.articles / took, 1), "cpu_ms_all": round(1000 * spent / world.articles, 2)}


_SENDER = """
import sys
from benchmarks import plain
for number, url in enumerate(sys.stdin.read().split(), start=1):
    plain.poll.delay(number, url)
"""
