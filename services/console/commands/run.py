"""`briefwire worker|feeder|web|health`: the wire's parts one by one, for whatever runs them as separate processes.

`briefwire up` runs all of them on one machine; containers and systemd run these. Each replaces itself by the very process
that `up` would start, so that signals reach it and its end is the container's end.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from typing import Annotated

import typer

from services import supervisor
from services.console import show
from services.console.opening import Opening
from shared import broker, clock, pipeline
from shared.errors import OperatorError
from shared.store import engine, workers

NAMES = tuple(worker.name for worker in pipeline.WORKERS)
FEEDER_DEAF_S = 30.0


def register(app: typer.Typer) -> None:
    """Adds the commands of this group to the top level."""
    app.command("worker")(worker)
    app.command("feeder")(feeder)
    app.command("web")(web)
    app.command("health")(health_)


def worker(
    context: typer.Context, name: Annotated[str, typer.Argument(metavar="|".join(NAMES), help="Which kind of work.")]
) -> None:
    """Run one kind of worker until SIGTERM.

    Any number may run, on any number of machines.

    \b
    briefwire worker enrich
    """
    _replace(context.obj, supervisor.worker_command(_named(name), context.obj.settings))


def feeder(context: typer.Context) -> None:
    """Run the feeder until SIGTERM; two may run.

    \b
    briefwire feeder
    """
    _replace(context.obj, supervisor.part_command("feeder"))


def web(context: typer.Context) -> None:
    """Run the web process until SIGTERM.

    \b
    briefwire web
    """
    _replace(context.obj, supervisor.part_command("web"))


def health_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="|".join((*NAMES, "feeder")), help="Whose signs of life to look for.")],
) -> None:
    """Whether a part of the wire gives signs of life.

    Of a worker: whether each of its queues was consumed lately, by whichever process, and whether no process of it on this
    machine is stopped. Exit code 1 where not, 3 where the store or the broker does not answer.

    \b
    briefwire health enrich
    """
    opening: Opening = context.obj
    wanted = {name: FEEDER_DEAF_S} if name == "feeder" else dict.fromkeys(_named(name).queues, _named(name).deaf_s)
    if not broker.answers(opening.settings):
        raise OperatorError("The broker does not answer.", "Check that it runs and its URL under [broker].", code=3)
    with engine.current(opening.settings).read() as connection:
        beats, every = workers.last_beats(connection), workers.all_beats(connection)
    for beat in workers.frozen([one for one in every if one["kind"] in wanted]):
        show.problem(f"{beat['worker']} is stopped: it lives and does nothing.", "Let it go on (SIGCONT), or end it.")
        raise typer.Exit(1)
    silent = [kind for kind, deaf_s in wanted.items() if not _heard(beats.get(kind), deaf_s)]
    if silent:
        show.problem(f"No sign of life from: {', '.join(silent)}.", "Its log says why; a start takes some seconds.")
        raise typer.Exit(1)
    show.say("ok")


def _heard(at: dt.datetime | None, deaf_s: float) -> bool:
    return at is not None and (clock.now() - at).total_seconds() <= deaf_s


def _named(name: str) -> pipeline.Worker:
    found = next((worker for worker in pipeline.WORKERS if worker.name == name), None)
    if found is None:
        raise OperatorError(f"There is no worker {name!r}.", f"Name one of {', '.join(NAMES)}.", code=2)
    return found


def _replace(opening: Opening, command: list[str]) -> None:
    """Becomes the command, with the settings that the global options name."""
    settings, file = opening.settings, opening.settings_file()
    settings.folder.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ) | {"BRIEFWIRE_DATA": str(settings.folder)}
    if file is not None:
        env["BRIEFWIRE_CONFIG"] = str(file.absolute())
    sys.stdout.flush()
    os.execve(command[0], command, env)  # noqa: S606 - our own modules, no shell
