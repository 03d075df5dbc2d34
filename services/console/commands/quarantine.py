"""`briefwire quarantine ...`: what waits for a person."""

from __future__ import annotations

from typing import Annotated, Any

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
SomeKeys = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY...]", help="As `quarantine list` shows them: entry:7, delivery:12.")
]
KindOf = Annotated[str | None, typer.Option("--kind", metavar="entry|article|delivery", help="Only of this kind.")]
Of = Annotated[str | None, typer.Option("--of", metavar="NAME", help="Only of this source or partner.")]
Why = Annotated[str | None, typer.Option("--why", metavar="CODE", help="Only under this reason, such as http-500.")]


@app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 100,
    kind: KindOf = None,
    of: Of = None,
    why: Why = None,
    json_: Json = False,
) -> None:
    """What is in quarantine, and why.

    \b
    briefwire quarantine list --json
    briefwire quarantine list --of desk --why http-500
    """
    _show(_found(context.obj, kind, of, why, limit), json_=json_)


def _found(opening: Opening, kind: str | None, of: str | None, why: str | None, limit: int) -> list[dict[str, Any]]:
    if kind not in (None, "entry", "article", "delivery"):
        raise OperatorError(f"There is no kind {kind}.", "There are entry, article and delivery.")
    with opening.read() as connection:
        return console.quarantined(connection, limit, kind=kind, of=of, reason=why)


def _show(rows: list[dict[str, Any]], *, json_: bool) -> None:
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
    keys: SomeKeys = None,
    kind: KindOf = None,
    of: Of = None,
    why: Why = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would be.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")] = 1000,
    reason: Reason = "",
    json_: Json = False,
) -> None:
    """Send pieces on their way again: those named, or all that --kind, --of and --why leave.

    Pages are read from the bytes that were kept. A delivery that a later one of its article has overtaken is superseded.
    --dry-run changes nothing. --json prints what was, or would be, sent on its way.

    \b
    briefwire quarantine retry entry:7 delivery:12 --reason "profile corrected"
    briefwire quarantine retry --of desk --why http-500 --dry-run
    briefwire quarantine retry --of desk --why http-500 --reason "their disk was full"
    """
    opening: Opening = context.obj
    if not keys and (kind, of, why) == (None, None, None):
        raise OperatorError("Nothing was named.", "Give keys, or narrow it by --kind, --of or --why.")
    rows = _found(opening, kind, of, why, 1_000_000 if keys else limit)
    picked = [row for row in rows if not keys or row["key"] in keys]
    if dry_run or json_:
        _show(picked, json_=json_)
    if not dry_run:
        _retry(opening, keys or [str(row["key"]) for row in picked], reason, quiet=json_)


def _retry(opening: Opening, keys: list[str], reason: str, *, quiet: bool) -> None:
    for key in keys:
        kind, target = _parts(key)
        if kind == "article":
            with opening.change("retry-article", f"article {target}", reason) as (connection, now):
                console.retry_article(connection, target, now)
            said = "it waits for enrichment again."
        else:
            _still_there(opening, key)
            said = opening.perform(f"retry-{kind}", target, reason=reason).said
        if not quiet:
            show.say(f"{key}: {said}")


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
