"""The wire under everything that goes wrong at once; what the sites say they published against what the partners say arrived.

    python -m benchmarks.chaos --minutes 3 --store sqlite|postgresql [--rate 2] [--seed 1]

Two sites publish, change and withdraw briefs; three partners take them, all over real sockets. Meanwhile: kill -9 of a random
process of the wire every 5 s on average, the supervisor included; the broker killed, frozen for 12 s, its data wiped; the
database restarted, in order and as by a power cut; a store that is full and a shelf of pages that cannot be
written; partners that hang, cut the line, or answer 500 after having taken the event; a clock that steps at each restart of
the supervisor. The last minute is quiet. Then the run waits until all is through.
The last line is one JSON object:

    published      versions and withdrawals in the sites' own logs
    delivered      different deliveries that partners accepted
    lost           briefs whose newest version, or whose withdrawal, a partner lacks at the end
    out_of_order   first posts of an older revision than the partner had of that article
    second_ids     events that came to a partner under two ids
    ledger_checks, ledger_failures   how often the books were read during it all, and did not balance
    drain_s        from the last change to the last receipt and empty queues
    kills          processes killed; `faults` counts the rest
    done_twice     posts of what the partner had accepted before: what the stable ids are for
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import redis
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.changing_site import ChangingSite, Marker, read_marker
from services.console.demo.faults import Fault
from services.console.demo.receiver import Receipt, Receiver
from services.publish import sign
from shared import broker
from tests import servers
from tests.wire.harness import Wire, host_of

QUIET_S, STEP_S, FREEZE_S = 60.0, 0.1, 12.0
KILL_EVERY_S = 5.0
FULL_S = 8.0  # how long the store stays full, and the shelf of pages unwritable
SETTINGS: dict[str, Any] = {
    "deliver": {"deadline_s": 4.0, "schedule_s": [0.0, *[1.0] * 60]},
    "workers": {"fetch": 8, "deliver": 8},
}
MISBEHAVIOUR = (
    Fault(hang_s=30.0, share=0.5),
    Fault(reset=True, share=0.5),
    Fault(status=500, share=0.5, after_recording=True),
    Fault(reset=True, share=0.5, after_recording=True),
    Fault(status=503, share=0.3, retry_after_s=2),
    None,
)


class Tally:
    """What the run counts."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.ledger_checks = 0
        self.unbalanced: list[str] = []


class Scene:
    """Sites, partners and the wire between them."""

    def __init__(self, folder: Path, seed: int, store_url: str) -> None:
        secret = sign.new_secret(os.urandom(32))
        self.draw = random.Random(seed)
        self.sites = [ChangingSite(seed=n) for n in range(2)]
        self.partners = [Receiver(secret, keep_bodies=True) for _ in range(3)]
        for server in (*self.sites, *self.partners):
            server.start()
        hosts = [host_of(server.url) for server in (*self.sites, *self.partners)]
        self.shelf = folder / "pages"
        self.shelf.mkdir(parents=True)
        self.full = False  # the store of the supervisor's next life, and of this one until it is lifted
        self.wire = Wire(folder / "data", hosts, store={"url": store_url, "pages": f"file://{self.shelf}"}, **SETTINGS)
        self.wire.up()
        for n, site in enumerate(self.sites):
            self.wire.add_source(site.feed_url, f"site{n}")
        for n, partner in enumerate(self.partners):
            self.wire.add_partner(partner.url, f"partner{n}", secret)

    def close(self) -> None:
        self.wire.close()
        for server in (*self.sites, *self.partners):
            server.stop()

    def lost(self) -> list[tuple[int, Marker]]:
        """(partner, brief's newest version) of what a partner lacks."""
        newest = [pair for site in self.sites for pair in site.newest().items()]
        return [(n, marker) for n, partner in enumerate(self.partners)
                for marker, stands in newest if lacks(partner.accepted, marker, stands=stands)]  # fmt: skip

    def settled(self) -> bool:
        """Whether everything is through."""
        with contextlib.suppress(SQLAlchemyError):
            return self.wire.idle() and not self.lost()
        return False


def lacks(accepted: list[Receipt], marker: Marker, *, stands: bool) -> bool:
    """Whether what a partner last accepted of a brief is not its newest version, or not its withdrawal."""
    held = [receipt for receipt in accepted if (m := marker_of(receipt)) and m[:2] == marker[:2]]
    articles = {receipt.article_id for receipt in held}
    last = next((r for r in reversed(accepted) if r.article_id in articles), None)
    if not stands:
        return last is not None and last.type != "article.withdrawn"
    return last is None or marker_of(last) != marker


def marker_of(receipt: Receipt) -> Marker | None:
    """The marker in the text that arrived."""
    record = (receipt.data or {}).get("record") or {}
    return read_marker(json.dumps([record.get("lead"), record.get("blocks")]))


class Mayhem:
    """What goes wrong, and how often on average."""

    def __init__(self, scene: Scene, tally: Tally, postgres: servers.Postgres | None, hurry: float) -> None:
        self.scene, self.tally, self.postgres, self.draw, self.hurry = scene, tally, postgres, scene.draw, hurry
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.next_kill = time.monotonic() + self._pause_s()
        self.every_s: dict[Callable[[], None], float] = {
            self.freeze_broker: 60.0, self.wipe_broker: 25.0, self.misbehave: 6.0, self.spoil_shelf: 40.0,
        }  # fmt: skip
        if postgres is None:
            self.every_s[self.fill_store] = 45.0
        else:
            self.every_s[self.restart_database] = 40.0

    def _pause_s(self) -> float:
        return self.draw.expovariate(1 / KILL_EVERY_S)

    def step(self, seconds: float) -> None:
        """Whatever is up in the next `seconds`; kills that fell into a moment without a supervisor are made up for."""
        while self.next_kill <= time.monotonic() and self.kill():
            self.next_kill += self._pause_s() / self.hurry
        for fault, mean_s in self.every_s.items():
            if self.draw.random() < seconds / mean_s:
                fault()
        for due, action in [pair for pair in self.later if pair[0] <= time.monotonic()]:
            self.later.remove((due, action))
            action()

    def end(self) -> None:
        """Quiet from now on: what is broken is mended."""
        for _, action in self.later:
            action()
        self.later.clear()
        for partner in self.scene.partners:
            partner.faults.set(None)

    def mend_store(self) -> None:
        """The store may grow again, from the supervisor's next life on."""
        if self.scene.full:
            self.scene.full = False
            self.kill_supervisor()

    def kill(self) -> bool:
        """Any process of the wire: in one case of five each the supervisor, or the broker. False where there is none."""
        process = self.scene.wire.process
        assert process is not None
        try:
            children = self.scene.wire.children()
            chosen = self.draw.random()
            if chosen < 0.2 or not children:
                victim = psutil.Process(process.pid)
            elif chosen < 0.4:
                victim = self.scene.wire.child("valkey")
            else:
                victim = self.draw.choice(children)
            if victim.status() == psutil.STATUS_ZOMBIE:
                return False
            self._kill(victim, "supervisor" if victim.pid == process.pid else _name(victim))
        except (psutil.Error, ValueError):
            return False
        return True

    def kill_supervisor(self) -> None:
        process = self.scene.wire.process
        assert process is not None
        with contextlib.suppress(psutil.Error):
            self._kill(psutil.Process(process.pid), "supervisor")

    def _kill(self, victim: psutil.Process, name: str) -> None:
        _log(f"kill -9 {name}")
        victim.kill()
        self.tally.faults[f"kill {name}"] += 1

    def freeze_broker(self) -> None:
        with contextlib.suppress(psutil.Error, ValueError):
            process = self.scene.wire.child("valkey")
            process.suspend()
            _log("freeze the broker")
            self.tally.faults["freeze"] += 1
            self.later.append((time.monotonic() + FREEZE_S, lambda: _thaw(process)))

    def wipe_broker(self) -> None:
        with contextlib.suppress(redis.RedisError):
            broker.connect(self.scene.wire.settings).flushall()
            _log("wipe the broker")
            self.tally.faults["wipe"] += 1

    def fill_store(self) -> None:
        """The supervisor's next life finds a store that may not grow by a page; some seconds later it may again."""
        if not self.scene.full:
            self.scene.full = True
            self.kill_supervisor()
            self.tally.faults["full store"] += 1
            self.later.append((time.monotonic() + FULL_S, self.mend_store))

    def spoil_shelf(self) -> None:
        """A file stands where the folder of the pages was."""
        shelf, away = self.scene.shelf, self.scene.shelf.with_name("away")
        if away.exists():
            return
        _log("the shelf of pages cannot be written")
        shelf.rename(away)
        shelf.write_text("in the way")
        self.tally.faults["shelf"] += 1
        self.later.append((time.monotonic() + FULL_S, lambda: _back(shelf, away)))

    def misbehave(self) -> None:
        self.draw.choice(self.scene.partners).faults.set(self.draw.choice(MISBEHAVIOUR))
        self.tally.faults["partner"] += 1

    def restart_database(self) -> None:
        assert self.postgres is not None
        kill = self.draw.random() < 0.5
        _log(f"restart the database ({'power cut' if kill else 'in order'})")
        self.postgres.stop(kill=kill)
        time.sleep(self.draw.uniform(0.0, 2.0))
        self.postgres.start()
        self.tally.faults["database"] += 1


def _name(process: psutil.Process) -> str:
    words = process.cmdline()
    named = [word for word in words if word.endswith("@%h")] or [
        word for word in words if word.startswith(("shared.", "services."))
    ]
    return named[0].removesuffix("@%h") if named else Path(words[0]).name if words else "?"


def _back(shelf: Path, away: Path) -> None:
    shelf.unlink()
    away.rename(shelf)


def _thaw(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.resume()


def _log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def run(scene: Scene, tally: Tally, postgres: servers.Postgres | None, *, chaos_s: float, quiet_s: float, rate: float, hurry: float = 1.0,
        limit_s: float = 300.0) -> dict[str, Any]:  # fmt: skip
    """The whole run; returns the figures."""
    mayhem = Mayhem(scene, tally, postgres, hurry)
    started = before = time.monotonic()
    changes = 0
    while (now := time.monotonic()) - started < chaos_s + quiet_s:
        passed_s, before = now - before, now
        if now - started < chaos_s:
            mayhem.step(passed_s * hurry)
        else:
            mayhem.end()
        for _ in range(round(rate * (now - started)) - changes):
            scene.draw.choice(scene.sites).change(scene.draw)
            changes += 1
        _keep_up(scene, tally)
        if scene.draw.random() < passed_s:
            check_books(scene.wire, tally)
        time.sleep(STEP_S)
    ended = time.monotonic()
    while not scene.settled() and time.monotonic() - ended < limit_s:
        _keep_up(scene, tally)
        check_books(scene.wire, tally)
        time.sleep(0.25)
    return figures(scene, tally) | {"drain_s": round(time.monotonic() - ended, 1), "settled": scene.settled()}


def _keep_up(scene: Scene, tally: Tally) -> None:
    """A supervisor that died is started again, on a clock that stepped by up to 20 s."""
    process = scene.wire.process
    if process is not None and process.poll() is not None:
        offset = scene.draw.uniform(-20.0, 20.0)
        full = {"BRIEFWIRE_STORE_MAX_MB": f"{_store_mb(scene):.6f}"} if scene.full else {}
        _log(f"start the supervisor again, clock {offset:+.0f} s{', the store is full' if full else ''}")
        tally.faults["clock step"] += 1
        scene.wire.spawn(BRIEFWIRE_CLOCK_OFFSET_S=f"{offset:.1f}", **full)


def _store_mb(scene: Scene) -> float:
    return (scene.wire.folder / "briefwire.sqlite3").stat().st_size / 1024 / 1024


def check_books(wire: Wire, tally: Tally) -> None:
    """Reads both books; a database that is down is no imbalance."""
    with contextlib.suppress(SQLAlchemyError):
        books = wire.books()
        tally.ledger_checks += 1
        wrong = [str(line) for line in (*books.intake, *books.delivery) if not line.balanced]
        if wrong:
            tally.unbalanced += wrong
            _log(f"the books do not balance: {wrong}")


def figures(scene: Scene, tally: Tally) -> dict[str, Any]:
    """What came of it, from the sites' and the partners' own logs."""
    lost = scene.lost()
    for n, marker in lost[:20]:
        _log(f"partner {n} lacks {marker}")
    states = [partner.state() for partner in scene.partners]
    accepted = [receipt for partner in scene.partners for receipt in partner.received if receipt.accepted]
    return {
        "published": sum(len(site.log) for site in scene.sites),
        "delivered": sum(state["accepted"] for state in states),
        "lost": len(lost),
        "out_of_order": sum(state["disordered"] for state in states),
        "second_ids": sum(second_ids(partner) for partner in scene.partners),
        "ledger_checks": tally.ledger_checks,
        "ledger_failures": len(tally.unbalanced),
        "kills": sum(n for name, n in tally.faults.items() if name.startswith("kill ")),
        "done_twice": len(accepted) - sum(state["accepted"] for state in states),
        "faults": dict(sorted(tally.faults.items())),
    }  # fmt: skip


def second_ids(partner: Receiver) -> int:
    """Events that came under more than one id."""
    ids: dict[Any, set[str | None]] = {}
    for receipt in partner.received:
        event = (receipt.article_id, receipt.revision, receipt.type, (receipt.data or {}).get("occurrence"))
        ids.setdefault(event, set()).add(receipt.webhook_id)
    return sum(len(seen) > 1 for seen in ids.values())


@contextlib.contextmanager
def database(kind: str) -> Iterator[tuple[str, servers.Postgres | None]]:
    """The store's URL ("" for SQLite in the data folder) and the server behind it."""
    if kind == "sqlite":
        yield "", None
        return
    with servers.postgres() as server:
        yield server.fresh("chaos"), server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--rate", type=float, default=2.0, help="changes a second on the sites")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the wire's data and logs, left there")
    options = parser.parse_args()
    quiet_s = min(QUIET_S, options.minutes * 30.0)
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, postgres = stack.enter_context(database(options.store))
        scene, tally = Scene(folder, options.seed, url), Tally()
        stack.callback(scene.close)
        result = run(
            scene, tally, postgres, chaos_s=options.minutes * 60.0 - quiet_s, quiet_s=quiet_s, rate=options.rate
        )
    print(json.dumps({"store": options.store, "minutes": options.minutes, "seed": options.seed} | result))


if __name__ == "__main__":
    main()
