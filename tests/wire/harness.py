"""A whole wire in a folder of its own, as a process: `briefwire up` with settings for loopback, and a hand on its store."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from shared import clock, pipeline, settings, vault
from shared.store import engine, intake, lanes, ledger, partners, workers

UP = "from services import supervisor; from shared import settings; supervisor.run(settings.load())"

LOOPBACK = {
    "web": {"port": 0},
    "fetch": {
        "gap_s": 0.0,
        "poll_min_s": 1.0,
        "poll_max_s": 1.0,
        "revisit_pace": 0.0,
        "gone_confirm_s": 1.0,
        "robots": False,
    },
}


class Wire:
    """One installation: its folder, its processes, its store."""

    def __init__(self, folder: Path, allow_hosts: list[str], **sections: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.write_settings(allow_hosts, **sections)
        self.settings = settings.load({"BRIEFWIRE_DATA": str(folder)})
        self.process: subprocess.Popen[bytes] | None = None
        self._store: engine.Store | None = None

    def write_settings(self, allow_hosts: list[str], **sections: dict[str, Any]) -> None:
        tables = {name: LOOPBACK.get(name, {}) | sections.get(name, {}) for name in {*LOOPBACK, *sections}}
        tables["fetch"] = tables["fetch"] | {"allow_hosts": allow_hosts}
        lines = [f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
                 for name, table in tables.items()]  # fmt: skip
        (self.folder / "briefwire.toml").write_text("\n".join(lines) + "\n")

    @property
    def store(self) -> engine.Store:
        if self._store is None:
            self._store = engine.Store(self.settings.store_url)
        return self._store

    def up(self, *, timeout_s: float = 60.0) -> None:
        """Starts it and waits until every queue is consumed."""
        started = clock.now()
        self.spawn()
        self.wait(lambda: self._consumed_since(started), timeout_s, "the workers to come up")

    def spawn(self, **environment: str) -> None:
        """Starts it and does not wait."""
        env = dict(os.environ) | {"BRIEFWIRE_DATA": str(self.folder)} | environment
        with (self.folder / "up.log").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", UP], env=env, stdout=out, stderr=out, start_new_session=True
            )

    def _consumed_since(self, started: Any) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "up.log").read_text()[-2000:]
        if not (self.folder / "logs" / "deliver.log").exists():
            return False
        try:
            with self.store.read() as connection:
                beats = workers.last_beats(connection)
        except Exception:
            return False
        return all(beats.get(queue, started) > started for queue in pipeline.QUEUES)

    def stop(self) -> float:
        """Ctrl-C; returns how long it took, in seconds."""
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        return time.monotonic() - started

    def close(self) -> None:
        """Ends whatever is left of it."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        if self._store is not None:
            self._store.close()

    def children(self) -> list[psutil.Process]:
        """Every process that it started, the pools' too."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process:
        """The oldest child whose command line holds the word."""
        found = [p for p in self.children() if any(word in part for part in _cmdline(p))]
        return min(found, key=lambda p: p.create_time())

    def add_source(self, url: str, name: str = "site", *, kind: str = "feed", profile: str | None = None) -> int:
        with self.store.write() as connection:
            return intake.add_source(connection, name=name, url=url, kind=kind, profile=profile, now=clock.now())

    def add_partner(self, url: str, name: str, secret: str = "", **options: Any) -> int:
        values: dict[str, Any] = {
            "kind": "webhook", "format": "brief", "secrets": vault.seal(self.folder, [secret] if secret else []), "filter": "",
            "backfill": True, "coalesce": False, "relinked": False, "concurrency": 4, "now": clock.now(),
        }  # fmt: skip
        with self.store.write() as connection:
            return partners.add_partner(connection, name=name, url=url, **(values | options))[1]

    def books(self) -> ledger.Books:
        with self.store.read() as connection:
            return ledger.books(connection)

    def idle(self) -> bool:
        """Whether nothing waits anywhere, and the books balance."""
        with self.store.read() as connection:
            books = ledger.books(connection)
            waiting = lanes.waiting(connection)
        return books.settled and books.balanced and not waiting

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Waits until it holds; says what it waited for where it never did."""
        until = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > until:
                raise AssertionError(
                    f"waited {timeout_s:g} s for {what}; the books: {self.books() if self._store else None}"
                )
            time.sleep(0.05)


@contextlib.contextmanager
def running(folder: Path, allow_hosts: list[str], **sections: dict[str, Any]) -> Iterator[Wire]:
    """A wire that is up, and ends with the block."""
    wire = Wire(folder, allow_hosts, **sections)
    try:
        wire.up()
        yield wire
    finally:
        wire.close()


def host_of(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
