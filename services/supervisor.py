"""`briefwire up`: the broker, the store, the feeder, the workers and the web process; restarts whatever dies, ends in order.

    lock the data folder | broker | migrate | feeder, workers, web | watch ... | feeder, web, workers, broker

Children notice the supervisor's own death by a pipe (`shared.lifeline`), so that a kill -9 leaves no orphan.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.exc import DBAPIError

from shared import broker, clock, migrations, pipeline
from shared.errors import OperatorError
from shared.settings import Settings
from shared.store import engine, installation, switches, workers

log = logging.getLogger("briefwire.supervisor")
PATIENCE_S = 5.0  # for each group of children to end by themselves
STEADY_S = 30.0  # a child that lived this long is restarted without delay
LISTEN_S = 5.0  # how often the broker and the workers are listened to
SILENT_S = 15.0  # so long our broker may live without answering


class Child:
    """A process that is to run: how it is started, when it was, how often it died soon after."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], log_file: Path, lifeline: int) -> None:
        self.name, self.command, self.env, self.log_file, self.lifeline = name, command, env, log_file, lifeline
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.early_deaths = 0

    def start(self) -> None:
        """Starts it in a session of its own, so that Ctrl-C reaches only the supervisor."""
        with self.log_file.open("ab") as out:
            self.process = subprocess.Popen(  # noqa: S603 - our own modules, no shell
                self.command, env=self.env | {"BRIEFWIRE_LIFELINE": str(self.lifeline)}, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, pass_fds=(self.lifeline,), start_new_session=True,
            )  # fmt: skip
        self.started = time.monotonic()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        """Sends a signal to it, or with SIGKILL to its whole group."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                os.kill(self.process.pid, number)

    def restart_if_dead(self) -> None:
        """Starts it again; one that keeps dying at once waits longer each time, up to ten seconds."""
        if self.alive:
            return
        lived = time.monotonic() - self.started
        self.early_deaths = 0 if lived > STEADY_S else self.early_deaths + 1
        if lived < min(10.0, 0.5 * self.early_deaths):
            self.early_deaths -= 1
            return
        code = self.process.returncode if self.process else None
        log.warning("%s ended (%s); starting it again", self.name, code)
        self.signal(signal.SIGKILL)  # what is left of its group, a pool's processes for instance
        self.start()


class Supervisor:
    """Everything that runs, and the order it starts and ends in."""

    def __init__(self, settings: Settings, *, config: Path | None = None) -> None:
        self.settings = settings
        # One thread of linear algebra a process: the pools already have a process for each core.
        self.env = {"OPENBLAS_NUM_THREADS": "1"} | dict(os.environ) | {"BRIEFWIRE_DATA": str(settings.folder)}
        if config is not None:
            self.env["BRIEFWIRE_CONFIG"] = str(config)
        self.broker: subprocess.Popen[bytes] | None = None
        self.heard = self.back = time.monotonic()  # when the broker answered last, and since when it has always
        self.ended = False
        self._lifeline = os.pipe()
        os.set_inheritable(self._lifeline[1], False)
        logs = settings.folder / "logs"
        self.children = [
            self._child(name, command, logs) for name, command in (
                ("feeder", part_command("feeder")),
                ("web", part_command("web")),
                *((worker.name, worker_command(worker, settings)) for worker in pipeline.WORKERS),
            )
        ]  # fmt: skip

    def _child(self, name: str, command: list[str], logs: Path) -> Child:
        return Child(name, command, self.env, logs / f"{name}.log", self._lifeline[0])

    def start(self) -> None:
        """Brings everything up; raises OperatorError where something is in the way."""
        prepare(self.settings)
        if not self.settings.broker.url:
            self.broker = broker.start(self.settings)
        store = engine.Store(self.settings.store_url)
        migrations.upgrade(store)
        end_drain(store)
        store.close()
        for child in self.children:
            child.start()

    def watch(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Restarts what dies until told to end."""
        checked = time.monotonic()
        while not self.ended and not until():
            if self.broker is not None and self.broker.poll() is not None:
                self._restart_broker()
            for child in self.children:
                child.restart_if_dead()
            if time.monotonic() - checked > LISTEN_S:
                self._listen()
                if time.monotonic() - self.heard < 2 * LISTEN_S:
                    self._restart_deaf()  # nobody can hear a broker that is silent
                checked = time.monotonic()
            time.sleep(0.2)

    def stop(self) -> None:
        """Ends everything in order: nobody rings, nobody works, then the broker. At most ten seconds."""
        for name in ("feeder", "web"):
            self._named(name).signal(signal.SIGTERM)
        workers_ = [child for child in self.children if child.name not in ("feeder", "web")]
        for child in workers_:
            child.signal(signal.SIGTERM)
        self._await(self.children, PATIENCE_S)
        for child in self.children:
            child.signal(signal.SIGKILL)
        self._await(self.children, 1.0)
        if self.broker is not None:
            self.broker.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.broker.wait(2.0)
            self.broker.kill()

    def _named(self, name: str) -> Child:
        return next(child for child in self.children if child.name == name)

    def _await(self, children: list[Child], seconds: float) -> None:
        until = time.monotonic() + seconds
        while any(child.alive for child in children) and time.monotonic() < until:
            time.sleep(0.05)

    def _restart_broker(self) -> None:
        log.warning("the broker ended; starting it again")
        try:
            self.broker = broker.start(self.settings)
        except OperatorError as error:
            log.error("%s", error)

    def _listen(self) -> None:
        """A broker that lives and does not answer is told of; ours is ended, so that `watch` starts it again."""
        if broker.lives(self.settings):
            if time.monotonic() - self.heard > 2 * LISTEN_S:
                log.warning("the broker answers again")
                self.back = time.monotonic()
            self.heard = time.monotonic()
            return
        silent_s = time.monotonic() - self.heard
        log.warning("the broker has not answered for %d s", silent_s)
        if self.broker is not None and silent_s > SILENT_S:
            log.warning("the broker lives but is silent: frozen or overloaded; ending it")
            self.broker.kill()

    def _restart_deaf(self) -> None:
        """A worker that is up, but no longer takes what its queue holds, is restarted: a known ill after reconnects."""
        try:
            with contextlib.closing(engine.Store(self.settings.store_url)) as store, store.read() as connection:
                beats = workers.last_beats(connection)
        except DBAPIError as error:
            log.warning("the store does not answer (%s)", error)
            return
        for worker in pipeline.WORKERS:
            child = self._named(worker.name)
            silent = deaf(worker, beats, clock.now())
            if silent and child.alive and time.monotonic() - max(child.started, self.back) > worker.deaf_s:
                log.warning("%s takes nothing from its queue; restarting it", worker.name)
                child.signal(signal.SIGKILL)

    def end(self, *_: Any) -> None:
        """For signals: leave `watch` soon."""
        self.ended = True


def end_drain(store: engine.Store) -> None:
    """A start after a deploy takes up the work that a drain left."""
    with store.write() as connection:
        if switches.turn_on(connection, switches.DRAIN):
            installation.audit(connection, "up", "resume-wire", "the wire", "started", clock.now())


def deaf(worker: pipeline.Worker, beats: dict[str, dt.datetime], now: dt.datetime) -> bool:
    """Whether some queue of the worker has not been consumed for longer than it may be."""
    return any(name not in beats or (now - beats[name]).total_seconds() > worker.deaf_s for name in worker.queues)


def part_command(name: Literal["feeder", "web"]) -> list[str]:
    """The command line of a part that is no worker."""
    return [sys.executable, "-m", {"feeder": "shared.feeder", "web": "services.app"}[name]]


def worker_command(worker: pipeline.Worker, settings: Settings) -> list[str]:
    """The command line of one Celery worker."""
    return [
        sys.executable, "-m", "celery", "-q", "-A", "shared.queue:app", "worker", "-Q", ",".join(worker.queues), "-n", f"{worker.name}@%h",
        "-P", worker.pool, "-c", str(settings.pool_size(worker.name)), "-I", ",".join((*worker.tasks, "shared.pools")), "-l", "WARNING",
        "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip


def prepare(settings: Settings) -> None:
    """Makes the data folder and checks what would go wrong later: a folder that cannot be written, a busy port."""
    try:
        (settings.folder / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"The data folder {settings.folder} cannot be made: {error.strerror}.",
                            "Choose another with --data.", code=4) from None  # fmt: skip
    if settings.web.port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.web.host, settings.web.port))
            except OSError as error:
                raise OperatorError(f"Port {settings.web.port} on {settings.web.host} cannot be used: {error.strerror}.",
                                    "Set another under [web] port, or BRIEFWIRE_WEB_PORT.", code=4) from None  # fmt: skip


@contextlib.contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Holds the data folder: a second `up` on it is refused."""
    try:
        settings.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(settings.folder / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OperatorError(f"The data folder {settings.folder} cannot be written: {error.strerror}.",
                            "Choose another with --data.", code=4) from None  # fmt: skip
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise OperatorError(f"Another `briefwire up` already runs on {settings.folder}.",
                            "End that one first, or choose another folder with --data.", code=4) from None  # fmt: skip
    try:
        yield
    finally:
        os.close(handle)


def run(settings: Settings, *, config: Path | None = None) -> None:
    """Runs until Ctrl-C or SIGTERM."""
    with locked(settings):
        supervisor = Supervisor(settings, config=config)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, supervisor.end)
        try:
            supervisor.start()
            supervisor.watch()
        finally:
            supervisor.stop()
