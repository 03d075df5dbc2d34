"""A process that dies right before or right after each COMMIT of the whole way, and the next one that has to carry on.

    python -m benchmarks.kill_points [--points 1000] [--briefs 3] [--store sqlite|postgresql]

For each point a fresh installation: briefs are polled, fetched, extracted, enriched, planned and delivered to two partners over
real sockets, then one is updated, one withdrawn and one added. Every stage's own function runs, in a process forked for the
point, which kills itself (SIGKILL) at its n-th COMMIT. A second process carries on from the store alone, without a broker. The
last line is one JSON object: points, places (different functions that a kill hit), lost, second_ids, out_of_order,
ledger_failures, stuck, done_twice, seconds. One line before for each point that went wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection

from benchmarks.changing_site import ChangingSite, read_marker
from services.console.demo import bulk
from services.console.demo.receiver import Receiver
from services.publish import sign
from shared import clock, migrations, records, vault
from shared.store import engine, intake, lanes, ledger, partners
from tests import servers

SECRET = sign.new_secret(bytes(range(32)))
PARTNERS = 2
SETTINGS = """
[fetch]
gap_s = 0.0
poll_min_s = 3600.0
revisit_pace = 0.0
gone_confirm_s = 0.0
robots = false
allow_hosts = ["127.0.0.1"]
"""
WRONG = ("lost", "second_ids", "out_of_order", "ledger_failures", "stuck")
Ask = Callable[..., Any]


class Point(NamedTuple):
    """Where to die: at the n-th COMMIT of the process, `before` or after it. n = 0: nowhere."""

    n: int
    before: bool


NOWHERE = Point(0, before=False)


class Fatal(engine.Store):
    """The store of a process that dies at a point."""

    def __init__(self, url: str, point: Point, told: int) -> None:
        super().__init__(url)
        self.point, self.told, self.commits = point, told, 0

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        place = _caller()
        with super().write() as connection:
            yield connection
            self.commits += 1
            self._die_if(place, before=True)
        self._die_if(place, before=False)

    def _die_if(self, place: str, *, before: bool) -> None:
        if self.point == (self.commits, before):
            os.write(self.told, place.encode())
            os.kill(os.getpid(), signal.SIGKILL)


def _caller() -> str:
    """The function of the services on whose behalf the transaction runs."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = str(frame.f_globals.get("__name__"))
        if name.startswith("services."):
            return f"{name.removeprefix('services.')}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "shared"


# --- the outside: one process with threads, started before anything is forked ---


def outside(pipe: Pipe, briefs: int) -> None:
    """Sites and partners, steered through the pipe: new | change | receipts."""
    receivers = [Receiver(SECRET, keep_bodies=True) for _ in range(PARTNERS)]
    for receiver in receivers:
        receiver.start()
    site: ChangingSite | None = None
    changed, seen = False, [0] * PARTNERS
    while (asked := pipe.recv()) is not None:
        if asked == "new":
            if site is not None:
                site.stop()
            site, changed = ChangingSite(), False
            site.start()
            for _ in range(briefs):
                site.publish()
            seen = [len(receiver.received) for receiver in receivers]
            pipe.send((site.feed_url, [f"{receiver.url}/{site.url[-5:]}" for receiver in receivers]))
        elif asked == "change" and site is not None:
            if not changed:
                site.update(0)
                site.withdraw(1)
                site.publish()
            pipe.send(changed := True)
        elif asked == "result" and site is not None:
            pipe.send(_result(site, [receiver.received[n:] for receiver, n in zip(receivers, seen, strict=True)]))


def _result(site: ChangingSite, arrived: list[list[Any]]) -> dict[str, int]:
    """What the partners' logs say against what the site's log says."""
    found: Counter[str] = Counter(lost=0, second_ids=0, out_of_order=0, done_twice=0)
    for receipts in arrived:
        ids: dict[Any, set[str]] = {}
        last: dict[Any, Any] = {}
        for receipt in receipts:
            data = receipt.data or {}
            marker = read_marker(json.dumps((data.get("record") or {}).get("blocks")))
            before = last.get(receipt.article_id)
            event = (receipt.article_id, receipt.revision, receipt.type, data.get("occurrence"))
            found["done_twice"] += event in ids
            found["out_of_order"] += event not in ids and before is not None and receipt.revision < before[0].revision
            ids.setdefault(event, set()).add(receipt.webhook_id)
            last[receipt.article_id] = (receipt, marker or (before and before[1]))
        held = {marker: receipt for receipt, marker in last.values()}
        found["second_ids"] += sum(len(some) > 1 for some in ids.values())
        for marker, stands in site.newest().items():
            receipt = held.get(marker)
            there = receipt is not None and receipt.type != "article.withdrawn"
            found["lost"] += there is not stands and (stands or receipt is not None)
    return dict(found)


# --- the inside: the wire's own stages, one after the other in one process ---


def settle_in(folder: Path) -> None:
    """This process works on that folder from now on; called before anything of ours reads the settings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "briefwire.toml").write_text(SETTINGS)
    os.environ["BRIEFWIRE_DATA"] = str(folder)


class Direct:
    """A sandbox's call without its child, which each fork would have to start anew."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.call = function


def prepare() -> None:
    """Imports the stages; rings are lost, the feeder's finders call the tasks at once."""
    from services.enrich import tasks as _enrich  # noqa: F401 - only once the settings stand
    from services.ingest import feeds, normalise, polling
    from services.ingest import tasks as ingest
    from services.publish import tasks as _publish  # noqa: F401
    from shared import pipeline, queue

    class Hand(queue.Bell):
        """Calls the task itself, from the feeder only."""

        rung = 0

        def ring(self, wake: str, keys: Any) -> int:
            return 0

        def depth(self, queue: str) -> int:
            return 0

        def send(self, stage: pipeline.Stage, batches: Any) -> None:
            for keys in batches:
                self.rung += 1
                queue.app.tasks[stage.task](list(keys))

    queue.bell = Hand()
    polling._FEEDS = Direct(feeds.parse)  # type: ignore[assignment]
    ingest._careful = Direct(normalise.extract)  # type: ignore[assignment]
    warm_up()


def warm_up() -> None:
    """Loads models and rules once, so that no fork has to."""
    from services.enrich import enriching
    from services.ingest import normalise, tasks

    tasks.known_profiles()
    finding = normalise.Finding(
        "site", records.Entry("key", "http://h.example/1"), "http://h.example/1", "http://h.example/1"
    )
    found = normalise.extract(
        bulk.page(1, 0, "h.example"), "text/html; charset=utf-8", clock.now(), finding, None, "UTC"
    )
    enriching.study(found.article, clock.now())


def way(ask: Ask, store: engine.Store) -> None:
    """The whole way in this process: what is there, then what changed."""
    engine._current = store
    work()
    ask("change")
    with engine.Store(str(store.url)).write() as connection:
        for row in intake.sources(connection):
            intake.set_source(connection, row["id"], due_at=clock.now())
    work()
    if isinstance(store, Fatal) and store.point == NOWHERE:
        os.write(store.told, str(store.commits).encode())


def work() -> None:
    """Rings for whatever is due until nothing is."""
    from shared import feeder, queue

    for _ in range(100):
        before = queue.bell.rung  # type: ignore[attr-defined]
        feeder.free_dead()
        feeder.ring_due(clock.now() + dt.timedelta(seconds=1))  # past the moment that rings at commit would have
        if queue.bell.rung == before:  # type: ignore[attr-defined]
            return
    raise RuntimeError("it never comes to rest")


class Shelf:
    """Where each point's store comes from: a copy of one that was made beforehand."""

    def __init__(self, folder: Path, server: servers.Postgres | None) -> None:
        self.data, self.server, self.template = folder / "data", server, folder / "template.sqlite3"
        made = engine.Store(server.fresh("template") if server else f"sqlite:///{self.template}")
        migrations.upgrade(made)
        made.close()

    def fresh(self) -> str:
        """The URL of a new store."""
        if self.server is not None:
            return self.server.fresh("point", template="template")
        for old in self.data.glob("briefwire.sqlite3*"):
            old.unlink()
        shutil.copy(self.template, self.data / "briefwire.sqlite3")
        return f"sqlite:///{self.data / 'briefwire.sqlite3'}"


def run_point(shelf: Shelf, point: Point, ask: Ask) -> dict[str, Any]:
    """One installation, one death, one recovery; what came of it."""
    url = shelf.fresh()
    feed_url, hooks = ask("new")
    with contextlib.closing(engine.Store(url)) as store, store.write() as connection:
        furnish(connection, shelf.data, feed_url, hooks)
    place, stuck = forked(lambda told: way(ask, Fatal(url, point, told)))
    if point != NOWHERE:
        stuck = forked(lambda told: way(ask, engine.Store(url)))[1]
    with contextlib.closing(engine.Store(url)) as store, store.read() as connection:
        books, waiting = ledger.books(connection), lanes.waiting(connection)
    unsettled = not books.settled or bool(waiting) or bool(stuck)
    return {"point": point, "place": place, "ledger_failures": int(not books.balanced), "stuck": int(unsettled)} | ask(
        "result"
    )


def furnish(connection: Connection, folder: Path, feed_url: str, hooks: list[str]) -> None:
    """A source and the partners."""
    intake.add_source(connection, name="site", url=feed_url, kind="feed", profile=None, now=clock.now())
    for n, hook in enumerate(hooks):
        partners.add_partner(
            connection, name=f"partner{n}", kind="webhook", url=hook, format="brief", secrets=vault.seal(folder, [SECRET]),
            filter="", backfill=True, coalesce=False, relinked=False, concurrency=4, now=clock.now(),
        )  # fmt: skip


def forked(run: Callable[[int], None]) -> tuple[str, int]:
    """Runs it in a fork. Returns where it killed itself ("" if it did not), and 1 if it failed."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            run(theirs)
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    os.close(theirs)
    place = b""
    while piece := os.read(ours, 200):
        place += piece
    os.close(ours)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return place.decode(), int(code not in (0, -signal.SIGKILL))


def run(points: int, briefs: int, kind: str = "sqlite") -> dict[str, Any]:
    """All points, from the first COMMIT on, over and over until there are enough."""
    started = time.monotonic()
    ours, theirs = multiprocessing.Pipe()
    world = multiprocessing.get_context("fork").Process(target=outside, args=(theirs, briefs), daemon=True)
    world.start()

    def ask(*words: str) -> Any:
        ours.send(*words)
        return ours.recv()

    memory = Path("/dev/shm")  # a killed process loses nothing that the kernel has, so a disk would only cost time
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)))
        settle_in(folder / "data")
        prepare()
        server = stack.enter_context(servers.postgres()) if kind == "postgresql" else None
        results = list(_points(Shelf(folder, server), points, ask))
    ours.send(None)
    world.join(10)
    died = Counter(result["place"] for result in results if result["place"])
    sums = {key: sum(result[key] for result in results) for key in (*WRONG, "done_twice")}
    return (
        {"store": kind, "points": died.total(), "places": dict(died)}
        | sums
        | {"seconds": round(time.monotonic() - started, 1)}
    )


def _points(shelf: Shelf, wanted: int, ask: Ask) -> Iterator[dict[str, Any]]:
    """Spread over the whole way; more points than it has go over it again, since no two runs are alike.

    A run that came to its end before the COMMIT that was to kill it is no point: another one takes its place.
    """
    commits = int(run_point(shelf, NOWHERE, ask)["place"])
    there = [Point(n, before) for n in range(1, commits + 1) for before in (True, False)]
    died = 0
    for i in range(2 * wanted):
        if died == wanted:
            return
        point = there[i * len(there) // wanted if i < wanted < len(there) else i % len(there)]
        result = run_point(shelf, point, ask)
        died += bool(result["place"])
        if any(result[key] for key in WRONG):
            print(json.dumps(result), flush=True)
        yield result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--briefs", type=int, default=3)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    options = parser.parse_args()
    print(json.dumps(run(options.points, options.briefs, options.store)))


if __name__ == "__main__":
    main()
