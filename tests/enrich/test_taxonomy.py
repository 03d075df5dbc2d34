"""Taxonomies are checked when they are read; suggestions say which words spoke for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.enrich import taxonomy
from services.enrich.taxonomy import load, suggest
from shared.errors import Rejected
from tests.enrich import briefs


def made(*terms: tuple[str, str | None]) -> bytes:
    listed: list[dict[str, Any]] = [
        {"code": code, "label": f"term {code}", "broader": broader} for code, broader in terms
    ]
    return json.dumps({"scheme": "desk", "terms": listed}).encode()


@pytest.mark.parametrize(
    ("raw", "reason", "says"),
    [
        (made(("a", None), ("b", "a"), ("a", None)), "duplicate-code", "more than once: a"),
        (made(("a", "b"), ("b", "c"), ("c", "a")), "cyclic-taxonomy", "lead back to themselves"),
        (made(("a", "a")), "cyclic-taxonomy", "above a"),
        (made(("top", None), ("x", "a"), ("a", "b"), ("b", "a")), "cyclic-taxonomy", "lead back"),
        (made(("a", "z")), "unknown-broader", "a stands below z"),
        (made(), "empty-taxonomy", "desk has no terms"),
        (b"", "not-a-taxonomy", "truncated"),
        (b"\xff\xfe", "not-a-taxonomy", "malformed"),
        (b"[]", "not-a-taxonomy", "object"),
        (b'{"scheme": "desk", "terms": [{"code": 7, "label": "x"}]}', "not-a-taxonomy", "code"),
        (b'{"scheme": "desk", "terms": [], "colour": "red"}', "not-a-taxonomy", "colour"),
    ],
)
def test_what_is_wrong_is_said(raw: bytes, reason: str, says: str) -> None:
    with pytest.raises(Rejected, match=says) as caught:
        load(raw)
    assert caught.value.reason == reason


def test_a_deep_taxonomy_is_no_circle() -> None:
    deep = load(made(("0", None), *((str(n), str(n - 1)) for n in range(1, 300))))
    assert deep.top("299") == "0"


def test_the_bundled_taxonomy_has_two_levels() -> None:
    topics = taxonomy.bundled()
    tops = {term.code for term in topics.terms if term.broader is None}
    assert len(tops) == 17
    assert all(topics.top(term.code) in tops for term in topics.terms)
    assert all(term.words for term in topics.terms if term.broader is None)


@pytest.mark.parametrize(
    ("text", "top"),
    [
        ("The coach praised his team after the goal in the final of the cup.", "15000000"),
        ("The central bank left its rate alone while inflation and prices fell and exports rose.", "04000000"),
        (briefs.MINE[1], "02000000"),
        ("Voters elect a new parliament; the opposition party and the president disagree on the election.", "11000000"),
    ],
)
def test_suggestions_say_why(text: str, top: str) -> None:
    topics = taxonomy.bundled()
    found = suggest(topics, text)
    assert topics.top(found[0].code) == top
    assert found[0].reasons
    assert 0.0 < found[-1].score <= found[0].score <= 1.0


@pytest.mark.parametrize("text", ["", "…", "zzz qqq", "12 13"])
def test_nothing_is_suggested_for_nothing(text: str) -> None:
    assert suggest(taxonomy.bundled(), text) == ()
