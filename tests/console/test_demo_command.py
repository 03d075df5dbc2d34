"""`briefwire demo` as a person runs it: it ends by itself with everything accounted for, and nothing outlives it."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from services.console.demo import run
from services.console.demo.content import briefs
from tests.console.command import PROGRAM, environment, process

ORPHANS_GONE_S = 10.0
CAREFUL_S = 100.0


def of_folder(folder: Path) -> list[psutil.Process]:
    """The processes that work on this data folder."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if one.status() != psutil.STATUS_ZOMBIE and (
                one.environ().get("BRIEFWIRE_DATA") == str(folder) or any(str(folder) in word for word in one.cmdline())
            ):
                found.append(one)
    return found


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


@pytest.mark.slow
def test_the_demo_ends_by_itself_with_everything_in_its_place(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "demo", "--seconds", str(CAREFUL_S)], capture_output=True, text=True, cwd=tmp_path,
        env=environment(TMPDIR=str(tmp_path)),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert re.search(rf"items published +{len(briefs())}\b", done.stdout)
    for words in ("Ingested", "Categorised", "Linked", "Delivered", "duplicate", "same_story", "withdrawn", "0 repeated",
                  "both books balance"):  # fmt: skip
        assert words in done.stdout
    assert "NOT BALANCED" not in done.stdout
    assert re.search(r"later revisions +[1-9]", done.stdout)
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith("briefwire")]
    assert left == []
    assert of_folder(tmp_path) == []


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, int]]:
    """A demo on a terminal: its process, its data folder, our end of the terminal."""
    ours, theirs = pty.openpty()
    folder = tmp_path / "demo"
    started = subprocess.Popen(
        [*PROGRAM, "--data", str(folder), "demo", "--stay"], stdout=theirs, stderr=theirs, stdin=theirs, cwd=tmp_path,
        env=environment(TERM="xterm-256color", COLUMNS="120", LINES="50"), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield started, folder, ours
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(10)
        os.close(ours)


def read_until(terminal: int, words: str, seconds: float) -> str:
    """What the terminal showed until the words came."""
    shown, until = b"", time.monotonic() + seconds
    while words.encode() not in shown and time.monotonic() < until:
        if select.select([terminal], [], [], 1.0)[0]:
            shown += os.read(terminal, 65536)
    return shown.decode("utf-8", "replace")


@pytest.mark.slow
def test_a_killed_demo_leaves_no_orphan(watched: tuple[subprocess.Popen[bytes], Path, int]) -> None:
    started, folder, terminal = watched
    shown = read_until(terminal, "publishing:", 60)
    assert "publishing:" in shown
    for words in ("newest articles", "webhook", "Intake, in entries", "\x1b["):
        assert words in shown
    names = {" ".join(one.cmdline()) for one in of_folder(folder)}
    for part in ("shared.feeder", "services.app", "fetch@", "extract@", "enrich@", "deliver@", "broker.sock"):
        assert any(part in name for name in names), part
    second = process("--data", folder, "demo")
    assert (second.code, "already runs" in second.err) == (4, True)
    started.kill()
    started.wait(10)
    assert wait_until(lambda: not of_folder(folder), ORPHANS_GONE_S), of_folder(folder)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    said = process("--data", tmp_path / "mine", "demo")
    assert (said.code, "holds something else than a demo" in said.err) == (4, True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_the_demo_has_what_it_is_meant_to_show() -> None:
    kinds = {brief.kind for brief in briefs()} | {"copy" for brief in briefs() if brief.copy_of}
    assert kinds == {"brief", "about", "copy"}
    assert [bool(brief.correction) for brief in run.special()] in ([True, False], [False, True])
    assert len(briefs()) >= 44
