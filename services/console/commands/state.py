"""`briefwire queues|workers|trace|audit|ledger|doctor`: how the wire stands."""

from __future__ import annotations

import time
from typing import Annotated, Any

import redis
import typer
from rich.text import Text
from sqlalchemy import Connection

from services.console import books, health, show, ways
from services.console.commands.article import print_way
from services.console.commands.options import Json
from services.console.opening import Opening
from shared import broker, clock, pipeline
from shared.store import console, installation, ledger, workers

_MARKS = {"ok": ("ok", "green"), "hint": ("hint", "yellow"), "fault": ("FAULT", "bold red")}


def register(app: typer.Typer) -> None:
    """Adds the commands of this group to the top level."""
    for command in (doctor, ledger_, queues, workers_, trace, audit):
        app.command(command.__name__.rstrip("_"))(command)


def doctor(context: typer.Context, json_: Json = False) -> None:
    """What is configured, reachable, missing; the next step.

    Exit code 1 where something is at fault.

    \b
    briefwire doctor
    briefwire doctor --json
    """
    found = health.examine(context.obj)
    if json_:
        show.as_json({"ok": not any(one.state == "fault" for one in found), "checks": found})
    else:
        for one in found:
            mark, style = _MARKS[one.state]
            show.out().print(
                Text.assemble((f"{mark:<6}", style), (f"{one.name:<11}", "bold"), show.clean(one.what)), soft_wrap=True
            )
            if one.next_step:
                show.say(f"{'':<17}-> {one.next_step}")
    if any(one.state == "fault" for one in found):
        raise typer.Exit(1)


def ledger_(
    context: typer.Context,
    wait: Annotated[
        float,
        typer.Option("--wait", metavar="SECONDS", min=0, help="Wait until nothing is under way, at most so long."),
    ] = 0,
    json_: Json = False,
) -> None:
    """The two books, per source and per endpoint. Exit code 1 where one does not balance.

    \b
    seen   = waiting + stored + duplicate + quarantined + gone
    events + back-filled
           = unplanned + filtered + held + due + delivered + superseded + quarantined

    \b
    briefwire ledger
    briefwire ledger --wait 60 --json
    """
    found, settled = _settled_books(context.obj, wait)
    if json_:
        show.as_json(
            {"balanced": found.balanced, "settled": settled, "intake": found.intake, "delivery": found.delivery}
        )
    else:
        for one in books.tables(found):
            show.out().print(one)
            show.say("")
        show.say(books.verdict(found, settled=settled))
    if not found.balanced:
        raise typer.Exit(1)


def _settled_books(opening: Opening, wait_s: float) -> tuple[ledger.Books, bool]:
    """The books once nothing is under way, at the latest after so many seconds; and whether nothing was."""
    started = time.monotonic()
    with show.progress("Waiting until nothing is under way", wait_s) as move:
        while True:
            with opening.read() as connection:
                found, settled = ledger.books(connection), is_settled(connection)
                under_way = sum(console.waiting(connection).values())
            passed = time.monotonic() - started
            if settled or passed >= wait_s:
                return found, settled
            move(passed, f"{under_way} pieces are under way")
            time.sleep(min(0.5, wait_s - passed))


def is_settled(connection: Connection) -> bool:
    """Whether nothing is under way in any stage; retries that wait for their time count as under way."""
    return ledger.books(connection).settled and not any(console.waiting(connection).values())


def queues(context: typer.Context, json_: Json = False) -> None:
    """What each queue holds, what is due, what waits.

    Messages in the broker, pieces that are due now, pieces that wait in all. Exit code 3: no broker.

    \b
    briefwire queues --json
    """
    opening: Opening = context.obj
    with opening.read() as connection:
        due, waiting = console.due(connection, clock.now()), console.waiting(connection)
    depths = _depths(opening)
    rows = [{"queue": name, "messages": depths[name] if depths else None, "due": due[name], "waiting": waiting[name]}
            for name in pipeline.QUEUES]  # fmt: skip
    columns = {"queue": "queue", "messages": "messages", "due": "due now", "waiting": "waiting"}
    show.listing(rows, columns, json_=json_, empty="", right=("messages", "due now", "waiting"))
    if depths is None:
        show.problem("The broker does not answer, so messages are not counted.", "Is `briefwire up` running?")
        raise typer.Exit(3)


def _depths(opening: Opening) -> dict[str, int] | None:
    client: Any = broker.connect(opening.settings)
    try:
        return {name: int(client.llen(name)) for name in pipeline.QUEUES}
    except redis.RedisError:
        return None


def workers_(context: typer.Context, json_: Json = False) -> None:
    """The workers' last signs of life, newest first. Exit code 1 where a queue has had none for too long.

    \b
    briefwire workers --json
    """
    now = clock.now()
    with context.obj.read() as connection:
        beats = workers.all_beats(connection)
    rows = [{"queue": beat["kind"], "worker": beat["worker"].partition("@")[2], "at": beat["at"],
             "age_s": round((now - beat["at"]).total_seconds(), 1)} for beat in beats]  # fmt: skip
    columns = {"queue": "queue", "worker": "host:pid:started", "at": "last sign of life", "age_s": "seconds ago"}
    show.listing(
        rows,
        columns,
        json_=json_,
        empty="No worker has been seen yet. `briefwire up` starts them.",
        right=("seconds ago",),
    )
    if health.silent_queues(beats, now):
        raise typer.Exit(1)


def trace(
    context: typer.Context,
    wanted: Annotated[
        str, typer.Argument(metavar="ID|URL", help="An id, the beginning of one, or the article's address.")
    ],
    json_: Json = False,
) -> None:
    """One article's way from the site to each partner.

    Seen, fetched, stored, its events, every attempt to deliver it, and what is still to come.

    \b
    briefwire trace art_1c2f
    briefwire trace https://news.example/a-brief --json
    """
    with context.obj.read() as connection:
        article_id = ways.find(connection, wanted)
        whole = ways.whole(connection, article_id)
    if json_:
        show.as_json({"article_id": article_id, "headline": whole.article.headline, "way": whole.way})
    else:
        show.say(f"{article_id}  {whole.article.headline}", style="bold")
        print_way(whole.way)


def audit(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many lines, newest first.")] = 50,
    json_: Json = False,
) -> None:
    """Who changed what in this installation, and why.

    \b
    briefwire audit --limit 10 --json
    """
    with context.obj.read() as connection:
        rows = installation.audits(connection, limit)
    columns = {"at": "at", "who": "who", "action": "action", "target": "target", "reason": "reason"}
    show.listing(rows, columns, json_=json_, empty="Nothing was changed yet.")
