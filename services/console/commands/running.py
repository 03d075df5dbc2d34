"""`briefwire up` and `briefwire demo`: the wire running in the foreground."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Annotated

import typer

from services import supervisor
from services.console import accounts, show
from services.console.demo import run as demo_run
from services.console.opening import Opening
from shared import broker, logs
from shared.errors import OperatorError
from shared.settings import Settings
from shared.store import desk, intake, partners

LEAST_MB = 10
"""Free space, in megabytes, without which the wire does not start."""


def register(app: typer.Typer) -> None:
    """Adds the commands of this group to the top level."""
    app.command("up")(up)
    app.command("demo")(demo)


def up(context: typer.Context) -> None:
    """Run the whole wire until Ctrl-C.

    Broker, feeder, workers and web process; what dies is started again.

    \b
    briefwire up
    briefwire up --data /srv/briefwire --config /etc/briefwire.toml
    """
    opening: Opening = context.obj
    settings = opening.settings
    logs.begin("up", settings.logs)
    with supervisor.locked(settings):
        _room(settings)
        running = supervisor.Supervisor(settings, config=_absolute(opening.settings_file()))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, running.end)
        _before(settings, opening.settings_file())
        try:
            with show.busy("Starting the broker, the store and the workers"):
                running.start()
            _after(opening, running)
            running.watch()
            show.say("Ending in order ...")
        finally:
            running.stop()
    show.say("Ended. Nothing is lost; the next `briefwire up` carries on.")


def _room(settings: Settings) -> None:
    """Refuses a full disk before anything starts on it."""
    free_mb = shutil.disk_usage(settings.folder).free / 1_000_000
    if free_mb < LEAST_MB:
        raise OperatorError(f"The disk that holds {settings.folder} is full: {free_mb:.1f} MB are free, {LEAST_MB} are needed.",
                            "Free some space, then start again; nothing that was stored is lost.", code=4)  # fmt: skip


def _absolute(path: Path | None) -> Path | None:
    return path.absolute() if path else None


def _before(settings: Settings, file: Path | None) -> None:
    facts = {
        "Data": str(settings.folder),
        "Settings": str(file) if file else "defaults (no briefwire.toml)",
        "Store": "PostgreSQL, as configured" if settings.store.url else str(settings.folder / "briefwire.sqlite3"),
        "Broker": "Redis, as configured" if settings.broker.url else f"embedded, {broker.socket_path(settings)}",
        "Web": f"http://{settings.web.host}:{settings.web.port}/"
        if settings.web.port
        else "a free port, told in web.url",
        "Logs": str(settings.folder / "logs"),
    }
    for name, value in facts.items():
        show.say(f"{name:<9} {value}")


def _after(opening: Opening, running: supervisor.Supervisor) -> None:
    with opening.read() as connection:
        sources, endpoints = intake.sources(connection), partners.endpoints(connection)
        signs_in = desk.has_password(connection)
    show.say(f"{'Started':<9} {', '.join(child.name for child in running.children)}")
    show.say(f"{'Follows':<9} sources: {len(sources)}, partners: {len(endpoints)}")
    if not signs_in:
        show.say(
            f"{'Sign in':<9} with the one-time link that will stand in {opening.settings.folder / accounts.LINK_FILE}"
        )
    if not sources:
        show.say("Next: `briefwire source add URL` in another terminal.")
    elif not endpoints:
        show.say("Next: `briefwire partner add URL` in another terminal.")
    show.say("Ctrl-C ends it in order.")


def demo(
    context: typer.Context,
    stay: Annotated[
        bool, typer.Option("--stay", help="Keep it up afterwards, until Ctrl-C, and keep its data.")
    ] = False,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="N", min=10, help="Give up when not done by then.")
    ] = 150.0,
) -> None:
    """Show the whole wire at work on a bundled news site.

    Two partners take what comes; it ends by itself with both books, exit code 0 when all is right.

    \b
    briefwire demo
    briefwire demo --stay            then, elsewhere: briefwire --data demo-data article list
    """
    opening: Opening = context.obj
    raise typer.Exit(demo_run.run(folder=opening.data, stay=stay, seconds=seconds))
