"""A section's series: the same whatever the order of arrival; the past never changes the present."""

from __future__ import annotations

import datetime as dt
import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.enrich.status import Change, Flip, Observation, Streak, by_section, change, series
from shared.records import Trend

START = dt.datetime(2024, 3, 4, 12, tzinfo=dt.UTC)


def week(number: int) -> dt.datetime:
    return START + dt.timedelta(weeks=number)


def seen(
    number: int, value: Trend, article: str | None = None, revision: int = 1, section: str = "Economy"
) -> Observation:
    return Observation(section, week(number), article or f"art_{number}", value, revision)


HISTORY = [
    seen(0, "unchanged"),
    seen(1, "worsened"),
    seen(2, "worsened"),
    seen(3, "unknown"),
    seen(4, "worsened"),
    seen(5, "improved"),
]

observations = st.lists(
    st.builds(
        Observation,
        section=st.just("Economy"),
        at=st.integers(0, 6).map(week),
        article_id=st.sampled_from(["a", "b", "c", "d", "e"]),
        value=st.sampled_from(get_args(Trend)),
        revision=st.integers(1, 3),
    ),
    max_size=12,
)


def test_flips_and_streaks() -> None:
    found = series(HISTORY)
    assert found.current == "improved"
    assert found.flips == (
        Flip(week(1), "art_1", "unchanged", "worsened"),
        Flip(week(5), "art_5", "worsened", "improved"),
    )
    assert found.streaks[1] == Streak("worsened", week(1), week(4), 3)
    assert found.streak == Streak("improved", week(5), week(5), 1)
    assert found.unknown == 1


def test_as_of_leaves_out_what_came_later() -> None:
    found = series(HISTORY, as_of=week(2))
    assert (found.current, len(found.readings)) == ("worsened", 2 + 1)
    assert series(HISTORY, as_of=week(-1)).current == "unknown"


def test_nothing_read_is_unknown() -> None:
    for empty in ([], [seen(0, "unknown")]):
        found = series(empty)
        assert (found.current, found.flips, found.streak) == ("unknown", (), None)


@given(observations, st.randoms())
def test_the_order_of_arrival_makes_no_difference(given_: list[Observation], rnd: random.Random) -> None:
    mixed = list(given_)
    rnd.shuffle(mixed)
    assert series(mixed) == series(given_)


@given(observations)
def test_streaks_hold_every_reading_and_flips_part_them(given_: list[Observation]) -> None:
    found = series(given_)
    assert sum(streak.length for streak in found.streaks) == len(found.readings)
    assert len(found.flips) == max(len(found.streaks) - 1, 0)


def test_an_old_article_never_changes_the_present() -> None:
    late = [*HISTORY, seen(0, "improved", "art_late")]
    assert change(series(HISTORY), series(late)) is None
    assert series(late).current == series(HISTORY).current


def test_a_new_reading_changes_the_present_once() -> None:
    after = series([*HISTORY, seen(6, "worsened")])
    assert change(series(HISTORY), after) == Change(
        "Economy", "improved", "worsened", week(6), "art_6", Streak("improved", week(5), week(5), 1)
    )
    assert change(after, after) is None


def test_the_first_reading_and_a_withdrawn_last_one_are_changes() -> None:
    one = [seen(0, "improved")]
    assert change(series([]), series(one)) == Change("Economy", "unknown", "improved", week(0), "art_0", None)
    gone = change(series(one), series([]))
    assert gone is not None
    assert (gone.before, gone.after) == ("improved", "unknown")


def test_a_corrected_article_counts_once_with_its_last_word() -> None:
    corrected = [*HISTORY, seen(5, "worsened", "art_5", revision=2)]
    assert series(corrected).current == "worsened"
    assert len(series(corrected).readings) == len(series(HISTORY).readings)


def test_an_article_that_changed_its_section_leaves_the_old_one() -> None:
    moved = [*HISTORY, seen(5, "improved", "art_5", revision=2, section="Society")]
    found = by_section(moved)
    assert found["Economy"].current == "worsened"
    assert found["Society"].current == "improved"


def test_one_series_is_of_one_section() -> None:
    with pytest.raises(ValueError, match="several sections: Economy, Society"):
        series([seen(0, "improved"), seen(1, "improved", section="Society")])
