"""Rows and records in; tables for people or JSON for scripts out, on standard output. Notes and errors go to standard error.

Text from outside is printed without its control characters: a headline must not steer the terminal.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import msgspec
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_WIDE = 1000  # not a terminal: tables take the width they need, so that scripts see whole values
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_no_color = False


def set_no_color(no_color: bool) -> None:
    """Colours off for this process, as --no-color asks; NO_COLOR in the environment does the same."""
    global _no_color
    _no_color = no_color


def out() -> Console:
    """The console of standard output."""
    return _console(sys.stdout)


def err() -> Console:
    """The console of standard error."""
    return _console(sys.stderr)


def _console(file: TextIO) -> Console:
    width = None if file.isatty() or os.environ.get("COLUMNS") else _WIDE
    return Console(file=file, width=width, no_color=_no_color or None, highlight=False, markup=False, emoji=False)


def clean(value: object) -> str:
    """A value as one printable text."""
    return _CONTROL.sub("", "" if value is None else str(value))


def say(text: str, style: str = "") -> None:
    """A line on standard output."""
    out().print(Text(clean(text), style=style), soft_wrap=True)


def note(text: str) -> None:
    """A line on standard error: for people who watch, out of the way of scripts."""
    err().print(Text(clean(text)), soft_wrap=True)


@contextmanager
def busy(doing: str) -> Iterator[None]:
    """Shows on a terminal that something takes a while."""
    console = err()
    if not console.is_terminal:
        yield
        return
    with console.status(Text(clean(doing))):
        yield


@contextmanager
def progress(doing: str, total: float) -> Iterator[Callable[[float, str], None]]:
    """A bar on a terminal; the function given moves it: (how much of `total` is done, what to say beside it)."""
    console = err()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(clean(doing), total=total)
        yield lambda done, said: bar.update(task, completed=done, description=clean(said))


def problem(what: str, next_step: str = "") -> None:
    """An error: what is wrong, and the next step."""
    line = Text.assemble(("Error: ", "bold red"), clean(what))
    if next_step:
        line.append(f" {clean(next_step)}" if not next_step.startswith("\n") else clean(next_step))
    err().print(line, soft_wrap=True)


def as_json(value: Any) -> None:
    """A value as indented JSON; records as their wire form, times as ISO 8601."""
    plain = msgspec.to_builtins(value, builtin_types=(dt.datetime,), enc_hook=str)
    sys.stdout.write(json.dumps(plain, ensure_ascii=False, indent=2, default=_plain) + "\n")


def _plain(value: object) -> str:
    return value.astimezone(dt.UTC).isoformat() if isinstance(value, dt.datetime) else str(value)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", right: Iterable[str] = ()
) -> Table:
    """A table to print; `right` names the columns set flush right."""
    made = Table(
        box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold", header_style="bold",
        pad_edge=False, show_edge=False,
    )  # fmt: skip
    flush_right = set(right)
    for name in columns:
        made.add_column(name, justify="right" if name in flush_right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def cell(value: object) -> Text:
    """One cell: yes and no for flags, a dash for nothing, times in UTC to the second."""
    if isinstance(value, Text):
        return value
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if value is None or value == "":
        return Text("–")
    return Text(moment(value) if isinstance(value, dt.datetime) else clean(value))


def moment(at: dt.datetime) -> str:
    """An instant to the second, in UTC."""
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}Z"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], **options: Any) -> None:
    """A table on standard output."""
    out().print(table(columns, rows, **options))


def fits(made: Table) -> bool:
    """Whether the terminal is wide enough for the table without breaking its cells."""
    console = out()
    return Measurement.get(console, console.options.update(max_width=_WIDE), made).maximum <= console.width


def listing(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, json_: bool, empty: str, right: Iterable[str] = ()
) -> None:
    """A listing: JSON with every field of the rows, or a table of `columns` (field -> heading); `empty` says there is nothing.

    Where the terminal is too narrow, columns that hold nothing are left out; where it still is, each row becomes a paragraph.
    """
    if json_:
        as_json(list(rows))
        return
    if not rows:
        say(empty)
        return
    flush_right = tuple(right)
    kept = dict(columns)
    made = table(list(kept.values()), [[row[key] for key in kept] for row in rows], right=flush_right)
    if not fits(made):
        kept = {key: heading for key, heading in kept.items() if any(row[key] not in (None, "") for row in rows)}
        made = table(list(kept.values()), [[row[key] for key in kept] for row in rows], right=flush_right)
    if fits(made):
        out().print(made)
    else:
        _paragraphs(rows, kept)


def _paragraphs(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    width = max(map(len, columns.values()))
    for row in rows:
        for key, heading in columns.items():
            value = cell(row[key])
            if value.plain != "–":
                out().print(Text.assemble((f"{heading:<{width}}  ", "dim"), value), soft_wrap=True)
        say("")
