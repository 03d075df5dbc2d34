"""Figures in, one screen of `briefwire top` out: stages, workers, partners behind, sources worth a look, the books. Pure.

Everything that people name is printed without its control characters; what does not fit the screen is counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.console import show
from services.console.numbers import Endpoint, Numbers, Source, Stage, Worker

_STYLES = {"good": "green", "busy": "yellow", "bad": "bold red", "idle": "dim"}
_WORDS = {"good": "All is well", "busy": "Worth a look", "bad": "Needs you"}
_STAGES = {"good": "at work", "busy": "late", "bad": "nobody consumes it", "idle": "idle"}
FIXED = 24
"""Lines that everything takes whose length does not depend on how many partners and sources there are."""


def screen(numbers: Numbers, height: int, keys: str = "") -> RenderableType:
    """All of it, for a terminal of so many lines."""
    room = max(6, height - FIXED)
    behind = sorted((one for one in numbers.endpoints if _worth(one)), key=lambda one: -(one.lag_s or 0.0))
    silent = [one for one in numbers.sources if one.overdue or one.failures or one.state == "stopped"]
    for_sources = min(len(silent), max(2, room // 3))
    parts: list[RenderableType] = [
        _head(numbers), Text(""), _stages(numbers.stages), Text(""), _workers(numbers.workers), Text(""),
        _partners(behind, len(numbers.endpoints), room - for_sources), Text(""), _sources(silent, len(numbers.sources), for_sources),
        *_trouble(numbers, room),
    ]  # fmt: skip
    return Group(*parts, *([Text(keys, style="dim")] if keys else []))


def age(seconds: float | None) -> str:
    """A duration in one unit."""
    if seconds is None:
        return "–"
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _head(numbers: Numbers) -> Text:
    books = numbers.books
    line = Text.assemble(
        ("Briefwire  ", "bold"), (f"{_WORDS[numbers.state]}  ", _STYLES[numbers.state]), f"{numbers.at:%H:%M:%S} UTC   books: "
    )  # fmt: skip
    if books is None:
        line.append("not checked yet", "dim")
    else:
        line.append(*(("balanced", "green") if books.balanced else ("NOT BALANCED", "bold red")))
    line.append(f"   in quarantine: {sum(numbers.quarantined):,}")
    if numbers.free_bytes is not None:
        line.append(f"   free: {numbers.free_bytes / 1e9:,.1f} GB")
    if numbers.draining:
        line.append("   DRAINED: `briefwire resume` takes up work again", "bold yellow")
    return line


def _stages(stages: Sequence[Stage]) -> Table:
    made = _table("stage", ("waiting", "oldest", "a second"), "state")
    for one in stages:
        word = (
            "paused"
            if one.paused
            else {"good": "at work", "busy": "late", "bad": "nobody consumes it", "idle": "idle"}[one.state]
        )
        made.add_row(
            one.key,
            f"{one.depth:,}",
            age(one.oldest_s),
            f"{one.rate:.1f}",
            Text(word, "yellow" if one.paused else _STYLES[one.state]),
        )
    return made


def _workers(workers: Sequence[Worker]) -> Table:
    made = _table("queue", ("workers", "at once", "last sign"), "state")
    for one in workers:
        word = Text("silent", "bold red") if one.deaf else Text("at work", "green")
        places = "–" if one.at_once is None else str(one.at_once)
        made.add_row(
            one.queue, str(one.processes), places, f"{age(one.beat_s)} ago" if one.beat_s is not None else "never", word
        )
    return made


def _partners(behind: Sequence[Endpoint], n: int, room: int) -> RenderableType:
    if not behind:
        return Text(f"Partners: {n}, none behind." if n else "No partners yet.", "dim")
    made = _table("partner", ("backlog", "behind"), "state")
    for one in behind[:room]:
        state = "breaker open" if one.breaker == "open" else one.state
        made.add_row(
            _name(one.partner),
            f"{one.backlog:,}",
            age(one.lag_s),
            Text(state, "green" if state == "active" else "yellow"),
        )
    return _counted(made, len(behind) - room, "partners")


def _sources(silent: Sequence[Source], n: int, room: int) -> RenderableType:
    if not silent:
        return Text(f"Sources: {n}, none overdue." if n else "No sources yet.", "dim")
    made = _table("source", ("newest", "failures"), "state")
    for one in silent[:room]:
        word = "overdue" if one.overdue else one.state
        said = f"{word}: {_name(one.error)}" if one.error else word
        made.add_row(_name(one.name), age(one.new_s), str(one.failures), Text(said[:80], "yellow"))
    return _counted(made, len(silent) - room, "sources")


def _trouble(numbers: Numbers, room: int) -> list[RenderableType]:
    lines: list[RenderableType] = [
        Text(f"! {_name(one.text)[:150]}", _STYLES[one.state]) for one in numbers.trouble[: max(3, room // 3)]
    ]
    return [Text(""), *lines] if lines else []


def _worth(one: Endpoint) -> bool:
    return bool(one.backlog or one.failures or one.breaker != "closed" or one.state != "active")


def _table(first: str, right: Sequence[str], last: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    made.add_column(first, width=24, overflow="ellipsis", no_wrap=True)
    for name in right:
        made.add_column(name, justify="right", width=11, no_wrap=True)
    made.add_column(last, no_wrap=True, overflow="ellipsis")
    return made


def _counted(made: Table, more: int, what: str) -> RenderableType:
    return Group(made, Text(f"and {more} more {what}", "dim")) if more > 0 else made


def _name(text: str) -> str:
    """One printable line."""
    return " ".join(show.clean(text).split())
