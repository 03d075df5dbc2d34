"""The parts of the wire one by one: signs of life, names that are none, and becoming the very process that `up` starts."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from shared import broker, clock, migrations
from shared.settings import Settings
from shared.store import workers
from shared.store.engine import Store
from tests.console.command import PROGRAM, Said, environment, within

OLD = dt.timedelta(minutes=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with an empty store in it."""
    made = tmp_path / "data"
    made.mkdir()
    store = Store(Settings(data=str(made)).store_url)
    migrations.upgrade(store)
    store.close()
    return made


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    return within(folder, monkeypatch, capsys)


@pytest.fixture
def running_broker(folder: Path) -> Iterator[None]:
    process = broker.start(Settings(data=str(folder)), timeout_s=60)
    yield
    process.kill()
    process.wait()


def heard(folder: Path, kind: str, ago: dt.timedelta = dt.timedelta()) -> None:
    """Somebody gave a sign of life for it, so long ago."""
    store = Store(Settings(data=str(folder)).store_url)
    with store.write() as connection:
        workers.beat(connection, kind, clock.now() - ago)
    store.close()


@pytest.mark.usefixtures("running_broker")
def test_a_part_is_well_while_all_its_queues_are_consumed(folder: Path, run: Callable[..., Said]) -> None:
    assert run("health", "enrich").code == 1
    heard(folder, "enrich")
    silent = run("health", "enrich")
    assert (silent.code, "plan" in silent.err) == (1, True)
    heard(folder, "plan")
    assert run("health", "enrich").code == 0
    heard(folder, "plan", OLD)
    assert run("health", "enrich").code == 1


@pytest.mark.usefixtures("running_broker")
def test_the_feeder_gives_a_sign_of_its_own(folder: Path, run: Callable[..., Said]) -> None:
    heard(folder, "fetch")
    assert run("health", "feeder").code == 1
    process = subprocess.Popen([*PROGRAM, "--data", str(folder), "feeder"], env=environment(), start_new_session=True)
    try:
        until = time.monotonic() + 60
        while run("health", "feeder").code and time.monotonic() < until:
            assert process.poll() is None
        assert run("health", "feeder").code == 0
        assert psutil.Process(process.pid).cmdline()[1:] == ["-m", "shared.feeder"]  # it is the feeder, not its parent
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_without_a_broker_nothing_is_well(run: Callable[..., Said]) -> None:
    said = run("health", "fetch")
    assert said.code == 3
    assert "broker" in said.err


@pytest.mark.parametrize("command", ["worker", "health"])
def test_a_name_that_is_none_is_told_with_those_there_are(run: Callable[..., Said], command: str) -> None:
    said = run(command, "printing")
    assert said.code == 2
    assert "deliver" in said.err


def test_an_upgrade_may_be_repeated(run: Callable[..., Said]) -> None:
    assert [run("db", "upgrade").code, run("db", "upgrade").code] == [0, 0]
