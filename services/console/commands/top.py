"""`briefwire top`: the wire live in a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.live import Live

from services.console import numbers, screen, show
from services.console.commands.options import Json
from services.console.opening import Opening

RATE_S = 1.0
"""Rates need two looks: so far apart they are where only one screen is asked for."""


def register(app: typer.Typer) -> None:
    """Adds the command to the top level."""
    app.command("top")(top)


def top(
    context: typer.Context,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.5, help="How often to look.")] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="One screen, then end; the same where there is no terminal.")
    ] = False,
    json_: Json = False,
) -> None:
    """The wire live: stages, workers, partners behind, sources overdue, the books. The key q leaves.

    \b
    briefwire top
    briefwire top --once
    briefwire top --json
    """
    opening: Opening = context.obj
    sampler = numbers.Sampler(opening.store(create=False), opening.settings.folder)
    if json_ or once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        found = _twice(sampler)
        if json_:
            show.as_json(found)
        else:
            show.out().print(screen.screen(found, 200))
        return
    with _keys() as pressed:
        _live(sampler, every, pressed)


def _twice(sampler: numbers.Sampler) -> numbers.Numbers:
    sampler.ask_slow()
    sampler.sample()
    time.sleep(RATE_S)
    return sampler.sample()


def _live(sampler: numbers.Sampler, every_s: float, pressed: Callable[[float], str]) -> None:
    """Until q is pressed."""
    console = show.out()
    sampler.ask_slow()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            if sampler.slow_due():
                sampler.ask_slow()
            live.update(screen.screen(sampler.sample(), console.size.height, "q leaves"), refresh=True)
            until = time.monotonic() + every_s
            while (left := until - time.monotonic()) > 0:
                if pressed(left) in ("q", "Q", "\x03", "\x04"):
                    return


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Waits at most so many seconds for a key, without Enter; "" where none came. The terminal is put back afterwards."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([terminal], [], [], seconds)
        return os.read(terminal, 1).decode("ascii", "replace") if ready else ""

    try:
        tty.setcbreak(terminal)
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
