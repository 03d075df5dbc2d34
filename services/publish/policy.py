"""The outcome of one attempt in, what to do about it out; and the breaker of an endpoint's lane as a value.

    2xx                          Delivered, even when the body was cut off after the head
    410                          Disable: the endpoint wants nothing more
    429, 503                     RetryAt, and the whole lane waits (Retry-After in full)
    no answer (connect, time)    RetryAt, and the whole lane waits
    the line cut while sending   RetryAt, this article only
    a refusal of our own door    Disable: this address can never be called
    any other status             RetryAt, this article only; after the last attempt Dead

Nothing here reads a clock or draws a random number: `now` and `jitter` come in.
"""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

_MINUTE, _HOUR = 60.0, 3600.0

Schedule = tuple[float, ...]

STANDARD: Schedule = (
    0.0,
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)
"""Seconds to wait before attempt 1, 2, ... 10, as Standard Webhooks advises: 75 h 35 min in all."""

SPREAD = 0.1
"""Jitter only lengthens, by at most this share, so that waits never shrink from one attempt to the next."""

LANE_PAUSE_S, LANE_PAUSE_MAX_S = 5.0, 600.0
"""How long a lane rests after its first failure, and at most; it doubles with each failure in a row."""

LONGEST_WAIT_S = 366 * 24 * _HOUR
"""A Retry-After beyond a year is read as a year: a mistake must not overflow the calendar."""

KEPT_HEADERS = ("retry-after", "content-type", "location", "server", "date")
"""What an outcome keeps of an answer's headers."""

EXCERPT_CHARS = 2000


class Outcome(msgspec.Struct, frozen=True):
    """What one attempt came to: an answer (`status` set) or none (`failure` set).

    `failure` is a reason code ("connect-timeout"); `refused` says that our own door refused to make the call at all.
    `headers` are lower-case and only those of KEPT_HEADERS; `complete` is False where the body was cut off;
    `excerpt` is the start of the body as text.
    """

    status: int | None = None
    failure: str | None = None
    detail: str = ""
    refused: bool = False
    headers: dict[str, str] = {}
    complete: bool = True
    excerpt: str = ""
    duration_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the partner has it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def unknown(self) -> bool:
        """Whether the partner may have it although no answer came: it counts as received when a withdrawal goes out."""
        return self.status is None and not self.refused and self.failure not in NEVER_ARRIVED


NEVER_ARRIVED = frozenset(
    {"dns-failed", "dns-timeout", "connect-refused", "connect-timeout", "connect-failed", "tls-failed"}
)
"""Failures before the first byte of the request left."""


CUT = frozenset({"connection-reset", "cut-short", "protocol-error"})
"""Failures of one exchange with a partner that takes connections and answers in time."""


class Delivered(msgspec.Struct, frozen=True):
    """The partner has it. `cut` notes a body that broke off after a good head."""

    cut: bool = False


class RetryAt(msgspec.Struct, frozen=True):
    """Try this delivery again at `at`. With `lane`, the endpoint as a whole rests until `lane_until`."""

    at: dt.datetime
    reason: str
    lane: bool = False
    lane_until: dt.datetime | None = None


class Dead(msgspec.Struct, frozen=True):
    """No attempts are left: quarantine under `reason`; the article's next revision may pass."""

    reason: str
    lane: bool = False
    lane_until: dt.datetime | None = None


class Disable(msgspec.Struct, frozen=True):
    """The endpoint takes nothing more until a person acts; its backlog stays."""

    reason: str


Verdict = Delivered | RetryAt | Dead | Disable


def judge(
    outcome: Outcome,
    attempt: int,
    now: dt.datetime,
    jitter: float,
    schedule: Schedule = STANDARD,
    *,
    lane_failures: int = 0,
) -> Verdict:
    """What follows from one attempt.

    Args:
        attempt: the number of the attempt just made, from 1.
        now: UTC-aware, when the outcome was known.
        jitter: random, 0 <= jitter <= 1.
        schedule: seconds to wait before each attempt; its length is the number of attempts.
        lane_failures: how often in a row this lane had failed before.
    """
    if outcome.ok:
        return Delivered(cut=not outcome.complete)
    reason = reason_of(outcome)
    if outcome.status == 410 or outcome.refused:
        return Disable(reason)
    asked = retry_after(outcome.headers.get("retry-after"), now)
    lane = concerns_lane(outcome)
    lane_until = now + dt.timedelta(seconds=lane_pause(lane_failures, jitter, asked)) if lane else None
    if attempt >= len(schedule):
        return Dead(reason, lane, lane_until)
    wait = max(schedule[attempt] * (1 + SPREAD * jitter), asked or 0.0)
    return RetryAt(now + dt.timedelta(seconds=wait), reason, lane, lane_until)


def reason_of(outcome: Outcome) -> str:
    """The reason code of an outcome that is no success: "http-500", "redirect-301", or the failure's own code."""
    if outcome.status is None:
        return outcome.failure or "no-answer"
    return f"redirect-{outcome.status}" if 300 <= outcome.status < 400 else f"http-{outcome.status}"


def concerns_lane(outcome: Outcome) -> bool:
    """Whether the endpoint as a whole is in trouble, not just this article.

    A line cut under one request is not: where most are cut, the breaker sees it by the rate.
    """
    return outcome.status in (429, 503) or (outcome.status is None and outcome.failure not in CUT)


def lane_pause(failures: int, jitter: float, asked_s: float | None = None) -> float:
    """Seconds a lane rests after one more failure: doubling from 5 s to 10 min, at least as long as asked."""
    doubled = LANE_PAUSE_S * 2.0 ** min(max(failures, 0), 20)
    return max(min(doubled, LANE_PAUSE_MAX_S) * (1 + SPREAD * jitter), asked_s or 0.0)


def retry_after(value: str | None, now: dt.datetime) -> float | None:
    """Seconds that a Retry-After header (seconds or an HTTP date) asks for; None where it says nothing readable."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WAIT_S)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=dt.UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT_S)


class BreakerRules(msgspec.Struct, frozen=True):
    """When a breaker opens: `rate` of at least `least` attempts failed within about `window_s` seconds.

    It then rests `rest_s` seconds, twice as long after each probe that fails, up to `rest_max_s`; `probes` good probes
    in a row close it.
    """

    window_s: float = 300.0
    least: int = 10
    rate: float = 0.7
    rest_s: float = 30.0
    rest_max_s: float = 3600.0
    probes: int = 2


class Breaker(msgspec.Struct, frozen=True):
    """The breaker of one lane. Nothing in it drops a delivery: while it is open the backlog waits.

    Attempts are counted in two halves of the window, `calls`/`failed` since `half_at` and the half before, so the
    count follows the clock without a list of times. `rests` counts openings in a row.
    """

    state: Literal["closed", "open"] = "closed"
    half_at: dt.datetime | None = None
    calls: int = 0
    failed: int = 0
    calls_before: int = 0
    failed_before: int = 0
    until: dt.datetime | None = None
    rests: int = 0
    good_probes: int = 0

    def allowance(self, now: dt.datetime, slots: int) -> int:
        """How many attempts may be in flight: `slots` when closed, none while resting, one at a time when probing."""
        if self.state == "closed" or self.until is None:
            return slots
        return min(1, slots) if now >= self.until else 0

    def record(self, ok: bool, now: dt.datetime, rules: BreakerRules = BreakerRules()) -> Breaker:  # noqa: B008 - frozen
        """The breaker after one more attempt ended."""
        if self.state == "open":
            return self._probed(ok, now, rules)
        counted = self._rolled(now, rules)
        counted = msgspec.structs.replace(counted, calls=counted.calls + 1, failed=counted.failed + (not ok))
        return counted._opened(now, rules) if counted._too_many(rules) else counted

    def _rolled(self, now: dt.datetime, rules: BreakerRules) -> Breaker:
        half = dt.timedelta(seconds=rules.window_s / 2)
        if self.half_at is None or now - self.half_at >= 2 * half:
            return msgspec.structs.replace(self, half_at=now, calls=0, failed=0, calls_before=0, failed_before=0)
        if now - self.half_at < half:
            return self
        return msgspec.structs.replace(
            self, half_at=self.half_at + half, calls=0, failed=0, calls_before=self.calls, failed_before=self.failed
        )

    def _too_many(self, rules: BreakerRules) -> bool:
        calls, failed = self.calls + self.calls_before, self.failed + self.failed_before
        return calls >= rules.least and failed >= rules.rate * calls

    def _opened(self, now: dt.datetime, rules: BreakerRules) -> Breaker:
        rest = min(rules.rest_s * 2.0 ** min(self.rests, 20), rules.rest_max_s)
        return Breaker(state="open", until=now + dt.timedelta(seconds=rest), rests=self.rests + 1)

    def _probed(self, ok: bool, now: dt.datetime, rules: BreakerRules) -> Breaker:
        if self.until is not None and now < self.until:
            return self  # an attempt that was in flight when the breaker opened says nothing new
        if not ok:
            return self._opened(now, rules)
        if self.good_probes + 1 >= rules.probes:
            return Breaker()
        return msgspec.structs.replace(self, good_probes=self.good_probes + 1)


class Bucket(msgspec.Struct, frozen=True):
    """A rate limit as a value: tokens left at a moment. Starts full."""

    tokens: float | None = None
    at: dt.datetime | None = None

    def take(self, now: dt.datetime, per_s: float, burst: float = 1.0) -> tuple[Bucket, float]:
        """The bucket after one send, and how many seconds that send has to wait first.

        Args:
            per_s: sends a second, over time.
            burst: how many may go at once after a pause, at least 1.
        """
        passed = max((now - self.at).total_seconds(), 0.0) if self.at else 0.0
        tokens = burst if self.tokens is None else min(burst, self.tokens + passed * per_s)
        left = tokens - 1.0
        return Bucket(left, max(now, self.at) if self.at else now), max(0.0, -left / per_s)

    def give_back(self, n: int) -> Bucket:
        """The bucket after `n` of the sends taken out of it were not made."""
        return self if self.tokens is None else msgspec.structs.replace(self, tokens=self.tokens + n)
