"""A change ripples through links, stories and every record that embeds them: to exactly those, and told where it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.enrich import linking
from shared import feeder, records
from shared.queue import Work
from shared.store import articles, clusters
from shared.store.engine import Store
from tests.enrich import briefs
from tests.enrich.arriving import HOUR, NOW, Arrivals, record

PAST = NOW - 30 * HOUR


@pytest.fixture
def wire(store: Store, tmp_path: Path) -> Arrivals:
    """A ferry and a mine, each told twice, and a stranger; a partner that wants relinked articles."""
    made = Arrivals(store)
    made.partner(tmp_path, relinked=True)
    made.add(
        record("ferry", briefs.FERRY, at=PAST), record("ferry2", briefs.FERRY_AGAIN, at=PAST + HOUR),
        record("mine", briefs.MINE, at=PAST), record("mine2", briefs.MINE_AGAIN, at=PAST + HOUR),
        record("theatre", briefs.THEATRE, at=PAST),
    )  # fmt: skip
    return made


def test_the_second_telling_is_the_same_story(wire: Arrivals) -> None:
    assert wire.links("ferry") == {"ferry2": "same_story"}
    assert wire.links("theatre") == {}
    assert wire.notes("ferry").story == wire.notes("ferry2").story != wire.notes("mine").story
    assert wire.stuck() == []


def test_every_link_says_when_it_was_drawn(wire: Arrivals) -> None:
    drawn = [one.as_of for key in ("ferry", "ferry2", "mine", "mine2") for one in wire.notes(key).similar]
    assert drawn == [(NOW + HOUR).isoformat()] * 4


def test_a_new_headline_reaches_whoever_embeds_it_and_nobody_else(wire: Arrivals) -> None:
    before = wire.head()
    wire.revise("ferry", headline="Ferry with 214 people aground off Halmeer")
    assert wire.logged(before) == [("article.updated", "ferry"), ("article.relinked", "ferry2")]
    assert [one.headline for one in wire.notes("ferry2").similar] == ["Ferry with 214 people aground off Halmeer"]


def test_a_revision_without_consequences_re_issues_nothing_else(wire: Arrivals) -> None:
    before = wire.head()
    wire.revise("ferry", tags=("ferries",))
    assert wire.logged(before) == [("article.updated", "ferry")]
    assert [one.as_of for one in wire.notes("ferry2").similar] == [(NOW + HOUR).isoformat()], "drawn when it was drawn"


def test_a_revision_about_something_else_takes_its_links_with_it(wire: Arrivals) -> None:
    before = wire.head()
    wire.revise(
        "ferry", headline=briefs.THEATRE[0] + " again", blocks=(records.Paragraph(briefs.weekly(3, 1, 2, 3)[1]),)
    )
    assert ("article.relinked", "ferry2") in wire.logged(before)
    assert {key for _, key in wire.logged(before)} == {"ferry", "ferry2"}
    assert wire.links("ferry2") == {}


def test_a_withdrawal_takes_itself_out_of_others_records_and_of_its_story(wire: Arrivals) -> None:
    story, before = wire.notes("ferry").story, wire.head()
    wire.withdraw("ferry")
    assert wire.logged(before) == [("article.withdrawn", "ferry"), ("article.relinked", "ferry2")]
    assert wire.links("ferry2") == {}
    with wire.store.read() as c:
        assert story is not None
        assert clusters.members(c, story) == ["art_ferry2"]


def test_what_comes_back_is_linked_again(wire: Arrivals) -> None:
    story = wire.notes("ferry2").story
    wire.withdraw("ferry")
    before = wire.head()
    wire.revise("ferry", "restored")
    assert wire.logged(before) == [("article.restored", "ferry"), ("article.relinked", "ferry2")]
    assert wire.links("ferry2") == {"ferry": "same_story"}
    assert wire.notes("ferry").story == story


def test_nobody_is_told_who_did_not_ask(store: Store, tmp_path: Path) -> None:
    wire = Arrivals(store)
    wire.partner(tmp_path)
    wire.add(record("ferry", briefs.FERRY, at=PAST))
    wire.add(record("ferry2", briefs.FERRY_AGAIN, at=PAST + HOUR))
    wire.revise("ferry", headline="Ferry with 214 people aground off Halmeer")
    assert {kind for kind, _ in wire.logged()} == {"article.published", "article.updated"}
    assert wire.links("ferry") == {"ferry2": "same_story"}
    assert wire.notes("ferry2").similar[0].headline == "Ferry with 214 people aground off Halmeer"


def test_an_older_article_gets_the_link_back(store: Store, tmp_path: Path) -> None:
    wire = Arrivals(store)
    wire.partner(tmp_path, relinked=True)
    wire.add(record("ferry", briefs.FERRY, at=PAST), record("theatre", briefs.THEATRE, at=PAST))
    before = wire.head()
    wire.add(record("ferry2", briefs.FERRY_AGAIN, at=PAST + HOUR))
    assert wire.logged(before) == [("article.published", "ferry2"), ("article.relinked", "ferry")]


def test_a_held_article_is_shown_in_nobodys_record_until_it_is_released(wire: Arrivals) -> None:
    before = wire.head()
    with wire.store.write() as c:
        articles.set_article(c, "art_ferry", held=True)
    wire.again("ferry")
    assert wire.links("ferry2") == {}
    assert wire.logged(before) == [("article.relinked", "ferry2")]
    wire.revise("ferry", headline="Ferry aground")  # a held article is enriched like any other
    with wire.store.write() as c:
        articles.set_article(c, "art_ferry", held=False)
    wire.again("ferry")
    assert wire.links("ferry2") == {"ferry": "same_story"}


def test_an_embargo_keeps_an_article_out_of_others_records_until_it_ends(wire: Arrivals) -> None:
    with wire.store.write() as c:
        articles.set_article(c, "art_ferry", embargo_until=wire.now + 5 * HOUR)
    wire.again("ferry")
    assert wire.links("ferry2") == {}
    wire.now += 5 * HOUR
    with wire.store.write() as c:
        assert feeder.lift_embargoes(Work(c, wire.now)) == 1
    before = wire.head()
    wire.enrich()
    assert wire.links("ferry2") == {"ferry": "same_story"}
    assert wire.logged(before) == [("article.relinked", "ferry2")]


def test_back_fill_never_links_to_the_future_not_even_of_the_same_day(store: Store) -> None:
    wire = Arrivals(store)
    wire.add(record("ferry2", briefs.FERRY_AGAIN, at=PAST + HOUR))
    wire.add(record("ferry", briefs.FERRY, at=PAST, backfill=True))
    assert wire.links("ferry") == {}
    assert wire.links("ferry2") == {"ferry": "same_story"}, "what came later may look back"
    wire.again("ferry2")
    assert (wire.links("ferry"), wire.links("ferry2")) == ({}, {"ferry": "same_story"})


def test_nothing_is_linked_through_its_own_block_of_similar_articles(store: Store) -> None:
    printed = records.Related(
        "publisher_similar", "Similar articles", 1, "https://harbour.example/ferry",
        records.Snapshot(briefs.FERRY[0], lead=briefs.FERRY[1], blocks=(records.Paragraph(briefs.FERRY[1]),)),
    )  # fmt: skip
    wire = Arrivals(store)
    wire.add(record("ferry", briefs.FERRY, at=PAST))
    wire.add(record("theatre", briefs.THEATRE, at=PAST, related=(printed,)))
    assert (wire.links("theatre"), wire.links("ferry")) == ({}, {})


def test_a_duplicate_beyond_the_window_is_background(store: Store) -> None:
    wire = Arrivals(store)
    days = (linking._SEARCH.window_days + 1) * 24
    wire.add(record("old", briefs.MINE, at=PAST - days * HOUR), record("new", briefs.MINE, at=PAST))
    wire.add(record("near", briefs.MINE, at=PAST - 24 * HOUR))
    assert wire.links("new") == {"old": "related", "near": "duplicate"}


def test_a_record_carries_so_many_links_and_the_strongest(store: Store) -> None:
    wire = Arrivals(store)
    wire.add(record("mine", briefs.MINE, at=PAST))
    for n in range(linking.MOST + 4):
        wire.add(record(f"copy{n}", briefs.MINE, at=PAST + n * HOUR))
    held = wire.notes("mine").similar
    assert len(held) == linking.MOST
    assert [one.score for one in held] == sorted((one.score for one in held), reverse=True)


def test_stories_that_turn_out_to_be_one_are_renamed_in_every_record(store: Store, tmp_path: Path) -> None:
    wire = Arrivals(store)
    wire.partner(tmp_path, relinked=True)
    wire.add(record("ferry", briefs.FERRY, at=PAST), record("mine", briefs.MINE, at=PAST))
    before, story = wire.head(), wire.notes("mine").story
    assert story is not None
    with store.write() as c:
        work = Work(c, wire.now)
        moved = clusters.unite(c, clusters.of_articles(c, ["art_ferry"])["art_ferry"], story)
        linking.tell(work, [], moved)
        work.finish()
    assert wire.logged(before) == [("article.relinked", "ferry")]
    assert wire.notes("ferry").story == story
