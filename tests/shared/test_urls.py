"""URLs: keys that are the same for the same page, links made absolute, and the WHATWG's own tests where at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import Rejected
from shared.urls import LONGEST, absolute, canonical, host_key, is_web

WHATWG = Path(__file__).parents[3] / "shared" / "conformance" / "urltestdata.json"


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("HTTPS://News.Example.ORG:443/A/b", "https://news.example.org/A/b"),
        ("http://news.example.org.", "http://news.example.org/"),
        ("http://news.example.org:8080/a?", "http://news.example.org:8080/a"),
        ("https://user:word@news.example.org/a#part", "https://news.example.org/a"),
        ("https://news.example.org/a/../b/./c", "https://news.example.org/b/c"),
        ("https://news.example.org/%7euser/%d0%b0%2F", "https://news.example.org/~user/%D0%B0%2F"),
        ("https://news.example.org/новости?q=слово", canonical("https://news.example.org/%D0%BD%D0%BE%D0%B2%D0%BE%D1%81%D1%82%D0%B8?q=%D1%81%D0%BB%D0%BE%D0%B2%D0%BE")),
        ("https://новости.бел/", "https://xn--b1amnebsh.xn--90ais/"),
        ("https://news.example.org/a?utm_source=rss&id=7&UTM_Medium=x&fbclid=y", "https://news.example.org/a?id=7"),
        ("https://news.example.org/a?utm%5Fsource=rss", "https://news.example.org/a"),
        ("https://news.example.org/a?&&b=1&&", "https://news.example.org/a?b=1"),
        ("https://news.example.org/a?b=2&a=1", "https://news.example.org/a?b=2&a=1"),
        ("https://news.example.org/a?id=1&id=2&empty=&flag", "https://news.example.org/a?id=1&id=2&empty=&flag"),
        ("https://news.example.org/a?q=100%&x=%zz", "https://news.example.org/a?q=100%25&x=%25zz"),
        ("https://news.example.org/#!/story/7", "https://news.example.org/#!/story/7"),
        ("  https://news.example.org/a\n", "https://news.example.org/a"),
        ("http://0x7f.1:8080/", "http://127.0.0.1:8080/"),
        ("http://[0:0::1]:8080/", "http://[::1]:8080/"),
        ("http://foo.09../", "http://foo.09../"),
    ],
)  # fmt: skip
def test_spellings_of_one_page_have_one_key(url: str, key: str) -> None:
    assert canonical(url) == key
    assert canonical(key) == key


@pytest.mark.parametrize(
    "other",
    [
        "https://news.example.org/story", "http://news.example.org/Story/7", "https://news.example.org/Story/7/",
        "https://news.example.org/Story/7?page=2", "https://news.example.org:8443/Story/7", "https://example.org/Story/7",
        "https://news.example.org/Story%2F7", "https://news.example.org/Story/7?reference=1",
    ],
)  # fmt: skip
def test_different_pages_keep_different_keys(other: str) -> None:
    assert canonical(other) != canonical("https://news.example.org/Story/7")


@pytest.mark.parametrize(
    "url",
    ["", "news.example.org/a", "/a", "//news.example.org/a", "ftp://news.example.org/", "mailto:desk@example.org",
     "javascript:void(0)", "data:,x", "http://", "https://?q", "http://a b/", "http://[::1", "http://\ud800/",
     "http:// /",
     "https://news.example.org/" + "a" * LONGEST, "http://./"],
)  # fmt: skip
def test_what_names_no_page_is_refused(url: str) -> None:
    for ask in (canonical, host_key):
        with pytest.raises(Rejected, match="bad-url"):
            ask(url)
    assert not is_web(url)


@pytest.mark.parametrize(
    ("base", "href", "link"),
    [
        ("https://example.org/a/b", "c", "https://example.org/a/c"),
        ("https://example.org/a/b", "../c?d#e", "https://example.org/c?d#e"),
        ("https://example.org/a/b", "//other.example/c", "https://other.example/c"),
        ("https://example.org/a/b", "?page=2", "https://example.org/a/b?page=2"),
        ("https://example.org/a/b", "", "https://example.org/a/b"),
        ("https://example.org/a/b", " http://other.example/x\t", "http://other.example/x"),
        ("https://example.org/a/b", "\\c", "https://example.org/c"),
        (None, "https://example.org", "https://example.org/"),
        (None, "/c", None),
        ("", "/c", None),
        ("not a base", "/c", None),
        ("https://example.org/", "mailto:desk@example.org", None),
        ("https://example.org/", "javascript:void(0)", None),
        ("https://example.org/", "tel:+375", None),
        ("https://example.org/", "http://[", None),
        ("https://example.org/", "a" * (LONGEST + 1), None),
        ("https://example.org/", "/\ud800", None),
        ("file:///srv/page.html", "other.html", None),
    ],
)
def test_links_become_absolute(base: str | None, href: str, link: str | None) -> None:
    assert absolute(base, href) == link


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://Example.org/a", "example.org"),
        ("http://example.org:80/b", "example.org"),
        ("https://example.org.:443/", "example.org"),
        ("http://127.0.0.1:8080/", "127.0.0.1:8080"),
        ("http://2130706433:8080/", "127.0.0.1:8080"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("https://новости.бел/", "xn--b1amnebsh.xn--90ais"),
    ],
)
def test_a_host_has_one_lane(url: str, key: str) -> None:
    assert host_key(url) == key


urls = st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(["example.org", "Example.ORG.", "u:p@example.org:8080", "127.1", "[::1]:443", "новости.бел"]),
    st.one_of(st.just(""), st.text(max_size=20).map("/{}".format)),
    st.one_of(st.just(""), st.text(max_size=20).map("?{}".format), st.just("?utm_source=%41&a=%%41")),
    st.one_of(st.just(""), st.text(max_size=10).map("#{}".format), st.text(max_size=10).map("#!{}".format)),
)


@given(urls)
@example("http://example.org/%%37E?%%611=%2%35")
@example("http://example.org/%2e%2E/%252e/..%2f")
@example("http://example.org/?a=1&utm_x&%75tm_y=%23#!%")
def test_a_key_is_its_own_key(url: str) -> None:
    key = canonical(url)
    assert canonical(key) == key
    assert host_key(key) == host_key(url)
    assert is_web(key)
    assert absolute(None, key) == key


@given(st.text(max_size=60))
def test_any_text_is_answered(text: str) -> None:
    link = absolute("https://example.org/a", text)
    assert link is None or canonical(link).startswith(("http://", "https://"))


def _cases() -> list[dict[str, Any]]:
    if not WHATWG.exists():
        return []
    return [case for case in json.loads(WHATWG.read_text("utf-8")) if isinstance(case, dict)]


@pytest.mark.skipif(not WHATWG.exists(), reason="the WHATWG's test data are not beside the checkout")
def test_the_standards_own_tests() -> None:
    """Every web link that the standard resolves is resolved to the same URL; nothing that it fails is a link here."""
    wrong = []
    for case in _cases():
        base = None if case["base"] in (None, "about:blank") else case["base"]
        expected = case.get("href") if str(case.get("protocol")) in ("http:", "https:") else None
        if not case.get("failure") and expected is None and case.get("protocol"):
            continue  # another scheme: no link here whatever it resolves to
        if absolute(base, case["input"]) != expected:
            wrong.append(case["input"])
    # The parser takes labels that only look like Punycode: such names do not exist. A host "." is no host to us.
    assert [text for text in wrong if "xn--" not in text.lower() and text != "http://./"] == []
    assert len(wrong) < 10


@pytest.mark.skipif(not WHATWG.exists(), reason="the WHATWG's test data are not beside the checkout")
def test_the_standards_tests_have_stable_keys() -> None:
    keys = [canonical(case["href"]) for case in _cases() if is_web(case.get("href") or "")]
    assert len(keys) > 200
    assert [canonical(key) for key in keys] == keys
