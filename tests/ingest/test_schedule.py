"""When to poll next: the rhythm, the longest wish, errors that back off and never stop, and what counts as old."""

from __future__ import annotations

import datetime as dt
import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import schedule
from services.ingest.schedule import Limits, Outcome, PollState, Rhythm, decide
from shared.records import Entry

NOW = dt.datetime(2024, 5, 14, 12, 0, tzinfo=dt.UTC)
HOUR, DAY = 3600.0, 86400.0
READ = Outcome(kind="read")


def every(gap: dt.timedelta, count: int) -> list[dt.datetime]:
    """Publication instants up to now, evenly spaced."""
    return [NOW - gap * number for number in range(count)]


def weekly(count: float) -> PollState:
    return PollState(rhythm=Rhythm(weekly=count, samples=10))


# The rhythm


def test_a_weekly_brief_is_a_rhythm_of_one() -> None:
    rhythm = schedule.learn(every(dt.timedelta(days=7), 12), NOW)
    assert 0.9 < rhythm.weekly < 1.6
    assert rhythm.pause_s == 7 * DAY
    assert rhythm.samples == 12


def test_an_archive_of_years_does_not_make_a_source_busy() -> None:
    old = [NOW - dt.timedelta(days=400 + number) for number in range(1000)]
    assert schedule.learn(old, NOW).weekly == 0


def test_a_feed_that_covers_two_days_is_counted_over_two_days() -> None:
    assert schedule.learn(every(dt.timedelta(hours=4), 12), NOW).weekly == pytest.approx(12 / (44 / 24 / 7))


def test_instants_to_come_and_no_instants() -> None:
    assert schedule.learn([], NOW) == Rhythm()
    assert schedule.learn([NOW + dt.timedelta(days=1)], NOW) == Rhythm()


def test_one_holiday_is_not_the_habit() -> None:
    instants = [NOW - dt.timedelta(days=day) for day in range(40) if not 10 < day < 24]
    assert schedule.learn(instants, NOW).pause_s == DAY


@given(st.floats(0, 10_000), st.floats(0, 10_000))
def test_who_publishes_more_is_polled_no_less_often(one: float, other: float) -> None:
    less, more = sorted((one, other))
    calm, busy = (schedule.interval_s(Rhythm(weekly=count, samples=5)) for count in (less, more))
    assert Limits().min_s <= busy <= calm <= Limits().max_s


@pytest.mark.parametrize(
    ("count", "wanted"),
    [(0.0, DAY), (1.0, DAY), (7.0, DAY), (14.0, DAY / 2), (168.0, HOUR), (10_000.0, 300.0)],
)
def test_the_interval_is_a_week_over_the_weekly_count_within_limits(count: float, wanted: float) -> None:
    assert schedule.interval_s(Rhythm(weekly=count, samples=5)) == wanted


def test_an_unknown_rhythm_waits_the_first_interval() -> None:
    assert decide(PollState(), READ, NOW, 0.0).wait_s == Limits().first_s


def test_the_first_entries_of_a_new_source_do_not_slow_it_down() -> None:
    for count in range(1, schedule.ENOUGH):
        rhythm = schedule.learn([NOW - dt.timedelta(minutes=minute) for minute in range(count)], NOW)
        assert schedule.interval_s(rhythm) <= Limits().first_s


# The longest wish


@pytest.mark.parametrize("field", ["ttl_s", "max_age_s", "retry_after_s"])
@pytest.mark.parametrize("kind", ["read", "unchanged"])
def test_the_longest_wish_wins(field: str, kind: str) -> None:
    state = weekly(168)
    longer = msgspec.convert({"kind": kind, field: 2 * HOUR}, Outcome)
    shorter = msgspec.convert({"kind": kind, field: 60.0}, Outcome)
    assert decide(state, longer, NOW, 0.0).wait_s == 2 * HOUR
    assert decide(state, shorter, NOW, 0.0).wait_s == HOUR


def test_the_reason_names_the_wish_that_won() -> None:
    assert "TTL" in decide(weekly(168), Outcome(kind="read", ttl_s=2 * HOUR), NOW, 0.0).reason
    assert "rhythm" in decide(weekly(168), READ, NOW, 0.0).reason


def test_a_wish_for_a_year_is_followed_for_a_week() -> None:
    outcome = Outcome(kind="read", ttl_s=365 * DAY)
    assert decide(weekly(10), outcome, NOW, 0.0).wait_s == schedule.WEEK_S


# Errors


WAITS = st.one_of(st.none(), st.floats(0, 1e9))
OUTCOMES = st.builds(
    Outcome,
    kind=st.sampled_from(["read", "unchanged", "failed"]),
    ttl_s=WAITS,
    max_age_s=WAITS,
    retry_after_s=WAITS,
    moved_to=st.sampled_from([None, "https://a.example/", "https://b.example/"]),
)


@given(st.floats(0, 5000), st.integers(2, 60))
def test_repeated_errors_never_shrink_the_wait_and_never_stop(count: float, tries: int) -> None:
    state, waits = weekly(count), []
    for _ in range(tries):
        following = decide(state, Outcome(kind="failed"), NOW, 0.5)
        assert following.due_at is not None
        assert following.wait_s is not None
        state = following.state
        waits.append(following.wait_s)
    assert all(earlier <= later for earlier, later in itertools.pairwise(waits))
    assert waits[-1] <= Limits().probe_s
    assert state.failures == tries
    assert state.stopped is None


def test_a_failing_source_ends_at_a_probe_a_day() -> None:
    state = weekly(2000)
    for _ in range(40):
        following = decide(state, Outcome(kind="failed"), NOW, 0.0)
        state = following.state
    assert following.wait_s == DAY


def test_the_operator_hears_of_each_change_of_state_once() -> None:
    state = weekly(2000)
    told: list[str] = []
    for _ in range(40):
        following = decide(state, Outcome(kind="failed"), NOW, 0.0)
        state = following.state
        told += following.tell
    assert told == ["failing", "probing"]
    recovered = decide(state, READ, NOW, 0.0)
    assert recovered.tell == ("recovered",)
    assert recovered.state.failures == 0
    assert decide(recovered.state, READ, NOW, 0.0).tell == ()


def test_one_failure_is_not_worth_a_message() -> None:
    failed = decide(weekly(10), Outcome(kind="failed"), NOW, 0.0)
    assert failed.tell == ()
    assert decide(failed.state, READ, NOW, 0.0).tell == ()


def test_retry_after_is_obeyed_on_errors() -> None:
    assert decide(weekly(2000), Outcome(kind="failed", retry_after_s=5 * HOUR), NOW, 0.0).wait_s == 5 * HOUR


def test_a_source_polled_daily_is_tried_again_soon() -> None:
    wait_s = decide(weekly(1), Outcome(kind="failed"), NOW, 0.0).wait_s
    assert wait_s is not None
    assert wait_s <= HOUR


def test_410_stops_and_tells() -> None:
    gone = decide(weekly(10), Outcome(kind="gone"), NOW, 0.0)
    assert gone.due_at is None
    assert gone.state.stopped == "gone"
    assert gone.tell == ("gone",)
    assert "410" in gone.reason


def test_a_stopped_source_that_answers_again_is_polled_again() -> None:
    back = decide(PollState(stopped="gone"), READ, NOW, 0.0)
    assert back.state.stopped is None
    assert back.due_at is not None
    assert back.tell == ("recovered",)


@given(OUTCOMES, st.floats(0, 1, exclude_max=True), st.integers(0, 100), st.floats(0, 5000))
def test_the_due_time_is_bounded_by_jitter_limits_and_wishes(
    outcome: Outcome, jitter: float, failures: int, count: float
) -> None:
    state = PollState(rhythm=Rhythm(weekly=count, samples=3), failures=failures)
    following = decide(state, outcome, NOW, jitter)
    assert following.due_at is not None
    assert following.wait_s is not None
    waited = (following.due_at - NOW).total_seconds()
    assert following.wait_s - 1e-3 <= waited <= following.wait_s * (1 + Limits().jitter) + 1e-3
    assert Limits().min_s <= following.wait_s <= schedule.WEEK_S


@given(OUTCOMES, st.floats(-5, 5))
def test_decisions_are_values(outcome: Outcome, jitter: float) -> None:
    """The same in, the same out; and what comes out can be kept as JSON. A jitter out of range does no harm."""
    first, second = (decide(weekly(10), outcome, NOW, jitter) for _ in range(2))
    assert first == second
    assert msgspec.json.decode(msgspec.json.encode(first.state), type=PollState) == first.state
    assert first.due_at is not None
    assert first.due_at > NOW


# Moves


def polls(*targets: str | None) -> tuple[list[str | None], PollState]:
    state, moves = weekly(10), []
    for target in targets:
        following = decide(state, Outcome(kind="read", moved_to=target), NOW, 0.0)
        state = following.state
        moves.append(following.move_to)
    return moves, state


def test_a_permanent_move_is_believed_at_the_third_sighting() -> None:
    new = "https://new.example/feed"
    moves, state = polls(new, new, new)
    assert moves == [None, None, new]
    assert (state.moved_to, state.moved_seen) == (None, 0)


def test_sightings_must_agree_and_follow_each_other() -> None:
    a, b = "https://a.example/", "https://b.example/"
    assert polls(a, a, b, a, a)[0] == [None] * 5
    assert polls(a, a, None, a, a)[0] == [None] * 5


def test_a_failure_between_two_sightings_forgets_nothing() -> None:
    a = "https://a.example/"
    _, state = polls(a, a)
    state = decide(state, Outcome(kind="failed"), NOW, 0.0).state
    moved = decide(state, Outcome(kind="unchanged", moved_to=a), NOW, 0.0)
    assert moved.move_to == a
    assert "moved" in moved.tell


# Freshness, back-fill, second looks


def test_overdue_is_measured_against_the_source_s_own_habit() -> None:
    weekly_brief = schedule.learn(every(dt.timedelta(days=7), 12), NOW)
    hourly = schedule.learn(every(dt.timedelta(hours=1), 200), NOW)
    two_days_ago, two_weeks_ago = NOW - dt.timedelta(days=2), NOW - dt.timedelta(days=14)
    assert not schedule.overdue(two_days_ago, weekly_brief, NOW)
    assert schedule.overdue(two_weeks_ago, weekly_brief, NOW)
    assert schedule.overdue(two_days_ago, hourly, NOW)
    assert not schedule.overdue(NOW - dt.timedelta(hours=5), hourly, NOW)


def test_nights_and_weekends_raise_no_alarm() -> None:
    office = [
        NOW - dt.timedelta(hours=hours)
        for hours in range(24 * 40)
        if 8 <= (NOW - dt.timedelta(hours=hours)).hour < 17 and (NOW - dt.timedelta(hours=hours)).weekday() < 5
    ]
    rhythm = schedule.learn(office, NOW)
    friday_evening = dt.datetime(2024, 5, 17, 16, 0, tzinfo=dt.UTC)
    monday_morning = dt.datetime(2024, 5, 20, 9, 0, tzinfo=dt.UTC)
    thursday_morning = dt.datetime(2024, 5, 23, 9, 0, tzinfo=dt.UTC)
    assert not schedule.overdue(friday_evening, rhythm, monday_morning)
    assert schedule.overdue(friday_evening, rhythm, thursday_morning)


def test_without_a_known_habit_nothing_is_overdue() -> None:
    assert not schedule.overdue(NOW - dt.timedelta(days=900), Rhythm(weekly=1, samples=2), NOW)
    assert not schedule.overdue(None, Rhythm(weekly=1, pause_s=DAY, samples=20), NOW)


def dated(published: str | None = None, updated: str | None = None) -> Entry:
    return Entry(key="k", url=None, published_utc=published, updated_utc=updated)


@pytest.mark.parametrize(
    ("entry", "first_poll", "old"),
    [
        (dated("2024-05-14T11:00:00+00:00"), False, False),
        (dated("2024-05-14T11:00:00+00:00"), True, True),
        (dated(), False, False),
        (dated(), True, True),
        (dated("2024-05-07T12:00:00+00:00"), False, False),
        (dated("2024-05-07T11:59:59+00:00"), False, True),
        (dated("2016-04-22T16:45:00+00:00"), False, True),
        (dated(updated="2016-04-22T16:45:00+00:00"), False, True),
        (dated("2016-04-22T16:45:00+00:00", "2024-05-14T11:00:00+00:00"), False, True),
        (dated("2099-01-01T00:00:00+00:00"), False, False),
    ],
)
def test_backfill(entry: Entry, first_poll: bool, old: bool) -> None:
    assert schedule.backfill(entry, first_poll, NOW) is old


def test_backfill_days_is_a_setting() -> None:
    entry = dated("2024-05-12T12:00:00+00:00")
    assert schedule.backfill(entry, False, NOW, days=1)
    assert not schedule.backfill(entry, False, NOW, days=3)


@given(st.floats(-DAY, 60 * DAY), st.floats(0, 60 * DAY))
def test_second_looks_grow_rarer_with_age_and_end(age_s: float, older_s: float) -> None:
    first, later = schedule.revisit(age_s), schedule.revisit(age_s + older_s)
    if later is not None:
        assert first is not None
        assert first <= later
    assert (first is None) == (age_s >= 30 * DAY)


def test_a_page_is_looked_at_a_bounded_number_of_times() -> None:
    age_s, looks = 0.0, 0
    while (wait_s := schedule.revisit(age_s)) is not None:
        age_s += wait_s
        looks += 1
    assert 20 < looks < 60


def test_a_feed_s_wish_outlives_an_unchanged_answer() -> None:
    read = decide(PollState(), Outcome(kind="read", ttl_s=7200.0), NOW, 0.0)
    assert read.wait_s == 7200.0
    again = decide(read.state, Outcome(kind="unchanged"), NOW, 0.0)
    assert again.wait_s == 7200.0
    assert decide(again.state, Outcome(kind="read"), NOW, 0.0).wait_s == 3600.0


def test_silence_is_measured_against_a_source_s_own_pauses() -> None:
    hour = dt.timedelta(hours=1)
    daily = schedule.learn([NOW - 24 * n * hour for n in range(1, 12)], NOW)
    late = schedule.freshness(daily, NOW - 60 * hour, NOW)
    assert (late.overdue, late.known) == (True, True)
    assert late.silent_s == 60 * 3600.0
    assert not schedule.freshness(daily, NOW - 30 * hour, NOW).overdue
    unknown = schedule.freshness(schedule.learn([NOW - hour], NOW), NOW - 1000 * hour, NOW)
    assert (unknown.overdue, unknown.known) == (False, False)
    assert schedule.freshness(daily, None, NOW).silent_s is None
