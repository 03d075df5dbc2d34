"""A URL in; Page, NotModified or Gone out; Retryable or Rejected raised for every other answer.

`get` makes the call, `judged` reads the reply: what each status means is decided there and nowhere else.

    2xx Page | 304 NotModified | 404, 410 Gone
    429, 503 Retryable("slow-down")          the lane slows down, by Retry-After where stated
    other 5xx Retryable("server-error")      the site is ill
    401, 403, 408, 425 Retryable             walls that come and go; whoever calls counts the attempts
    other 4xx, a 3xx that leads nowhere      Rejected
"""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from services.ingest import robots
from shared.errors import Rejected, Retryable
from shared.http import Door, Reply, Request
from shared.urls import absolute

ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
_KEPT_NAMES = """
    age cache-control content-language content-location content-type date etag expires last-modified link refresh
    retry-after server x-robots-tag
"""
_PASSING = frozenset((401, 403, 408, 425))
_MAX_AGE = re.compile(r'(?:^|[,\s])max-age\s*=\s*"?(\d{1,10})', re.IGNORECASE)
_NO_CACHE = re.compile(r"(?:^|[,\s])no-(?:cache|store)(?:$|[,\s=])", re.IGNORECASE)
_SENDABLE = re.compile(r"[\x20-\x7e]{1,1000}")


class Page(msgspec.Struct, frozen=True):
    """Bytes and how they came. `headers` are those worth keeping, names in lower case.

    `permanent` says that there were redirects and all of them were permanent (301, 308). `max_age_s` is how long the
    server calls this fresh: seconds, 0 for "always ask", None when it says nothing.
    """

    requested_url: str
    final_url: str
    status: int
    headers: dict[str, str]
    content_type: str | None
    body: bytes
    etag: str | None
    last_modified: str | None
    permanent: bool
    hops: tuple[tuple[int, str], ...]
    duration_s: float
    max_age_s: float | None
    fetched_at: dt.datetime
    peer: str


class NotModified(msgspec.Struct, frozen=True):
    """The copy that the validators stood for is still good. They are the newest known: the reply's, else those sent."""

    requested_url: str
    final_url: str
    etag: str | None
    last_modified: str | None
    permanent: bool
    duration_s: float
    max_age_s: float | None
    fetched_at: dt.datetime


class Gone(msgspec.Struct, frozen=True):
    """Nothing is there: 404 (may come back) or 410 (will not)."""

    requested_url: str
    final_url: str
    status: Literal[404, 410]
    duration_s: float
    fetched_at: dt.datetime


def get(
    door: Door,
    url: str,
    *,
    etag: str | None = None,
    last_modified: str | None = None,
    max_decoded: int | None = None,
    accept: str = ACCEPT,
) -> Page | NotModified | Gone:
    """The page at `url`, asked for conditionally where validators are given, redirects followed.

    Raises:
        Retryable: what the door raises; "slow-down" with `after_s` in full, "server-error", "bot-wall", "http-403" and
            the like.
        Rejected: what the door raises; "http-400" and the like, "bad-redirect".
    """
    asked = {"If-None-Match": _sendable(etag), "If-Modified-Since": _sendable(last_modified)}
    validators = {name: value for name, value in asked.items() if value}
    reply = door.send(Request(url, headers={"Accept": accept, **validators}, max_decoded=max_decoded))
    return judged(reply, url, dt.datetime.now(dt.UTC), etag=etag, last_modified=last_modified)


def rules(door: Door, url: str, *, failing_s: float = 0.0) -> robots.Rules:
    """The robots.txt rules of the host of `url`; `failing_s` is for how long it could not be read before now.

    Raises:
        Rejected: "address-refused" and other refusals of the door: the host itself is out of bounds.
    """
    place = absolute(url, "/robots.txt")
    if place is None:
        raise Rejected("bad-url", f"{url[:200]!r} is not an http or https URL.")
    request = Request(place, redirects=5, max_decoded=robots.LONGEST, cut_body_ok=True)
    try:
        reply = door.send(request)
    except Retryable:
        return robots.rules(None, b"", failing_s=failing_s)
    except Rejected as error:
        if error.reason != "too-many-redirects":
            raise
        return robots.rules(404, b"")  # RFC 9309, 2.3.1.2: more than five redirects count as no robots.txt
    whole = reply.complete or len(reply.body) >= robots.LONGEST  # a file cut short may lack the rule that counts
    return robots.rules(reply.status if whole else None, reply.body, failing_s=failing_s)


def judged(
    reply: Reply, url: str, now: dt.datetime, *, etag: str | None = None, last_modified: str | None = None
) -> Page | NotModified | Gone:
    """What a reply to a request for `url` means at `now`, given the validators that were sent. Raises as `get` does."""
    status = reply.status
    if 200 <= status < 300:
        return _page(reply, url, now)
    if status == 304 and (etag or last_modified):
        return NotModified(
            requested_url=url,
            final_url=reply.final_url,
            etag=_sendable(reply.headers.get("etag")) or etag,
            last_modified=_sendable(reply.headers.get("last-modified")) or last_modified,
            permanent=_permanent(reply),
            duration_s=reply.duration_s,
            max_age_s=max_age_s(reply.headers, now),
            fetched_at=now,
        )
    if status in (404, 410):
        return Gone(url, reply.final_url, 404 if status == 404 else 410, reply.duration_s, now)
    raise _refusal(reply, now)


def retry_after_s(value: str | None, now: dt.datetime) -> float | None:
    """Retry-After (seconds or an HTTP date) in seconds from `now`, in full; None when absent or unreadable."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    moment = _http_date(text)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def max_age_s(headers: Mapping[str, str], now: dt.datetime) -> float | None:
    """For how many seconds the reply is fresh (RFC 9111): max-age less Age, else Expires; None when it says nothing."""
    control = headers.get("cache-control", "")
    if _NO_CACHE.search(control):
        return 0.0
    found = _MAX_AGE.search(control)
    if found:
        age = headers.get("age", "").strip()
        return max(0.0, float(found[1]) - (float(age[:10]) if age.isascii() and age.isdigit() else 0.0))
    expires = _http_date(headers.get("expires", ""))
    if expires is None:
        return None
    return max(0.0, (expires - (_http_date(headers.get("date", "")) or now)).total_seconds())


def _page(reply: Reply, url: str, now: dt.datetime) -> Page:
    return Page(
        requested_url=url,
        final_url=reply.final_url,
        status=reply.status,
        headers={name: value for name in _KEPT_NAMES.split() if (value := reply.headers.get(name)) is not None},
        content_type=reply.headers.get("content-type"),
        body=reply.body,
        etag=_sendable(reply.headers.get("etag")),
        last_modified=_sendable(reply.headers.get("last-modified")),
        permanent=_permanent(reply),
        hops=reply.hops,
        duration_s=reply.duration_s,
        max_age_s=max_age_s(reply.headers, now),
        fetched_at=now,
        peer=reply.peer,
    )


def _refusal(reply: Reply, now: dt.datetime) -> Retryable | Rejected:
    """The fate of an answer that brings nothing."""
    status, where = reply.status, f"{reply.final_url} answered {reply.status}"
    after_s = retry_after_s(reply.headers.get("retry-after"), now)
    if status in (429, 503):
        return Retryable("slow-down", f"{where}: it asks for fewer requests.", after_s=after_s)
    if "challenge" in reply.headers.get("cf-mitigated", "").lower():
        return Retryable("bot-wall", f"{where}: a bot wall stands before it; ask the publisher to let the agent in.")
    if status >= 500:
        return Retryable("server-error", f"{where}.", after_s=after_s)
    if status in _PASSING:
        return Retryable(f"http-{status}", f"{where}.", after_s=after_s)
    if 300 <= status < 400:
        return Rejected("bad-redirect", f"{where} and leads nowhere.")
    return Rejected(f"http-{status}", f"{where}.")


def _permanent(reply: Reply) -> bool:
    return bool(reply.hops) and all(status in (301, 308) for status, _ in reply.hops)


def _sendable(validator: str | None) -> str | None:
    """A validator as it can go out again; one with odd bytes in it cannot."""
    return validator if validator and _SENDABLE.fullmatch(validator) else None


def _http_date(text: str) -> dt.datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
