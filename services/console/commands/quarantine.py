"""`briefwire quarantine ...`: what waits for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from services.console import show
from services.console.commands.options import Json
from shared.store import console

app = typer.Typer(name="quarantine", help="What failed for good and waits for a person.",
                  no_args_is_help=True)  # fmt: skip

Keys = Annotated[
    list[str], typer.Argument(metavar="KEY...", help="As `quarantine list` shows them: entry:7, delivery:12.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit.")]


@app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 100,
    json_: Json = False,
) -> None:
    """What is in quarantine, and why.

    \b
    briefwire quarantine list --json
    """
    with context.obj.read() as connection:
        rows = console.quarantined(connection, limit)
    columns = {
        "key": "key",
        "of": "source or partner",
        "reason": "reason",
        "what": "what",
        "detail": "detail",
        "at": "seen",
    }
    show.listing(rows, columns, json_=json_, empty="Nothing is in quarantine.")


@app.command()
def retry(context: typer.Context, keys: Keys, reason: Reason = "") -> None:
    """Send pieces on their way again.

    Pages are read from the bytes that were kept.

    \b
    briefwire quarantine retry entry:7 delivery:12 --reason "profile corrected"
    """
    for key in keys:
        with context.obj.change("quarantine.retry", key, reason) as (connection, now):
            done = console.retry(connection, key, now)
        show.say(f"{key} {done}.")


@app.command()
def drop(context: typer.Context, keys: Keys, reason: Reason = "") -> None:
    """Give pieces up. In the books an entry then counts as gone, a delivery as superseded; bytes and attempts stay."""
    for key in keys:
        with context.obj.change("quarantine.drop", key, reason) as (connection, _):
            console.drop(connection, key)
        show.say(f"{key} is dropped.")
