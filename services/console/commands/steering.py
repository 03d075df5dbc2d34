"""`briefwire stage|host ...`, `briefwire drain`, `briefwire resume`: what is to stand still for a while, and before a deploy."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from services.console import show
from services.console.commands.options import Json, Reason
from services.console.opening import Opening
from shared import clock, pipeline
from shared.store import switches

stage = typer.Typer(name="stage", help="The stages of the wire: pause one, and its work waits.", no_args_is_help=True)
host = typer.Typer(name="host", help="The hosts that pages are fetched from: pause one.", no_args_is_help=True)

Stage = Annotated[str, typer.Argument(metavar="|".join(pipeline.STAGES), help="Which stage.")]
Host = Annotated[str, typer.Argument(metavar="HOST", help="The host, as in its pages' addresses: news.example.")]

STEADY_S = 1.0
"""Nothing must have been in hand for so long: a claim may have been on its way when the drain began."""


def register(app: typer.Typer) -> None:
    """Adds the commands of this group to the top level."""
    app.add_typer(stage)
    app.add_typer(host)
    app.command("drain")(drain)
    app.command("resume")(resume)


@stage.command("pause")
def pause_stage(context: typer.Context, name: Stage, reason: Reason = "") -> None:
    """Workers finish what they hold of a stage and take nothing more of it.

    What comes waits, nothing is lost; a restart does not end the pause.

    \b
    briefwire stage pause deliver --reason "the partners' network is down"
    """
    show.say(_do(context, "pause-stage", name, reason) + f" `briefwire stage resume {name}` ends it.")


@stage.command("resume")
def resume_stage(context: typer.Context, name: Stage, reason: Reason = "") -> None:
    """Workers take up a paused stage again, at once."""
    show.say(_do(context, "resume-stage", name, reason))


@host.command("pause")
def pause_host(context: typer.Context, name: Host, reason: Reason = "") -> None:
    """Fetch no page from a host; its entries wait.

    \b
    briefwire host pause news.example --reason "they asked us to"
    """
    show.say(_do(context, "pause-host", name, reason) + f" `briefwire host resume {name}` ends it.")


@host.command("resume")
def resume_host(context: typer.Context, name: Host, reason: Reason = "") -> None:
    """Fetch pages from a host again, politely, whatever it answered before."""
    show.say(_do(context, "resume-host", name, reason))


def drain(
    context: typer.Context,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait until nothing is in hand.")
    ] = 120.0,
    reason: Reason = "",
    json_: Json = False,
) -> None:
    """Before a deploy: workers take nothing new and finish what they hold; says when it is safe.

    What comes in meanwhile waits. The next `briefwire up`, or `briefwire resume`, takes up work again. Exit code 1:
    something is still in hand; the drain goes on.

    \b
    briefwire drain && systemctl restart briefwire
    """
    opening: Opening = context.obj
    opening.perform("drain-wire", "wire", reason=reason)
    held = _await_empty(opening, timeout)
    if json_:
        show.as_json({"safe": not any(held.values()), "in_hand": held})
    elif any(held.values()):
        show.problem(f"Still in hand after {timeout:g} s: {_told(held)}.",
                     "Nothing new is taken. Run `briefwire drain` again, or `briefwire resume` to call it off.")  # fmt: skip
    else:
        show.say(
            "Nothing is in hand. It is safe to deploy; `briefwire up`, or `briefwire resume`, takes up work again."
        )
    if any(held.values()):
        raise typer.Exit(1)


def resume(context: typer.Context, reason: Reason = "") -> None:
    """End a drain: the workers take up work again. Single stages that are paused stay so.

    \b
    briefwire resume
    """
    show.say(_do(context, "resume-wire", "wire", reason))


def _await_empty(opening: Opening, timeout_s: float) -> dict[str, int]:
    """What is in hand once nothing has been for a moment, at the latest after so many seconds."""
    started = time.monotonic()
    busy_at, told = started, ""
    with show.progress("Waiting for what is in hand", timeout_s) as move:
        while True:
            with opening.read() as connection:
                held = switches.in_hand(connection, clock.now())
            now = time.monotonic()
            if any(held.values()):
                busy_at = now
            if now - busy_at >= STEADY_S or now - started >= timeout_s:
                return held
            if _told(held) != told and any(held.values()):
                told = _told(held)
                _progress(told)
            move(now - started, f"In hand: {_told(held)}")
            time.sleep(min(0.25, max(0.0, timeout_s - (now - started))))


def _progress(told: str) -> None:
    """A line where no bar can be shown."""
    if not show.err().is_terminal:
        show.note(f"In hand: {told}")


def _told(held: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in held.items() if n) or "nothing"


def _do(context: typer.Context, action: str, target: str, reason: str) -> str:
    opening: Opening = context.obj
    return opening.perform(action, target, reason=reason).said
