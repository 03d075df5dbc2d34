"""Categories by taxonomy: asserted, learnt or suggested; models that are used only if they are better; codes above in filters."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import Any

import msgspec
import pytest

from services.enrich import categories as learnt
from services.enrich import enriching, sections, taxonomy
from services.publish import filters, planning
from shared import records
from shared.queue import Work
from shared.store import articles, events, lanes, rulings, taxonomies
from shared.store.engine import Store
from tests.enrich import briefs
from tests.enrich.arriving import HOUR, NOW, Arrivals, record

PAST = NOW - 30 * HOUR
WORDS = {
    "Harbour": [
        "quay",
        "ship",
        "crane",
        "pilot",
        "tide",
        "cargo",
        "harbour",
        "anchor",
        "ferry",
        "mooring",
        "dock",
        "buoy",
    ],
    "Farming": [
        "wheat",
        "barley",
        "tractor",
        "harvest",
        "meadow",
        "cow",
        "milk",
        "field",
        "plough",
        "seed",
        "orchard",
        "hay",
    ],
}
PLAIN = [
    "the",
    "a",
    "of",
    "and",
    "said",
    "on",
    "in",
    "was",
    "town",
    "week",
    "people",
    "about",
    "year",
    "which",
    "from",
    "had",
]


def text(section: str, seed: int) -> tuple[str, str]:
    chance = random.Random(seed)
    return f"{section} brief {seed}", " ".join(chance.choices(WORDS[section], k=14) + chance.choices(PLAIN, k=25)) + "."


def desk(**more: Any) -> bytes:
    terms: list[dict[str, Any]] = [
        {"code": "work", "label": "Work"},
        {"code": "sea", "label": "Sea", "broader": "work", "sections": ["Harbour", "Coast"]},
        {"code": "land", "label": "Land", "broader": "work", "sections": ["Farming"], "words": ["meadow", "harvest"]},
    ]
    return json.dumps({"scheme": "desk", "title": "Desk", "terms": terms} | more).encode()


def put(store: Store, raw: bytes, at: dt.datetime = NOW) -> None:
    found = taxonomy.load(raw)
    with store.write() as c:
        taxonomies.put(c, found.scheme, found.title, len(found.terms), raw, at)


def train(wire: Arrivals, scheme: str) -> sections.Training:
    with wire.store.read() as c:
        return sections.train(c, scheme)


def keep(wire: Arrivals, training: sections.Training) -> bool:
    with wire.store.write() as c:
        return sections.keep(Work(c, wire.now), training)


@pytest.fixture
def wire(store: Store) -> Arrivals:
    """Forty filed articles of two sections, and a taxonomy that knows what these sections mean."""
    put(store, desk())
    made = Arrivals(store)
    made.add(*(record(f"{name}{n}", text(name, n), at=PAST, section=name) for name in WORDS for n in range(20)))
    return made


def test_a_publishers_section_means_a_term(wire: Arrivals) -> None:
    mine = [one for one in wire.notes("Harbour1").categories if one.scheme == "desk"]
    assert [(one.code, one.method, one.above, one.reasons) for one in mine] == [
        ("sea", "publisher", ("work",), ("Harbour",))
    ]


def test_a_model_a_taxonomy_files_what_its_publisher_does_not(wire: Arrivals) -> None:
    for scheme in ("section", "desk"):
        assert keep(wire, train(wire, scheme))
    wire.add(
        record("new", text("Farming", 900), at=PAST),
        record("odd", ("…", "—"), at=PAST),
    )
    assert (wire.codes("new"), wire.codes("new", "desk")) == (["Farming"], ["land"])
    assert [one.method for one in wire.notes("new").categories if one.scheme == "desk"] == ["model"]
    assert (wire.codes("odd"), wire.codes("odd", "desk")) == ([], []), "it abstains"


def test_a_model_that_is_not_better_is_not_used_and_the_report_says_so(wire: Arrivals) -> None:
    first = train(wire, "section")
    assert keep(wire, first)
    again = train(wire, "section")
    assert not keep(wire, again)
    with wire.store.read() as c:
        newest, before = taxonomies.trainings(c, "section")
        used = taxonomies.in_use(c, "section")
    assert (newest["kept"], newest["bytes"], before["kept"]) == (False, 0, True)
    assert "the one in use" in newest["note"]
    assert used is not None
    assert used["id"] == before["id"]


def test_models_are_compared_on_articles_that_none_of_them_learnt_from(wire: Arrivals) -> None:
    more = [record(f"more{name}{n}", text(name, 100 + n), at=PAST, section=name) for name in WORDS for n in range(110)]
    wire.add(*more)
    held = [one.id for one in more if sections.held_back(one.id)]
    assert len(held) >= sections.LEAST_HELD
    trained = train(wire, "section")
    assert trained.model is not None
    with wire.store.read() as c:
        filed = len(articles.labelled(c, "section"))
    assert trained.held >= len(held)
    assert trained.model.figures.examples == filed - trained.held
    assert trained.right == pytest.approx(1.0)
    worse = msgspec.structs.replace(trained.model.stored, labels=tuple(reversed(trained.model.labels)))
    assert keep(wire, trained._replace(model=learnt.Model(worse), right=0.0))
    better = train(wire, "section")
    assert (better.right_before, keep(wire, better)) == (0.0, True)


@pytest.mark.parametrize(
    ("sections_", "why"), [(("Harbour",) * 40, "nothing to tell apart"), (("Harbour", "Farming"), "at least 30")]
)
def test_what_cannot_be_learnt_is_said(store: Store, sections_: tuple[str, ...], why: str) -> None:
    wire = Arrivals(store)
    wire.add(*(record(f"a{n}", text(name, n), at=PAST, section=name) for n, name in enumerate(sections_)))
    trained = train(wire, "section")
    assert trained.model is None
    assert why in trained.why
    assert not keep(wire, trained)
    with store.read() as c:
        assert taxonomies.trainings(c, "section")[0]["note"] == trained.why


def test_filing_has_the_models_of_its_schemes_trained_later(wire: Arrivals) -> None:
    with wire.store.read() as c:
        due = {scheme: lanes.get(c, sections.lane(scheme)) for scheme in ("section", "desk", "medtop")}
    assert due["section"] is not None
    assert due["desk"] is not None
    assert due["section"]["due_at"] == NOW + HOUR + dt.timedelta(minutes=10)
    assert due["medtop"] is None


def test_media_topics_are_suggested_until_a_model_has_learnt(store: Store) -> None:
    wire = Arrivals(store)
    wire.add(record("mine", briefs.MINE, at=PAST))
    (found,) = [one for one in wire.notes("mine").categories if one.scheme == "medtop"]
    assert (found.code, found.suggestion, found.method) == ("02000000", True, "words")
    assert {"court", "judge"} <= set(found.reasons)
    with store.read() as c:
        assert articles.labelled(c, "medtop") == []
        assert taxonomies.counts(c) == {"medtop": {"suggested": 1}}


def test_one_word_in_two_forms_suggests_nothing(store: Store) -> None:
    wire = Arrivals(store)
    wire.add(record("a", ("A change", "It changed, and the changes changed."), at=PAST))
    assert wire.notes("a").categories == ()


def test_confirmed_topics_train_a_model_that_files_for_itself(wire: Arrivals) -> None:
    codes = {"Harbour": "04000000", "Farming": "06000000"}
    with wire.store.write() as c:
        for name, code in codes.items():
            mine = sections.by_person(c, "medtop", code)
            for n in range(20):
                said = rulings.Ruling("category", f"medtop:{code}", "set", mine)
                rulings.set_categories(c, f"art_{name}{n}", [], [said], NOW)
                rulings.enrich_again(c, [f"art_{name}{n}"], NOW)
    wire.enrich()
    assert keep(wire, train(wire, "medtop"))
    wire.add(record("new", text("Harbour", 901), at=PAST))
    (found,) = [one for one in wire.notes("new").categories if one.scheme == "medtop"]
    assert (found.code, found.method, found.suggestion) == ("04000000", "model", False)


def test_a_code_and_all_below_it_match_a_filter(wire: Arrivals) -> None:
    with wire.store.read() as c:
        event = next(one for one in events.after(c, 0, 100) if one.article_id == "art_Harbour1")
        (subject,) = planning.subjects(c, [event], wire.now)
    assert filters.matches('category under "desk:work"', subject.facts.facts)
    assert filters.matches('category under "desk:sea"', subject.facts.facts)
    assert not filters.matches('category = "desk:work"', subject.facts.facts)
    assert not filters.matches('category under "desk:land"', subject.facts.facts)


# Bad input


LONG = "The harbour board met and spoke of the quay, of cranes and of the tide. "
MIXED = f"{briefs.FERRY[1]} Порт закрыт до пятницы, сообщила администрация. Das Schiff liegt auf einer Sandbank. 船は金曜日まで動かない。"


@pytest.mark.parametrize(
    "brief",
    [("", ""), ("Fire out", ""), ("", "Two words"), ("…", "— 12 % 13"), ("Long", LONG * 70_000), ("Mixed", MIXED), ("\ud800", "x \x00 y")],
    ids=["empty", "two words", "a body of two words", "no words", "5 MB", "mixed languages", "no text at all"],
)  # fmt: skip
def test_whatever_comes_is_enriched_and_nothing_is_stuck(store: Store, brief: tuple[str, str]) -> None:
    wire = Arrivals(store)
    cleaned = tuple(part.encode("utf-8", "ignore").decode().replace("\x00", "") for part in brief)
    wire.add(record("bad", (cleaned[0], cleaned[1]), at=PAST), record("good", briefs.FERRY, at=PAST))
    assert wire.stuck() == []
    assert wire.logged() == [("article.published", "bad"), ("article.published", "good")]
    with store.read() as c:
        found = articles.revision(c, "art_bad")
    assert found is not None
    assert found[0].language_evidence


def test_of_a_very_long_text_the_beginning_is_read_and_that_is_said() -> None:
    studied = enriching.study(record("long", ("Long", LONG * 70_000), at=PAST), NOW)
    assert len(studied.text) == enriching.MOST_READ
    assert "only the first 200000 characters" in (studied.article.language_evidence or "")
    assert studied.article.blocks == (records.Paragraph(LONG * 70_000),), "the record itself is whole"
