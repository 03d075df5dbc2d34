"""A host's lane, drained politely: so many pages in flight, a gap between requests, the host's wishes obeyed.

    claim the lane | wait for the instant reserved | fetch | commit the bytes, or their fate | ... | rest the lane

Every request's instant is reserved on the lane's row, so the gap holds between workers and polls too. Commits of all lanes of
a worker go together (`services.ingest.crew`).
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import deque

import msgspec

from services.ingest import crew, directives, fetch, manners, schedule, storing
from shared import clock, pages, queue
from shared.errors import Rejected
from shared.models import LaneRow, Row
from shared.queue import Failure, Work, attempt, holding
from shared.store import articles, claims, intake, lanes, switches

CFG = queue.SETTINGS
SLICE_S = 5.0  # a drain gives its place back after this long; what is left is rung again
CALL_S = 2 * CFG.fetch.deadline_s + 5.0  # robots.txt and the page
LOOK_AHEAD = 16  # entries read at once
TRIES = 10
TRIES_OF_A_DEAD_HOST = 40  # about eight days

_HOST_FAULTS = frozenset((
    "slow-down", "dns-failed", "dns-timeout", "connect-refused", "connect-timeout", "connect-failed",
    "connection-reset", "deadline", "tls-failed", "robots-unreachable", "bot-wall", "server-error",
))  # fmt: skip
"""Reasons that say something about the host, not about one page: its whole lane waits."""

together = crew.Together()
withdraw = storing.withdraw


def drain(key: str) -> bool:
    """Fetches what is due on the lane, for a few seconds. Returns whether more may be fetched right now."""
    lane = together.commit(lambda work: _claim(work, key))
    if lane is None:
        return False
    with holding(LaneRow, [lane]):
        draining = Drain(lane)
        draining.run()
        left = together.commit(draining.rest)
        return left is not None and left <= clock.now()


def _claim(work: Work, key: str) -> Row | None:
    if "fetch" in switches.stopped(work.connection):
        return None
    return lanes.claim(work.connection, key, work.now, claims.LEASE_S + CALL_S)


class Step(msgspec.Struct, frozen=True):
    """The next request: its entry, and the instant reserved for it."""

    entry: Row
    at: dt.datetime


class Drain:
    """One claim of a lane: what is known of it, and what is under way. Several threads may share it."""

    def __init__(self, lane: Row) -> None:
        self.lane, self.host = lane, lane["key"].removeprefix("host:")
        self.until = time.monotonic() + SLICE_S
        self.lost = False
        self.blocked: dt.datetime | None = None
        self.slow_s: float = lane["slow_s"]
        self.fetched = 0
        self._todo: deque[Row] = deque()
        self._taken: set[int] = set()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Fetches with as many threads as the host may have requests in flight."""
        at_once = manners.at_once(self.host)
        others = [threading.Thread(target=self._fetch_some, daemon=True) for _ in range(at_once - 1)]
        for thread in others:
            thread.start()
        self._fetch_some()
        for thread in others:
            thread.join()

    def rest(self, work: Work) -> dt.datetime | None:
        """Frees the lane; returns when it has work again, not before its host may be spoken to."""
        now = lanes.held(work.connection, self.lane)
        if now is None:
            return None
        until = max(filter(None, (now["blocked_until"], self.blocked)), default=None)
        failures = now["failures"] + 1 if self.blocked else 0 if self.fetched else now["failures"]
        left = lanes.rest(
            work.connection, self.lane, blocked_until=until, failures=failures, slow_s=self.slow_s, attempts=0
        )
        return max(left, until) if left is not None and until is not None else left

    def _fetch_some(self) -> None:
        step = together.commit(self._next)
        while step is not None:
            time.sleep(max(0.0, (step.at - clock.now()).total_seconds()))
            entry, started = step.entry, clock.now()
            got = attempt(page_of, entry)
            step = together.commit(lambda work: self._settled(work, entry, got, started))  # noqa: B023  called at once

    def _settled(self, work: Work, entry: Row, got: Got | Failure, started: dt.datetime) -> Step | None:
        """Commits what a fetch came to, and reserves the next one."""
        now = lanes.held(work.connection, self.lane)
        if now is None:
            self.lost = True
            return None  # the lease went to somebody else, who will see this entry still due
        gap_s = manners.gap_s(self.host, entry["url"])
        blocked = settle(work, now, entry, got)
        self._learn(got, blocked, gap_s)
        earliest = started + dt.timedelta(seconds=max(gap_s, self.slow_s))
        if now["blocked_until"] is None or now["blocked_until"] < earliest:
            now["blocked_until"] = earliest
            if earliest > work.now:
                lanes.keep_free(work.connection, self.lane, earliest)
        return self._reserved(work, now, gap_s)

    def _learn(self, got: Got | Failure, blocked: dt.datetime | None, gap_s: float) -> None:
        self.fetched += 1
        if blocked is not None:
            self.blocked = max(blocked, self.blocked or blocked)
        if isinstance(got, Failure) and got.reason == "slow-down":
            self.slow_s = schedule.slower(self.slow_s, gap_s)
        elif not isinstance(got, Failure):
            self.slow_s = schedule.quicker(self.slow_s, gap_s)

    def _next(self, work: Work) -> Step | None:
        now = lanes.held(work.connection, self.lane)
        return self._reserved(work, now, manners.gap_s(self.host, None)) if now is not None else None

    def _reserved(self, work: Work, now: Row, gap_s: float) -> Step | None:
        """The next entry with its instant; None where the drain is to end."""
        ended = self.lost or self.blocked is not None or now["paused"] or time.monotonic() > self.until
        entry = None if ended else self._picked(work)
        if entry is None:
            return None
        at = lanes.reserve(work.connection, now, work.now, max(gap_s, self.slow_s), within_s=SLICE_S)
        if at is None:
            self._put_back(entry)
            return None
        if (now["lease_until"] - work.now).total_seconds() < SLICE_S + CALL_S + 5.0:
            claims.renew(work.connection, LaneRow, self.lane, work.now, claims.LEASE_S + CALL_S)
        return Step(entry, at)

    def _picked(self, work: Work) -> Row | None:
        """An entry that is due and that no thread of ours has. One taken by a transaction that failed waits for the next drain."""
        with self._lock:
            if not self._todo:
                found = intake.next_to_fetch(work.connection, self.host, work.now, LOOK_AHEAD, but=self._taken)
                self._todo.extend(found)
            entry = self._todo.popleft() if self._todo else None
            if entry is not None:
                self._taken.add(entry["id"])
            return entry

    def _put_back(self, entry: Row) -> None:
        with self._lock:
            self._todo.appendleft(entry)
            self._taken.discard(entry["id"])


class Fetched(msgspec.Struct, frozen=True):
    """A page as it is to be kept, packed or on the shelf already, and what it asks of robots."""

    page: intake.NewPage
    asks: tuple[str, ...] = ()


Got = Fetched | fetch.NotModified | fetch.Gone


def page_of(entry: Row) -> Got:
    """The entry's page over the door. Raises Retryable or Rejected."""
    if entry["url"] is None:
        raise Rejected("no-link", "The entry has no link to a page.")
    if CFG.fetch.robots:
        decision = manners.ask(entry["url"])
        if not decision.allowed:
            raise Rejected("robots-disallowed", decision.why)
    got = fetch.get(queue.door(), entry["url"], etag=entry["etag"], last_modified=entry["last_modified"])
    return fetched(got) if isinstance(got, fetch.Page) else got


def fetched(page: fetch.Page) -> Fetched:
    """The page made ready for its row, outside of any transaction. Raises Retryable where the page shelf does not answer."""
    asks = tuple(one for one in directives.read(page.headers, page.body, page.fetched_at) if one in CFG.fetch.obey)
    on_shelf = bool(CFG.store.pages) and not asks
    kept = intake.NewPage(
        body=page.body,
        requested_url=page.requested_url,
        final_url=page.final_url,
        status=page.status,
        content_type=page.content_type,
        fetched_at=page.fetched_at,
        etag=page.etag,
        last_modified=page.last_modified,
        place=pages.shelve(CFG.store.pages, page.body) if on_shelf else None,
        packed=None if on_shelf else pages.pack(page.body),
        directives=" ".join(asks) or None,
    )
    return Fetched(kept, asks)


def settle(work: Work, lane: Row, entry: Row, got: Got | Failure) -> dt.datetime | None:
    """Commits what a fetch over a held lane came to. Returns until when the whole lane must wait, None where it may go on."""
    if not isinstance(got, Fetched) and intake.changed_since(work.connection, entry):
        return None  # an answer about an older text; the entry is due again
    match got:
        case Fetched(asks=asks) if "noindex" in asks:
            _not_for_us(work, entry)
        case Fetched(page=page):
            intake.keep_page(work.connection, entry["id"], page, seen=entry["item_hash"])
            work.ring("page.fetched", [entry["id"]])
        case fetch.NotModified():
            _unchanged(work, entry)
        case fetch.Gone():
            _gone(work, entry, got.status)
        case Failure(later=True):
            return _later(work, lane, entry, got)
        case Failure():
            _never(work, entry, got.reason, got.detail)
    return None


def _not_for_us(work: Work, entry: Row) -> None:
    """A page that is not to be indexed is not taken in; an article that is known stays as it is, and is looked at again."""
    detail = "The page asks robots not to index it (noindex), which `fetch.obey` obeys."
    known = entry["state"] != "waiting"
    revisit = storing.revisit_at(entry["seen_at"], work.now, CFG.fetch.revisit_pace) if known else None
    state = entry["state"] if known else "quarantined"
    intake.finish_entry(work.connection, entry["id"], state, reason="noindex", detail=detail, revisit_at=revisit)


def _unchanged(work: Work, entry: Row) -> None:
    revisit = storing.revisit_at(entry["seen_at"], work.now, CFG.fetch.revisit_pace)
    intake.finish_entry(work.connection, entry["id"], entry["state"], revisit_at=revisit)


def _gone(work: Work, entry: Row, status: int) -> None:
    """A first 404 or 410 may be a mishap of the site; a second one, some time later, is a withdrawal."""
    if entry["gone_seen"] == 0:
        again = work.now + dt.timedelta(seconds=CFG.fetch.gone_confirm_s)
        intake.put_off(work.connection, entry["id"], again, "gone", f"The page answered {status}; looking again to be sure.",
                       gone_seen=1)  # fmt: skip
        return
    intake.finish_entry(
        work.connection, entry["id"], "gone", reason="gone", detail=f"The page answered {status} twice."
    )
    if entry["article_id"] and articles.booked_entry(work.connection, entry["article_id"]) is None:
        storing.withdraw(work, entry["article_id"], "gone")


def _later(work: Work, lane: Row, entry: Row, failure: Failure) -> dt.datetime | None:
    failures = entry["failures"] + 1
    if failures >= TRIES and (failures > lane["failures"] + 1 or failures >= TRIES_OF_A_DEAD_HOST):
        _never(work, entry, failure.reason, failure.detail)
    else:
        wait_s = max(queue.backoff_s(failures, base_s=10.0, limit_s=6 * 3600.0), failure.after_s or 0.0)
        due_at = work.now + dt.timedelta(seconds=wait_s)
        intake.put_off(work.connection, entry["id"], due_at, failure.reason, failure.detail, failures=failures)
    return pause_until(lane, failure, work.now)


def pause_until(lane: Row, failure: Failure, now: dt.datetime) -> dt.datetime | None:
    """Until when a host is left alone after that; None where the failure is one page's, not the host's."""
    if failure.reason not in _HOST_FAULTS:
        return None
    pause_s = max(queue.backoff_s(lane["failures"] + 1, base_s=2.0, limit_s=600.0), failure.after_s or 0.0)
    return now + dt.timedelta(seconds=min(pause_s, schedule.WEEK_S))


def _never(work: Work, entry: Row, reason: str, detail: str) -> None:
    state = "quarantined" if entry["state"] == "waiting" else entry["state"]
    intake.finish_entry(work.connection, entry["id"], state, reason=reason, detail=detail)
