"""Finding neighbours through the store, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.enrich import neighbours
from services.enrich.neighbours import Linked, Prepared, Search
from shared.store import similar
from shared.store.engine import Store
from tests.enrich import briefs

DAY = 19_800


def ready(key: str, brief: tuple[str, str], day: int = DAY) -> Prepared:
    return neighbours.prepare(key, *brief, "en", day)


def linked(store: Store, *batch: Prepared, search: Search = neighbours.USUAL) -> list[Linked]:
    with store.write() as connection:
        similar.enter(connection)
        return neighbours.link_many(connection, batch, search)


def relations(found: Linked) -> list[tuple[str, str]]:
    return [(one.article_id, one.relation) for one in found.neighbours]


def fill(store: Store, count: int = 60) -> None:
    """Strangers, so that frequencies mean something."""
    linked(
        store, *(ready(f"week{n}", briefs.weekly(n, 300 + n, 200 + n / 2, 250 - n), DAY - 7 * n) for n in range(count))
    )


def test_a_story_a_copy_and_nothing_else(store: Store) -> None:
    fill(store)
    linked(store, ready("ferry", briefs.FERRY), ready("mine", briefs.MINE), ready("theatre", briefs.THEATRE))
    again, copy = linked(store, ready("ferry again", briefs.FERRY_AGAIN), ready("copy", ("Dam", briefs.MINE[1])))
    assert relations(again) == [("ferry", "same_story")]
    assert relations(copy) == [("mine", "duplicate")]


def test_articles_of_one_batch_find_each_other(store: Store) -> None:
    one, other = linked(store, ready("mine", briefs.MINE), ready("again", briefs.MINE_AGAIN))
    assert relations(one) == [("again", "same_story")]
    assert relations(other) == [("mine", "same_story")]


def test_an_article_is_never_its_own_neighbour(store: Store) -> None:
    linked(store, ready("mine", briefs.MINE))
    assert relations(linked(store, ready("mine", briefs.MINE))[0]) == []


def test_beyond_the_window_a_copy_is_background(store: Store) -> None:
    linked(store, ready("old", briefs.MINE, DAY - 500))
    found = linked(store, ready("new", briefs.MINE_AGAIN, DAY), ready("copy", briefs.MINE, DAY - 490))
    assert [one for one in relations(found[0]) if one[0] == "old"] == [("old", "related")]
    assert ("old", "duplicate") in relations(found[1])
    assert relations(found[1]).index(("old", "duplicate")) == 0


def test_the_window_is_a_setting(store: Store) -> None:
    linked(store, ready("old", briefs.MINE, DAY - 20))
    wide = Search(window_days=30)
    assert relations(linked(store, ready("new", briefs.MINE, DAY))[0]) == [("old", "related")]
    assert relations(linked(store, ready("new", briefs.MINE, DAY), search=wide)[0]) == [("old", "duplicate")]


def test_later_articles_are_marked(store: Store) -> None:
    linked(store, ready("late", briefs.MINE, DAY + 3))
    found = linked(store, ready("early", briefs.MINE_AGAIN, DAY))[0]
    assert [(one.article_id, one.later) for one in found.neighbours] == [("late", True)]


def test_a_revision_takes_the_place_of_its_former_text(store: Store) -> None:
    linked(store, ready("a", briefs.MINE))
    linked(store, ready("a", briefs.FERRY))
    found = linked(store, ready("mine again", briefs.MINE_AGAIN), ready("ferry again", briefs.FERRY_AGAIN))
    assert relations(found[0]) == []
    assert relations(found[1]) == [("a", "same_story")]


def test_a_withdrawn_article_is_nobodys_neighbour(store: Store) -> None:
    linked(store, ready("mine", briefs.MINE))
    with store.write() as connection:
        assert neighbours.unlink(connection, "mine")
        assert not neighbours.unlink(connection, "mine")
    assert relations(linked(store, ready("again", briefs.MINE_AGAIN), ready("copy", briefs.MINE))[0]) == [
        ("copy", "same_story")
    ]


def test_nothing_is_left_of_a_withdrawn_article(store: Store) -> None:
    linked(store, ready("mine", briefs.MINE))
    with store.write() as connection:
        neighbours.unlink(connection, "mine")
        for table in ("doc", "sig", "fp"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() == 0


def test_weekly_templates_are_no_duplicates(store: Store) -> None:
    weeks = [ready(f"week{n}", briefs.weekly(n, 300.5 + 3 * n, 200.5 + n, 250.5 - n), DAY + 7 * n) for n in range(6)]
    found = [linked(store, week)[0] for week in weeks]
    assert [relation for one in found for _, relation in relations(one) if relation == "duplicate"] == []


@pytest.mark.parametrize("text", ["", "?", "Two words"])
def test_texts_with_next_to_nothing_in_them_are_kept(store: Store, text: str) -> None:
    linked(store, ready("mine", briefs.MINE))
    assert relations(linked(store, ready("bare", ("", text)))[0]) == []
    with store.read() as connection:
        assert len(similar.known(connection, ["bare", "mine", "nobody"])) == 2


def test_an_empty_batch(store: Store) -> None:
    assert linked(store) == []


def test_frequencies_count_articles_once(store: Store) -> None:
    linked(store, ready("mine", briefs.MINE))
    linked(store, ready("mine", briefs.MINE))
    linked(store, ready("again", briefs.MINE_AGAIN))
    with store.read() as connection:
        counts = neighbours.frequencies(connection, [ready("x", ("", "Tessaly theatre"))])
    assert counts.total == 2
    assert (
        sorted(counts.by_term.values()) == [2, 2]
        or counts.by_term[max(counts.by_term, key=counts.by_term.__getitem__)] == 2
    )


def test_the_index_tells_its_days(store: Store) -> None:
    with store.read() as connection:
        assert similar.days(connection) is None
    linked(store, ready("a", briefs.MINE, DAY - 500), ready("b", briefs.FERRY, DAY))
    with store.read() as connection:
        assert similar.days(connection) == (DAY - 500, DAY)


def test_a_common_term_does_not_make_a_look_up_dear() -> None:
    terms = {1: 0.5, 2: 0.4, 3: 0.3, 4: 0.2}
    frequency = {1: 500_000, 2: 3, 3: 10, 4: 400}
    assert similar.affordable(terms, frequency, 1.0, postings=100, least=2) == {2: 0.4, 3: 0.3}
    assert similar.affordable(terms, frequency, 0.001, postings=1000, least=2) == terms
    assert set(similar.affordable(terms, frequency, 1.0, postings=0, least=3)) == {2, 3, 4}


def as_pairs(found: Sequence[similar.Found]) -> list[tuple[int, float]]:
    return [(one.doc, round(one.score, 6)) for one in found]


def posted(key: str, day: int, terms: dict[int, float], hashes: list[int]) -> similar.Posted:
    return similar.Posted(key, day, terms, hashes, b"profile", list(terms))


def test_candidates_by_terms_and_by_fingerprints(store: Store) -> None:
    batch = [
        posted("a", 10, {7: 0.5, 8: 0.5}, [1, 2, 3]),
        posted("b", 12, {7: 0.25}, [2, 3, 4]),
        posted("c", 30, {7: 1.0}, [1, 2, 3]),
    ]
    with store.write() as connection:
        a, b, c = similar.bulk_load(connection, batch)
        assert as_pairs(similar.candidates_by_terms(connection, {7: 1.0, 8: 0.5}, 0, 20)) == [(a, 0.75), (b, 0.25)]
        assert as_pairs(similar.candidates_by_terms(connection, {7: 1.0}, limit=1)) == [(c, 1.0)]
        assert as_pairs(similar.candidates_by_fp(connection, [2, 3, 4, 99], 0, 20)) == [(b, 3.0), (a, 2.0)]
        assert similar.candidates_by_terms(connection, {}) == []
        assert similar.candidates_by_fp(connection, []) == []
        assert similar.candidates_by_terms(connection, {0: 1.0}) == []


def test_beyond_the_first_two_thousand_articles_every_eighth_counts_eightfold(store: Store) -> None:
    with store.write() as connection:
        for start in range(0, 2080, 80):
            similar.bulk_load(connection, [posted(f"a{n}", 1, {7: 1.0}, []) for n in range(start, start + 80)])
        total, by_term = similar.frequencies(connection, [7, 8])
    assert total == by_term[7] == 2080
    assert 8 not in by_term


def test_many_terms_are_looked_up(store: Store) -> None:
    with store.write() as connection:
        similar.bulk_load(connection, [posted("a", 1, dict.fromkeys(range(1, 61), 0.1), [])])
        assert len(similar.frequencies(connection, range(1, 1300))[1]) == 60
        assert len(similar.candidates_by_terms(connection, dict.fromkeys(range(1, 61), 0.1))) == 1
