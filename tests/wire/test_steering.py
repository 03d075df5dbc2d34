"""Standing still on a running wire, by the command line: stages, a drain before a deploy, pools that change, a frozen broker."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from services.console.demo.bulk import BulkSite
from services.console.demo.faults import Fault
from services.console.demo.receiver import Receiver
from services.publish import sign
from shared import clock, pipeline
from shared.store import console, switches, workers
from tests.console.collector import Collector, attributes
from tests.console.command import Said, process
from tests.wire.harness import Wire, host_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SECRET = sign.new_secret(bytes(range(32)))


@pytest.fixture
def site() -> Iterator[BulkSite]:
    made = BulkSite(4, seed=11)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(SECRET)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.stop()


@pytest.fixture
def wire(tmp_path: Path, site: BulkSite, receiver: Receiver, collector: Collector) -> Iterator[Wire]:
    made = Wire(
        tmp_path / "data", [host_of(site.url), host_of(receiver.url)], workers={"enrich": 1, "extract": 1, "fetch": 4},
        logs={"format": "json", "pieces": True}, traces={"endpoint": collector.url},
    )  # fmt: skip
    try:
        made.up()
        made.add_source(site.feed_url)
        made.add_partner(receiver.url, "partner", SECRET)
        yield made
    finally:
        made.close()


def briefwire(wire: Wire, *arguments: str) -> Said:
    return process(*arguments, data=wire.folder)


def got(receiver: Receiver) -> int:
    return len({r.article_id for r in receiver.accepted})


def in_hand(wire: Wire) -> dict[str, int]:
    with wire.store.read() as connection:
        return {stage: n for stage, n in switches.in_hand(connection, clock.now()).items() if n}


def waiting(wire: Wire, queue: str) -> int:
    with wire.store.read() as connection:
        return console.waiting(connection)[queue]


def whole_traces(collector: Collector) -> set[str]:
    """Articles of which there is one trace, from the page to the partner's answer."""
    spans: dict[str, set[tuple[bytes, str]]] = {}
    for service, span in collector.spans:
        spans.setdefault(attributes(span)["briefwire.article_id"], set()).add((span.trace_id, service))
    services = {"briefwire-ingest", "briefwire-enrich", "briefwire-publish"}
    return {article for article, found in spans.items()
            if {service for _, service in found} == services and len({trace for trace, _ in found}) == 1}  # fmt: skip


def test_a_paused_stage_holds_its_work_through_a_restart_and_lets_it_go(
    wire: Wire, site: BulkSite, receiver: Receiver, collector: Collector
) -> None:
    wire.wait(lambda: wire.idle() and got(receiver) == 4, 90, "the first briefs")
    said = briefwire(wire, "stage", "pause", "deliver", "--reason", "their network is down")
    assert (said.code, "stage resume deliver" in said.out) == (0, True)
    assert briefwire(wire, "stage", "pause", "extract").code == 0
    site.publish(3)
    wire.wait(lambda: waiting(wire, "extract") == 3, 60, "three pages before the paused extraction")
    assert briefwire(wire, "stage", "resume", "extract").code == 0
    wire.wait(lambda: waiting(wire, "deliver") == 3, 60, "three deliveries before the paused stage")
    wire.stop()
    wire.up()
    rows = {row["queue"]: row for row in briefwire(wire, "queues", "--json").json}
    assert (rows["deliver"]["paused"], rows["deliver"]["waiting"], rows["fetch"]["paused"]) == (
        ["stage deliver"],
        3,
        [],
    )
    assert "their network is down" in briefwire(wire, "queues").out
    assert got(receiver) == 4
    assert briefwire(wire, "stage", "resume", "deliver").code == 0
    wire.wait(lambda: wire.idle() and got(receiver) == 7, 60, "what had waited")
    assert receiver.state()["repeated"] == 0
    actions = [line["action"] for line in briefwire(wire, "audit", "--json").json]
    assert actions == ["resume-stage", "resume-stage", "pause-stage", "pause-stage"]
    wire.wait(lambda: len(whole_traces(collector)) == 7, 60, "a whole trace of each article")
    wire.stop()
    lines = [
        json.loads(line)
        for file in (wire.folder / "logs").glob("*.log")
        for line in file.read_text().splitlines()
        if line.startswith("{")  # the rest is what Celery says at its end
    ]
    attempts = [line for line in lines if line["message"] == "attempt"]
    published = [line for line in lines if line["message"] == "article.published"]
    assert {line["part"] for line in attempts} == {"deliver"}
    assert {line["article_id"] for line in attempts} == {line["article_id"] for line in published}
    assert {line["event"] for line in attempts} == {line["event"] for line in published} == set(range(1, 8))
    assert SECRET not in json.dumps(lines)


def test_a_drain_waits_for_what_is_in_hand_and_up_goes_on(wire: Wire, site: BulkSite, receiver: Receiver) -> None:
    wire.wait(lambda: wire.idle() and got(receiver) == 4, 90, "the first briefs")
    receiver.faults.set(Fault(hang_s=4.0))
    site.publish(1)
    wire.wait(lambda: in_hand(wire).get("deliver", 0) == 1, 60, "a delivery in flight")
    impatient = briefwire(wire, "drain", "--timeout", "0", "--json")
    assert (impatient.code, impatient.json["safe"], impatient.json["in_hand"]["deliver"]) == (1, False, 1)
    receiver.faults.set(None)
    site.publish(5)
    said = briefwire(wire, "drain", "--timeout", "60")
    assert (said.code, "safe" in said.out) == (0, True), said.err
    assert in_hand(wire) == {}
    assert got(receiver) == 5
    wire.stop()
    wire.up()
    wire.wait(lambda: wire.idle() and got(receiver) == 10, 60, "what had come during the drain")
    assert receiver.state()["repeated"] == 0


def sizes(wire: Wire, since: Any) -> dict[str, set[int | None]]:
    """Queue -> the pool sizes that its consumers told since then."""
    with wire.store.read() as connection:
        fresh = [beat for beat in workers.all_beats(connection) if beat["at"] > since]
    return {queue: {beat["size"] for beat in fresh if beat["kind"] == queue} for queue in pipeline.QUEUES}


def test_pools_grow_and_shrink_while_they_work_and_a_restart_remembers(
    wire: Wire, site: BulkSite, receiver: Receiver
) -> None:
    wire.wait(lambda: wire.idle() and got(receiver) == 4, 90, "the first briefs")
    for kind, n in (("fetch", "9"), ("extract", "3")):
        assert briefwire(wire, "workers", "set", kind, n).code == 0
    since = clock.now()
    wire.wait(lambda: sizes(wire, since)["fetch"] >= {9} and sizes(wire, since)["extract"] >= {3}, 60, "larger pools")
    extract = wire.child("extract@")
    assert len(extract.children()) == 3
    site.publish(20)
    for kind, n in (("fetch", "2"), ("extract", "1")):
        assert briefwire(wire, "workers", "set", kind, n).code == 0
    since = clock.now()
    wire.wait(lambda: sizes(wire, since)["fetch"] >= {2} and sizes(wire, since)["extract"] >= {1}, 60, "smaller pools")
    wire.wait(lambda: wire.idle() and got(receiver) == 24, 90, "everything published meanwhile")
    assert receiver.state()["repeated"] == 0
    wire.stop()
    wire.up()
    since = clock.now()
    wire.wait(lambda: sizes(wire, since)["fetch"] >= {2}, 60, "the size to be remembered")
    listed = briefwire(wire, "workers", "--json").json
    assert {row["size"] for row in listed if row["queue"] == "extract"} >= {1}
    refused = briefwire(wire, "workers", "set", "extract", "1000")
    assert (refused.code, "at most 64" in refused.err) == (2, True)


def test_a_frozen_broker_is_told_of_and_started_anew(wire: Wire, site: BulkSite, receiver: Receiver) -> None:
    wire.wait(lambda: wire.idle() and got(receiver) == 4, 90, "the first briefs")
    frozen = wire.child("valkey")
    workers_before = {wire.child(word).pid for word in ("fetch@", "extract@", "enrich@", "deliver@")}
    os.kill(frozen.pid, signal.SIGSTOP)
    checks = json.loads(briefwire(wire, "doctor", "--json").out)["checks"]
    (found,) = [one for one in checks if one["name"] == "broker"]
    assert (found["state"], "frozen" in found["what"]) == ("fault", True)
    site.publish(5)
    wire.wait(lambda: not frozen.is_running() or frozen.status() == psutil.STATUS_ZOMBIE, 60, "the frozen broker's end")
    wire.wait(lambda: wire.idle() and got(receiver) == 9, 90, "what was published meanwhile")
    assert receiver.state()["repeated"] == 0
    assert {wire.child(word).pid for word in ("fetch@", "extract@", "enrich@", "deliver@")} == workers_before


def test_a_paused_host_and_a_paused_partner_hold_their_work_and_let_it_go(
    wire: Wire, site: BulkSite, receiver: Receiver
) -> None:
    wire.wait(lambda: wire.idle() and got(receiver) == 4, 90, "the first briefs")
    host = host_of(site.url)
    assert briefwire(wire, "host", "pause", host, "--reason", "they asked").code == 0
    site.publish(2)
    wire.wait(lambda: waiting(wire, "fetch") == 2, 60, "two pages of the paused host")
    assert briefwire(wire, "partner", "pause", "partner").code == 0
    wire.stop()
    wire.up()
    rows = {row["queue"]: row["paused"] for row in briefwire(wire, "queues", "--json").json}
    assert (rows["fetch"], rows["deliver"]) == ([f"host {host}"], ["partner partner"])
    assert waiting(wire, "fetch") == 2
    assert briefwire(wire, "host", "resume", host).code == 0
    wire.wait(lambda: waiting(wire, "deliver") == 2, 60, "two deliveries before the paused partner")
    assert got(receiver) == 4
    assert briefwire(wire, "partner", "resume", "partner").code == 0
    wire.wait(lambda: wire.idle() and got(receiver) == 6, 60, "what had waited")
    assert receiver.state()["repeated"] == 0
    wire.stop()
    actions = [line["action"] for line in briefwire(wire, "audit", "--json").json]
    assert actions == ["resume-partner", "resume-host", "pause-partner", "pause-host"]


def check(wire: Wire, name: str) -> bool:
    """What /health says of one thing."""
    shown = (wire.folder / "web.url").read_text().strip().rstrip("/")
    return bool(requests.get(f"{shown}/health", timeout=10).json()["checks"][name])


def test_a_stopped_worker_is_not_healthy_and_is_started_anew(wire: Wire, site: BulkSite, receiver: Receiver) -> None:
    wire.wait(lambda: wire.idle() and got(receiver) == 4, 90, "the first briefs")
    stopped = wire.child("extract@")
    assert briefwire(wire, "health", "extract").code == 0
    os.kill(stopped.pid, signal.SIGSTOP)
    wire.wait(lambda: stopped.status() == psutil.STATUS_STOPPED, 10, "the worker to stand still")
    said = briefwire(wire, "health", "extract")
    assert (said.code, "is stopped" in said.err, f":{stopped.pid}:" in said.err) == (1, True, True)
    listed = briefwire(wire, "workers", "--json")
    assert listed.code == 1
    assert {row["queue"] for row in listed.json if row["stopped"]} == {"extract"}
    assert briefwire(wire, "health", "fetch").code == 0
    (found,) = [one for one in briefwire(wire, "doctor", "--json").json["checks"] if one["name"] == "workers"]
    assert (found["state"], f":{stopped.pid}:" in found["what"]) == ("fault", True)
    site.publish(2)
    wire.wait(lambda: not check(wire, "worker-extract"), 70, "/health to tell of the queue that nobody consumes")
    wire.wait(lambda: wire.idle() and got(receiver) == 6, 90, "what was published meanwhile")
    assert wire.child("extract@").pid != stopped.pid
    wire.wait(lambda: check(wire, "worker-extract"), 60, "/health to be well again")
    assert receiver.state()["repeated"] == 0
