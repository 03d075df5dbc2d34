"""Celery, used as a doorbell: the app, the task decorator, `begin()` (a transaction, then the rings), and the fates.

No result backend, early acknowledgement, no delayed messages: the rows are the truth, so a message that is lost, doubled or
late changes nothing.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime as dt
import functools
import itertools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import kombu.exceptions
import msgspec
import redis
from celery import Celery, signals
from kombu.entity import Exchange, Queue
from sqlalchemy import Connection, exc
from sqlalchemy.exc import SQLAlchemyError

from shared import broker, clock, http, lifeline, logs, pipeline, settings
from shared.errors import Rejected, Retryable
from shared.models import Row
from shared.store import claims, engine, events, lanes, switches

log = logging.getLogger("briefwire")
T = TypeVar("T")

SETTINGS = settings.load()
TRANSPORT: dict[str, Any] = {"visibility_timeout": 120, "socket_timeout": 5, "socket_connect_timeout": 3}
TRANSPORT |= broker.celery_options(SETTINGS)

app = Celery("briefwire", broker=broker.celery_url(SETTINGS))
app.conf.update(
    task_acks_late=False,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options=TRANSPORT,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    task_create_missing_queues=False,
    task_queues=[Queue(name, Exchange(""), routing_key=name) for name in pipeline.QUEUES],  # type: ignore[no-untyped-call]  # kombu publishes no types
    task_default_exchange="",
    task_default_queue=pipeline.QUEUES[0],
    broker_pool_limit=8,
)


class Work:
    """One writing transaction of a task: its connection, the events to log at its end, the bells to ring after it."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self.connection, self.now = connection, now
        self._events: list[events.NewEvent] = []
        self.numbers: list[int] = []
        self._bells: dict[str, list[Any]] = {}

    def log(self, *new: events.NewEvent) -> None:
        """Adds events; they get their numbers as the last thing before COMMIT."""
        self._events.extend(new)

    def ring(self, wake: str, keys: Iterable[Any]) -> None:
        """Wakes the stage for these keys once the transaction has committed."""
        self._bells.setdefault(wake, []).extend(keys)

    def finish(self) -> None:
        """Numbers the events, and forgets the bells of stages that people have stopped."""
        if self._events:
            lanes.wake(self.connection, "plan", [lanes.PLAN], self.now)
            self.numbers = events.append(self.connection, self._events, self.now)
            if self.numbers:
                self.ring("event.logged", [lanes.PLAN])
        if self._bells:
            stopped = switches.stopped(self.connection)
            self._bells = {wake: keys for wake, keys in self._bells.items() if pipeline.WAKES[wake].name not in stopped}

    def rings(self) -> dict[str, list[Any]]:
        return self._bells

    def say(self) -> None:
        """A line for each event that the transaction logged, where the settings ask for lines for pieces."""
        fresh = list(dict.fromkeys(self._events)) if logs.pieces() else []
        numbers = self.numbers if len(self.numbers) == len(fresh) else [None] * len(fresh)  # some were there before
        for number, event in zip(numbers, fresh, strict=True):
            logs.piece(event.kind, event=number, article_id=event.article_id, revision=event.revision)


def store() -> engine.Store:
    """This process's store."""
    return engine.current(SETTINGS)


@functools.cache
def door() -> http.Door:
    """This process's door out; threads share its kept-alive connections."""
    most = int(SETTINGS.fetch.max_mb * 1024 * 1024)
    return http.Door(http.Policy(
        allow_hosts=frozenset(SETTINGS.fetch.allow_hosts), user_agent=user_agent(SETTINGS),
        deadline_s=SETTINGS.fetch.deadline_s, max_raw=most, max_decoded=most,
    ))  # fmt: skip


def user_agent(of: settings.Settings) -> str:
    """An honest name, with the contact that the operator gave."""
    return f"Briefwire/0.1 (+{of.fetch.contact})" if of.fetch.contact else "Briefwire/0.1"


class Stopped(Exception):
    """The stage is paused, or the wire is drained: its task claims nothing."""


_unclaimed: contextvars.ContextVar[str | None] = contextvars.ContextVar("unclaimed", default=None)
"""The stage of the running task until its first transaction, which is its claim."""


@contextlib.contextmanager
def begin() -> Iterator[Work]:
    """A transaction; what it says happened is rung only after it committed.

    The first one of a task is its claim: in a stage that people have stopped it is not begun, and the task ends.
    """
    with store().write() as connection:
        stage = _unclaimed.get()
        if stage is not None and stage in switches.stopped(connection):
            raise Stopped(stage)
        _unclaimed.set(None)
        work = Work(connection, clock.now())
        yield work
        work.finish()
    work.say()
    for wake, keys in work.rings().items():
        bell.ring(wake, list(dict.fromkeys(keys)))


STORE_FAILS = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError, exc.DisconnectionError)


@contextlib.contextmanager
def holding(table: type[Any], rows: Sequence[Row]) -> Iterator[None]:
    """Gives claimed rows back at once where the block fails, instead of when their leases run out.

    A failing store (a deadlock, a full disk) is not the rows' fault and does not count as an attempt. A value that the store
    refuses does: it would be refused for ever, and the rest of its batch with it.
    """
    try:
        yield
    except Exception as error:
        blameless = isinstance(error, STORE_FAILS)
        with contextlib.suppress(SQLAlchemyError), store().write() as connection:
            again = clock.now() + dt.timedelta(seconds=1)
            for row in rows:
                attempts = max(0, row["attempts"] - blameless)
                claims.settle(connection, table, row, due_at=again, attempts=attempts)
        raise


class Bell:
    """Rings stages: sends messages of ids, gated by the depth of the queue, silent for a moment after the broker failed."""

    def __init__(self) -> None:
        self._silent_until = 0.0
        self._client: tuple[int, redis.Redis] | None = None

    def ring(self, wake: str, keys: Sequence[Any]) -> int:
        """Sends the keys in batches while the queue is below its high-water mark. Returns how many keys were sent.

        What is not sent is not lost: the feeder finds the rows.
        """
        if not keys or time.monotonic() < self._silent_until:
            return 0
        stage = pipeline.WAKES[wake]
        try:
            room = stage.high_water - self.depth(stage.queue)
            batches = [list(keys[i : i + stage.batch]) for i in range(0, len(keys), stage.batch)][: max(0, room)]
            self.send(stage, batches)
            return sum(map(len, batches))
        except (redis.RedisError, kombu.exceptions.KombuError, OSError) as error:
            log.warning("the broker does not answer (%s); the feeder will ring again", error)
            self._silent_until = time.monotonic() + 1.0
            return 0

    def send(self, stage: pipeline.Stage, batches: Sequence[Sequence[Any]]) -> None:
        """One message a batch, straight onto the stage's list: no binding that a wiped broker could have lost."""
        if not batches:
            return
        with app.producer_pool.acquire(block=True) as producer:
            for keys in batches:
                app.send_task(stage.task, (list(keys),), queue=stage.queue, producer=producer, retry=False)

    def ping(self, queue: str) -> None:
        """Asks whoever consumes the queue for a sign of life."""
        with contextlib.suppress(redis.RedisError, kombu.exceptions.KombuError, OSError):
            app.send_task("shared.ping", (queue,), queue=queue, retry=False, expires=20)

    def resize(self, sizes: dict[str, int]) -> None:
        """Tells the workers how large their pools are to be (see `shared.pools`)."""
        with contextlib.suppress(redis.RedisError, kombu.exceptions.KombuError, OSError):
            app.control.broadcast("resize", {"sizes": sizes})

    def depth(self, queue: str) -> int:
        """Messages waiting on the queue."""
        return int(self.client.llen(queue))

    @property
    def client(self) -> redis.Redis:
        """A client of this process."""
        if self._client is None or self._client[0] != os.getpid():
            self._client = os.getpid(), broker.connect(SETTINGS)
        return self._client[1]


bell = Bell()


def task(name: str) -> Callable[[Callable[[list[Any]], None]], Any]:
    """Declares a stage's task: explicitly named, takes a list of keys, result ignored."""

    def declare(function: Callable[[list[Any]], None]) -> Any:
        return app.task(name=name, ignore_result=True)(unless_stopped(pipeline.STAGE_OF[name], function))

    return declare


_KEYS = {
    "poll_source": "source_ids", "fetch_host": "lanes", "extract_pages": "entry_ids", "enrich_articles": "article_ids",
    "plan_events": "lanes", "deliver_lane": "lanes", "train_model": "lanes", "settle_hub": "hub_ids", "ask_hubs": "websub_ids",
}  # fmt: skip
"""What the keys of each task are called in the log."""


def unless_stopped(stage: str, function: Callable[[list[Any]], None]) -> Callable[[list[Any]], None]:
    """The function of a task; called while people have stopped its stage, it claims nothing and ends."""

    @functools.wraps(function)
    def claiming(keys: list[Any]) -> None:
        token = _unclaimed.set(stage)
        try:
            with logs.about(task=function.__name__, **{_KEYS.get(function.__name__, "keys"): keys}):
                function(keys)
        except Stopped:
            log.debug("%s is stopped; nothing is claimed", stage)
        finally:
            _unclaimed.reset(token)

    return claiming


class Failure(msgspec.Struct, frozen=True):
    """Why a piece of work has no result. later: a retry helps. bug: nobody foresaw it; it was logged with its traceback."""

    reason: str
    detail: str
    later: bool
    after_s: float | None = None
    bug: bool = False


def attempt(function: Callable[..., T], *args: Any) -> T | Failure:
    """The one place that reads the three fates: the function's value, or a Failure."""
    try:
        return function(*args)
    except Retryable as error:
        return Failure(error.reason, error.detail, later=True, after_s=error.after_s)
    except Rejected as error:
        return Failure(error.reason, error.detail, later=False)
    except Exception as error:
        log.exception("a bug in %s", getattr(function, "__name__", function))
        return Failure("bug", f"{type(error).__name__}: {error}"[:300], later=False, bug=True)


def backoff_s(failures: int, *, base_s: float = 5.0, limit_s: float = 3600.0) -> float:
    """Seconds until the next try after so many failures: doubling, never shrinking, capped."""
    return float(min(limit_s, base_s * 2 ** max(0, min(failures, 30) - 1)))


def _watch(**_: Any) -> None:
    lifeline.watch()


def _log(**_: Any) -> None:
    """In the place of Celery's own set-up: whoever connects to this signal does it all."""
    name = next((value for word, value in itertools.pairwise(sys.argv) if word == "-n"), "worker")
    logs.begin(name.partition("@")[0], SETTINGS.logs)


signals.setup_logging.connect(_log)
signals.worker_init.connect(_watch)
signals.worker_process_init.connect(_watch)
