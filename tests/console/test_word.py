"""A person's word on articles: it stands through every further run, is audited, re-issues what it changes, and is learnt from."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.console import actions, word
from services.console.actions import ACTIONS
from services.enrich import sections
from shared import records
from shared.errors import OperatorError
from shared.queue import Work
from shared.store import articles, desk, lanes
from shared.store.engine import Store
from tests.enrich import briefs
from tests.enrich.arriving import HOUR, NOW, Arrivals, record

PAST = NOW - 30 * HOUR


class Desk(Arrivals):
    """Arrivals, and a person who acts on them."""

    folder: Path

    def say(self, action: str, key: str, **fields: str) -> str:
        with self.store.write() as c:
            work = Work(c, self.now)
            done = actions.perform(ACTIONS[action], work, "ilze", f"art_{key}", reason="a test", fields=fields, folder=self.folder,
                                   randomness=bytes(32))  # fmt: skip
            work.finish()
        return done.said

    def suggested(self, key: str) -> list[str]:
        return [one.code for one in self.notes(key).categories if one.suggestion]

    def stored(self, key: str) -> list[tuple[str, str, str]]:
        with self.store.read() as c:
            return [
                (one.scheme, one.code, one.method)
                for one in articles.categories_of(c, f"art_{key}")
                if not one.suggestion
            ]


@pytest.fixture
def hand(store: Store, tmp_path: Path) -> Desk:
    made = Desk(store)
    made.folder = tmp_path
    made.partner(tmp_path, relinked=True)
    made.add(
        record("ferry", briefs.FERRY, at=PAST, section="Coast"), record("ferry2", briefs.FERRY_AGAIN, at=PAST + HOUR),
        record("mine", briefs.MINE, at=PAST), record("mine2", briefs.MINE_AGAIN, at=PAST + HOUR),
        record("theatre", briefs.THEATRE, at=PAST),
    )  # fmt: skip
    return made


def rerun(hand: Desk, *keys: str) -> None:
    """Everything that could undo a word: another run, a revision, a withdrawal and its end."""
    hand.enrich()
    hand.again(*keys)
    for key in keys:
        hand.revise(key, tags=("again",))
        hand.withdraw(key)
        hand.revise(key, "restored")


def test_a_section_that_a_person_set_stands(hand: Desk) -> None:
    before = hand.head()
    assert "filed under Harbour" in hand.say("file-article", "ferry", code="Harbour")
    assert hand.logged(before) == [("article.updated", "ferry")]
    rerun(hand, "ferry")
    assert hand.codes("ferry") == ["Harbour"]
    assert hand.stored("ferry") == [("section", "Harbour", "person")]
    with hand.store.read() as c:
        article = articles.revision(c, "art_ferry")
        assert article is not None
        assert article[0].section == "Coast", "what the publisher asserts is kept as asserted"
        assert [(line["who"], line["reason"]) for line in desk.audits(c, action="file-article")] == [("ilze", "a test")]


def test_a_run_that_changes_nothing_re_issues_nothing(hand: Desk) -> None:
    hand.say("file-article", "ferry", code="Harbour")
    before = hand.head()
    hand.again("ferry", "ferry2", "mine", "theatre")
    assert hand.logged(before) == []
    assert hand.stuck() == []


def test_a_cleared_section_stays_cleared_until_the_word_is_taken_back(hand: Desk) -> None:
    hand.say("clear-category", "ferry", code="Coast")
    rerun(hand, "ferry")
    assert hand.codes("ferry") == []
    before = hand.head()
    hand.say("take-back-category", "ferry", scheme="section")
    hand.enrich()
    assert hand.codes("ferry") == ["Coast"]
    assert hand.logged(before) == [("article.updated", "ferry")]
    with pytest.raises(OperatorError, match="Nobody has said"):
        hand.say("take-back-category", "ferry", scheme="section")


def test_a_suggestion_is_confirmed_beside_others_or_rejected(hand: Desk) -> None:
    assert hand.suggested("mine") == ["02000000"]
    hand.say("confirm-category", "mine", code="medtop:02000000")
    hand.say("file-article", "mine", code="medtop:06000000")
    rerun(hand, "mine")
    assert sorted(hand.codes("mine", "medtop")) == ["02000000", "06000000"]
    assert hand.suggested("theatre") == ["01000000"]
    hand.say("reject-category", "theatre", code="medtop:01000000")
    rerun(hand, "theatre")
    assert (hand.suggested("theatre"), hand.codes("theatre", "medtop")) == ([], [])
    with pytest.raises(OperatorError, match="not suggested"):
        hand.say("confirm-category", "theatre", code="medtop:01000000")


@pytest.mark.parametrize(
    ("code", "says"),
    [("medtop:99", "no code 99"), ("nope:1", "no taxonomy nope"), ("", "1 to 120"), ("medtop:", "1 to 120")],
)
def test_what_cannot_be_filed_is_said(hand: Desk, code: str, says: str) -> None:
    with pytest.raises(OperatorError, match=says):
        hand.say("file-article", "mine", code=code)


def test_what_people_say_is_learnt_from(hand: Desk) -> None:
    hand.say("confirm-category", "mine", code="medtop:02000000")
    hand.say("clear-category", "ferry", code="Coast")
    with hand.store.read() as c:
        assert articles.labelled(c, "medtop") == [("art_mine", "02000000")]
        assert articles.labelled(c, "section") == []
        lane = lanes.get(c, sections.lane("medtop"))
        assert lane is not None
        assert lane["due_at"] == hand.now + 10 * HOUR / 60


def test_a_story_that_a_person_split_is_not_put_together_again(hand: Desk) -> None:
    old = hand.notes("ferry2").story
    before = hand.head()
    hand.say("split-story", "ferry")
    hand.enrich()
    assert sorted(hand.logged(before)) == [("article.relinked", "ferry"), ("article.relinked", "ferry2")]
    rerun(hand, "ferry", "ferry2")
    assert hand.notes("ferry2").story == old != hand.notes("ferry").story
    assert (hand.links("ferry"), hand.links("ferry2")) == ({"ferry2": "related"}, {"ferry": "related"})
    hand.add(record("ferry3", briefs.FERRY, at=PAST + 2 * HOUR))  # tied to both stories, as strongly as can be
    assert hand.notes("ferry").story != hand.notes("ferry2").story


def test_stories_that_a_person_merged_stay_one(hand: Desk) -> None:
    before = hand.head()
    assert "2 articles" in hand.say("merge-story", "mine", into="art_ferry")
    hand.enrich()
    story = hand.notes("ferry").story
    assert sorted(hand.logged(before)) == [("article.relinked", "mine"), ("article.relinked", "mine2")]
    rerun(hand, "mine", "mine2", "ferry")
    assert {hand.notes(key).story for key in ("mine", "mine2", "ferry", "ferry2")} == {story}
    with pytest.raises(OperatorError, match="one story already"):
        hand.say("merge-story", "mine", into="art_ferry")


def test_several_leave_a_story_together(hand: Desk) -> None:
    hand.say("merge-story", "mine", into="art_ferry")
    hand.say("split-story", "mine", others="art_mine2")
    rerun(hand, "mine", "mine2")
    assert hand.notes("mine").story == hand.notes("mine2").story != hand.notes("ferry").story
    with pytest.raises(OperatorError, match="not of one story"):
        hand.say("split-story", "mine", others="art_ferry")
    with pytest.raises(OperatorError, match="Nothing else is in that story"):
        hand.say("split-story", "theatre")


def test_a_dropped_link_stays_dropped_at_both_ends_until_it_is_allowed(hand: Desk) -> None:
    before = hand.head()
    hand.say("drop-link", "ferry", other="art_ferry2")
    hand.enrich()
    assert sorted(hand.logged(before)) == [("article.relinked", "ferry"), ("article.relinked", "ferry2")]
    rerun(hand, "ferry", "ferry2")
    assert (hand.links("ferry"), hand.links("ferry2")) == ({}, {})
    hand.say("allow-link", "ferry2", other="art_ferry")
    hand.enrich()
    assert (hand.links("ferry"), hand.links("ferry2")) == ({"ferry2": "same_story"}, {"ferry": "same_story"})
    with pytest.raises(OperatorError, match="Nobody has dropped"):
        hand.say("allow-link", "ferry2", other="art_ferry")
    with pytest.raises(OperatorError, match="no other article"):
        hand.say("drop-link", "ferry", other="art_none")


def test_an_article_is_looked_at_anew(hand: Desk) -> None:
    assert "looked at anew" in hand.say("enrich-article", "ferry")
    hand.enrich()
    assert hand.stuck() == []
    hand.withdraw("ferry")
    with pytest.raises(OperatorError, match="is withdrawn"):
        hand.say("enrich-article", "ferry")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("medtop:04000000", ("medtop", "04000000")),
        ("section: Economy ", ("section", "Economy")),
        ("Belarus: west", ("section", "Belarus: west")),
        ("Economy", ("section", "Economy")),
    ],
)
def test_codes_are_written_with_their_scheme(text: str, parts: tuple[str, str]) -> None:
    assert word.scheme_and_code(text) == parts


def test_records_with_names_are_read_back(hand: Desk) -> None:
    names = {one.text: one for one in hand.notes("ferry").names}
    assert names["Halmeer"] == records.Name("Halmeer", "place", 3)
    assert names["Joost Verwey"].kind == "person"
