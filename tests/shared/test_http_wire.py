"""The door against servers that misbehave: every case ends as it has to, in its time and within its memory."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import OperatorError, Rejected, Retryable
from shared.http import Door, Policy, Reply, Request
from tests.shared.hostile import (
    CASES,
    ODDITIES,
    Authority,
    Case,
    Server,
    drips,
    ok,
    read_request,
    respond,
    says,
    tls_for,
)

DEADLINE_S = 0.4
MAX_BODY = 1 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def _policy(**changes: Any) -> Policy:
    limits: dict[str, Any] = {
        "allow_hosts": frozenset({"127.0.0.1"}),
        "deadline_s": DEADLINE_S,
        "max_raw": MAX_BODY,
        "max_decoded": MAX_BODY,
    }
    return Policy(**(limits | changes))


@pytest.fixture
def door() -> Iterator[Door]:
    plain = Door(_policy(deadline_s=5.0))
    yield plain
    plain.close()


def _ends(door: Door, request: Request) -> tuple[str, float]:
    """How a call ends (reason code or status) and after how many seconds."""
    started = time.monotonic()
    try:
        ending = str(door.send(request).status)
    except (Rejected, Retryable) as error:
        ending = error.reason
    return ending, time.monotonic() - started


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_ends_as_it_has_to(case: Case, authority: Authority) -> None:
    """Within the deadline plus a second; on a machine that stalls, at the second try."""
    deadline_s = DEADLINE_S if case.ends == "deadline" else 8.0
    connect_s = 0.2 if case.ends == "connect-timeout" else 5.0
    door = Door(_policy(ca_file=str(authority.ca_file), deadline_s=deadline_s, connect_s=connect_s))
    with Server(case.handler, tls_for(case, authority)) as server:
        url = server.url.replace("http:", "https:") if case.tls else server.url
        request = Request(url, method=case.method, body=case.body)
        ending, took_s = _ends(door, request)
        if took_s > deadline_s + 1:
            ending, took_s = _ends(door, request)
        door.close()
    assert ending == case.ends
    assert took_s <= deadline_s + 1


@pytest.mark.parametrize(
    "case", [case for case in CASES if "bomb" in case.name or "endless" in case.name], ids=lambda case: case.name
)
def test_memory_stays_bounded(case: Case) -> None:
    door = Door(_policy(deadline_s=20.0))
    with Server(case.handler) as server:
        tracemalloc.start()
        _ends(door, Request(server.url))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        door.close()
    assert peak < 32 << 20


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 5000\r\n\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n1388\r\n"]
)
def test_the_cap_on_raw_bytes_is_exact(framing: bytes) -> None:
    with Server(says(b"HTTP/1.1 200 OK\r\n" + framing + bytes(5000) + b"\r\n0\r\n\r\n", then_close=True)) as server:
        for limit, ending in ((4999, "too-large"), (6000, "200")):
            door = Door(_policy(max_raw=limit, deadline_s=5.0))
            assert _ends(door, Request(server.url))[0] == ending
            door.close()


def test_decoding_alone_cannot_outlast_the_deadline() -> None:
    bomb = next(case for case in CASES if case.name == "a gzip bomb")
    door = Door(_policy(max_decoded=1 << 30))
    with Server(bomb.handler) as server:
        assert _ends(door, Request(server.url, deadline_s=0.02))[0] == "deadline"
    door.close()


def test_another_peer_than_the_one_dialled_is_refused() -> None:
    """The one way to meet this on every machine: a connection to 0.0.0.0 arrives at 127.0.0.1."""
    door = Door(_policy(allow_hosts=frozenset({"0.0.0.0"}), deadline_s=5.0))
    with Server(says(ok(b"fine"))) as server, pytest.raises(Rejected, match=r"0\.0\.0\.0 but 127\.0\.0\.1 answered"):
        door.send(Request(f"http://0.0.0.0:{server.port}/"))
    door.close()


class _Anything:
    """Gives the answer of the moment and closes."""

    def __init__(self) -> None:
        self.answer = b""

    def __call__(self, sock: socket.socket) -> None:
        respond(sock, self.answer, then_close=True)


@pytest.fixture(scope="module")
def anything() -> Iterator[tuple[_Anything, Server, Door]]:
    answers, door = _Anything(), Door(_policy(deadline_s=5.0))
    with Server(answers) as server:
        yield answers, server, door
        door.close()


@given(
    start=st.sampled_from(ODDITIES[:6]),
    parts=st.lists(st.sampled_from(ODDITIES), max_size=10),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
)
@settings(deadline=None)
def test_any_answer_ends_in_a_reply_or_a_fate(
    start: bytes, parts: list[bytes], method: str, anything: tuple[_Anything, Server, Door]
) -> None:
    """Whatever the libraries below make of it, nothing of theirs comes through."""
    answers, server, door = anything
    answers.answer = start + b"".join(parts)
    ending, _ = _ends(door, Request(server.url, method=method))
    assert ending.isdigit() or ending in (
        "protocol-error", "cut-short", "connection-reset", "encoding-refused", "encoding-broken", "too-many-redirects",
        "scheme-refused",
    )  # fmt: skip


def test_a_head_that_arrived_counts_where_the_caller_says_so(door: Door) -> None:
    cut = {
        "reset": says(b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nab", then_reset=True),
        "closed": says(b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nab", then_close=True),
        "drips": drips(b"HTTP/1.1 202 Accepted\r\nContent-Length: 99999\r\n\r\nab", b"c"),
        "not gzip": says(b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab"),
        "unknown": says(b"HTTP/1.1 202 Accepted\r\nContent-Encoding: x\r\nContent-Length: 2\r\n\r\nab"),
        "large": says(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2000000\r\n\r\n" + b"a" * 2000000),
    }
    for name, handler in cut.items():
        with Server(handler) as server:
            hook = Request(server.url, method="POST", body=b"{}", redirects=0, deadline_s=0.5, cut_body_ok=True)
            reply = door.send(hook)
            assert (reply.status, reply.complete) == (202, False), name
            with pytest.raises((Rejected, Retryable)):
                door.send(Request(server.url, deadline_s=0.5))


def test_a_whole_reply_is_complete_and_says_who_answered(door: Door) -> None:
    with Server(says(ok(b"fine", b"X-Seen: 1", b"x-seen: 2"))) as server:
        reply = door.send(Request(server.url, method="POST", body=b"{}", cut_body_ok=True))
        assert reply.peer == f"127.0.0.1:{server.port}"
    assert (reply.status, reply.body, reply.complete, reply.hops) == (200, b"fine", True, ())
    assert reply.headers["X-SEEN"] == "1, 2"
    assert "x-other" not in reply.headers


def test_connections_are_kept_and_shared(door: Door) -> None:
    with Server(says(ok(b"fine"))) as server:
        for _ in range(20):
            door.send(Request(server.url, method="POST", body=b"{}"))
        assert server.connections == 1


def test_a_connection_long_unused_is_not_trusted() -> None:
    """A firewall in between may have forgotten it: the request would go nowhere until its deadline."""
    door = Door(_policy(idle_s=0.05, deadline_s=5.0))
    with Server(says(ok(b"fine"))) as server:
        for number in (1, 2):
            door.send(Request(server.url, method="POST", body=b"{}"))
            assert server.connections == number
            time.sleep(0.1)
        door.close()


def test_a_kept_connection_that_died_is_replaced_once(door: Door) -> None:
    """The server closes while idle, and it does so only when the next request is on its way."""

    def once(sock: socket.socket) -> None:
        respond(sock, ok(b"fine"))
        read_request(sock)

    with Server(once) as server:
        for _ in range(4):
            assert door.send(Request(server.url, method="POST", body=b"{}")).body == b"fine"
        assert server.connections == 4


def test_a_new_connection_that_dies_is_not_tried_again(door: Door) -> None:
    with Server(says(b"", then_close=True)) as server:
        with pytest.raises(Retryable, match="connection-reset"):
            door.send(Request(server.url, method="POST", body=b"{}"))
        assert server.connections == 1


def test_unasked_bytes_never_answer_the_next_request(door: Door) -> None:
    def chatty(sock: socket.socket) -> None:
        while (head := read_request(sock)) != b"":
            sock.sendall(ok(head.split()[1]) + ok(b"smuggled"))

    with Server(chatty) as server:
        for number in range(5):
            time.sleep(0.02)  # the surplus arrives before the next request does
            assert door.send(Request(f"{server.url}{number}")).body == b"/%d" % number


def _moved(status: int, location: str, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: %d\r\n\r\n%s" % (
        status, location.encode(), len(more), more,
    )  # fmt: skip


class Echo:
    """Redirects "/go" as told and keeps every request it saw."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.go = b""

    def __call__(self, sock: socket.socket) -> None:
        while request := read_request(sock):
            self.seen.append(request)
            sock.sendall(self.go if request.split()[1] == b"/go" else ok(b"there"))


@pytest.mark.parametrize(
    ("status", "method", "second"),
    [
        (301, "POST", b"GET"), (302, "POST", b"GET"), (303, "POST", b"GET"), (303, "PUT", b"GET"),
        (307, "POST", b"POST"),
        (308, "POST", b"POST"), (301, "GET", b"GET"), (302, "PUT", b"PUT"), (303, "HEAD", b"HEAD"),
    ],
)  # fmt: skip
def test_redirects_change_the_method_as_the_standard_says(status: int, method: str, second: bytes, door: Door) -> None:
    echo = Echo()
    with Server(echo) as server:
        echo.go = _moved(status, "/there?a=1#part")
        body = b"{}" if method in ("POST", "PUT") else None
        headers = {"X-Key": "1", "content-type": "application/json"}
        reply = door.send(Request(f"{server.url}go", method=method, body=body, headers=headers))
        assert reply.hops == ((status, f"{server.url}go"),)
        assert reply.final_url == f"{server.url}there?a=1"
    assert echo.seen[1].split()[:2] == [second, b"/there?a=1"]
    assert echo.seen[1].endswith(b"\r\n\r\n{}") is (second in (b"POST", b"PUT"))
    assert b"X-Key: 1" in echo.seen[1]
    assert (b"content-type" in echo.seen[1]) is (second == method.encode())


def test_what_was_meant_for_one_host_is_not_told_to_another(door: Door) -> None:
    secrets = {
        "Authorization": "Bearer x",
        "Cookie": "a=b",
        "X-Api-Key": "k",
        "Accept": "text/html",
        "If-None-Match": '"e"',
    }
    first, second = Echo(), Echo()
    with Server(first) as one, Server(second) as other:
        first.go = _moved(307, f"http://user:word@127.0.0.1:{other.port}/x")
        door.send(Request(f"http://me:secret@127.0.0.1:{one.port}/go", method="POST", headers=secrets, body=b"{}"))
    assert b"Authorization: Basic bWU6c2VjcmV0\r\n" in first.seen[0]
    assert first.seen[0].lower().count(b"authorization:") == 1
    assert b"X-Api-Key: k" in first.seen[0]
    told = second.seen[0].lower()
    assert not [name for name in (b"authorization", b"cookie", b"x-api-key") if name in told]
    assert b"accept: text/html" in told
    assert b'if-none-match: "e"' in told


def test_a_redirect_is_the_reply_where_none_may_be_followed(door: Door) -> None:
    with Server(says(_moved(308, "/elsewhere", b"moved"))) as server:
        reply = door.send(Request(server.url, method="POST", body=b"{}", redirects=0))
        assert (reply.status, reply.body, reply.headers["location"]) == (308, b"moved", "/elsewhere")
        with pytest.raises(Rejected, match="too-many-redirects"):
            door.send(Request(server.url, redirects=3))


def test_a_location_in_raw_utf8_is_understood(door: Door) -> None:
    echo = Echo()
    with Server(echo) as server:
        echo.go = _moved(302, "/новости")
        door.send(Request(f"{server.url}go"))
    assert echo.seen[1].split()[1] == b"/%D0%BD%D0%BE%D0%B2%D0%BE%D1%81%D1%82%D0%B8"


def test_an_address_in_another_spelling_is_the_same_peer() -> None:
    with Server(says(ok(b"fine"))) as server:
        door = Door(_policy(allow_hosts=frozenset({"::ffff:127.0.0.1"}), deadline_s=5.0))
        assert door.send(Request(f"http://[::ffff:127.0.0.1]:{server.port}/")).body == b"fine"
        door.close()


def test_interim_answers_are_passed_over(door: Door) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    with Server(says(interim + ok(b"fine", b"X-Last: 1"))) as server:
        for _ in range(2):
            reply = door.send(Request(server.url))
            assert (reply.status, reply.body, reply.headers.get("link")) == (200, b"fine", None)


def test_answers_without_a_body_end_at_their_head(door: Door) -> None:
    with Server(says(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99999999\r\nETag: x\r\n\r\n")) as server:
        assert door.send(Request(server.url)).status == 304
        assert door.send(Request(server.url)).body == b""
        assert server.connections == 1


def test_a_head_request_may_announce_any_length(door: Door) -> None:
    with Server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")) as server:
        reply = door.send(Request(server.url, method="HEAD"))
        assert (reply.status, reply.body, reply.complete) == (200, b"", True)


def test_a_body_that_decodes_before_its_end_leaves_no_connection_behind(door: Door) -> None:
    packed = gzip.compress(b"page") + bytes(300_000)  # what follows the last member is passed over
    with Server(says(ok(packed, b"Content-Encoding: gzip"))) as server:
        for number in range(1, 4):
            assert door.send(Request(server.url)).body == b"page"
            assert server.connections == number


def test_an_operators_authority_that_cannot_be_read_is_said_at_once() -> None:
    with pytest.raises(OperatorError, match=r"/no/such\.pem cannot be read"):
        Door(_policy(ca_file="/no/such.pem"))


def test_tls_is_verified_against_the_operators_authority(authority: Authority) -> None:
    with Server(says(ok(b"fine")), authority.server()) as server:
        trusting, strange = Door(_policy(ca_file=str(authority.ca_file), deadline_s=5.0)), Door(_policy(deadline_s=5.0))
        assert trusting.send(Request(server.url)).body == b"fine"
        assert trusting.send(Request(server.url)).body == b"fine"
        assert server.connections == 1
        with pytest.raises(Retryable, match="tls-failed"):
            strange.send(Request(server.url))
        trusting.close()
        strange.close()


def test_the_environment_has_no_say(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(says(ok(b"fine"))) as server, Server(says(ok(b"proxy"))) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert door.send(Request(server.url)).body == b"fine"
        assert proxy.connections == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-B: 2"}, {"X-A\r\n": "1"}, {"X-A": "naïve ✓"}, {"Host": "other"}, {"content-length": "3"},
        {"X": "\0"},
    ],
)  # fmt: skip
def test_headers_that_would_break_the_request_are_refused(headers: dict[str, str], door: Door) -> None:
    with pytest.raises(Rejected, match="bad-header"):
        door.send(Request("http://127.0.0.1/", headers=headers))


def test_a_name_server_that_hangs_holds_nobody_but_its_own_callers(authority: Authority) -> None:
    release = threading.Event()

    def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        if host == "hangs.test":
            release.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with Server(says(ok(b"fine"))) as server:
        door = Door(_policy(allow_hosts=frozenset({"hangs.test", "works.test"})), resolve=resolve)
        endings: list[str] = []
        threads = [
            threading.Thread(
                target=lambda: endings.append(_ends(door, Request("http://hangs.test/", deadline_s=1.0))[0])
            )
            for _ in range(40)
        ]
        for thread in threads:
            thread.start()
        assert door.send(Request(f"http://works.test:{server.port}/", deadline_s=10)).body == b"fine"
        for thread in threads:
            thread.join()
        release.set()
        door.close()
    assert endings == ["dns-timeout"] * 40


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long"), OSError("down")])
def test_a_failing_lookup_is_for_later(error: Exception) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        raise error

    door = Door(_policy(), resolve=resolve)
    with pytest.raises(Retryable, match="dns-failed"):
        door.send(Request("http://news.test/"))
    door.close()


def test_threads_share_a_door(door: Door) -> None:
    replies: list[Reply] = []
    with Server(says(ok(b"fine"))) as server:

        def work() -> None:
            replies.extend(door.send(Request(server.url, method="POST", body=b"{}")) for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.connections <= 8
    assert [reply.body for reply in replies] == [b"fine"] * 160
