"""Deliveries over real sockets: a receiver on loopback that answers, hangs, cuts the line or sends elsewhere."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from services.publish.deliver import ANSWER_BYTES, Target, send
from services.publish.policy import EXCERPT_CHARS, Dead, Delivered, Disable, Outcome, RetryAt, judge
from services.publish.render import render
from services.publish.sign import delivery_id, new_key_pair, new_secret, verify
from shared.errors import Rejected
from shared.http import Door, Policy
from tests.publish.records import event

NOW = dt.datetime(2026, 3, 5, 15, tzinfo=dt.UTC)
SECRET = new_secret(b"k" * 24)
ID = delivery_id("ep_1", "art_7c1", 3, "published", 0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Receiver:
    """One partner: answers each request with the given bytes, then closes; keeps what it read."""

    def __init__(self, answer: bytes, hold: threading.Event | None = None) -> None:
        self.answer, self.hold, self.requests = answer, hold, list[bytes]()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(read_request(connection))
                if self.hold is not None:
                    self.hold.wait(30)
                connection.sendall(self.answer)

    def close(self) -> None:
        if self.hold is not None:
            self.hold.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


def read_request(connection: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(65536)
        if not piece:
            return got
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    wanted = int(lengths[0]) if lengths else 0
    while len(body) < wanted:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def receiving(answer: bytes, hold: threading.Event | None = None) -> Iterator[Receiver]:
    receiver = Receiver(answer, hold)
    try:
        yield receiver
    finally:
        receiver.close()


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door(Policy(allow_hosts=frozenset({"127.0.0.1"})))
    yield made
    made.close()


def sent(door: Door, port: int, **target: object) -> Outcome:
    endpoint = Target(f"http://127.0.0.1:{port}/hook", (SECRET,), **target)  # type: ignore[arg-type]
    return send(door, endpoint, render("brief", event()), ID, NOW)


def parts(request: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return first, {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


def test_the_partner_gets_one_signed_post_with_the_body_as_rendered(door: Door) -> None:
    with receiving(OK) as receiver:
        outcome = sent(door, receiver.port)
    first, headers, body = parts(receiver.requests[0])
    assert (len(receiver.requests), first) == (1, "POST /hook HTTP/1.1")
    assert body == render("brief", event()).body
    assert headers["content-type"] == "application/json"
    assert verify([SECRET], headers, body, NOW) == ID
    assert (outcome.status, outcome.complete, outcome.excerpt) == (200, True, "ok")
    assert judge(outcome, 1, NOW, 0.0) == Delivered()


def test_rotation_and_own_headers_which_cannot_replace_ours(door: Door) -> None:
    private, public = new_key_pair(b"p" * 32)
    own = {"Authorization": "Bearer partner", "Webhook-Signature": "forged", "content-type": "x/y", "Host": "evil"}
    with receiving(OK) as receiver:
        endpoint = Target(f"http://127.0.0.1:{receiver.port}/", (private, SECRET), own)
        send(door, endpoint, render("brief", event()), ID, NOW)
    _, headers, body = parts(receiver.requests[0])
    assert headers["authorization"] == "Bearer partner"
    assert (headers["content-type"], headers["host"]) == ("application/json", f"127.0.0.1:{receiver.port}")
    assert verify([public], headers, body, NOW) == verify([SECRET], headers, body, NOW) == ID


Judged = Callable[[Outcome], bool]


@pytest.mark.parametrize(
    ("answer", "status", "complete", "verdict"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, True, Delivered),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\ncut", 200, False, Delivered),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 200, False, Delivered),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz", 200, False, Delivered),
        (b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops", 500, True, RetryAt),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", 410, True, Disable),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302, True, RetryAt),
    ],
)
def test_answers(door: Door, answer: bytes, status: int, complete: bool, verdict: type) -> None:
    with receiving(answer) as receiver:
        outcome = sent(door, receiver.port)
    assert (outcome.status, outcome.complete, len(receiver.requests)) == (status, complete, 1)
    assert isinstance(judge(outcome, 1, NOW, 0.0), verdict)


def test_retry_after_reaches_the_judge_and_the_location_the_log(door: Door) -> None:
    busy = b"HTTP/1.1 429 Busy\r\nretry-AFTER: 90\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    with receiving(busy) as receiver:
        outcome = sent(door, receiver.port)
    assert outcome.headers == {"retry-after": "90"}
    later = NOW + dt.timedelta(seconds=90)
    assert judge(outcome, 1, NOW, 0.0) == RetryAt(later, "http-429", True, later)


def test_an_endless_answer_counts_and_is_capped(door: Door) -> None:
    size = 4 * ANSWER_BYTES
    with receiving(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size) as receiver:
        outcome = sent(door, receiver.port)
    assert (outcome.status, outcome.complete, len(outcome.excerpt)) == (200, False, EXCERPT_CHARS)


def test_a_partner_that_hangs_is_cut_off_and_may_have_got_it(door: Door) -> None:
    with receiving(OK, threading.Event()) as receiver:
        outcome = sent(door, receiver.port, timeout_s=0.3)
    assert (outcome.status, outcome.failure, outcome.unknown) == (None, "deadline", True)
    assert isinstance(judge(outcome, 10, NOW, 0.0), Dead)


def test_a_partner_that_closes_without_answering(door: Door) -> None:
    with receiving(b"") as receiver:
        outcome = sent(door, receiver.port)
    assert (outcome.failure, outcome.unknown) == ("connection-reset", True)


def test_an_answer_that_is_not_http_is_a_failure_and_no_refusal(door: Door) -> None:
    with receiving(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n") as receiver:
        outcome = sent(door, receiver.port)
    assert (outcome.failure, outcome.refused, outcome.unknown) == ("headers-too-large", False, True)


def test_nobody_there(door: Door) -> None:
    with receiving(OK) as receiver:
        port = receiver.port
    outcome = sent(door, port)
    assert (outcome.failure, outcome.unknown) == ("connect-refused", False)
    verdict = judge(outcome, 1, NOW, 0.0)
    assert isinstance(verdict, RetryAt)
    assert verdict.lane


def test_a_private_address_is_refused_with_the_rule_and_disables() -> None:
    strict = Door(Policy())
    try:
        with receiving(OK) as receiver:
            endpoint = Target(f"http://127.0.0.1:{receiver.port}/", (SECRET,))
            refused = [send(strict, endpoint, render("brief", event()), ID, NOW)]
            refused.append(send(strict, Target("http://127.0.0.1/", (SECRET,)), render("brief", event()), ID, NOW))
            refused.append(send(strict, Target("ftp://partner.example/", (SECRET,)), render("brief", event()), ID, NOW))
            assert receiver.requests == []
    finally:
        strict.close()
    assert [outcome.failure for outcome in refused] == ["port-refused", "address-refused", "scheme-refused"]
    assert "127.0.0.1 is at 127.0.0.1, in" in refused[1].detail
    for outcome in refused:
        assert isinstance(judge(outcome, 1, NOW, 0.0), Disable)


def test_a_bad_secret_is_ours_to_mend_and_nothing_is_sent(door: Door) -> None:
    with receiving(OK) as receiver:
        endpoint = Target(f"http://127.0.0.1:{receiver.port}/", ("whsec_%%%",))
        with pytest.raises(Rejected, match="bad-secret"):
            send(door, endpoint, render("brief", event()), ID, NOW)
        assert receiver.requests == []
