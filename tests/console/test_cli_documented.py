"""docs/operating.md and briefwire.example.toml against the code: every key, every command, every default."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main

from services.console import cli
from shared import settings

ROOT = Path(__file__).resolve().parents[2]
MANUAL = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")


def keys(of: Any, before: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(of):
        value = getattr(of, field.name)
        if isinstance(value, msgspec.Struct):
            yield from keys(value, f"{field.name}.")
        else:
            yield before + field.name


def commands() -> Iterator[str]:
    top: Any = typer.main.get_command(cli.app)
    for name, command in top.commands.items():
        yield from (f"{name} {sub}" for sub in command.commands) if hasattr(command, "commands") else [name]


def test_the_example_holds_every_key_with_its_default() -> None:
    example = tomllib.loads((ROOT / "briefwire.example.toml").read_text(encoding="utf-8"))
    assert msgspec.convert(example, settings.Settings) == settings.Settings()
    written = {f"{name}.{key}" if isinstance(value, dict) else name
               for name, value in example.items() for key in (value if isinstance(value, dict) else [""])}  # fmt: skip
    assert written == set(keys(settings.Settings()))


def test_the_manual_explains_every_key_and_none_that_is_not() -> None:
    table = MANUAL.partition("| key | default |")[2].partition("| variable |")[0]
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE)) == set(keys(settings.Settings()))


@pytest.mark.parametrize("command", sorted(commands()))
def test_the_manual_names_every_command(command: str) -> None:
    table = MANUAL.partition("| command | what it does |")[2].partition("###")[0]
    group, _, name = command.partition(" ")
    lines = [line for line in table.splitlines() if f"`{group}" in line]
    assert any(re.search(rf"`{group} {name}\b|`{name}\b" if name else rf"`{group}\b", line) for line in lines), command


def test_the_manual_names_every_exit_code() -> None:
    table = MANUAL.partition("### Exit codes")[2].partition("## ")[0]
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == ["0", "1", "2", "3", "4", "130"]
