"""Where an article belongs: deterministic, whatever the order of its links."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from services.enrich.stories import Decision, Rules, Tie, assign, support

ties = st.lists(
    st.builds(
        Tie,
        story=st.sampled_from(["a", "b", "c"]),
        score=st.floats(0, 1),
        size=st.integers(1, 9),
        born=st.integers(0, 3),
        duplicate=st.booleans(),
    ),
    max_size=8,
)


def test_without_ties_a_story_begins() -> None:
    assert assign([]) == Decision("new", None)
    assert assign([Tie("a", 0.1, 1, 0)]).kind == "new"


def test_a_strong_tie_joins() -> None:
    assert assign([Tie("a", 0.9, 1, 0)])[:2] == ("join", "a")


def test_one_strong_tie_to_a_large_story_is_not_enough() -> None:
    assert assign([Tie("a", 0.9, 12, 0)]).kind == "new"
    assert assign([Tie("a", 0.9, 12, 0)] * 4).kind == "join"


def test_a_duplicate_goes_where_its_original_is() -> None:
    assert assign([Tie("a", 0.4, 30, 0, duplicate=True), Tie("b", 0.75, 1, 1)])[:2] == ("join", "a")


def test_the_better_supported_story_is_joined() -> None:
    assert assign([Tie("a", 0.7, 1, 0), Tie("b", 0.75, 1, 1)])[:2] == ("join", "b")


def test_two_stories_that_turn_out_to_be_one_merge_into_the_older() -> None:
    found = assign([Tie("young", 0.95, 1, 9), Tie("old", 0.9, 1, 2)])
    assert (found.kind, found.story, found.absorbed) == ("merge", "old", ("young",))


def test_of_stories_of_one_day_the_id_decides() -> None:
    assert assign([Tie("b", 0.95, 1, 2), Tie("a", 0.9, 1, 2)]).story == "a"


@given(ties, st.randoms())
def test_the_order_of_the_ties_makes_no_difference(given_: list[Tie], rnd: random.Random) -> None:
    # One story has one size and one birthday.
    same = {tie.story: tie for tie in given_}
    tidy = [tie._replace(size=same[tie.story].size, born=same[tie.story].born) for tie in given_]
    mixed = list(tidy)
    rnd.shuffle(mixed)
    assert assign(tidy) == assign(mixed)


@given(ties)
def test_a_decision_only_names_stories_with_ties(given_: list[Tie]) -> None:
    found = assign(given_)
    named = {found.story, *found.absorbed} - {None}
    assert named <= {tie.story for tie in given_}
    assert found.story not in found.absorbed


def test_support_counts_members_without_a_tie_as_nothing() -> None:
    rules = Rules(members=4)
    assert support([Tie("a", 0.8, 4, 0), Tie("a", 0.6, 4, 0)], rules) == (0.8 + 0.6) / 4
    assert support([Tie("a", 0.8, 1, 0)], rules) == 0.8
