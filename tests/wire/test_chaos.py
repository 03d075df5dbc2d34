"""Everything goes wrong at once, and at each COMMIT: nothing is lost, nothing has two ids, nothing arrives in the wrong order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import chaos
from services.console.demo.bulk import BulkSite
from services.console.demo.faults import Fault
from services.console.demo.receiver import Receiver
from services.publish import sign
from tests.wire.harness import Wire, host_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
BACK_S = 10.0
RIGHT = {"lost": 0, "out_of_order": 0, "second_ids": 0, "ledger_failures": 0}


def test_a_short_chaos_loses_nothing(tmp_path: Path) -> None:
    scene, tally = chaos.Scene(tmp_path, 4, ""), chaos.Tally()
    try:
        found = chaos.run(scene, tally, None, chaos_s=12, quiet_s=5, rate=2.0, hurry=3.0, limit_s=150)
    finally:
        scene.close()
    assert {key: found[key] for key in RIGHT} == RIGHT, tally.unbalanced
    assert found["settled"]
    assert found["kills"] > 0
    assert found["delivered"] > 0


@pytest.mark.parametrize(("kind", "points"), [("sqlite", 50), ("postgresql", 12)])
def test_a_process_may_die_at_any_commit(kind: str, points: int) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.kill_points",
        "--points",
        str(points),
        "--briefs",
        "2",
        "--store",
        kind,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=390, check=True)
    *wrong, last = done.stdout.splitlines()
    found = json.loads(last)
    assert wrong == [], done.stderr[-2000:]
    assert found["points"] == points
    services = {name.partition(".")[0] for name in found["places"]}
    assert services <= {"ingest", "enrich", "publish"}
    assert len(services) >= (3 if points == 50 else 2)  # a dozen points may miss the one whose commits are fewest


def test_the_workers_are_back_soon_after_the_broker_died_with_a_task_in_flight(tmp_path: Path) -> None:
    secret = sign.new_secret(os.urandom(32))
    site, slow, quick = BulkSite(3, seed=7), Receiver(secret), Receiver(secret)
    for server in (site, slow, quick):
        server.start()
    wire = Wire(tmp_path / "data", [host_of(server.url) for server in (site, slow, quick)])
    try:
        wire.up()
        wire.add_source(site.feed_url)
        wire.add_partner(slow.url, "slow", secret)
        wire.add_partner(quick.url, "quick", secret)
        wire.wait(lambda: wire.idle() and len(quick.accepted) == 3, 90, "the first briefs")
        slow.faults.set(Fault(hang_s=6.0, count=1))
        site.publish(1)
        wire.wait(lambda: len(slow.received) == 4, 60, "a delivery to be in flight")
        os.kill(wire.child("valkey").pid, signal.SIGKILL)
        site.publish(1)
        wire.wait(
            lambda: len(quick.accepted) == 5, 4 * BACK_S, "the workers to carry on"
        )  # four times: the machine may be busy
        wire.wait(lambda: wire.idle() and len(slow.accepted) == 5, 90, "all of it")
        assert [(p.state()["split"], p.state()["disordered"]) for p in (slow, quick)] == [(0, 0), (0, 0)]
    finally:
        wire.close()
        for server in (site, slow, quick):
            server.stop()
