"""`briefwire top`: one screen of a wire in this or that state, and the live view in a real terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from services.console import numbers, screen
from services.console.numbers import Numbers
from shared import clock, migrations
from shared.settings import Settings
from shared.store import desk, intake
from shared.store.engine import Store
from tests.console.command import PROGRAM, Said, environment, within
from tests.console.test_web_numbers import NOW, a_lane, a_reading, ago, derive


def shown(found: Numbers, height: int = 50) -> str:
    console = Console(width=120, height=height, color_system=None, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(screen.screen(found, height))
    return captured.get()


def test_a_healthy_wire_says_so() -> None:
    text = shown(derive(a_reading(lanes=(a_lane(),))))
    assert "All is well" in text
    assert "Partners: 1, none behind." in text
    assert "No sources yet." in text
    for stage in ("poll", "fetch", "extract", "enrich", "plan", "deliver"):
        assert stage in text


def test_what_needs_a_person_is_on_the_screen() -> None:
    slow = numbers.Slow(quarantined=(3, 4), free_bytes=5_000_000_000, overdue=frozenset(["harbour"]))
    found = derive(
        a_reading(
            extract=desk.Waiting(1234, ago(7200)), beats=(("fetch", "fetch@h:1:1", NOW),),
            lanes=(a_lane(waiting=desk.Waiting(17, ago(600))), a_lane(endpoint_id=8, partner="market\x1b[2Jnews", state="disabled")),
            sources=(desk.Source("harbour", "active", ago(7200), 0, None), desk.Source("quay", "active", NOW, 0, None)),
        ),
        slow=slow,
    )  # fmt: skip
    text = shown(found)
    lines = {line.split()[0]: line for line in reversed(text.splitlines()) if line.strip()}  # the first of each name
    assert "Needs you" in text
    assert "in quarantine: 7" in text
    assert "free: 5.0 GB" in text
    assert "1,234" in lines["extract"]
    assert "silent" in text
    assert "10 min" in lines["gazette"]
    assert "market[2Jnews" in text
    assert "\x1b" not in text
    assert "overdue" in lines["harbour"]
    assert "quay" not in text


def test_a_small_screen_counts_what_it_does_not_show() -> None:
    lanes = tuple(a_lane(endpoint_id=n, partner=f"p{n}", waiting=desk.Waiting(1, ago(n + 1))) for n in range(40))
    text = shown(derive(a_reading(lanes=lanes)), height=30)
    assert "and 34 more partners" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith("p3")] == [
        "p39",
        "p38",
        "p37",
        "p36",
        "p35",
        "p34",
    ]


def test_a_drained_wire_says_how_to_go_on() -> None:
    text = shown(msgspec.structs.replace(derive(a_reading()), draining=True))
    assert "briefwire resume" in text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    store = Store(Settings(data=str(made)).store_url)
    migrations.upgrade(store)
    with store.write() as c:
        intake.add_source(c, name="harbour", url="http://h.example/feed", kind="feed", profile=None, now=clock.now())
    store.close()
    return made


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    return within(folder, monkeypatch, capsys)


def test_without_a_terminal_it_is_one_screen_or_json(run: Callable[..., Said]) -> None:
    for arguments in (("top",), ("top", "--once")):
        said = run(*arguments)
        assert (said.code, "books: balanced" in said.out, said.out.count("Briefwire")) == (0, True, 1)
    figures = run("top", "--json").json
    assert [stage["key"] for stage in figures["stages"]] == ["poll", "fetch", "extract", "enrich", "plan", "deliver"]
    assert figures["sources"][0]["name"] == "harbour"


def read_until(terminal: int, word: bytes, seconds: float = 60.0) -> bytes:
    got, until = b"", time.monotonic() + seconds
    while word not in got and time.monotonic() < until:
        if select.select([terminal], [], [], 0.2)[0]:
            with contextlib.suppress(OSError):
                got += os.read(terminal, 65536)
    assert word in got, got[-500:]
    return got


def test_in_a_terminal_it_goes_on_until_q_and_leaves_the_terminal_as_it_was(folder: Path) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen([*PROGRAM, "--data", str(folder), "top", "--every", "0.5"], stdin=theirs, stdout=theirs,
                               env=environment(TERM="xterm", COLUMNS="120", LINES="40"), start_new_session=True)  # fmt: skip
    try:
        first = read_until(ours, b"q leaves")
        assert b"Briefwire" in first
        assert termios.tcgetattr(theirs) != before  # keys come without Enter
        read_until(ours, b"q leaves")  # another look
        os.write(ours, b"xq")
        read_until(ours, b"\x1b[?1049l")  # the screen that was there before
        assert process.wait(30) == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
