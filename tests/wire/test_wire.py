"""The whole wire as processes: a brief's way, and what happens when parts of it are killed. Real sockets, broker, files."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.console.demo.bulk import BulkSite
from services.console.demo.receiver import Receiver
from services.publish import sign
from shared import broker
from tests import servers
from tests.wire.harness import Wire, host_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
SECRET = sign.new_secret(bytes(range(32)))


@pytest.fixture
def site() -> Iterator[BulkSite]:
    made = BulkSite(10, seed=7)
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
def wire(tmp_path: Path, site: BulkSite, receiver: Receiver) -> Iterator[Wire]:
    """A wire that is up, with the site as its source and the receiver as its partner."""
    made = Wire(tmp_path / "data", [host_of(site.url), host_of(receiver.url)])
    try:
        made.up()
        made.add_source(site.feed_url)
        made.add_partner(receiver.url, "partner", SECRET)
        yield made
    finally:
        made.close()


def everything_arrived(wire: Wire, receiver: Receiver, expected: int) -> None:
    """Waits until all of it arrived, once a brief by id, and the books balance."""
    wire.wait(
        lambda: wire.idle() and len({r.article_id for r in receiver.accepted}) >= expected, 90, f"{expected} briefs"
    )
    state = receiver.state()
    assert (state["split"], state["disordered"]) == (0, 0)
    ids = {(r.article_id, r.revision, r.type): r.webhook_id for r in receiver.accepted}
    assert len({r.webhook_id for r in receiver.accepted}) == len(ids)


def test_briefs_go_the_whole_way_and_ctrl_c_ends_it(
    wire: Wire, site: BulkSite, receiver: Receiver, tmp_path: Path
) -> None:
    wire.add_partner(str(tmp_path / "files"), "folder", kind="storage")
    everything_arrived(wire, receiver, 10)
    site.publish(5)
    everything_arrived(wire, receiver, 15)
    assert all(r.verified for r in receiver.received)
    files = list((tmp_path / "files").rglob("*.json"))
    assert len(files) == 15
    assert {json.loads(file.read_bytes())["type"] for file in files} == {"article.published"}
    children = wire.children()
    assert wire.stop() < 10
    assert not [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("word", ["fetch@", "extract@", "enrich@", "deliver@", "shared.feeder", "valkey"])
def test_a_killed_part_comes_back_and_nothing_is_lost(
    wire: Wire, site: BulkSite, receiver: Receiver, word: str
) -> None:
    everything_arrived(wire, receiver, 10)
    site.publish(20)
    victim = wire.child(word)
    time.sleep(0.3)
    os.kill(victim.pid, signal.SIGKILL)
    site.publish(10)
    everything_arrived(wire, receiver, 40)


def test_the_supervisors_death_ends_its_children_and_the_next_up_carries_on(
    wire: Wire, site: BulkSite, receiver: Receiver
) -> None:
    everything_arrived(wire, receiver, 10)
    children = wire.children()
    assert wire.process is not None
    site.publish(20)
    time.sleep(0.2)
    wire.process.kill()
    wire.process.wait()
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert len(gone) > 5
    site.publish(5)
    wire.up()
    everything_arrived(wire, receiver, 35)


def test_a_wiped_broker_loses_nothing(wire: Wire, site: BulkSite, receiver: Receiver) -> None:
    everything_arrived(wire, receiver, 10)
    site.publish(20)
    for _ in range(10):
        broker.connect(wire.settings).flushall()
        time.sleep(0.1)
    everything_arrived(wire, receiver, 30)


def test_the_same_on_postgresql(site: BulkSite, receiver: Receiver, tmp_path: Path, postgres: servers.Postgres) -> None:
    wire = Wire(tmp_path / "data", [host_of(site.url), host_of(receiver.url)], store={"url": postgres.fresh("wire")})
    try:
        wire.up()
        wire.add_source(site.feed_url)
        wire.add_partner(receiver.url, "partner", SECRET)
        everything_arrived(wire, receiver, 10)
        site.publish(20)
        os.kill(wire.child("enrich@").pid, signal.SIGKILL)
        everything_arrived(wire, receiver, 30)
    finally:
        wire.close()
