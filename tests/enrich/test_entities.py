"""The names a text prints: as printed, counted, with a kind only where the words around say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.enrich.entities import Name, names
from tests.enrich import briefs


def test_people_places_and_organisations() -> None:
    found = {
        name.text: name.kind
        for name in names(briefs.FERRY[1] + " The news reached the Ministry of Transport in Orvany.")
    }
    assert found["Joost Verwey"] == "person"
    assert found["Halmeer"] == "place"
    assert found["Orvany"] == "place"
    assert found["Ministry"] == "organisation"
    assert found["Noorder Lijn"] is None


def test_a_last_name_counts_for_the_full_one() -> None:
    found = names("The court heard Judge Marta Oleander. Later it was Oleander who wrote to NATO, and Oleander waited.")
    assert found[0] == Name("Marta Oleander", "person", 3)
    assert Name("NATO", "organisation", 1) in found


def test_a_last_name_of_two_people_counts_for_neither() -> None:
    found = {name.text for name in names("They met Ada Brask and Oskar Brask. The party wants Brask to go.")}
    assert found == {"Ada Brask", "Oskar Brask", "Brask"}


def test_starts_of_sentences_days_and_months_are_no_names() -> None:
    assert names("Nobody came on Monday. Everybody came in March. Then they left.") == ()


def test_a_text_in_two_scripts() -> None:
    found = {
        name.text: name.kind for name in names("Пра гэта сказаў міністр Ігар Новік у Мінску, then flew to Port Ersk.")
    }
    assert found == {"Ігар Новік": "person", "Мінску": "place", "Port Ersk": "place"}


@pytest.mark.parametrize("text", ["", " ", "two words", "…", "42"])
def test_nothing_in_nothing_out(text: str) -> None:
    assert names(text) == ()


def test_five_megabytes_give_a_short_list() -> None:
    assert len(names("the mayor of Orvany met " * 220_000)) <= 50


@given(st.text(max_size=200))
def test_names_are_printed_in_the_text_and_ranked(text: str) -> None:
    found = names(text)
    assert [name.times for name in found] == sorted((name.times for name in found), reverse=True)
    assert len({name.text for name in found}) == len(found)
