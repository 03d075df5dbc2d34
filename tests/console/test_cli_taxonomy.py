"""Taxonomies, sections and a person's word from the command line: what is said, what goes wrong, what is true afterwards."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared import clock, migrations, records
from shared.store.engine import Store
from tests.console.command import Said, within
from tests.enrich import briefs
from tests.enrich.arriving import HOUR, NOW, Arrivals, record
from tests.enrich.test_sections import WORDS, desk, text

PAST = NOW - 30 * HOUR
Run = Callable[..., Said]


@pytest.fixture
def wire(tmp_path: Path) -> Arrivals:
    """A wire of forty filed articles, and the tellings of a ferry and a mine."""
    folder = tmp_path / "data"
    folder.mkdir()
    store = Store(f"sqlite:///{folder / 'briefwire.sqlite3'}")
    migrations.upgrade(store)
    made = Arrivals(store)
    trend: Any = ("worsened", "improved")
    for n in range(20):
        status = records.CategoryStatus(trend[n >= 15])
        made.add(
            *(
                record(f"{name}{n}", text(name, n), at=PAST + n * HOUR, section=name, category_status=status)
                for name in WORDS
            )
        )
    made.add(
        record("ferry", briefs.FERRY, at=PAST),
        record("ferry2", briefs.FERRY_AGAIN, at=PAST + HOUR),
        record("mine", briefs.MINE, at=PAST),
    )
    return made


@pytest.fixture
def run(wire: Arrivals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return within(tmp_path / "data", monkeypatch, capsys)


def saved(folder: Path, raw: bytes) -> Path:
    (folder / "desk.json").write_bytes(raw)
    return folder / "desk.json"


def test_a_taxonomy_is_added_listed_trained_and_reported(run: Run, wire: Arrivals, tmp_path: Path) -> None:
    said = run("taxonomy", "add", saved(tmp_path, desk()))
    assert "Added desk: 3 terms, 1 at the top." in said.out
    wire.again(*(f"{name}{n}" for name in WORDS for n in range(20)))
    trained = run("taxonomy", "train", "desk")
    assert (trained.code, trained.err) == (0, "")
    assert "The new model is used: the first model" in trained.out
    assert "learnt from  40 filed articles" in trained.out
    listed = {row["scheme"]: row for row in run("taxonomy", "list", "--json").json}
    assert set(listed) == {"section", "medtop", "desk"}
    assert (listed["desk"]["filed"], listed["desk"]["terms"], listed["medtop"]["suggested"] > 0) == (40, 3, True)
    report = run("taxonomy", "report", "desk", "--json").json
    assert [(one["code"], one["filed"]) for one in report["terms"]] == [("work", 0), ("sea", 20), ("land", 20)]
    assert report["model"]["figures"]["trained"]["accuracy"] > 0.9
    assert report["trainings"][0]["used"] is True
    shown = run("taxonomy", "report", "desk").out
    assert "abstains" in shown
    assert "Trainings" in shown
    assert run("taxonomy", "list").out.count("%") == 1


def test_a_second_training_of_the_same_is_no_better(run: Run) -> None:
    assert run("taxonomy", "train").code == 0
    again = run("taxonomy", "train", "--json")
    assert (again.code, again.json["used"]) == (1, False)
    assert "the one in use" in again.json["why"]


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ([("a", None), ("a", None)], "more than once: a"),
        ([("a", "b"), ("b", "a")], "lead back to themselves"),
        ([("a", "z"), ("b", None)], "a stands below z"),
        ([("a", None)], "nothing to tell apart"),
        ([], "has no terms"),
        ([("a b", None), ("c", None)], "have spaces"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    run: Run, tmp_path: Path, terms: list[tuple[str, str | None]], says: str
) -> None:
    listed = [{"code": code, "label": f"term {code}", "broader": broader} for code, broader in terms]
    said = run("taxonomy", "add", saved(tmp_path, json.dumps({"scheme": "desk", "terms": listed}).encode()))
    assert said.code == 2
    assert says in said.err
    assert [row["scheme"] for row in run("taxonomy", "list", "--json").json] == ["section", "medtop"]


def test_other_mistakes_are_said(run: Run, tmp_path: Path) -> None:
    assert "cannot be read" in run("taxonomy", "add", tmp_path / "none.json").err
    assert (
        "no taxonomy that can be used (bad-scheme)"
        in run("taxonomy", "add", saved(tmp_path, desk(scheme="section"))).err
    )
    assert run("taxonomy", "add", saved(tmp_path, desk())).code == 0
    assert "--replace" in run("taxonomy", "add", saved(tmp_path, desk())).err
    assert run("taxonomy", "add", saved(tmp_path, desk()), "--replace").code == 0
    assert "There are section, medtop, desk." in run("taxonomy", "report", "nope").err
    assert "0 articles are filed, at least 30 are needed" in run("taxonomy", "train", "medtop").out


def test_a_sections_history_is_shown_as_it_stood(run: Run) -> None:
    (farming, harbour) = run("section", "list", "--json").json
    assert (farming["section"], harbour["status"], harbour["in_a_row"], harbour["flips"]) == (
        "Farming",
        "improved",
        5,
        1,
    )
    day = (PAST + 14 * HOUR).date().isoformat()
    then = run("section", "show", "harbour", "Harbour", "--as-of", f"{PAST + 14 * HOUR:%Y-%m-%d %H:%M}", "--json").json
    assert (then["status"], then["flips"], len(then["readings"])) == ("worsened", [], 15)
    assert run("section", "list", "--as-of", day, "--json").code == 0
    shown = run("section", "show", "harbour", "Harbour").out
    assert "Harbour (harbour): improved" in shown
    assert "20 articles say how it moved, 0 do not." in shown
    assert "is no instant" in run("section", "list", "--as-of", "yesterday").err
    assert "has no section" in run("section", "show", "harbour", "Sport").err


def test_a_persons_word_from_the_command_line(run: Run, wire: Arrivals) -> None:
    why = ("--reason", "a test")
    assert "filed under Coast" in run("article", "file", "art_ferry", "Coast", *why).out
    assert "filed under crime" in run("article", "confirm", "art_mine", "medtop:02000000", *why).out
    assert "no longer filed under anything (medtop)" in run("article", "clear", "art_mine", "medtop:*", *why).out
    assert "1 article, now in" in run("article", "split", "https://harbour.example/ferry2", *why).out
    assert "not linked any more" in run("article", "unlink", "art_ferry", "art_ferry2", *why).out
    wire.now = clock.now()
    wire.enrich()
    assert (wire.codes("ferry"), wire.codes("mine", "medtop"), wire.links("ferry")) == (["Coast"], [], {})
    assert run("article", "relink", "art_ferry", "art_ferry2", *why).code == 0
    assert run("article", "merge", "art_ferry2", "art_ferry", *why).code == 0
    assert run("article", "take-back", "art_mine", "--scheme", "medtop", *why).code == 0
    assert run("article", "enrich", "art_mine").code == 0
    wire.now = clock.now()
    wire.enrich()
    assert wire.links("ferry") == {"ferry2": "same_story"}
    assert wire.notes("ferry").story == wire.notes("ferry2").story
    assert "is not suggested" in run("article", "reject", "art_ferry", "medtop:1", *why).err
    said = [(row["action"], row["reason"]) for row in run("audit", "--json").json]
    assert ("split-story", "a test") in said
    assert run("article", "file", "art_ferry", "Coast").code == 2, "a reason is needed"


def test_an_article_shows_its_names_and_suggestions(run: Run) -> None:
    shown = run("article", "show", "art_mine").out
    assert "Marta Oleander (1)" in shown
    assert "suggested" in shown
    whole = run("article", "show", "art_mine", "--json").json
    assert {"text": "Tessaly Metals", "kind": None, "times": 2} in whole["annotations"]["names"]
    assert dt.datetime.fromisoformat(whole["revisions"][0]["at"]).tzinfo is not None
