"""Articles a second from stored bytes through extract, enrich and publish to three partners; ours and the plain way, in one run.

    python -m benchmarks.pipeline [--articles 2000] [--small]
    python -m benchmarks.pipeline --whole [--articles 2000] [--sites 200] [--partners 50]

With `--whole`, two runs of the whole way instead (`benchmarks.whole`): feeds and pages of 200 sites, 50 partners, each article
wanted by three of them; ours, and the plain chain with trafilatura.

Three runs one after the other, each with its own data folder, broker and receivers (separate processes): our wire, the plain
chain with trafilatura, the plain chain with our extractor (`benchmarks.plain` says what "plain" is). The clock runs from the
first page handed over to the last receipt at the last partner. The last line is one JSON object:

    articles_per_s, plain_per_s, plain_same_extractor_per_s, ratio, ratio_same_extractor
    cpu_ms        CPU milliseconds an article of each of our processes; the receivers apart
    plain_cpu_ms  the same of the plain chain's workers, all together (the sender and the broker left out)
    cpu_ratio     theirs to ours: what other programs on the machine hardly disturb
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks import whole
from services.console.demo import bulk
from services.publish import sign
from shared import clock, records
from shared.store import intake
from tests.wire.harness import Wire, host_of

HOST = "bulk.example"
PARTNERS = 3


class Receivers:
    """Partners as processes of their own."""

    def __init__(self, folder: Path, count: int) -> None:
        self.secret = sign.new_secret(os.urandom(32))
        self.processes = [self._start(folder / f"receiver{n}.json") for n in range(count)]
        self.urls = [self._url(folder / f"receiver{n}.json") for n in range(count)]

    def _start(self, ready: Path) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "services.console.demo.receiver",
            "--secret",
            self.secret,
            "--ready",
            str(ready),
        ]
        return subprocess.Popen(command, stdin=subprocess.PIPE)

    def _url(self, ready: Path) -> str:
        while True:
            with contextlib.suppress(OSError, ValueError):
                return str(json.loads(ready.read_text())["url"])
            time.sleep(0.05)

    def counts(self) -> list[int]:
        """Distinct deliveries that each of them has."""
        return [json.loads(_get(f"{url}/-/state"))["accepted"] for url in self.urls]

    def cpu_s(self) -> float:
        return sum(cpu_s(psutil.Process(process.pid)) for process in self.processes)

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=int, default=2000)
    parser.add_argument("--small", action="store_true", help="pages of 7 KB instead of 30 to 60 KB")
    parser.add_argument("--only", choices=["ours", "trafilatura", "same"], help="one of the three runs")
    parser.add_argument("--whole", action="store_true", help="from 200 sites' feeds to 50 partners")
    parser.add_argument("--sites", type=int, default=200)
    parser.add_argument("--partners", type=int, default=50)
    options = parser.parse_args()
    if options.whole:
        _whole(options)
        return
    made = [bulk.page(n, 3, HOST, large=not options.small) for n in range(options.articles)]
    urls = [f"http://{HOST}{bulk.item(n, 3).brief.path}" for n in range(options.articles)]
    out: dict[str, Any] = {
        "articles": options.articles,
        "cores": os.cpu_count(),
        "page_kb": round(sum(map(len, made)) / 1024 / len(made)),
    }
    if options.only in (None, "ours"):
        out |= _run(ours, made, urls)
    if options.only in (None, "trafilatura"):
        out |= _renamed(_run(plain("trafilatura"), made, urls), "plain")
    if options.only in (None, "same"):
        out |= _renamed(_run(plain("ours"), made, urls), "plain_same_extractor")
    if options.only is None:
        out["ratio"] = round(out["articles_per_s"] / out["plain_per_s"], 2)
        out["ratio_same_extractor"] = round(out["articles_per_s"] / out["plain_same_extractor_per_s"], 2)
        own = sum(spent for name, spent in out["cpu_ms"].items() if name != "receivers")
        out["cpu_ratio"] = round(out["plain_cpu_ms"] / own, 2)
        out["cpu_ratio_same_extractor"] = round(out["plain_same_extractor_cpu_ms"] / own, 2)
    print(json.dumps(out))


def _whole(options: argparse.Namespace) -> None:
    pages = max(1, options.articles // options.sites)
    out: dict[str, Any] = {
        "articles": pages * options.sites,
        "sites": options.sites,
        "partners": options.partners,
        "cores": os.cpu_count(),
    }
    sizes = (options.sites, pages, options.partners)
    if options.only in (None, "ours"):
        out |= whole.measure(whole.ours, *sizes, large=not options.small)
    if options.only in (None, "trafilatura"):
        out |= _renamed(whole.measure(whole.plain, *sizes, large=not options.small), "plain")
    if options.only is None:
        out["ratio"] = round(out["articles_per_s"] / out["plain_per_s"], 2)
        own = sum(spent for name, spent in out["cpu_ms"].items() if name not in ("sites", "receivers"))
        out["cpu_ratio"] = round(out["plain_cpu_ms"] / own, 2)
    print(json.dumps(out))


def _renamed(result: dict[str, Any], name: str) -> dict[str, Any]:
    return {f"{name}_per_s": result["articles_per_s"], f"{name}_cpu_ms": result["cpu_ms_all"]}


Side = Callable[[Wire, list[bytes], list[str], Callable[[], bool]], dict[str, Any]]


def _run(side: Side, pages: list[bytes], urls: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        receivers = Receivers(folder, PARTNERS)
        wire = Wire(folder / "data", [host_of(url) for url in receivers.urls])
        try:
            before = receivers.cpu_s()
            result = side(wire, pages, urls, _done(wire, receivers, len(pages)))
            result.setdefault("cpu_ms", {})["receivers"] = round(1000 * (receivers.cpu_s() - before) / len(pages), 2)
            return result
        finally:
            wire.close()
            receivers.stop()


def _done(wire: Wire, receivers: Receivers, articles: int) -> Callable[[], bool]:
    """Adds the partners when first asked; then: whether every partner has every article."""
    state = {"joined": False}

    def done() -> bool:
        if not state["joined"]:
            state["joined"] = True
            for n, url in enumerate(receivers.urls):
                wire.add_partner(url, f"partner{n}", receivers.secret)
            return False
        return min(receivers.counts()) >= articles

    return done


def ours(wire: Wire, pages: list[bytes], urls: list[str], done: Callable[[], bool]) -> dict[str, Any]:
    """The wire as it is: pages as rows, then nothing but waiting."""
    wire.up()
    done()
    source = wire.add_source("http://bulk.example/", kind="push")
    before = by_process(wire)
    started = time.perf_counter()
    _push(wire, source, pages, urls)
    while not done():
        time.sleep(0.05)
    took = time.perf_counter() - started
    after = by_process(wire)
    cpu = {name: round(1000 * (after[name] - before[name]) / len(pages), 2) for name in before}
    return {"articles_per_s": round(len(pages) / took, 1), "cpu_ms": cpu}


def _push(wire: Wire, source: int, pages: list[bytes], urls: list[str]) -> list[int]:
    ids = []
    with wire.store.write() as connection:
        now = clock.now()
        for page, url in zip(pages, urls, strict=True):
            new = intake.NewEntry(records.Entry(url, url), None, backfill=False)
            stored = intake.NewPage(page, url, url, 200, "text/html; charset=utf-8", now)
            ids.append(intake.push_entry(connection, source, new, stored, now)[0])
    return ids


def plain(extractor: str) -> Side:
    """The plain chain with that extractor."""

    def side(wire: Wire, pages: list[bytes], urls: list[str], done: Callable[[], bool]) -> dict[str, Any]:
        from shared import broker, migrations

        os.environ["BRIEFWIRE_DATA"] = str(wire.folder)
        os.environ["PLAIN_EXTRACTOR"] = extractor
        migrations.upgrade(wire.store)
        server = broker.start(wire.settings)
        done()
        source = wire.add_source("http://bulk.example/", kind="push")
        ids = _push(wire, source, pages, urls)
        with plain_workers(wire) as workers:
            before = tree_cpu_s(workers)
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", _SENDER, str(len(ids))], input=_lines(ids, pages, urls), check=True)
            while not done():
                time.sleep(0.05)
            took = time.perf_counter() - started
            spent = tree_cpu_s(workers) - before
        server.terminate()
        server.wait()
        return {"articles_per_s": round(len(pages) / took, 1), "cpu_ms_all": round(1000 * spent / len(pages), 2)}

    return side


_SENDER = """
import base64, json, sys
from benchmarks import plain
for line in sys.stdin:
    entry_id, page, url = json.loads(line)
    plain.send(entry_id, base64.b64decode(page), url)
"""


def _lines(ids: list[int], pages: list[bytes], urls: list[str]) -> bytes:
    rows = ([i, base64.b64encode(page).decode(), url] for i, page, url in zip(ids, pages, urls, strict=True))
    return "\n".join(map(json.dumps, rows)).encode()


@contextlib.contextmanager
def plain_workers(wire: Wire, *, fetch: bool = False) -> Iterator[list[psutil.Process]]:
    cores = str(max(1, min(4, os.cpu_count() or 1)))
    kinds = [("extract", "prefork", cores), ("enrich", "prefork", cores), ("publish", "threads", "32")]
    if fetch:
        kinds.append(("fetch", "threads", "32"))
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.plain:app", "worker", "-l", "WARNING",
               "--without-gossip", "--without-mingle", "--without-heartbeat"]  # fmt: skip
    log = (wire.folder / "plain.log").open("ab")
    with log:
        workers = [
            subprocess.Popen(
                [*command, "-Q", f"plain_{name}", "-P", pool, "-c", n, "-n", f"{name}@%h"], stdout=log, stderr=log
            )
            for name, pool, n in kinds
        ]
        time.sleep(8)  # all of them are up well before
        try:
            yield [psutil.Process(worker.pid) for worker in workers]
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()


def by_process(wire: Wire) -> dict[str, float]:
    """CPU seconds so far of each of the wire's parts, its pool's processes included."""
    assert wire.process is not None
    parts = {
        "fetch": "fetch@",
        "extract": "extract@",
        "enrich": "enrich@",
        "deliver": "deliver@",
        "feeder": "shared.feeder",
        "broker": "valkey",
    }
    spent = {}
    for name, word in parts.items():
        process = wire.child(word)
        spent[name] = cpu_s(process) + sum(cpu_s(child) for child in process.children(recursive=True))
    return spent


def tree_cpu_s(roots: list[psutil.Process]) -> float:
    return sum(cpu_s(process) for root in roots for process in (root, *root.children(recursive=True)))


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return bytes(reply.read())


if __name__ == "__main__":
    main()
