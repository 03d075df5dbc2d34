"""Cutting text into words: the same words whatever the marks, capitals kept for names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.enrich.words import LIMIT, plain, words
from shared.text import fold


def test_words_know_capitals_sentence_starts_and_numbers() -> None:
    found = words("The Bank of Orvany lost 3.5 million. Nobody\nKnew")
    assert [word.norm for word in found] == ["the", "bank", "of", "orvany", "lost", "3.5", "million", "nobody", "knew"]
    assert [word.norm for word in found if word.opens] == ["the", "nobody", "knew"]
    assert [word.norm for word in found if word.capital and not word.opens] == ["bank", "orvany"]
    assert [word.norm for word in found if word.number] == ["3.5"]


def test_an_opening_quote_does_not_use_the_sentence_start_up() -> None:
    assert words('It ended. "Never again", he said.')[2].opens
    assert not words("He said (Never) no.")[2].opens


def test_a_comma_parts_two_names() -> None:
    found = words("from Halmeer, Orvany and Port Ersk")
    assert [word.joined for word in found] == [False, True, False, True, True, True]


def test_possessives_and_curly_quotes_are_one_word() -> None:
    assert plain("Minsk’s view, Minsk's view") == ["minsk", "view", "minsk", "view"]


def test_no_text_has_no_words() -> None:
    assert words("") == []
    assert plain(" \n ") == []


def test_a_long_text_is_read_up_to_the_limit() -> None:
    assert len(plain("word " * 2_000_000)) <= LIMIT // 5 + 1


@given(st.text(max_size=300))
def test_folding_before_changes_nothing(text: str) -> None:
    flat = " ".join(text.split())
    assert plain(fold(flat)) == plain(flat)


@given(st.text(max_size=300))
def test_both_ways_of_cutting_count_the_same(text: str) -> None:
    flat = " ".join(text.split())
    assert plain(flat) == [word.norm for word in words(flat)]
