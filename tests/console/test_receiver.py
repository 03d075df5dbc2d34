"""The partner over real sockets: it believes good signatures only, and fails in the ways that partners fail."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from standardwebhooks.webhooks import Webhook

from services.console.demo.faults import Fault
from services.console.demo.receiver import Receiver
from shared.errors import OperatorError

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1kZW1vLXBhcnRuZXItMzJieXRlcw=="
OTHER = "whsec_" + "YW5vdGhlci1zZWNyZXQtdGhhdC1kb2VzLW5vdC1maXQtaW4="


@pytest.fixture
def partner() -> Iterator[Receiver]:
    running = Receiver(SECRET, keep_bodies=True)
    running.start()
    yield running
    running.stop()


def signed(body: bytes, webhook_id: str = "msg_1", secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    moment = dt.datetime.fromtimestamp(time.time() if at is None else at, tz=dt.UTC)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, moment, body.decode()),
        "Content-Type": "application/json",
    }


def event(article_id: str = "a1", revision: int = 1, position: int = 1) -> bytes:
    data = {"article_id": article_id, "revision": revision, "position": position, "headline": "Žluťoučký kůň"}
    body: dict[str, Any] = {"type": "article.published", "timestamp": "2026-03-10T07:30:00+00:00", "data": data}
    return json.dumps(body, ensure_ascii=False).encode()


def post(partner: Receiver, webhook_id: str = "msg_1", body: bytes | None = None) -> int:
    body = event() if body is None else body
    return requests.post(f"{partner.url}/hook", data=body, headers=signed(body, webhook_id), timeout=5).status_code


class TestVerifying:
    def test_a_good_signature_is_taken_in(self, partner: Receiver) -> None:
        assert post(partner) == 200
        receipt = partner.received[0]
        assert (receipt.webhook_id, receipt.type) == ("msg_1", "article.published")
        assert (receipt.article_id, receipt.revision, receipt.position) == ("a1", 1, 1)
        assert (receipt.verified, receipt.accepted, receipt.status, receipt.path) == (True, True, 200, "/hook")
        assert receipt.data is not None
        assert receipt.data["headline"] == "Žluťoučký kůň"

    @pytest.mark.parametrize(
        "change",
        [
            {"webhook-signature": "v1,AAAA"},
            {"webhook-signature": "nonsense"},
            {"webhook-signature": "v1,%%%"},
            {"webhook-timestamp": "soon"},
            {"webhook-id": "msg_2"},
        ],
    )
    def test_a_changed_header_is_refused(self, partner: Receiver, change: dict[str, str]) -> None:
        body = event()
        answer = requests.post(partner.url, data=body, headers=signed(body) | change, timeout=5)
        assert answer.status_code == 401
        assert (partner.received[0].verified, partner.received[0].accepted) == (False, False)
        assert partner.received[0].why

    def test_a_missing_signature_another_body_or_secret_or_an_old_time_is_refused(self, partner: Receiver) -> None:
        body = event()
        attempts = [
            (body, {"Content-Type": "application/json"}),
            (event(revision=2), signed(body)),
            (body, signed(body, secret=OTHER)),
            (body, signed(body, at=time.time() - 3600)),
        ]
        for sent, headers in attempts:
            assert requests.post(partner.url, data=sent, headers=headers, timeout=5).status_code == 401
        counts = partner.state()
        assert (counts["posts"], counts["ids"], counts["accepted"]) == (4, 2, 0)
        assert (counts["unverified"], counts["repeated"]) == (4, 2)

    def test_one_good_signature_among_several_is_enough(self, partner: Receiver) -> None:
        body = event()
        headers = signed(body)
        headers["webhook-signature"] = (
            f"v1a,AAAA {signed(body, secret=OTHER)['webhook-signature']} " + (headers["webhook-signature"])
        )
        assert requests.post(partner.url, data=body, headers=headers, timeout=5).status_code == 200

    @pytest.mark.parametrize("body", [b"<html>", b"[1]"])
    def test_a_signed_body_that_is_no_object_is_bad(self, partner: Receiver, body: bytes) -> None:
        assert requests.post(partner.url, data=body, headers=signed(body), timeout=5).status_code == 400
        assert not partner.received[0].accepted

    def test_other_methods_are_not_recorded(self, partner: Receiver) -> None:
        assert requests.get(partner.url, timeout=5).status_code == 405
        assert partner.received == []

    def test_a_secret_that_is_none_is_one_sentence(self) -> None:
        for secret in ("whsec_", "whsec_x"):
            with pytest.raises(OperatorError, match="secret is not usable"):
                Receiver(secret)

    def test_a_log_that_cannot_be_written_is_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(OperatorError, match="Cannot write the log"):
            Receiver(SECRET, log=tmp_path / "no" / "such" / "folder.jsonl")


class TestCounting:
    def test_attempts_count_by_id_and_accepted_holds_each_once(self, partner: Receiver) -> None:
        for webhook_id in ("msg_1", "msg_2", "msg_1"):
            post(partner, webhook_id)
        assert [receipt.attempt for receipt in partner.received] == [1, 1, 2]
        assert [receipt.webhook_id for receipt in partner.accepted] == ["msg_1", "msg_2"]

    def test_one_event_under_two_ids_is_seen(self, partner: Receiver) -> None:
        post(partner, "msg_1", event(position=1))
        post(partner, "msg_1", event(position=1))
        post(partner, "msg_2", event(position=2))
        assert partner.state()["split"] == 0
        post(partner, "msg_3", event(position=2))
        assert partner.state()["split"] == 1

    def test_an_older_revision_after_a_newer_is_seen_unless_it_is_a_repetition(self, partner: Receiver) -> None:
        for webhook_id, revision in (("msg_1", 1), ("msg_2", 2), ("msg_1", 1), ("msg_3", 2)):
            post(partner, webhook_id, event(revision=revision))
        assert partner.state()["disordered"] == 0
        post(partner, "msg_0", event(revision=0))
        post(partner, "msg_9", event("another", revision=0))
        assert partner.state()["disordered"] == 1

    def test_many_threads_lose_nothing(self, partner: Receiver) -> None:
        def send(lane: int) -> None:
            with requests.Session() as session:
                for place in range(40):
                    body = event(f"a{lane}", position=place)
                    answer = session.post(partner.url, data=body, headers=signed(body, f"m{lane}-{place}"), timeout=10)
                    assert answer.status_code == 200

        threads = [threading.Thread(target=send, args=(lane,)) for lane in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert partner.state()["accepted"] == 320
        for lane in range(8):
            mine = [receipt.position for receipt in partner.received if receipt.article_id == f"a{lane}"]
            assert mine == list(range(40))

    def test_wait_for_returns_once_enough_arrived(self, partner: Receiver) -> None:
        thread = threading.Timer(0.1, post, args=(partner,))
        thread.start()
        assert partner.wait_for(lambda received: len(received) == 1, timeout_s=30)
        assert not partner.wait_for(lambda received: len(received) == 2, timeout_s=0.05)
        thread.join()

    def test_log_lines_say_what_receipts_say(self, tmp_path: Path) -> None:
        path = tmp_path / "received.jsonl"
        partner = Receiver(SECRET, log=path)
        partner.start()
        post(partner)
        requests.post(partner.url, data=b"{}", timeout=5)
        partner.stop()
        first, second = (json.loads(line) for line in path.read_text().splitlines())
        assert (first["webhook_id"], first["verified"], first["status"]) == ("msg_1", True, 200)
        assert (second["webhook_id"], second["verified"], second["status"]) == (None, False, 401)
        assert "data" not in first
        assert partner.received[0].data is None


class TestFaults:
    def test_a_status_in_place_of_200_takes_nothing_in(self, partner: Receiver) -> None:
        partner.faults.set(Fault(status=429, count=1, retry_after_s=3))
        body = event()
        answer = requests.post(partner.url, data=body, headers=signed(body), timeout=5)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
        assert partner.accepted == []
        assert post(partner) == 200
        assert [(receipt.status, receipt.attempt) for receipt in partner.received] == [(429, 1), (200, 2)]

    def test_500_after_recording_is_taken_in_all_the_same(self, partner: Receiver) -> None:
        partner.faults.set(Fault(status=500, count=1, after_recording=True))
        assert [post(partner), post(partner)] == [500, 200]
        assert [receipt.status for receipt in partner.accepted] == [500]

    @pytest.mark.parametrize("after_recording", [False, True])
    def test_a_reset_leaves_the_sender_in_doubt(self, partner: Receiver, after_recording: bool) -> None:
        partner.faults.set(Fault(reset=True, count=1, after_recording=after_recording))
        with pytest.raises(requests.ConnectionError):
            post(partner)
        assert partner.received[0].status is None
        assert len(partner.accepted) == int(after_recording)
        assert post(partner) == 200

    def test_a_hanging_partner_holds_nobody_else(self, partner: Receiver) -> None:
        partner.faults.set(Fault(hang_s=600, count=1))
        body = event()
        with pytest.raises(requests.Timeout):
            requests.post(partner.url, data=body, headers=signed(body), timeout=0.2)
        assert post(partner, "msg_2") == 200

    def test_the_same_seed_fails_the_same_share(self, partner: Receiver) -> None:
        runs = []
        for _ in range(2):
            partner.faults.set(Fault(status=500, share=0.4, seed=11))
            runs.append([post(partner, f"msg_{place}") for place in range(30)])
        assert runs[0] == runs[1]
        assert {200, 500} == set(runs[0])

    def test_control_route_sets_and_clears(self, partner: Receiver) -> None:
        control = f"{partner.url}/-/control"
        assert requests.post(control, json={"fault": {"status": 503}}, timeout=5).status_code == 200
        assert post(partner) == 503
        assert requests.post(control, json={"fault": None}, timeout=5).status_code == 200
        assert post(partner) == 200
        assert requests.post(control, json={"fault": {"status": "x"}}, timeout=5).status_code == 400
        assert requests.post(control, json={}, timeout=5).status_code == 400
        assert requests.post(control, data=b'{"fault": null}', timeout=5).status_code == 405
        assert requests.get(f"{partner.url}/-/state", timeout=5).json()["posts"] == 2


class TestProcess:
    def test_runs_with_its_switches_and_ends_on_sigterm(self, tmp_path: Path) -> None:
        ready, log = tmp_path / "ready.json", tmp_path / "received.jsonl"
        command = [sys.executable, "-m", "services.console.demo.receiver", "--secret", SECRET, "--status", "503"]
        with subprocess.Popen([*command, "--ready", str(ready), "--log", str(log)]) as process:
            try:
                deadline = time.monotonic() + 60
                while not ready.exists():
                    assert time.monotonic() < deadline, "the process never announced itself"
                    time.sleep(0.05)
                body = event()
                url = json.loads(ready.read_text())["url"]
                assert requests.post(url, data=body, headers=signed(body), timeout=5).status_code == 503
                process.terminate()
                assert process.wait(timeout=20) == 0
            finally:
                process.kill()
        line = json.loads(log.read_text())
        assert (line["verified"], line["accepted"], line["status"]) == (True, False, 503)

    def test_a_wrong_secret_is_one_sentence(self) -> None:
        command = [sys.executable, "-m", "services.console.demo.receiver", "--secret", "whsec_"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
