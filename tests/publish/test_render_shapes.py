"""URIs and printable text: encoding twice changes nothing, and nothing illegal is left."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publish.render.shapes import article_uri, printable, uri, web_url

LEGAL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?([0-9a-zA-Z;/?:@&=+$.\-_!~*'(),]|%[0-9A-Fa-f]{2})*"
    r"(#([0-9a-zA-Z;/?:@&=+$.\-_!~*'(),]|%[0-9A-Fa-f]{2})*)?"
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://a.example/b?c=d&e=f#g", "https://a.example/b?c=d&e=f#g"),
        ("https://a.example/паром [1]", "https://a.example/%D0%BF%D0%B0%D1%80%D0%BE%D0%BC%20%5B1%5D"),
        ("http://[2001:db8::1]:8080/x[1]", "http://[2001:db8::1]:8080/x%5B1%5D"),
        ("https://a.example/100%/50%25", "https://a.example/100%25/50%25"),
        ("https://a.example/#a#b", "https://a.example/#a%23b"),
        ('https://a.example/"<x>^`{|}\\', "https://a.example/%22%3Cx%3E%5E%60%7B%7C%7D%5C"),
        ("urn:briefwire:article:a", "urn:briefwire:article:a"),
    ],
)
def test_uris(value: str, expected: str) -> None:
    assert uri(value) == expected


@given(st.text(max_size=30), st.sampled_from(["", "https://a.example/", "http://[::1]/", "https://u:p@b.example:8/"]))
def test_encoding_twice_changes_nothing_and_leaves_nothing_illegal(value: str, start: str) -> None:
    once = uri(start + value)
    assert uri(once) == once
    assert LEGAL.fullmatch(once)


@pytest.mark.parametrize(
    "value", [None, "", "javascript:alert(1)", "//a.example", "http://", "https:///x", " https://a"]
)
def test_only_web_addresses_are_web_urls(value: str | None) -> None:
    assert web_url(value) is None


@given(st.text(), st.text())
def test_article_uris_are_legal_and_meet_only_for_one_id(one: str, other: str) -> None:
    assert re.fullmatch(r"urn:briefwire:article:([A-Za-z0-9._-]|%[0-9A-F]{2})*", article_uri(one))
    assert (article_uri(one) == article_uri(other)) == (one == other)


@given(st.text(alphabet=st.characters()))
def test_printable_text_stays_as_it_is(text: str) -> None:
    once = printable(text)
    assert printable(once) == once
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", once)


def test_what_is_printed_stays_verbatim() -> None:
    assert printable("a\u00a0b\u202fc — “d” \ufffd\t\n\U0001f6a2") == "a\u00a0b\u202fc — “d” \ufffd\t\n\U0001f6a2"
    assert printable("one\x0btwo\x1b[31m\x00three") == "one two[31mthree"
