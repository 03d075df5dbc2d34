"""`briefwire alerts list|test`: what people are told of, and whether telling them works."""

from __future__ import annotations

from typing import Annotated

import typer

from services.console import alerts, show
from services.console.commands.options import Json
from services.console.opening import Opening
from shared import clock, urls
from shared.errors import OperatorError
from shared.store import alerts as rows
from shared.store import installation

app = typer.Typer(name="alerts", help="Troubles that people are told of, by e-mail or webhook.", no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, those that go on first.")] = 50,
    json_: Json = False,
) -> None:
    """Troubles that go on or went by: since when, until when, and when people were told. Exit code 1 where one goes on.

    \b
    briefwire alerts list --json
    """
    opening: Opening = context.obj
    with opening.read() as connection:
        found, stuck = rows.listed(connection, limit), rows.stuck(connection)
    listed = [
        {key: row[key] for key in ("key", "text", "began_at", "ended_at", "told_at", "end_told_at")} for row in found
    ]
    columns = {
        "text": "trouble",
        "began_at": "began",
        "told_at": "told",
        "ended_at": "ended",
        "end_told_at": "end told",
        "key": "key",
    }
    show.listing(listed, columns, json_=json_, empty="No trouble so far.")
    if not alerts.channels(opening.settings.alerts):
        show.note("Nobody is told: set email_to and smtp_host, or webhook, under [alerts] in briefwire.toml.")
    for row in stuck:
        show.note(f"A message by {row['channel']} of {show.moment(row['made_at'])} was not taken: {row['error']}")
    if any(row["ended_at"] is None for row in found):
        raise typer.Exit(1)


@app.command("test")
def try_(context: typer.Context, json_: Json = False) -> None:
    """Send a test message by each channel and say whether it was taken. Exit code 1 where one was not.

    \b
    briefwire alerts test
    """
    opening: Opening = context.obj
    settings = opening.settings
    channels = alerts.channels(settings.alerts)
    if not channels:
        raise OperatorError("Nobody is told of troubles yet.",
                            "Set email_to and smtp_host, or webhook, under [alerts] in briefwire.toml.", code=4)  # fmt: skip
    with opening.read() as connection:
        name = installation.name(connection)
    line = alerts.Line("test", "This is a test: nothing is wrong.", settings.web.url, clock.now())
    notice = alerts.Notice(name, clock.now(), (line,), (), 0)
    told = [
        alerts.tell(one, f"alert_test_{int(clock.now().timestamp())}", notice, settings, opening.door())
        for one in channels
    ]
    if json_:
        show.as_json(told)
    for one in [] if json_ else told:
        to = f"{urls.host_key(one.to)}" if one.channel == "webhook" else one.to
        show.say(f"{one.channel:<8} {to}: {'taken' if one.why is None else f'NOT taken. {one.why}'}")
    if any(one.why is not None for one in told):
        raise typer.Exit(1)
