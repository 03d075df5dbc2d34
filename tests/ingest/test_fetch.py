"""Fetching: what each answer of a site means. Real servers on loopback for the call, values for the judgement."""

from __future__ import annotations

import datetime as dt
import gzip
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import fetch
from services.ingest.fetch import Gone, NotModified, Page
from shared.errors import Rejected, Retryable
from shared.http import Door, Policy, Reply
from tests.shared.hostile import Server, read_request

NOW = dt.datetime(2026, 5, 20, 12, 0, 0, tzinfo=dt.UTC)
URL = "https://news.example.org/story"


@pytest.fixture
def door() -> Iterator[Door]:
    through = Door(Policy(allow_hosts=frozenset({"127.0.0.1"}), deadline_s=10, connect_s=5))
    yield through
    through.close()


def _reply(status: int, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    values: dict[str, Any] = {
        "status": status, "headers": headers or {}, "body": b"<p>", "final_url": URL, "hops": (), "duration_s": 0.2,
        "complete": True, "peer": "93.184.216.34:443",
    }  # fmt: skip
    return Reply(**(values | more))


def _judged(status: int, headers: dict[str, str] | None = None, **more: Any) -> Page | NotModified | Gone:
    return fetch.judged(_reply(status, headers), URL, NOW, **more)


# --- over the wire ---


def test_a_page_comes_with_what_belongs_to_it(door: Door, site: Callable[..., str]) -> None:
    def answer(path: str, head: bytes) -> bytes:
        if path == "/old":
            return b"HTTP/1.1 301 Moved\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n"
        body = gzip.compress("<p>Привет".encode())
        lines = (
            "HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Content-Encoding: gzip", 'ETag: W/"7"', "Age: 20",
            "Content-Type: text/html; charset=utf-8", "Cache-Control: public, max-age=300", "Set-Cookie: a=b",
            "Last-Modified: Wed, 20 May 2026 10:00:00 GMT", "Link: </hub>; rel=hub", "Link: </self>; rel=self",
        )  # fmt: skip
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    base = site(answer)
    page = fetch.get(door, f"{base}/old")
    assert isinstance(page, Page)
    assert (page.requested_url, page.final_url, page.status) == (f"{base}/old", f"{base}/new", 200)
    assert page.hops == ((301, f"{base}/old"),)
    assert page.permanent
    assert page.body.decode() == "<p>Привет"
    assert page.content_type == "text/html; charset=utf-8"
    assert (page.etag, page.last_modified) == ('W/"7"', "Wed, 20 May 2026 10:00:00 GMT")
    assert page.max_age_s == 280
    assert page.headers["link"] == "</hub>; rel=hub, </self>; rel=self"
    assert "set-cookie" not in page.headers
    assert page.duration_s > 0
    assert page.peer.startswith("127.0.0.1:")


def test_validators_are_sent_and_304_keeps_them(door: Door, site: Callable[..., str]) -> None:
    heads: list[bytes] = []

    def answer(path: str, head: bytes) -> bytes:
        heads.append(head)
        return b'HTTP/1.1 304 Not Modified\r\nETag: "8"\r\n\r\n'

    url = site(answer) + "/feed"
    same = fetch.get(door, url, etag='"7"', last_modified="Wed, 20 May 2026 10:00:00 GMT")
    assert isinstance(same, NotModified)
    assert (same.etag, same.last_modified) == ('"8"', "Wed, 20 May 2026 10:00:00 GMT")
    assert b'If-None-Match: "7"\r\n' in heads[0]
    assert b"If-Modified-Since: Wed, 20 May 2026 10:00:00 GMT\r\n" in heads[0]
    assert b"Accept: text/html" in heads[0]
    assert b"User-Agent: Briefwire/" in heads[0]


def test_a_validator_that_cannot_be_sent_is_left_out(door: Door, site: Callable[..., str]) -> None:
    heads: list[bytes] = []

    def answer(path: str, head: bytes) -> bytes:
        heads.append(head)
        return b'HTTP/1.1 200 OK\r\nETag: "\xd0\xb6"\r\nContent-Length: 0\r\n\r\n'

    page = fetch.get(door, site(answer), etag='"\r\nX: 1"')
    assert isinstance(page, Page)
    assert page.etag is None
    assert b"If-None-Match" not in heads[0]


def test_a_page_larger_than_asked_for_is_refused(door: Door, site: Callable[..., str]) -> None:
    url = site(lambda path, head: b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + bytes(5000))
    assert isinstance(fetch.get(door, url, max_decoded=5000), Page)
    with pytest.raises(Rejected, match="too-large"):
        fetch.get(door, url, max_decoded=4999)


@pytest.mark.parametrize(
    ("answer", "access", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\nUser-agent: *\nDisallow: /", "rules", 200),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "allow-all", 404),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "allow-all", 403),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "disallow-all", 503),
        (b"HTTP/1.1 302 Found\r\nLocation: /robots.txt\r\nContent-Length: 0\r\n\r\n", "allow-all", 404),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\nUser-agent: *\nDisallow: /\n" + b"#" * 900000, "rules", 200),
        (b"not HTTP\r\n\r\n", "disallow-all", None),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno", "disallow-all", None),
    ],
)  # fmt: skip
def test_the_rules_of_a_host(
    answer: bytes, access: str, status: int | None, door: Door, site: Callable[..., str]
) -> None:
    paths: list[str] = []

    def at(path: str, head: bytes) -> bytes:
        paths.append(path)
        return answer

    found = fetch.rules(door, site(at) + "/a/story?x=1")
    assert (found.access, found.status) == (access, status)
    assert set(paths) == {"/robots.txt"}
    assert ("Disallow: /" in found.text) is (access == "rules")


def test_rules_of_a_host_out_of_bounds_are_refused(door: Door) -> None:
    with pytest.raises(Rejected, match="address-refused"):
        fetch.rules(door, "http://10.0.0.1/story")
    with pytest.raises(Rejected, match="bad-url"):
        fetch.rules(door, "mailto:desk@example.org")


# --- judgement ---


@pytest.mark.parametrize("status", [200, 203, 206, 299])
def test_2xx_is_a_page(status: int) -> None:
    page = _judged(status)
    assert isinstance(page, Page)
    assert (page.status, page.fetched_at, page.permanent, page.max_age_s) == (status, NOW, False, None)


@pytest.mark.parametrize("status", [404, 410])
def test_404_and_410_are_gone(status: int) -> None:
    gone = _judged(status)
    assert isinstance(gone, Gone)
    assert gone.status == status


@pytest.mark.parametrize("status", [429, 503])
def test_429_and_503_slow_down(status: int) -> None:
    with pytest.raises(Retryable) as plain:
        _judged(status)
    with pytest.raises(Retryable) as stated:
        _judged(status, {"retry-after": "86400"})
    assert (plain.value.reason, plain.value.after_s) == ("slow-down", None)
    assert (stated.value.reason, stated.value.after_s) == ("slow-down", 86400.0)


@pytest.mark.parametrize("status", [401, 403, 408, 425, 500, 502, 504, 520, 599])
def test_what_comes_and_goes_is_retryable(status: int) -> None:
    with pytest.raises(Retryable) as retryable:
        _judged(status, {"retry-after": "9"})
    reason = "server-error" if status >= 500 else f"http-{status}"
    assert (retryable.value.reason, retryable.value.after_s) == (reason, 9.0)


@pytest.mark.parametrize("status", [400, 402, 405, 406, 413, 414, 418, 451])
def test_other_4xx_are_rejected(status: int) -> None:
    with pytest.raises(Rejected, match=f"http-{status}"):
        _judged(status)


@pytest.mark.parametrize("status", [300, 301, 304, 305, 308])
def test_a_3xx_that_leads_nowhere_is_rejected(status: int) -> None:
    with pytest.raises(Rejected, match="bad-redirect"):
        _judged(status)


def test_304_needs_a_question() -> None:
    assert isinstance(_judged(304, etag='"7"'), NotModified)
    assert isinstance(_judged(304, last_modified="Wed, 20 May 2026 10:00:00 GMT"), NotModified)


def test_a_bot_wall_is_named() -> None:
    with pytest.raises(Retryable, match="bot-wall"):
        _judged(403, {"cf-mitigated": "challenge"})


@pytest.mark.parametrize(
    ("hops", "permanent"),
    [((), False), ((301,), True), ((308, 301), True), ((302,), False), ((301, 302), False), ((307, 308), False)],
)
def test_a_move_is_permanent_when_every_hop_is(hops: tuple[int, ...], permanent: bool) -> None:
    page = fetch.judged(_reply(200, hops=tuple((status, URL) for status in hops)), URL, NOW)
    assert isinstance(page, Page)
    assert page.permanent is permanent


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("٣", None), ("0", 0.0), (" 120 ", 120.0),
        ("99999999999", 99999999999.0), ("Wed, 20 May 2026 12:30:00 GMT", 1800.0), ("Wed, 20 May 2026 11:00:00 GMT", 0.0),
        ("Wednesday, 20-May-26 12:00:10 GMT", 10.0), ("Wed May 20 12:00:30 2026", 30.0),
        ("Wed, 20 May 2026 15:00:30 +0300", 30.0), ("Wed, 32 May 2026 12:00:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert fetch.retry_after_s(value, NOW) == seconds


@given(st.text(max_size=40))
def test_retry_after_reads_anything(text: str) -> None:
    seconds = fetch.retry_after_s(text, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"cache-control": "max-age=600"}, 600.0),
        ({"cache-control": 'public, Max-Age="60"'}, 60.0),
        ({"cache-control": "max-age=600", "age": "100"}, 500.0),
        ({"cache-control": "max-age=600", "age": "900"}, 0.0),
        ({"cache-control": "s-maxage=900, max-age=60"}, 60.0),
        ({"cache-control": "s-maxage=900"}, None),
        ({"cache-control": "no-cache"}, 0.0),
        ({"cache-control": "max-age=600, no-store"}, 0.0),
        ({"cache-control": "private"}, None),
        ({"expires": "Wed, 20 May 2026 12:10:00 GMT"}, 600.0),
        ({"expires": "Wed, 20 May 2026 12:10:00 GMT", "date": "Wed, 20 May 2026 12:09:00 GMT"}, 60.0),
        ({"expires": "Wed, 20 May 2026 12:10:00 GMT", "cache-control": "max-age=5"}, 5.0),
        ({"expires": "0"}, None),
        ({"expires": "Wed, 20 May 2015 12:10:00 GMT"}, 0.0),
    ],
)
def test_freshness(headers: dict[str, str], seconds: float | None) -> None:
    assert fetch.max_age_s(headers, NOW) == seconds


Answer = Callable[[str, bytes], bytes]


@pytest.fixture
def site() -> Iterator[Callable[[Answer], str]]:
    """Makes a site of a function from path and request head to the whole answer; returns its URL without a slash."""
    servers: list[Server] = []

    def start(answer: Answer) -> str:
        def handler(sock: socket.socket) -> None:
            while head := read_request(sock):
                sock.sendall(answer(head.split()[1].decode(), head))

        server = Server(handler).__enter__()
        servers.append(server)
        return server.url.rstrip("/")

    yield start
    for server in servers:
        server.__exit__(None, None, None)
