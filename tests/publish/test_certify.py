"""`certify` against the receivers printed in docs/partners.md, which pass, and against ones with a fault each, which do not."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.publish import certify
from services.publish.sign import new_secret
from shared import clock
from shared.errors import OperatorError
from shared.http import Door, Policy
from tests.publish.test_partner_docs import OURS, RECEIVERS, free_port, printed, running
from tests.websubbing import Answer, Loopback, Seen

TOKEN = "0123456789ab"


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door(Policy(allow_hosts=frozenset({"127.0.0.1"})))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certify, "PAUSE_S", 0.05)


def grade(door: Door, url: str, secret: str = OURS) -> dict[str, certify.Graded]:
    run = certify.Run(door, url, secret, TOKEN, clock.now)
    return {check.name: run.grade(check) for check in certify.CHECKS}


@pytest.mark.parametrize(("language", "command", "name"), RECEIVERS)
def test_the_printed_receivers_pass_every_check(
    language: str, command: list[str], name: str, tmp_path: Path, door: Door
) -> None:
    (tmp_path / name).write_text(printed(language), encoding="utf-8")
    port = free_port()
    with running([*command, str(tmp_path / name)], port) as lines:
        found = grade(door, f"http://127.0.0.1:{port}/in")
        assert [one for one in found.values() if not one.passed] == []
        took = lines.qsize()
    kept = {"genuine", "duplicates", "reordered", "withdrawn", "embargoed", "unknown", "long", "slow"}
    assert kept < set(found)
    assert took > len(kept)


class Receiver:
    """A receiver by the book, but for one fault."""

    def __init__(self, fault: str) -> None:
        self.fault, self.seen = fault, set[str]()

    def __call__(self, seen: Seen) -> Answer:
        given, at = seen.headers.get("webhook-id", ""), seen.headers.get("webhook-timestamp", "0")
        if self.fault != "verifies nothing" and not self.genuine(seen, given, at):
            return (500 if self.fault == "forged is an error" else 401), {}, b""
        event = json.loads(seen.body)
        data = event["data"]
        faults = {
            "refuses doubles": given in self.seen,
            "refuses older revisions": data["revision"] == 2,
            "refuses withdrawals": event["type"] == "article.withdrawn",
            "judges by the event's time": event["timestamp"] < clock.now().isoformat()[:11],
            "knows all types": event["type"] == "article.annotated",
            "knows all fields": "added_in_2031" in event,
            "takes short ones": len(seen.body) > 65_536,
            "stores the test": event["type"] == "briefwire.test",
        }
        self.seen.add(given)
        return (409 if faults.get(self.fault) else 204), {}, b""

    def genuine(self, seen: Seen, given: str, at: str) -> bool:
        content, key = f"{given}.{at}.".encode() + seen.body, b64decode(OURS.removeprefix("whsec_"))
        mac = b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        signatures = seen.headers.get("webhook-signature", "").split(" ")
        signatures = signatures[:1] if self.fault == "reads one signature" else signatures
        fresh = abs(time.time() - float(at)) < 300 or self.fault == "takes stale ones"
        return f"v1,{mac}" in signatures and fresh


@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        ("", set[str]()),
        ("verifies nothing", {"forged", "changed-body", "changed-id", "unsigned", "stale", "from-the-future"}),
        ("forged is an error", {"forged", "changed-body", "changed-id", "unsigned", "stale", "from-the-future"}),
        ("takes stale ones", {"stale", "from-the-future"}),
        ("refuses doubles", {"duplicates", "withdrawn"}),
        ("refuses older revisions", {"reordered"}),
        ("refuses withdrawals", {"withdrawn", "withdrawn-unknown"}),
        ("judges by the event's time", {"embargoed"}),
        ("knows all types", {"unknown"}),
        ("knows all fields", {"unknown"}),
        ("takes short ones", {"long"}),
        ("stores the test", {"test-event"}),
        ("reads one signature", {"rotated-secret", "other-schemes"}),
    ],
)
def test_each_fault_fails_its_checks_and_no_other(fault: str, failed: set[str], door: Door) -> None:
    receiver = Loopback(Receiver(fault))
    try:
        found = grade(door, receiver.url)
    finally:
        receiver.close()
    assert {name for name, one in found.items() if not one.passed} == failed
    assert all(found[name].advice and found[name].met for name in failed)


@pytest.mark.parametrize("answer", [404, 405, 410, 429, 301, 500])
def test_a_no_that_is_not_about_the_signature_is_no_pass(answer: int, door: Door) -> None:
    receiver = Loopback(lambda seen: (answer, {}, b""))
    try:
        found = grade(door, receiver.url)
    finally:
        receiver.close()
    assert [name for name, one in found.items() if one.passed] == ["prompt"]


def test_what_is_sent_slowly_comes_in_pieces_with_its_length(door: Door) -> None:
    receiver = Loopback(lambda seen: (204, {}, b""))
    run = certify.Run(door, receiver.url, OURS, TOKEN, clock.now)
    try:
        assert run.post(run.event(1), door=run.slow_door).ok
    finally:
        receiver.close()
    (seen,) = receiver.seen
    assert seen.headers["content-length"] == str(len(seen.body))
    assert "transfer-encoding" not in seen.headers


def test_nobody_there_and_a_machine_of_ours(door: Door) -> None:
    run = certify.Run(door, f"http://127.0.0.1:{free_port()}/", OURS, TOKEN, clock.now)
    assert run.grade(certify.CHECKS[0]).unreached
    strict = Door(Policy())
    graded = certify.Run(strict, "http://127.0.0.1:8080/", OURS, TOKEN, clock.now).grade(certify.CHECKS[0])
    strict.close()
    assert graded.refused
    assert "127.0.0.1" in graded.met


def test_a_secret_that_cannot_sign_is_told() -> None:
    certify.check_secret(new_secret(b"s" * 24))
    with pytest.raises(OperatorError, match="not usable"):
        certify.check_secret("whsec_!")
