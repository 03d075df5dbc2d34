"""Sections learnt from filed articles: right where sure, silent where not, clear about what cannot be learnt."""

from __future__ import annotations

import random

import msgspec
import pytest

from services.enrich import categories
from services.enrich.categories import Model, train
from shared.errors import Rejected

WORDS = {
    "sport": "match goal team coach season league striker final stadium cup referee injury".split(),  # noqa: SIM905
    "economy": "bank budget tax crowns price market export wages loan inflation treasury tariff".split(),  # noqa: SIM905
    "culture": "theatre novel painter opera museum concert poet stage gallery film choir sculpture".split(),  # noqa: SIM905
}
FILLER = "the and said on monday that it was with for new after people year town would has been in".split()  # noqa: SIM905


def text(label: str, rnd: random.Random, share: float = 0.3) -> str:
    return " ".join(rnd.choice(WORDS[label]) if rnd.random() < share else rnd.choice(FILLER) for _ in range(40))


def examples(a_label: int, seed: int = 1) -> list[tuple[str, str]]:
    rnd = random.Random(seed)
    return [(text(label, rnd), label) for label in WORDS for _ in range(a_label)]


@pytest.fixture(scope="module")
def model() -> Model:
    return train(examples(40))


def test_learns_and_says_why(model: Model) -> None:
    found = model.predict("The coach of the team praised the goal in the final of the season")
    assert found.label == "sport"
    assert found.score >= model.threshold
    assert set(found.reasons) & {"coach", "team", "goal", "final", "season"}


def test_held_back_labels_are_the_figures(model: Model) -> None:
    assert model.figures.examples == 120
    assert model.figures.accuracy > 0.95
    assert model.figures.kept_accuracy >= 0.95
    assert 0.5 < model.figures.coverage <= 1.0
    assert model.labels == ("culture", "economy", "sport")


@pytest.mark.parametrize("unknown", ["", "?", "Ґданьск 1234 zzz", "12 13"])
def test_abstains_on_texts_without_a_known_word(model: Model, unknown: str) -> None:
    assert model.predict(unknown) == categories.Prediction(None, 0.0, (), None)


def test_abstains_on_what_speaks_for_no_label(model: Model) -> None:
    found = model.predict("And the people said on Monday that it was with the town for a year")
    assert found.label is None
    assert found.best in model.labels
    assert 0.0 < found.score < model.threshold


def test_five_megabytes_are_answered(model: Model) -> None:
    assert model.predict("goal team coach " * 350_000).label == "sport"


def test_a_model_survives_the_store(model: Model) -> None:
    again = Model.from_bytes(model.to_bytes())
    sentence = "The opera and the theatre share a stage"
    assert again.predict(sentence) == model.predict(sentence)
    assert again.figures == model.figures
    with pytest.raises(msgspec.DecodeError):
        Model.from_bytes(b"no model")


def test_the_same_examples_make_the_same_model() -> None:
    assert train(examples(8), seed=3).to_bytes() == train(examples(8), seed=3).to_bytes()


def test_two_labels_are_told_apart() -> None:
    two = [one for one in examples(20) if one[1] != "culture"]
    model = train(two)
    assert model.predict("goal team coach season striker").label == "sport"
    assert model.predict("bank budget tax inflation loan").label == "economy"


def test_one_label_is_a_clear_error() -> None:
    with pytest.raises(Rejected, match="all 3 examples are labelled 'sport'") as caught:
        train([("goal", "sport")] * 3)
    assert caught.value.reason == "one-label"


@pytest.mark.parametrize(
    "given", [[], [("goal", "sport"), ("bank", "economy")], [("goal", "sport")] * 2 + [("a", "b")]]
)
def test_too_few_examples_are_a_clear_error(given: list[tuple[str, str]]) -> None:
    with pytest.raises(Rejected) as caught:
        train(given)
    assert caught.value.reason == "too-few-examples"


def test_labels_with_one_example_are_left_out_and_named() -> None:
    model = train([*examples(8), ("a lonely text", "oddities")])
    assert model.figures.left_out == {"oddities": 1}
    assert "oddities" not in model.labels


def test_examples_without_a_word_do_not_stop_training() -> None:
    assert train([*examples(8), ("", "sport"), ("…", "economy")]).figures.examples == 26


def test_texts_without_a_label_help_where_labels_are_few() -> None:
    rnd = random.Random(5)
    few = [(text(label, rnd, 0.08), label) for label in WORDS for _ in range(3)]
    held = [(text(label, rnd, 0.08), label) for label in WORDS for _ in range(60)]
    unlabelled = [text(label, rnd, 0.08) for label in WORDS for _ in range(150)]
    alone, helped = train(few), train(few, unlabelled)

    def right(model: Model) -> int:
        return sum(model.predict(one).best == label for one, label in held)

    assert helped.figures.unlabelled == 450
    assert right(helped) > right(alone)


def test_texts_without_a_label_are_ignored_where_labels_are_many() -> None:
    assert train(examples(30), ["goal team"] * 20).figures.unlabelled == 0
