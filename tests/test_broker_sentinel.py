"""Redis behind Sentinels: bells and workers find the master, and the new one after it died."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.console.demo.bulk import BulkSite
from services.console.demo.receiver import Receiver
from services.publish import sign
from shared import broker, settings
from shared.errors import OperatorError
from tests.wire.harness import Wire, host_of

MASTER = "wire"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Redundant:
    """A master, its replica, and three sentinels of whom two must agree."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ports = folder, [free_port() for _ in range(5)]
        master, replica, *self.sentinels = self.ports
        self.processes = [self._server(master), self._server(replica, "--replicaof", "127.0.0.1", str(master))]
        wait(lambda: info(replica).get("master_link_status") == "up", "the replica to follow")
        self.processes += [self._sentinel(port, master) for port in self.sentinels]
        wait(lambda: self._known() == 3, "the sentinels to know each other")

    @property
    def url(self) -> str:
        return ";".join(f"sentinel://127.0.0.1:{port}" for port in self.sentinels) + "/0"

    def kill_master(self) -> None:
        self.processes[0].kill()
        self.processes[0].wait()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def _server(self, port: int, *more: str) -> subprocess.Popen[bytes]:
        return self._start("--port", str(port), "--save", "", "--dir", str(self.folder), *more)

    def _sentinel(self, port: int, master: int) -> subprocess.Popen[bytes]:
        config = self.folder / f"sentinel{port}.conf"
        config.write_text(f"port {port}\nsentinel monitor {MASTER} 127.0.0.1 {master} 2\nsentinel down-after-milliseconds {MASTER} 1000\n"
                          f"sentinel failover-timeout {MASTER} 5000\n")  # fmt: skip
        return self._start(str(config), "--sentinel")

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / "redis.log").open("ab") as log:
            return subprocess.Popen([str(broker.binary()), *words], cwd=self.folder, stdout=log, stderr=log)

    def _known(self) -> int:
        with contextlib.suppress(redis.RedisError):
            found: Any = redis.Redis(port=self.sentinels[0], decode_responses=True).execute_command(
                "SENTINEL", "SENTINELS", MASTER
            )
            return len(found) + 1
        return 0


def info(port: int) -> dict[str, Any]:
    with contextlib.suppress(redis.RedisError):
        found: dict[str, Any] = redis.Redis(port=port).info("replication")
        return found
    return {}


def wait(ready: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
    until = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < until, f"waited {limit_s} s for {what}"
        time.sleep(0.1)


@pytest.fixture
def redundant(tmp_path: Path) -> Iterator[Redundant]:
    made = Redundant(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_wire_goes_on_with_the_new_master(redundant: Redundant, tmp_path: Path) -> None:
    secret = sign.new_secret(os.urandom(32))
    site, partner = BulkSite(2, seed=7), Receiver(secret)
    site.start()
    partner.start()
    wire = Wire(
        tmp_path / "data", [host_of(site.url), host_of(partner.url)], broker={"url": redundant.url, "master": MASTER}
    )
    try:
        wire.up()
        wire.add_source(site.feed_url)
        wire.add_partner(partner.url, "partner", secret)
        wire.wait(lambda: wire.idle() and len(partner.accepted) == 2, 90, "the first briefs")
        redundant.kill_master()
        site.publish(2)
        wire.wait(lambda: wire.idle() and len(partner.accepted) == 4, 90, "the briefs after the failover")
        assert (partner.state()["split"], partner.state()["disordered"]) == (0, 0)
        assert wire.process is not None
        os.kill(wire.process.pid, signal.SIGINT)
        wire.process.wait(30)
    finally:
        wire.close()
        site.stop()
        partner.stop()


@pytest.mark.parametrize(
    "broker_", [{"url": "sentinel://h1:26379"}, {"url": "sentinel://;sentinel://h2", "master": "wire"}]
)
def test_half_a_setting_is_told(broker_: dict[str, str], tmp_path: Path) -> None:
    made = Wire(tmp_path / "data", [], broker=broker_)
    with pytest.raises(OperatorError, match="not fully named"):
        broker.connect(settings.load({"BRIEFWIRE_DATA": str(made.folder)}))
