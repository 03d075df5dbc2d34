"""robots.txt as it was answered in, a stored record of its rules out; then a URL in, a decision that says why out.

RFC 9309: an answer of 4xx means no rules, one of 5xx or none at all means hands off, until that has lasted 30 days.
"""

from __future__ import annotations

import functools
from typing import Literal

import msgspec
from protego import Protego

LONGEST = 500 * 1024
"""Bytes of a robots.txt that are read; what follows is passed over, as the RFC allows."""

_HANDS_OFF_S = 30 * 86400.0
_SLOWEST_S = 86400.0


class Rules(msgspec.Struct, frozen=True):
    """What one host says to robots: `text` counts when `access` is "rules". `why` is a sentence for people."""

    access: Literal["rules", "allow-all", "disallow-all"]
    why: str
    status: int | None
    text: str = ""
    sitemaps: tuple[str, ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """Whether `agent` may fetch `url`, and which gap between requests the host asks for (None: it does not say)."""

    allowed: bool
    url: str
    agent: str
    why: str
    crawl_delay_s: float | None = None


def rules(status: int | None, body: bytes, *, failing_s: float = 0.0) -> Rules:
    """The rules in the answer to /robots.txt.

    Args:
        status: of the final answer, redirects followed; None when there was none (name, connection, deadline).
        body: as decoded by the transport; only its first `LONGEST` bytes count.
        failing_s: seconds since the file could last be read; with 30 days of failures the host counts as without rules.
    """
    if status is None or status >= 500:
        seen = "could not be reached" if status is None else f"answered {status}"
        if failing_s >= _HANDS_OFF_S:
            return Rules("allow-all", f"robots.txt {seen} for 30 days: taken as absent.", status)
        return Rules("disallow-all", f"robots.txt {seen}: nothing is fetched until it can be read.", status)
    if not 200 <= status < 300:
        return Rules("allow-all", f"robots.txt answered {status}: the host has no rules.", status)
    text = body[:LONGEST].decode("utf-8", "replace").removeprefix("\ufeff")
    return Rules("rules", "robots.txt was read.", status, text, tuple(_parsed(text).sitemaps))


def decide(found: Rules, url: str, agent: str) -> Decision:
    """The decision for one URL. `agent` is the User-Agent header; its product token is what rules name."""
    if found.access != "rules":
        return Decision(found.access == "allow-all", url, agent, found.why)
    parsed, token = _parsed(found.text), _token(agent)
    allowed = bool(parsed.can_fetch(url, token))
    why = f"robots.txt {'allows' if allowed else 'disallows'} this to {token}."
    return Decision(allowed, url, agent, why, _delay_s(parsed, token))


def _delay_s(parsed: Protego, token: str) -> float | None:
    """The longer of Crawl-delay and the gap that Request-rate means, at most a day."""
    rate = parsed.request_rate(token)
    asked = [parsed.crawl_delay(token), rate.seconds / rate.requests if rate and rate.requests else None]
    delays = [float(delay) for delay in asked if delay is not None and delay >= 0]
    return min(max(delays), _SLOWEST_S) if delays else None


def _token(agent: str) -> str:
    return agent.partition("/")[0].partition(" ")[0] or "*"


@functools.lru_cache(maxsize=512)
def _parsed(text: str) -> Protego:
    return Protego.parse(text)
