"""Languages: by the text, by the publisher where the text does not say, never by guessing."""

from __future__ import annotations

import pytest

from services.enrich import language
from services.enrich.language import detect

FIVE = ("en", "be", "ru", "uk", "pl")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The government has postponed the vote on the budget until Monday.", "en"),
        ("Урад адклаў галасаванне па бюджэце да панядзелка.", "be"),
        ("Правительство отложило голосование по бюджету до понедельника.", "ru"),
        ("Уряд відклав голосування щодо бюджету до понеділка.", "uk"),
        ("Rząd przełożył głosowanie nad budżetem na poniedziałek.", "pl"),
    ],
)
def test_tells_neighbouring_languages_apart(text: str, code: str) -> None:
    found = detect(text, FIVE)
    assert found.code == code
    assert found.evidence.startswith("the text")
    assert 0.0 < found.confidence <= 1.0


@pytest.mark.parametrize("text", ["", "   ", "12 345", "— … !?", "\x00\ud800"])
def test_a_text_without_words_has_no_language(text: str) -> None:
    assert detect(text, FIVE) == (None, 0.0, "too little text")


def test_the_publisher_is_believed_where_there_is_too_little_text() -> None:
    assert detect("42", FIVE, "be-BY").code == "be"
    assert detect("", FIVE, "pl_PL").code == "pl"


def test_a_clear_text_outweighs_the_publisher() -> None:
    found = detect("The government has postponed the vote on the budget until Monday.", FIVE, "be")
    assert found.code == "en"
    assert "publisher says be" in found.evidence


@pytest.mark.parametrize("hint", ["xx", "de", "x-default", "", "  ", "english please", "🙂"])
def test_a_hint_outside_the_configured_languages_is_no_answer(hint: str) -> None:
    assert detect("1", FIVE, hint).code is None


def test_only_configured_languages_are_answers() -> None:
    assert detect("Der Bundestag hat gestern über den Haushalt abgestimmt.", ("en", "fr")).code in {"en", "fr", None}


def test_codes_the_model_lacks_are_left_out() -> None:
    assert detect("The government has postponed the vote.", ("en", "tlh")).code == "en"
    assert detect("The government has postponed the vote.", ("tlh",)).code is None


def test_one_allowed_set_does_not_change_another() -> None:
    text = "Правительство отложило голосование по бюджету до понедельника."
    assert [detect(text, allowed).code for allowed in (("en", "ru"), ("en", "uk", "ru"), ("en", "ru"))] == ["ru"] * 3
    assert "ru" in language.known_languages()


def test_a_mixed_text_gets_one_language_and_says_how_sure() -> None:
    found = detect("The minister said: «Урад адклаў галасаванне». He then left the room with his papers.", FIVE)
    assert found.code == "en"


def test_five_megabytes_cost_no_more_than_a_page() -> None:
    assert detect("The government has postponed the vote. " * 130_000, FIVE).code == "en"


def test_capitals_and_digits_make_no_difference() -> None:
    text = "Rząd przełożył głosowanie nad budżetem na poniedziałek"
    assert detect(text.upper() + " 2024, 17:30!", FIVE).code == "pl"
