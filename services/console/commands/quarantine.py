"""`briefwire quarantine ...`: what waits for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from services.console import show
from services.console.commands.options import Json, Reason
from services.console.opening import Opening
from shared.errors import OperatorError
from shared.store import console

app = typer.Typer(name="quarantine", help="What failed for good and waits for a person.",
                  no_args_is_help=True)  # fmt: skip

Keys = Annotated[
    list[str], typer.Argument(metavar="KEY...", help="As `quarantine list` shows them: entry:7, delivery:12.")
]


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
def retry(
    context: typer.Context,
    keys: Keys,
    reason: Reason = "",
) -> None:
    """Send pieces on their way again.

    Pages are read from the bytes that were kept. A delivery that a later one of its article has overtaken is superseded.

    \b
    briefwire quarantine retry entry:7 delivery:12 --reason "profile corrected"
    """
    opening: Opening = context.obj
    for key in keys:
        kind, target = _parts(key)
        if kind == "article":
            with opening.change("retry-article", f"article {target}", reason) as (connection, now):
                console.retry_article(connection, target, now)
            show.say(f"{key}: it waits for enrichment again.")
        else:
            _still_there(opening, key)
            show.say(f"{key}: {opening.perform(f'retry-{kind}', target, reason=reason).said}")


@app.command()
def drop(context: typer.Context, keys: Keys, reason: Reason) -> None:
    """Give pieces up; their bytes and attempts stay.

    In the books an entry then counts as gone, a delivery as superseded.

    \b
    briefwire quarantine drop entry:7 --reason "an advertisement"
    """
    opening: Opening = context.obj
    for key in keys:
        kind, target = _parts(key)
        if kind == "article":
            raise OperatorError(
                "An article cannot be dropped.", f"`briefwire article withdraw {target} --reason …` withdraws it."
            )
        _still_there(opening, key)
        show.say(f"{key}: {opening.perform(f'drop-{kind}', target, reason=reason).said}")


def _parts(key: str) -> tuple[str, str]:
    kind, _, target = key.partition(":")
    if kind not in ("entry", "delivery", "article") or not target:
        raise OperatorError(f"{key} is no key.", "`briefwire quarantine list` shows them: entry:7, delivery:12.")
    return kind, target


def _still_there(opening: Opening, key: str) -> None:
    """The desk's actions also send again what was delivered; here only what is in quarantine is meant."""
    with opening.read() as connection:
        if not console.is_quarantined(connection, key):
            raise OperatorError(
                f"Nothing in quarantine is called {key}.", "`briefwire quarantine list` shows what there is.", code=1
            )
