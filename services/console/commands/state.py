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
from services.console.commands.options import Json, Reason
from services.console.opening import Opening
from shared import broker, clock, pipeline
from shared.store import console, installation, ledger, switches, workers

workers_app = typer.Typer(name="workers", invoke_without_command=True)

_MARKS = {"ok": ("ok", "green"), "hint": ("hint", "yellow"), "fault": ("FAULT", "bold red")}


def register(app: typer.Typer) -> None:
    """Adds the commands of this group to the top level."""
    for command in (doctor, ledger_, queues, trace, audit):
        app.command(command.__name__.rstrip("_"))(command)
    app.add_typer(workers_app)


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
    """What each queue holds, what is due, what waits, what people paused.

    Messages in the broker, pieces that are due now, pieces that wait in all; stages, sources, hosts and partners that
    stand still by somebody's word. Exit code 3: no broker.

    \b
    briefwire queues --json
    """
    opening: Opening = context.obj
    with opening.read() as connection:
        due, waiting = console.due(connection, clock.now()), console.waiting(connection)
        paused, off = switches.paused(connection), switches.off(connection)
    depths = _depths(opening)
    rows: list[dict[str, Any]] = [
        {"queue": name, "messages": depths[name] if depths else None, "due": due[name], "waiting": waiting[name],
         "paused": paused[name]} for name in pipeline.QUEUES
    ]  # fmt: skip
    columns = {"queue": "queue", "messages": "messages", "due": "due now", "waiting": "waiting", "paused": "paused"}
    shown = rows if json_ else [row | {"paused": ", ".join(row["paused"])} for row in rows]
    show.listing(shown, columns, json_=json_, empty="", right=("messages", "due now", "waiting"))
    for row in [] if json_ else off.values():
        show.say(_switched_off(row))
    if depths is None:
        show.problem("The broker does not answer, so messages are not counted.", "Is `briefwire up` running?")
        raise typer.Exit(3)


def _switched_off(row: dict[str, Any]) -> str:
    """Who switched what off when, and what ends it."""
    drain = row["key"] == switches.DRAIN
    what = "The wire is drained" if drain else f"Stage {row['key']} is paused"
    why = f" ({row['reason']})" if row["reason"] else ""
    ends = "briefwire resume" if drain else f"briefwire stage resume {row['key']}"
    return f"{what} since {show.moment(row['at'])} by {row['who']}{why}. `{ends}` ends it."


def _depths(opening: Opening) -> dict[str, int] | None:
    client: Any = broker.connect(opening.settings)
    try:
        return {name: int(client.llen(name)) for name in pipeline.QUEUES}
    except redis.RedisError:
        return None


@workers_app.callback(invoke_without_command=True)
def workers_(context: typer.Context, json_: Json = False) -> None:
    """The workers' last signs of life, newest first, and how many threads or processes each has.

    `stopped` is a process of this machine that lives and does nothing (SIGSTOP). Exit code 1 where there is one, or where
    a queue has had no sign of life for too long.

    \b
    briefwire workers --json
    briefwire workers set deliver 64
    """
    if context.invoked_subcommand is not None:
        return
    now = clock.now()
    with context.obj.read() as connection:
        beats, sizes = workers.all_beats(connection), workers.sizes(connection)
    stopped = {beat["worker"] for beat in workers.frozen(beats)}
    rows = [{"queue": beat["kind"], "worker": beat["worker"].partition("@")[2], "at": beat["at"],
             "age_s": round((now - beat["at"]).total_seconds(), 1), "size": beat["size"],
             "stopped": beat["worker"] in stopped} for beat in beats]  # fmt: skip
    columns = {
        "queue": "queue",
        "worker": "host:pid:started",
        "size": "at once",
        "at": "last sign of life",
        "age_s": "seconds ago",
        "stopped": "stopped",
    }
    show.listing(
        rows,
        columns,
        json_=json_,
        empty="No worker has been seen yet. `briefwire up` starts them.",
        right=("at once", "seconds ago"),
    )
    for kind, size in {} if json_ else sizes.items():
        show.say(
            f"By somebody's word each {kind} worker has {size} at once."
            if size
            else f"Each {kind} worker is as the settings say."
        )
    if stopped or health.silent_queues(beats, now):
        raise typer.Exit(1)


@workers_app.command("set")
def set_(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="|".join(w.name for w in pipeline.WORKERS), help="Which workers.")],
    n: Annotated[int, typer.Argument(metavar="N", min=0, help="Threads or processes; 0: what the settings say.")],
    reason: Reason = "",
) -> None:
    """Give each worker of a kind so many threads (fetch, deliver) or processes (extract, enrich), while it runs.

    It takes some seconds, nothing under way is cut short, and a restart does not forget it.

    \b
    briefwire workers set deliver 64
    briefwire workers set enrich 0
    """
    show.say(context.obj.perform("set-workers", kind, reason=reason, fields={"at_once": str(n)}).said)


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
