"""What follows from an answer: every row of the table, Retry-After in both spellings, and the breaker over time."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publish.policy import (
    LANE_PAUSE_MAX_S,
    LONGEST_WAIT_S,
    SPREAD,
    STANDARD,
    Breaker,
    BreakerRules,
    Bucket,
    Dead,
    Delivered,
    Disable,
    Outcome,
    RetryAt,
    judge,
    lane_pause,
    retry_after,
)

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)


def after(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered_even_with_a_cut_body(status: int) -> None:
    assert judge(Outcome(status=status), 1, NOW, 0.0) == Delivered(cut=False)
    assert judge(Outcome(status=status, complete=False), 10, NOW, 0.0) == Delivered(cut=True)


def test_410_disables_whatever_the_attempt() -> None:
    assert judge(Outcome(status=410), 1, NOW, 0.0) == judge(Outcome(status=410), 10, NOW, 0.0) == Disable("http-410")


def test_a_refusal_of_our_own_door_disables() -> None:
    refused = Outcome(failure="address-refused", refused=True)
    assert judge(refused, 1, NOW, 0.0) == Disable("address-refused")
    assert not refused.unknown


@pytest.mark.parametrize("status", [301, 307, 304])
def test_redirects_are_failures_of_this_article(status: int) -> None:
    assert judge(Outcome(status=status), 1, NOW, 0.0) == RetryAt(after(5), f"redirect-{status}")


@pytest.mark.parametrize("status", [100, 400, 401, 404, 408, 413, 500, 502, 504, 599])
def test_other_refusals_concern_this_article_only(status: int) -> None:
    assert judge(Outcome(status=status), 2, NOW, 0.0) == RetryAt(after(300), f"http-{status}")


@pytest.mark.parametrize("failure", ["connection-reset", "cut-short", "protocol-error"])
def test_a_cut_line_concerns_this_article_only(failure: str) -> None:
    assert judge(Outcome(failure=failure), 2, NOW, 0.0) == RetryAt(after(300), failure)


@pytest.mark.parametrize("failure", ["connect-timeout", "read-timeout", "deadline"])
def test_no_answer_concerns_the_lane(failure: str) -> None:
    assert judge(Outcome(failure=failure), 2, NOW, 0.0) == RetryAt(after(300), failure, True, after(5))
    assert judge(Outcome(failure=failure), 2, NOW, 0.0, lane_failures=3) == RetryAt(
        after(300), failure, True, after(40)
    )


def test_whether_the_partner_may_have_it() -> None:
    assert Outcome(failure="read-timeout").unknown
    assert not Outcome(failure="connect-timeout").unknown
    assert not Outcome(status=500).unknown


@pytest.mark.parametrize("status", [429, 503])
def test_busy_answers_slow_the_lane_for_as_long_as_asked(status: int) -> None:
    asked = Outcome(status=status, headers={"retry-after": "7200"})
    assert judge(asked, 1, NOW, 1.0) == RetryAt(after(7200), f"http-{status}", True, after(7200))
    silent = judge(Outcome(status=status), 1, NOW, 0.0)
    assert silent == RetryAt(after(5), f"http-{status}", True, after(5))


def test_retry_after_on_another_status_moves_this_article_only() -> None:
    assert judge(Outcome(status=500, headers={"retry-after": "90"}), 1, NOW, 0.0) == RetryAt(after(90), "http-500")


def test_ten_attempts_over_75_hours_then_dead() -> None:
    assert (len(STANDARD), sum(STANDARD)) == (10, 75 * 3600 + 35 * 60 + 5)
    waits = []
    for attempt in range(1, 10):
        verdict = judge(Outcome(status=500), attempt, NOW, 0.0)
        assert isinstance(verdict, RetryAt)
        waits.append((verdict.at - NOW).total_seconds())
    assert waits == list(STANDARD[1:])
    assert judge(Outcome(status=500), 10, NOW, 0.0) == Dead("http-500")
    assert judge(Outcome(failure="dns-failed"), 10, NOW, 0.0) == Dead("dns-failed", True, after(5))


@given(st.integers(1, 8), st.floats(0, 1), st.floats(0, 1))
def test_waits_never_shrink_and_jitter_stays_within_its_share(attempt: int, one: float, other: float) -> None:
    sooner, later = judge(Outcome(status=500), attempt, NOW, one), judge(Outcome(status=500), attempt + 1, NOW, other)
    assert isinstance(sooner, RetryAt)
    assert isinstance(later, RetryAt)
    assert sooner.at <= later.at
    wait = (sooner.at - NOW).total_seconds()
    assert STANDARD[attempt] <= wait <= STANDARD[attempt] * (1 + SPREAD) + 1e-3


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Fri, 01 May 2026 12:10:00 GMT", 600.0),
        ("Friday, 01-May-26 12:10:00 GMT", 600.0),
        ("Fri May  1 12:10:00 2026", 600.0),
        ("Fri, 01 May 2026 11:00:00 GMT", 0.0),
        ("9" * 400, LONGEST_WAIT_S),
        ("Fri, 01 May 9999 11:00:00 GMT", LONGEST_WAIT_S),
        ("-5", None),
        ("12.5", None),
        ("soon", None),
        ("", None),
        ("Fri, 99 May 2026 12:10:00 GMT", None),
        ("٣", None),
        (None, None),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text())
def test_retry_after_never_raises(value: str) -> None:
    seconds = retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_WAIT_S


def test_lane_pause_doubles_to_ten_minutes() -> None:
    assert [lane_pause(failures, 0.0) for failures in (0, 1, 2, 50)] == [5.0, 10.0, 20.0, LANE_PAUSE_MAX_S]
    assert lane_pause(0, 1.0, 3600.0) == 3600.0


RULES = BreakerRules(window_s=100, least=4, rate=0.5, rest_s=10, rest_max_s=35, probes=2)


def fed(breaker: Breaker, outcomes: str, start: float = 0.0, step: float = 0.0) -> Breaker:
    """The breaker after outcomes: + for good, - for bad, `step` seconds apart."""
    for number, sign in enumerate(outcomes):
        breaker = breaker.record(sign == "+", after(start + number * step), RULES)
    return breaker


def test_breaker_opens_on_the_rate_and_not_before_enough_attempts() -> None:
    assert fed(Breaker(), "---").state == "closed"
    assert fed(Breaker(), "----").state == "open"
    assert fed(Breaker(), "+++++--").state == "closed"
    assert fed(Breaker(), "+-+-").state == "open"


def test_failures_leave_the_window_with_time() -> None:
    assert fed(Breaker(), "---", step=60).state == "closed"
    spread = fed(fed(Breaker(), "---"), "-", start=101)
    assert (spread.state, spread.calls) == ("closed", 1)
    assert fed(fed(Breaker(), "---"), "-", start=60).state == "open"


def test_open_breaker_rests_then_probes_one_at_a_time_then_closes() -> None:
    breaker = fed(Breaker(), "----")
    assert breaker.allowance(after(9), 8) == 0
    assert breaker.allowance(after(10), 8) == 1
    assert breaker.allowance(after(10), 0) == 0
    half = breaker.record(True, after(11), RULES)
    assert (half.state, half.allowance(after(11), 8)) == ("open", 1)
    closed = half.record(True, after(12), RULES)
    assert (closed, closed.allowance(after(12), 8)) == (Breaker(), 8)


def test_a_failed_probe_doubles_the_rest_up_to_its_limit() -> None:
    breaker, now = fed(Breaker(), "----"), 0.0
    rests = []
    for _ in range(4):
        assert breaker.until is not None
        rests.append((breaker.until - after(now)).total_seconds())
        now = (breaker.until - NOW).total_seconds()
        breaker = breaker.record(False, after(now), RULES)
    assert rests == [10, 20, 35, 35]


def test_attempts_in_flight_when_it_opened_change_nothing() -> None:
    breaker = fed(Breaker(), "----")
    assert breaker.record(False, after(3), RULES) == breaker.record(True, after(3), RULES) == breaker


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 400)), max_size=60))
def test_breaker_survives_storage_and_always_lets_something_through_in_the_end(steps: list[tuple[bool, float]]) -> None:
    breaker, now = Breaker(), 0.0
    for ok, wait in steps:
        now += wait
        breaker = breaker.record(ok, after(now), RULES)
        stored = msgspec.json.decode(msgspec.json.encode(breaker), type=Breaker)
        assert stored == breaker
        assert breaker.allowance(after(now + RULES.rest_max_s), 8) >= 1


def test_a_bucket_lets_a_burst_through_then_keeps_the_rate() -> None:
    bucket, waits = Bucket(), []
    for _ in range(5):
        bucket, wait = bucket.take(NOW, per_s=2.0, burst=3)
        waits.append(wait)
    assert waits == [0.0, 0.0, 0.0, 0.5, 1.0]
    _, wait = bucket.take(after(1.0), per_s=2.0, burst=3)
    assert wait == 0.5
    _, wait = bucket.take(after(60.0), per_s=2.0, burst=3)
    assert wait == 0.0


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.floats(0.1, 20), st.integers(1, 5))
def test_no_stretch_of_time_gets_more_than_rate_and_burst(pauses: list[float], per_s: float, burst: int) -> None:
    bucket, now = Bucket(), 0.0
    sent: list[float] = []
    for pause in pauses:
        now += pause
        bucket, wait = bucket.take(after(now), per_s, burst)
        sent.append(now + wait)
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            assert last - first + 1 <= burst + per_s * (sent[last] - sent[first]) + 1e-3
