"""When to poll a source next, what to tell the operator, and what counts as old: values in and out, no clock inside.

    learn(instants, now)                    -> Rhythm   how often this source publishes
    decide(state, outcome, now, jitter)     -> Next     when to poll again, and why
    overdue(last_new_at, rhythm, now)       -> bool     silent for longer than its own habit
    backfill(entry, first_poll, seen_at)    -> bool     old news that must not go out as new
    revisit(age_s)                          -> seconds  until a published page is looked at again
    slower, quicker(slow_s, gap_s)          -> seconds  between two requests to a host that asked for fewer

Errors back off to a probe a day and never stop a source for good; only a 410 stops it, and says so.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from shared.records import Entry, decoder, from_json

WEEK_S: Final = 7 * 86400.0
SIGHTINGS: Final = 3
"""Polls in a row that must see the same permanent redirect before it is believed."""
ENOUGH: Final = 5
"""Entries from which a rhythm is learned."""
FAILING: Final = 3
"""Failures in a row after which the operator is told."""

Event = Literal["failing", "probing", "recovered", "gone", "moved"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's settings, all in seconds; `jitter` is the share of a wait that may be added to it."""

    min_s: float = 300.0
    max_s: float = 86400.0
    first_s: float = 3600.0
    """The interval while a source's rhythm is not known yet."""
    error_s: float = 300.0
    """The wait after the first failure; each further one doubles it."""
    probe_s: float = 86400.0
    """The longest wait between tries of a failing source."""
    wish_cap_s: float = WEEK_S
    """How far a TTL, max-age or Retry-After is followed: a wish for a year must not silence a source."""
    jitter: float = 0.1


class Rhythm(msgspec.Struct, frozen=True):
    """How often a source publishes: entries a week, its usual longest pause in seconds, and from how many entries we
    know.
    """

    weekly: float = 0.0
    pause_s: float | None = None
    samples: int = 0


class PollState(msgspec.Struct, frozen=True):
    """What a source's row remembers between polls.

    `failures` counts failures in a row; `moved_to` is a permanent redirect seen `moved_seen` times in a row; `ttl_s` is the
    feed's wish, which a 304 does not repeat; `stopped` holds the reason why the source is not polled any more.
    """

    rhythm: Rhythm = Rhythm()
    failures: int = 0
    moved_to: str | None = None
    moved_seen: int = 0
    ttl_s: float | None = None
    stopped: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one poll went. kind: read (a feed came), unchanged (304), failed (Retryable or Rejected), gone (410).

    `moved_to` is the target of a permanent redirect (301, 308) on this poll. The waits are in seconds.
    """

    kind: Literal["read", "unchanged", "failed", "gone"]
    ttl_s: float | None = None
    max_age_s: float | None = None
    retry_after_s: float | None = None
    moved_to: str | None = None


class Next(msgspec.Struct, frozen=True):
    """The decision. `due_at` is None only when the source is stopped; `wait_s` is the wait before jitter.

    `move_to` is an address to adopt now; `tell` are the changes an operator should hear about; `reason` says what set
    the wait.
    """

    state: PollState
    due_at: dt.datetime | None
    wait_s: float | None
    reason: str
    move_to: str | None = None
    tell: tuple[Event, ...] = ()


def learn(instants: Iterable[dt.datetime], now: dt.datetime, window_days: int = 28) -> Rhythm:
    """The rhythm behind a source's publication instants (UTC-aware, any order; the printed date, else when first seen).

    The weekly count covers the window, or the span since the oldest instant where that is shorter (at least a day). The
    usual pause is the longest but one between the entries of eight weeks or the last ten, so that one holiday does not
    become the habit.
    """
    known = sorted(instant for instant in instants if instant <= now)
    if not known:
        return Rhythm()
    recent = [instant for instant in known if now - instant <= dt.timedelta(days=window_days)]
    span_s = min(max((now - known[0]).total_seconds(), 86400.0), window_days * 86400.0)
    return Rhythm(weekly=len(recent) * WEEK_S / span_s, pause_s=_pause(known, now), samples=len(known))


def _pause(known: Sequence[dt.datetime], now: dt.datetime) -> float | None:
    recent = sum(1 for instant in known if now - instant <= dt.timedelta(weeks=8))
    kept = known[-max(recent, 10) :]
    gaps = sorted((later - earlier).total_seconds() for earlier, later in itertools.pairwise(kept))
    if len(gaps) < 3:
        return None
    return gaps[-2]


def interval_s(rhythm: Rhythm, limits: Limits = Limits()) -> float:  # noqa: B008  a frozen value
    """Our own interval: a week over the weekly count, within the limits; never shorter for a source that publishes less.

    A handful of entries is no rhythm yet: until then the source is polled at least as often as at first.
    """
    wanted = WEEK_S / rhythm.weekly if rhythm.weekly > 0 else limits.max_s
    if rhythm.samples < ENOUGH:
        wanted = min(wanted, limits.first_s)
    return min(max(wanted, limits.min_s), limits.max_s)


def decide(
    state: PollState,
    outcome: Outcome,
    now: dt.datetime,
    jitter: float,
    limits: Limits = Limits(),  # noqa: B008  a frozen value
) -> Next:
    """What follows from a poll.

    Args:
        state: as it stood before the poll, its rhythm already learned from what this poll brought.
        jitter: a random number in [0, 1); it only lengthens the wait, by at most `limits.jitter`.
    """
    if outcome.kind == "gone":
        stopped = msgspec.structs.replace(state, stopped="gone")
        return Next(
            stopped,
            None,
            None,
            "The address answered 410 Gone: polling stops until an operator says otherwise.",
            tell=("gone",),
        )
    if outcome.kind == "failed":
        return _after_failure(state, outcome, now, jitter, limits)
    return _after_success(state, outcome, now, jitter, limits)


def _after_success(state: PollState, outcome: Outcome, now: dt.datetime, jitter: float, limits: Limits) -> Next:
    seen = _sightings(state, outcome.moved_to)
    believed = outcome.moved_to if seen >= SIGHTINGS else None
    settled = PollState(
        rhythm=state.rhythm,
        moved_to=None if believed else outcome.moved_to,
        moved_seen=0 if believed else seen,
        ttl_s=state.ttl_s if outcome.kind == "unchanged" and outcome.ttl_s is None else outcome.ttl_s,
    )
    outcome = msgspec.structs.replace(outcome, ttl_s=settled.ttl_s)
    wait_s, reason = _longest(interval_s(state.rhythm, limits), outcome, limits)
    tell: list[Event] = []
    if state.failures >= FAILING or state.stopped:
        tell.append("recovered")
    if believed:
        tell.append("moved")
    return Next(settled, _due(now, wait_s, jitter, limits), wait_s, reason, believed, tuple(tell))


def _after_failure(state: PollState, outcome: Outcome, now: dt.datetime, jitter: float, limits: Limits) -> Next:
    failures = state.failures + 1
    backoff_s = backoff(failures, interval_s(state.rhythm, limits), limits)
    asked_s = min(outcome.retry_after_s or 0.0, limits.wish_cap_s)
    reason = f"Failure {failures} in a row: backing off." if backoff_s >= asked_s else "The server asked for this wait."
    tell: list[Event] = ["failing"] if failures == FAILING else []
    if backoff_s >= limits.probe_s > backoff(failures - 1, interval_s(state.rhythm, limits), limits):
        tell.append("probing")
    wait_s = max(backoff_s, asked_s)
    failed = msgspec.structs.replace(state, failures=failures, stopped=None)
    return Next(failed, _due(now, wait_s, jitter, limits), wait_s, reason, tell=tuple(tell))


def backoff(failures: int, own_s: float, limits: Limits = Limits()) -> float:  # noqa: B008  a frozen value
    """Seconds to wait after that many failures in a row: doubling up to the daily probe, never shrinking.

    A source polled every half hour starts from half an hour; one polled daily is tried again soon, for a failure is
    mostly brief.
    """
    if failures <= 0:
        return 0.0
    first_s = max(limits.error_s, min(own_s, 3600.0))
    return min(first_s * 2.0 ** min(failures - 1, 30), max(limits.probe_s, first_s))


def _sightings(state: PollState, moved_to: str | None) -> int:
    if moved_to is None:
        return 0
    return state.moved_seen + 1 if moved_to == state.moved_to else 1


def _longest(own_s: float, outcome: Outcome, limits: Limits) -> tuple[float, str]:
    wishes = (
        (own_s, "The source's own rhythm."),
        (min(outcome.ttl_s or 0.0, limits.wish_cap_s), "The feed's TTL is longer than our interval."),
        (min(outcome.max_age_s or 0.0, limits.wish_cap_s), "The answer may be cached for longer than our interval."),
        (min(outcome.retry_after_s or 0.0, limits.wish_cap_s), "The server asked for this wait."),
    )
    return max(wishes, key=lambda wish: wish[0])


def _due(now: dt.datetime, wait_s: float, jitter: float, limits: Limits) -> dt.datetime:
    return now + dt.timedelta(seconds=wait_s * (1.0 + limits.jitter * min(max(jitter, 0.0), 1.0)))


def allowance_s(rhythm: Rhythm, floor_s: float = 6 * 3600.0) -> float | None:
    """How long a source may be silent, in seconds: half as long again as its usual longest pause; None while that is
    unknown.
    """
    return None if rhythm.pause_s is None else max(1.5 * rhythm.pause_s, floor_s)


def overdue(last_new_at: dt.datetime | None, rhythm: Rhythm, now: dt.datetime, floor_s: float = 6 * 3600.0) -> bool:
    """Whether the silence since the last new entry is longer than this source's own habit allows."""
    allowed_s = allowance_s(rhythm, floor_s)
    if allowed_s is None or last_new_at is None:
        return False
    return (now - last_new_at).total_seconds() > allowed_s


decoder(PollState)


def remembered(rhythm: str | None) -> PollState:
    """What a source's row remembers of its polls, from its column `rhythm`."""
    return from_json(rhythm, PollState) if rhythm else PollState()


class Freshness(msgspec.Struct, frozen=True):
    """How a source keeps to its own rhythm. Durations in seconds; None where they are not known yet."""

    silent_s: float | None
    allowed_s: float | None
    overdue: bool

    @property
    def known(self) -> bool:
        """Whether the source's rhythm is known well enough to call it late."""
        return self.allowed_s is not None


def freshness(rhythm: Rhythm, last_new_at: dt.datetime | None, now: dt.datetime) -> Freshness:
    """The silence since the last new entry against what the source's own pauses allow."""
    silent_s = None if last_new_at is None else max(0.0, (now - last_new_at).total_seconds())
    return Freshness(silent_s, allowance_s(rhythm), overdue(last_new_at, rhythm, now))


def backfill(entry: Entry, first_poll: bool, seen_at: dt.datetime, days: float = 7) -> bool:
    """Whether the entry is old news: present at the first poll, or published more than `days` before it was seen.

    An entry without a date that we understand counts as new after the first poll.
    """
    dated = entry.published_utc or entry.updated_utc
    if first_poll or dated is None:
        return first_poll
    return seen_at - dt.datetime.fromisoformat(dated) > dt.timedelta(days=days)


SLOWEST_S: Final = 60.0


def slower(slow_s: float, gap_s: float) -> float:
    """The learned gap of a host, in seconds, once it asked for fewer requests: twice what it had, a second at least."""
    return min(max(2.0 * slow_s, 2.0 * gap_s, 1.0), SLOWEST_S)


def quicker(slow_s: float, gap_s: float) -> float:
    """The learned gap after a page that came without complaint: a tenth less; 0 once the usual gap is as long."""
    less = 0.9 * slow_s
    return less if less > max(gap_s, 0.1) else 0.0


_REVISITS: Final = (
    (2 * 3600.0, 900.0),
    (12 * 3600.0, 3600.0),
    (2 * 86400.0, 6 * 3600.0),
    (7 * 86400.0, 86400.0),
    (30 * 86400.0, 7 * 86400.0),
)
"""(up to this age, wait so long): most corrections come within hours, few after a week."""


def revisit(age_s: float) -> float | None:
    """Seconds until a page published `age_s` ago is looked at again, growing with its age; None after thirty days."""
    return next((wait_s for limit_s, wait_s in _REVISITS if age_s < limit_s), None)
