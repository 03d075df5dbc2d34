"""What requests would do by itself, and must not do inside the door."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator

import pytest
import requests

from shared import wire
from shared.adapter import GuardedSession, Step
from shared.errors import Rejected
from shared.http import Door, Policy, Request
from tests.shared.hostile import Server, ok, read_request, respond, says

MOVED = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: %d\r\n%s\r\n%s"


@pytest.fixture
def door() -> Iterator[Door]:
    ours = Door(Policy(allow_hosts=frozenset({"127.0.0.1"}), deadline_s=5.0, max_raw=1 << 20, max_decoded=1 << 20))
    yield ours
    ours.close()


@pytest.fixture
def session() -> Iterator[GuardedSession]:
    ours = GuardedSession(None)
    yield ours
    ours.close()


def _call(max_decoded: int) -> wire.Call:
    def connect(host: str, port: int, call: wire.Call) -> tuple[socket.socket, str]:
        return wire.dial(host, [(socket.AF_INET, (host, port))], call.left_s())

    return wire.Call(connect, within_s=5.0, idle_s=60.0, max_raw=1 << 20, max_decoded=max_decoded, max_head=65536)


def _get(url: str, port: int) -> Step:
    return Step("GET", url, "http", "127.0.0.1", port, "/", {}, None)


class Lines:
    """Answers every request with `answer` and keeps what it was asked."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.seen: list[bytes] = []

    def __call__(self, sock: socket.socket) -> None:
        while request := read_request(sock):
            self.seen.append(request)
            sock.sendall(self.answer)


def test_nothing_passes_the_session_that_the_door_did_not_prepare(session: GuardedSession) -> None:
    with Server(says(ok(b"fine"))) as server, wire.running(_call(100)):
        for ask in (session.get, session.post, session.head):
            for url in (server.url, server.url.replace("http:", "https:"), server.url.replace("http:", "HTTPS:")):
                with pytest.raises(TypeError, match="not prepared by the door"):
                    ask(url)
        assert server.connections == 0
        for url in ("ftp://127.0.0.1/", "file:///etc/passwd"):
            with pytest.raises(requests.exceptions.InvalidSchema):
                session.get(url)


def test_requests_itself_reads_no_more_than_the_call_takes(session: GuardedSession) -> None:
    packed = gzip.compress(b"a" * 5000)
    with Server(says(ok(packed, b"Content-Encoding: gzip"))) as server:
        with wire.running(_call(5000)):
            assert session.make(_get(server.url, server.port)).content == b"a" * 5000
        with wire.running(_call(4999)), pytest.raises(Rejected, match="too-large"):
            session.make(_get(server.url, server.port)).content  # noqa: B018  # reading it is the act


def test_the_body_of_a_redirect_is_not_read_behind_our_back(session: GuardedSession) -> None:
    """Nothing of it arrives here, so whoever waited for it would run into the deadline."""

    def keeps_its_body(sock: socket.socket) -> None:
        respond(sock, MOVED % (b"/next", 5000, b"Content-Encoding: gzip\r\n", b""))
        read_request(sock)

    with Server(keeps_its_body) as server, wire.running(_call(100)):
        response = session.make(_get(server.url, server.port))
        assert (response.status_code, response.headers["location"]) == (302, "/next")
        response.close()


@pytest.mark.parametrize(
    "location", [b"\xff\xfe", b"http://[::1", b"http://*.test/", b"http://a.test:99999999/", b"//"]
)
def test_a_location_that_is_no_url_is_a_reply_like_any_other(location: bytes, door: Door) -> None:
    with Server(says(MOVED % (location, 5, b"", b"moved"))) as server:
        reply = door.send(Request(server.url, redirects=0))
        assert (reply.status, reply.body) == (302, b"moved")


def test_a_bomb_on_a_redirect_counts_as_any_body(door: Door) -> None:
    bomb = gzip.compress(bytes(8 << 20))
    with Server(says(MOVED % (b"/next", len(bomb), b"Content-Encoding: gzip\r\n", bomb))) as server:
        with pytest.raises(Rejected, match="too-large"):
            door.send(Request(server.url, redirects=0))
        reply = door.send(Request(server.url, redirects=0, cut_body_ok=True))
        assert (reply.status, reply.complete, len(reply.body)) == (302, False, 1 << 20)


def test_no_cookie_is_kept(door: Door, session: GuardedSession) -> None:
    lines = Lines(ok(b"fine", b"Set-Cookie: id=1; Path=/", b"Set-Cookie: broken; expires=" + b"9" * 2000))
    with Server(lines) as server:
        for _ in range(2):
            assert door.send(Request(server.url)).headers["set-cookie"].startswith("id=1")
        with wire.running(_call(100)):
            response = session.make(_get(server.url, server.port))
            assert (len(response.cookies), len(session.cookies)) == (0, 0)
            response.close()
    assert b"cookie" not in b"".join(lines.seen).lower()


def test_the_netrc_is_not_read(door: Door, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w") as file:
        file.write("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", netrc)
    lines = Lines(ok(b"fine"))
    with Server(lines) as server:
        door.send(Request(server.url))
    assert b"authorization" not in lines.seen[0].lower()


def test_a_path_goes_out_as_it_is_written(door: Door) -> None:
    """requests would write "~" for "%7E" and "-" for "%2D": other addresses to a server that signs them."""
    lines = Lines(ok(b"fine"))
    paths = [b"/a%7Eb", b"/a//b/c;d=1", b"//other.test/c", b"/?q=%27x%27&&y=%2D"]
    with Server(lines) as server:
        for path in paths:
            door.send(Request(server.url.rstrip("/") + path.decode()))
    assert [request.split()[1] for request in lines.seen] == paths


def test_only_our_own_headers_go_out(door: Door) -> None:
    lines = Lines(ok(b"fine"))
    with Server(lines) as server:
        door.send(Request(server.url, method="POST", headers={"x-Own": "1"}, body=b"{}"))
        door.send(Request(server.url, method="POST"))
    names = [sorted(line.partition(b":")[0] for line in request.split(b"\r\n")[1:-2]) for request in lines.seen]
    assert names == [
        [b"Accept-Encoding", b"Content-Length", b"Host", b"User-Agent", b"x-Own"],
        [b"Accept-Encoding", b"Content-Length", b"Host", b"User-Agent"],
    ]
    assert b"User-Agent: Briefwire/" in lines.seen[0]


def test_what_decoding_leaves_unread_is_no_part_of_the_next_answer(door: Door) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (gzip.compress(b"page"), b"junk", ok(b"forged")))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Server(says(head + chunks + b"0\r\n\r\n")) as server:
        for number in (1, 2, 3):
            assert door.send(Request(server.url)).body == b"page"
            assert server.connections == number
