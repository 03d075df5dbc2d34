"""The embedded broker's life, against the real binary: what a killed supervisor leaves behind never stands in the way."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import broker
from shared.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=str(tmp_path))


@pytest.fixture
def left(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A broker whose supervisor is gone."""
    process = broker.start(settings, timeout_s=60)
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def test_a_broker_left_over_is_ended_first(settings: Settings, left: subprocess.Popen[bytes]) -> None:
    broker.connect(settings).set("kept", "1")
    mine = broker.start(settings, timeout_s=60)
    try:
        assert left.wait(10) is not None
        assert broker.connect(settings).get("kept") == b"1"
    finally:
        mine.kill()
        mine.wait()


def test_a_frozen_broker_left_over_does_not_take_the_new_ones_socket_away(
    settings: Settings, left: subprocess.Popen[bytes]
) -> None:
    left.send_signal(signal.SIGSTOP)
    mine = broker.start(settings, timeout_s=60)
    try:
        left.send_signal(signal.SIGCONT)
        left.terminate()
        left.wait(10)
        assert broker.answers(settings)
    finally:
        mine.kill()
        mine.wait()


def test_a_number_that_another_process_has_by_now_is_left_alone(settings: Settings) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    (settings.folder / "broker.pid").write_text(f"{stranger.pid}\n")
    mine = broker.start(settings, timeout_s=60)
    try:
        assert stranger.poll() is None
    finally:
        for process in (mine, stranger):
            process.kill()
            process.wait()
