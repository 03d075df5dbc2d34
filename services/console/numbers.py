"""Two readings of the store in, the figures of the live page out; one `Sampler` asks for everybody who watches.

    reading | rates against the reading before | Numbers -> pages, server-sent events, /metrics, /health, `briefwire top`

What costs more than a look at an index (the two books, the size of the quarantine) is asked for rarely, on its own: at most a
two-hundredth of the time goes into it.
"""

from __future__ import annotations

import collections
import datetime as dt
import math
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import Connection

from services.ingest import schedule
from services.publish import policy
from shared import clock, pipeline, records
from shared.models import Row
from shared.store import desk, engine, intake, ledger, switches

State = Literal["good", "busy", "bad", "idle"]

STAGES: tuple[tuple[str, str, str], ...] = (
    ("poll", "Poll", "fetch"),
    ("fetch", "Fetch", "fetch"),
    ("extract", "Extract", "extract"),
    ("enrich", "Enrich", "enrich"),
    ("plan", "Plan", "plan"),
    ("deliver", "Deliver", "deliver"),
)
"""(key, title, the Celery queue behind it), in an article's order."""

OLD_S = 60.0
"""From this age on what waits is shown as late."""
BIN_S, BINS = 5.0, 120
"""The charts show ten minutes in bins of five seconds."""
RATE_S = 10.0
"""Rates are over about the last ten seconds."""
SLOW_S, SLOW_SHARE = 10.0, 0.005
"""The costly figures: at most this often, and at most this share of the time."""
DISK_LEAST = 200_000_000
"""Free bytes in the data folder below which the desk warns."""


class Stage(msgspec.Struct, frozen=True):
    """One stage: rows that wait, the age of the oldest in seconds, rows a second, seconds since its queue was last consumed."""

    key: str
    title: str
    queue: str
    depth: int
    oldest_s: float | None
    rate: float
    beat_s: float | None
    deaf: bool
    paused: bool = False

    @property
    def state(self) -> State:
        if self.deaf:
            return "bad"
        if self.paused:
            return "busy"
        if (self.oldest_s or 0.0) > OLD_S:
            return "busy"
        return "good" if self.depth or self.rate else "idle"


class Worker(msgspec.Struct, frozen=True):
    """The processes that consume one queue, the newest sign of life of any of them, how many they have at once in all."""

    queue: str
    processes: int
    beat_s: float | None
    deaf: bool
    at_once: int | None = None


class Endpoint(msgspec.Struct, frozen=True):
    """A partner's endpoint: its backlog, how far it is behind in seconds, whether its breaker is open or its lane rests."""

    endpoint_id: int
    partner: str
    state: str
    breaker: str
    backlog: int
    lag_s: float | None
    resting_s: float | None
    failures: int


class Source(msgspec.Struct, frozen=True):
    """A source: seconds since its newest entry, failed polls in a row, whether it is silent for longer than its habit."""

    name: str
    state: str
    new_s: float | None
    failures: int
    overdue: bool
    error: str | None


class Books(msgspec.Struct, frozen=True):
    """Whether the two books balance, as of `at`, with a line for each one that does not."""

    at: dt.datetime
    intake_balanced: bool
    delivery_balanced: bool
    wrong: tuple[str, ...]
    books: ledger.Books

    @property
    def balanced(self) -> bool:
        return self.intake_balanced and self.delivery_balanced


class Point(msgspec.Struct, frozen=True):
    """One bin of the charts: per second delivered and failed; seconds from event to the partner's yes, half and 95 of 100."""

    delivered: float = 0.0
    failed: float = 0.0
    p50_s: float | None = None
    p95_s: float | None = None


class Trouble(msgspec.Struct, frozen=True):
    """Something a person should look at: one sentence, and the page where it can be put right."""

    state: State
    text: str
    href: str


class Numbers(msgspec.Struct, frozen=True):
    """Everything the live page shows, as of `at`. `cost_s` is what asking for it took, `spent_s` what all asking since
    the process started has; `books` is None until first checked."""

    at: dt.datetime
    stages: tuple[Stage, ...]
    workers: tuple[Worker, ...]
    endpoints: tuple[Endpoint, ...]
    sources: tuple[Source, ...]
    points: tuple[Point, ...]
    books: Books | None
    quarantined: tuple[int, int]
    free_bytes: int | None
    trouble: tuple[Trouble, ...]
    seen: int
    events: int
    attempts: int
    cost_s: float
    spent_s: float
    outcomes: dict[str, int]
    draining: bool = False

    @property
    def state(self) -> State:
        """The worst there is to see."""
        if any(t.state == "bad" for t in self.trouble):
            return "bad"
        return "busy" if self.trouble else "good"

    def stage(self, key: str) -> Stage:
        return next(stage for stage in self.stages if stage.key == key)


class Slow(msgspec.Struct, frozen=True):
    """The figures that are not asked for each time."""

    books: Books | None = None
    quarantined: tuple[int, int] = (0, 0)
    free_bytes: int | None = None
    overdue: frozenset[str] = frozenset()


class History:
    """What the charts show: bins of attempts by when they ended."""

    def __init__(self, bins: int = BINS, bin_s: float = BIN_S) -> None:
        self.bins, self.bin_s = bins, bin_s
        self._by_bin: dict[int, list[tuple[str, float]]] = {}
        self._extra: collections.Counter[tuple[int, str]] = collections.Counter()

    def add(self, at: dt.datetime, outcome: str, lag_s: float) -> None:
        """One attempt."""
        self._by_bin.setdefault(self._bin(at), []).append((outcome, lag_s))

    def add_uncounted(self, at: dt.datetime, outcome: str, n: int) -> None:
        """Attempts beyond the sample: they count, but say nothing about latency."""
        self._extra[self._bin(at), outcome] += n

    def points(self, now: dt.datetime) -> tuple[Point, ...]:
        """The bins up to the one before now, oldest first; forgets older ones."""
        last = self._bin(now) - 1
        first = last - self.bins + 1
        self._by_bin = {number: tried for number, tried in self._by_bin.items() if number >= first}
        self._extra = collections.Counter({key: n for key, n in self._extra.items() if key[0] >= first})
        return tuple(self._point(number) for number in range(first, last + 1))

    def _point(self, number: int) -> Point:
        tried = self._by_bin.get(number, [])
        lags = sorted(lag for outcome, lag in tried if outcome == "delivered")
        good = len(lags) + self._extra[number, "delivered"]
        bad = (
            len(tried)
            - len(lags)
            + sum(n for (at, outcome), n in self._extra.items() if at == number and outcome != "delivered")
        )
        return Point(good / self.bin_s, bad / self.bin_s, quantile(lags, 0.5), quantile(lags, 0.95))

    def _bin(self, at: dt.datetime) -> int:
        return int(at.timestamp() // self.bin_s)


class Sampler:
    """Asks the store once for all who watch. `sample` may be called from any thread; `latest` never waits."""

    def __init__(self, store: engine.Store, folder: Path, now: Callable[[], dt.datetime] = clock.now) -> None:
        self.store, self.folder, self.now = store, folder, now
        self.latest: Numbers | None = None
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.query_s = 0.0
        self._readings: collections.deque[desk.Reading] = collections.deque(maxlen=64)
        self._history: History | None = None
        self._slow, self._slow_at = Slow(), 0.0  # a place that is replaced whole: no lock
        self._lock = threading.Lock()

    def sample(self) -> Numbers:
        """Asks now. Raises what the store raises when it does not answer."""
        with self._lock:
            started = time.perf_counter()
            with self.store.read() as connection:
                now = self.now()
                history = self._begun(connection, now)
                reading = desk.reading(connection, now, self._readings[-1].last_attempt if self._readings else None)
            cost = time.perf_counter() - started
            self.query_s += cost
            self._keep(history, reading)
            self.latest = derive(
                reading,
                self._earlier(reading),
                history.points(now),
                self._slow,
                (cost, self.query_s),
                dict(self.outcomes),
            )
            return self.latest

    def slow_due(self) -> bool:
        """Whether the costly figures are old enough to ask for them again."""
        return time.monotonic() >= self._slow_at

    def want_slow(self) -> None:
        """Has them asked for soon."""
        self._slow_at = 0.0

    def ask_slow(self) -> None:
        """Asks for them now, beside `sample` and without holding it up."""
        started = time.perf_counter()
        self._slow_at = math.inf
        try:
            with self.store.read() as connection:
                found, waiting = ledger.books(connection), desk.quarantine_size(connection)
                silent = overdue(intake.sources(connection), self.now())
        finally:
            took = time.perf_counter() - started
            self.query_s += took
            self._slow_at = time.monotonic() + max(SLOW_S, took / SLOW_SHARE)
        self._slow = Slow(summary(found, self.now()), waiting, shutil.disk_usage(self.folder).free, silent)

    def _begun(self, connection: Connection, now: dt.datetime) -> History:
        if self._history is None:
            self._history = History()
            since = now - dt.timedelta(seconds=BIN_S * BINS)
            for at, outcome, lag_s in desk.past_attempts(connection, since, 20_000):
                self._history.add(at, outcome, lag_s)
        return self._history

    def _keep(self, history: History, reading: desk.Reading) -> None:
        for tried in reading.tried:
            history.add(tried.at, tried.outcome, tried.lag_s)
        sampled = collections.Counter(tried.outcome for tried in reading.tried)
        for outcome, n in (collections.Counter(reading.outcomes) - sampled).items():
            history.add_uncounted(reading.at, outcome, n)
        self.outcomes.update(reading.outcomes)
        self._readings.append(reading)

    def _earlier(self, reading: desk.Reading) -> desk.Reading | None:
        """The newest reading that is old enough for a steady rate, else the oldest there is."""
        past = [one for one in self._readings if one is not reading]
        old = [one for one in past if (reading.at - one.at).total_seconds() >= RATE_S]
        return old[-1] if old else next(iter(past), None)


def derive(reading: desk.Reading, earlier: desk.Reading | None, points: tuple[Point, ...], slow: Slow, cost: tuple[float, float],
           outcomes: dict[str, int]) -> Numbers:  # fmt: skip
    """The figures of a reading, with rates against an earlier one. Pure."""
    beats = newest_beats(reading)
    rates = _rates(reading, earlier)
    stages = tuple(_stage(reading, key, title, queue, beats, rates[key]) for key, title, queue in STAGES)
    workers = tuple(_worker(reading, queue, beats) for queue in pipeline.QUEUES)
    endpoints = tuple(_endpoint(lane, reading.at) for lane in reading.lanes)
    sources = tuple(_source(one, slow, reading.at) for one in reading.sources)
    trouble = (*_own_trouble(workers, stages, slow), *_stopped_trouble(reading.stopped),
               *_others_trouble(sources, endpoints), *_waiting_trouble(slow))  # fmt: skip
    return Numbers(
        at=reading.at, stages=stages, workers=workers, endpoints=endpoints, sources=sources, points=points, books=slow.books,
        quarantined=slow.quarantined, free_bytes=slow.free_bytes, trouble=trouble, seen=reading.seen, events=reading.events,
        attempts=reading.last_attempt, cost_s=cost[0], spent_s=cost[1], outcomes=outcomes,
        draining=any(one.key == switches.DRAIN for one in reading.stopped),
    )  # fmt: skip


def overdue(sources: Sequence[Row], now: dt.datetime) -> frozenset[str]:
    """Names of the active sources that are silent for longer than their own habit allows."""
    rhythms = {
        row["name"]: records.from_json(row["rhythm"], schedule.PollState).rhythm for row in sources if row["rhythm"]
    }
    return frozenset(row["name"] for row in sources if row["state"] == "active" and row["name"] in rhythms
                     and schedule.overdue(row["new_at"], rhythms[row["name"]], now))  # fmt: skip


def summary(books: ledger.Books, now: dt.datetime) -> Books:
    """Which of the books do not balance."""
    wrong = [f"intake of {line.source}" for line in books.intake if not line.balanced]
    wrong += [f"delivery to {line.partner}" for line in books.delivery if not line.balanced]
    balanced = (all(line.balanced for line in books.intake), all(line.balanced for line in books.delivery))
    return Books(now, *balanced, tuple(wrong), books)


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which that share of the ascending values lies; None where there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def newest_beats(reading: desk.Reading) -> dict[str, dt.datetime]:
    """Queue -> the newest sign of life of whoever consumes it."""
    beats: dict[str, dt.datetime] = {}
    for queue, _, at in reading.beats:
        beats[queue] = max(at, beats.get(queue, at))
    return beats


def _rates(reading: desk.Reading, earlier: desk.Reading | None) -> dict[str, float]:
    """Rows a second that left each stage. What left extraction is what was fetched less what piled up before it."""
    if earlier is None or reading.at <= earlier.at:
        return {key: 0.0 for key, _, _ in STAGES}
    seconds = (reading.at - earlier.at).total_seconds()
    fetched = reading.pages - earlier.pages
    left = {
        "poll": reading.seen - earlier.seen,
        "fetch": fetched,
        "extract": fetched - (reading.extract.depth - earlier.extract.depth),
        "enrich": reading.events - earlier.events,
        "plan": reading.planned - earlier.planned,
        "deliver": reading.last_attempt - earlier.last_attempt,
    }
    return {key: max(0.0, n / seconds) for key, n in left.items()}


def _stage(
    reading: desk.Reading, key: str, title: str, queue: str, beats: dict[str, dt.datetime], rate: float
) -> Stage:
    waiting: desk.Waiting = getattr(reading, key)
    beat_s = _age_s(beats.get(queue), reading.at)
    paused = any(one.key in (key, switches.DRAIN) for one in reading.stopped)
    return Stage(
        key,
        title,
        queue,
        waiting.depth,
        _age_s(waiting.since, reading.at),
        rate,
        beat_s,
        _is_deaf(queue, beat_s),
        paused,
    )


def _worker(reading: desk.Reading, queue: str, beats: dict[str, dt.datetime]) -> Worker:
    beat_s = _age_s(beats.get(queue), reading.at)
    fresh = [
        worker
        for kind, worker, at in reading.beats
        if kind == queue and (reading.at - at).total_seconds() <= _deaf_s(queue)
    ]
    sizes = [reading.sizes[worker] for worker in fresh if worker in reading.sizes]
    return Worker(queue, len(fresh), beat_s, _is_deaf(queue, beat_s), sum(sizes) if sizes else None)


def _endpoint(lane: desk.Lane, now: dt.datetime) -> Endpoint:
    breaker = records.from_json(lane.breaker, policy.Breaker) if lane.breaker else policy.Breaker()
    resting = lane.blocked_until or breaker.until
    left = (resting - now).total_seconds() if resting and resting > now else None
    return Endpoint(lane.endpoint_id, lane.partner, lane.state, breaker.state, lane.waiting.depth,
                    _age_s(lane.waiting.since, now), left, lane.failures)  # fmt: skip


def _source(one: desk.Source, slow: Slow, now: dt.datetime) -> Source:
    return Source(one.name, one.state, _age_s(one.new_at, now), one.failures, one.name in slow.overdue, one.last_error)


def _own_trouble(workers: Sequence[Worker], stages: Sequence[Stage], slow: Slow) -> list[Trouble]:
    found = [Trouble("bad", f"Nobody consumes the queue {w.queue}.", "/") for w in workers if w.deaf]
    if slow.books and not slow.books.balanced:
        found.append(Trouble("bad", f"The books do not balance: {', '.join(slow.books.wrong[:3])}.", "/ledger"))
    if slow.free_bytes is not None and slow.free_bytes < DISK_LEAST:
        found.append(Trouble("bad", f"Only {slow.free_bytes // 1_000_000} MB are free in the data folder.", "/"))
    late = [s for s in stages if s.key != "deliver" and (s.oldest_s or 0.0) > OLD_S and not s.deaf and not s.paused]
    return [*found, *(Trouble("busy", f"{s.title}: something has waited {int(s.oldest_s or 0)} s.", "/") for s in late)]


def _stopped_trouble(stopped: Sequence[desk.Stopped]) -> list[Trouble]:
    found = []
    for one in stopped:
        what = "The wire is drained" if one.key == switches.DRAIN else f"The stage {one.key} is paused"
        found.append(Trouble("busy", f"{what} by {one.who}{f': {one.reason}' if one.reason else ''}.", "/"))
    return found


def _others_trouble(sources: Sequence[Source], endpoints: Sequence[Endpoint]) -> list[Trouble]:
    failing = [one for one in sources if one.failures >= schedule.FAILING or one.state == "stopped"]
    found = [Trouble("busy", f"Source {one.name}: {(one.error or one.state)[:160]}", "/sources") for one in failing]
    silent = [one for one in sources if one.overdue and one not in failing]
    found += [Trouble("busy", f"Source {one.name} is silent for longer than usual.", "/sources") for one in silent]
    return found + [trouble for one in endpoints if (trouble := _endpoint_trouble(one))]


def _waiting_trouble(slow: Slow) -> list[Trouble]:
    entries, owed = slow.quarantined
    if not entries + owed:
        return []
    counted = f"{_many(entries, 'entry', 'entries')}, {_many(owed, 'delivery', 'deliveries')}"
    return [Trouble("busy", f"In quarantine: {counted}.", "/quarantine")]


def _endpoint_trouble(one: Endpoint) -> Trouble | None:
    href = f"/partners/{one.endpoint_id}"
    if one.state == "disabled":
        return Trouble("bad", f"Partner {one.partner} is disabled; {one.backlog} deliveries wait.", href)
    if one.breaker == "open":
        return Trouble("busy", f"Partner {one.partner} keeps failing; its breaker is open.", href)
    if one.failures or (one.state == "active" and (one.lag_s or 0.0) > OLD_S):
        return Trouble("busy", f"Partner {one.partner} is {int(one.lag_s or 0)} s behind.", href)
    return None


def _many(n: int, one: str, more: str) -> str:
    return f"{n} {one if n == 1 else more}"


def _age_s(since: dt.datetime | None, now: dt.datetime) -> float | None:
    return None if since is None else max(0.0, (now - since).total_seconds())


def _deaf_s(queue: str) -> float:
    return next(worker.deaf_s for worker in pipeline.WORKERS if queue in worker.queues)


def _is_deaf(queue: str, beat_s: float | None) -> bool:
    return beat_s is None or beat_s > _deaf_s(queue)
