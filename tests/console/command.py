"""The command line as a person uses it: arguments in, exit code and both outputs out; as a process, or within this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.console import cli
from shared.store import engine

PROGRAM = (sys.executable, "-c", "from services.console.cli import main; main()")


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would steer the command, and without a terminal's width."""
    dropped = ("BRIEFWIRE_", "COLUMNS", "NO_COLOR", "FORCE_COLOR")
    return {key: value for key, value in os.environ.items() if not key.startswith(dropped)} | more


def process(*arguments: str | Path, data: Path | None = None, stdin: str = "", **env: str) -> Said:
    """Runs `briefwire` as a process of its own, in the data folder's parent."""
    options = ["--data", str(data)] if data else []
    done = subprocess.run(
        [*PROGRAM, *options, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60,
        env=environment(**env), cwd=next((place for place in data.parents if place.is_dir()), None) if data else None,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


def within(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """A function that runs commands on a data folder within this process: quick, for what a process would not change."""
    for key in [key for key in os.environ if key.startswith("BRIEFWIRE_")]:
        monkeypatch.delenv(key)
    monkeypatch.chdir(folder.parent)

    def run(*arguments: str | Path) -> Said:
        capsys.readouterr()
        try:
            cli.main(["--data", str(folder), *map(str, arguments)])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            engine.forget()
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run
