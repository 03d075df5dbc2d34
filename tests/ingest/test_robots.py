"""robots.txt: which answers mean which rules, and what the rules decide for us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.robots import LONGEST, Decision, decide, rules
from shared.records import from_json, to_json

AGENT = "Briefwire/0.1 (+https://wire.example/contact)"
SITE = "https://news.example.org"


def _allows(text: str, path: str, agent: str = AGENT) -> bool:
    return decide(rules(200, text.encode()), SITE + path, agent).allowed


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 301, 304])
def test_without_a_file_everything_is_allowed(status: int) -> None:
    decision = decide(rules(status, b"User-agent: *\nDisallow: /"), SITE + "/a", AGENT)
    assert decision.allowed
    assert str(status) in decision.why


@pytest.mark.parametrize("status", [None, 500, 502, 503, 599])
def test_a_file_that_cannot_be_read_forbids_everything_for_30_days(status: int | None) -> None:
    for failing_s, allowed in ((0.0, False), (29 * 86400.0, False), (30 * 86400.0, True)):
        decision = decide(rules(status, b"User-agent: *\nAllow: /", failing_s=failing_s), SITE + "/a", AGENT)
        assert decision.allowed is allowed
        assert "robots.txt" in decision.why


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("", "/a", True),
        ("User-agent: *\nDisallow:", "/a", True),
        ("User-agent: *\nDisallow: /", "/a", False),
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ("User-agent: *\nDisallow: /private", "/private/a", False),
        ("User-agent: *\nDisallow: /private", "/Private/a", True),
        ("User-agent: *\nDisallow: /\nAllow: /news", "/news/1", True),
        ("User-agent: *\nAllow: /a\nDisallow: /a", "/a", True),
        ("User-agent: *\nDisallow: /*.pdf$", "/x/report.pdf", False),
        ("User-agent: *\nDisallow: /*.pdf$", "/x/report.pdf?x", True),
        ("User-agent: *\nDisallow: /%D0%B6", "/ж/1", False),
        ("User-agent: *\nDisallow: /\n\nUser-agent: briefwire\nDisallow: /x", "/a", True),
        ("User-agent: *\nAllow: /\n\nUser-agent: BRIEFWIRE\nDisallow: /", "/a", False),
        ("User-agent: other\nUser-agent: Briefwire\nDisallow: /", "/a", False),
        ("User-agent: otherbot\nDisallow: /", "/a", True),
        ("\ufeffUser-agent: *\r\nDisallow: /", "/a", False),
        ("<!doctype html><title>Not found</title>", "/a", True),
        ("Disallow: /", "/a", True),
    ],
)
def test_rules_are_read_as_the_standard_says(text: str, path: str, allowed: bool) -> None:
    assert _allows(text, path) is allowed


def test_only_the_first_part_of_an_endless_file_counts() -> None:
    start = b"User-agent: *\nDisallow: /a\n"
    found = rules(200, start + b"#" * (LONGEST - len(start)) + b"\nDisallow: /b")
    assert len(found.text) == LONGEST
    assert not decide(found, SITE + "/a", AGENT).allowed
    assert decide(found, SITE + "/b", AGENT).allowed


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("User-agent: *\nCrawl-delay: 2.5", 2.5),
        ("User-agent: *\nCrawl-delay: soon", None),
        ("User-agent: *\nCrawl-delay: -3", None),
        ("User-agent: *\nCrawl-delay: nan", None),
        ("User-agent: *\nCrawl-delay: inf", None),
        ("User-agent: *\nCrawl-delay: 99999999", 86400.0),
        ("User-agent: *\nRequest-rate: 1/10s", 10.0),
        ("User-agent: *\nRequest-rate: 2/10s\nCrawl-delay: 1", 5.0),
        ("User-agent: other\nCrawl-delay: 9", None),
        ("User-agent: *\nCrawl-delay: 9\n\nUser-agent: briefwire\nCrawl-delay: 3", 3.0),
    ],
)
def test_the_gap_a_host_asks_for(text: str, seconds: float | None) -> None:
    assert decide(rules(200, text.encode()), SITE + "/a", AGENT).crawl_delay_s == seconds


def test_sitemaps_are_kept() -> None:
    found = rules(200, b"Sitemap: https://news.example.org/s1.xml\nUser-agent: *\nDisallow: /x\nsitemap: /s2.xml")
    assert found.sitemaps == ("https://news.example.org/s1.xml", "/s2.xml")


def test_records_can_be_stored() -> None:
    found = rules(200, b"User-agent: *\nDisallow: /x\nCrawl-delay: 3")
    decision = decide(found, SITE + "/x/1", AGENT)
    assert from_json(to_json(found), type(found)) == found
    assert from_json(to_json(decision), Decision) == decision
    assert decision == Decision(False, SITE + "/x/1", AGENT, "robots.txt disallows this to Briefwire.", 3.0)


@given(st.binary(max_size=300), st.text(max_size=30))
def test_any_file_and_path_are_decided(body: bytes, path: str) -> None:
    decision = decide(rules(200, b"User-agent: *\n" + body), f"{SITE}/{path}", AGENT)
    assert decision.crawl_delay_s is None or 0 <= decision.crawl_delay_s <= 86400
