"""`briefwire log ...`: the log of attempts, which nobody can edit unnoticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from services.console import show
from services.console.commands.options import Json
from services.console.opening import Opening
from shared.errors import OperatorError
from shared.store import partners

app = typer.Typer(name="log", help="The log of attempts to deliver, a chain of digests.", no_args_is_help=True)

EVERY = ("active", "paused", "disabled", "removed")


@app.callback()
def log() -> None:
    """The log of attempts to deliver, a chain of digests."""


@app.command()
def verify(
    context: typer.Context,
    partner: Annotated[
        str | None, typer.Option("--partner", metavar="NAME", help="Only this partner's endpoints.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="FILE",
            help="What `log verify --json` printed before: its digests must still be there.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Read every attempt again and check that it fits the one before.

    Each attempt holds a digest of itself and of its predecessor; the endpoint holds the newest one. An attempt that was changed,
    taken out or put in breaks the chain there. Whoever could rewrite the whole chain cannot rewrite a digest that you noted
    elsewhere: keep the JSON and give it back with --against. Exit code 1: a chain is broken.

    \b
    briefwire log verify
    briefwire log verify --json > heads-2026-11.json
    briefwire log verify --against heads-2026-11.json
    """
    opening: Opening = context.obj
    noted = _noted(against) if against else {}
    with opening.read() as connection, show.busy("Reading the log"):
        if partner:
            partners.of_partner(connection, partner)
        rows = [row for row in partners.endpoints(connection, states=EVERY) if partner in (None, row["partner"])]
        checked = [_checked(connection, row, noted.get(row["id"])) for row in rows]
        missing = sorted(set(noted) - {row["id"] for row in rows}) if partner is None else []
    ok = not missing and all(one["ok"] for one in checked)
    if json_:
        show.as_json({"ok": ok, "missing": missing, "endpoints": checked})
    else:
        _say(checked, missing, ok=ok)
    if not ok:
        raise typer.Exit(1)


def _checked(connection: Connection, row: dict[str, Any], noted: str | None) -> dict[str, Any]:
    chain = partners.read_chain(connection, row["id"], [noted] if noted else [])
    broken: dict[str, Any] | None = None
    if chain.broken:
        broken = partners.attempt(connection, chain.broken)
    what = None
    if broken is not None:
        what = (f"attempt {broken['id']} of {show.moment(broken['at'])} (delivery {broken['delivery_id']}, try {broken['number']}) is not "
                "what was written, or something before it is missing")  # fmt: skip
    elif chain.broken == 0:
        what = "attempts are missing at the end, or the endpoint's digest was changed"
    elif noted and noted not in chain.passed:
        what = f"the digest noted before, {noted[:12]}…, is not part of the chain any more: it was written anew"
    return {"endpoint": row["id"], "partner": row["partner"], "url": row["url"], "attempts": chain.attempts, "head": chain.head,
            "ok": what is None, "broken": chain.broken, "what": what}  # fmt: skip


def _say(checked: list[dict[str, Any]], missing: list[int], *, ok: bool) -> None:
    columns = {
        "endpoint": "endpoint",
        "partner": "partner",
        "attempts": "attempts",
        "ok": "fits",
        "head": "newest digest",
        "what": "what",
    }
    show.listing(checked, columns, json_=False, right=("endpoint", "attempts"), empty="No endpoint has a log yet.")
    for endpoint_id in missing:
        show.problem(f"Endpoint {endpoint_id} stands in the file and not in the store.")
    n = sum(one["attempts"] for one in checked)
    if ok:
        show.say(f"The log fits: {n:,} attempts of {len(checked)} {'endpoint' if len(checked) == 1 else 'endpoints'}.")
        return
    for one in checked:
        if not one["ok"]:
            show.problem(f"The log of endpoint {one['endpoint']} ({one['partner']}) is broken: {one['what']}.",
                         "Compare it with a backup; `briefwire audit` shows who changed what.")  # fmt: skip


def _noted(path: Path) -> dict[int, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {int(one["endpoint"]): str(one["head"]) for one in found["endpoints"] if one["head"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"{path} is no list of digests: {error}.", "Make one with `briefwire log verify --json`."
        ) from None
