"""`briefwire db upgrade|status|backup|restore|move|prune`: the store as a whole.

A backup holds the whole store and the key that opens the partners' secrets, in one compressed file that fits both kinds of store.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from services.console import show
from services.console.commands.options import Json
from services.console.opening import Opening
from shared import clock, housekeeping, migrations
from shared.errors import OperatorError
from shared.models import Base
from shared.store import dump, engine, events, partitions, retention, workers

app = typer.Typer(
    name="db", no_args_is_help=True, help="The store: its shape, backups, a move to PostgreSQL, old logs."
)
RUNNING_S = 15.0  # a part that gave a sign of life so lately is running


@app.command()
def upgrade(context: typer.Context) -> None:
    """Bring the store to this version's shape.

    Safe to repeat. Exit code 4: a newer version wrote it.

    \b
    briefwire db upgrade
    """
    context.obj.store(create=True)
    show.say("The store has this version's shape.")


@app.command()
def status(context: typer.Context, json_: Json = False) -> None:
    """What the store is, how many rows each table has, and from when on its logs reach.

    \b
    briefwire db status
    """
    opening: Opening = context.obj
    with opening.read() as connection:
        counts = {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                  for table in Base.metadata.sorted_tables}  # fmt: skip
        logs = {name: connection.execute(select(func.min(Base.metadata.tables[name].c[column]))).scalar()
                for name, (_, column) in partitions.DIVIDED.items()}  # fmt: skip
        months = [part.name for part in partitions.parts(connection)]
    found = {"store": _named(opening.settings.store_url), "shape": migrations.shape(), "rows": counts, "since": logs,
             "partitions": months}  # fmt: skip
    if json_:
        show.as_json(found)
        return
    show.say(f"{found['store']}, shape {found['shape']}")
    show.print_table(("table", "rows", "since"), [(name, n, logs.get(name)) for name, n in sorted(counts.items()) if n],
                     right=("rows",))  # fmt: skip


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; its owner alone may read it.")],
    without_key: Annotated[bool, typer.Option("--without-key", help="Leave the secrets' key out.")] = False,
) -> None:
    """Write the whole store into one file, while the wire runs.

    The file holds one moment of the store and the key that opens the partners' secrets: keep it as you keep passwords. Pages
    on a shelf of files ([store] pages) are not in it: copy that folder after the backup.

    \b
    briefwire db backup /backups/wire-2026-11-24.bwz
    briefwire db backup wire.bwz --without-key
    """
    opening: Opening = context.obj
    key = None if without_key else _key(opening.settings.folder)
    with opening.read() as connection, _counted("Writing the backup") as told:
        dump.to_file(dump.heard(dump.frames(connection, migrations.shape(), clock.now(), key), told), file)
    show.say(f"Wrote {file} ({file.stat().st_size:,} bytes{'' if key else ', without the key of the secrets'}).")


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `briefwire db backup` wrote.")],
) -> None:
    """Fill an empty store from a backup, of either kind of store.

    What came after the backup is fetched and delivered again where the sites still show it; webhook ids are the same as before,
    so partners drop what they had. Cursors that partners kept are told to begin anew.

    \b
    briefwire --data ./new-folder db restore wire.bwz
    briefwire db restore wire.bwz && briefwire up
    """
    opening: Opening = context.obj
    stream = dump.from_file(file)
    header = next(stream, None)
    if not isinstance(header, dump.Header):
        raise OperatorError(f"{file} is not a backup of Briefwire.", "Use another one.", code=4)
    _keep_key(opening.settings.folder, header.key)
    with opening.store(create=True).write() as connection, _counted("Restoring") as told:
        dump.load(connection, dump.heard(_again(header, stream), told), migrations.shape())
        events.new_epoch(connection)
    show.say(f"Restored what the store held on {show.moment(header.at)}. Start the wire with `briefwire up`.")


@app.command()
def move(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="postgresql://user@host/database, which must be empty.")],
) -> None:
    """Move an embedded installation from SQLite to PostgreSQL.

    Stop the wire first. Nothing is lost and nothing sent twice: entries, articles, deliveries, attempts and cursors go over as
    they are, checked by count, in one transaction. The SQLite file stays as it was.

    \b
    briefwire db move postgresql://wire@db.internal/wire
    """
    opening: Opening = context.obj
    source, target = opening.store(create=False), engine.Store(url)
    if source.url == target.url:
        raise OperatorError("That is the store in use.", "Name another database.")
    try:
        with source.read() as reading:
            _refuse_running(reading)
            migrations.upgrade(target)
            with target.write() as writing, _counted("Moving") as told:
                dump.copy(reading, writing, migrations.shape(), clock.now(), told)
    finally:
        target.close()
    show.say("Moved. Now set this in briefwire.toml, then start the wire:")
    show.say(f'\n[store]\nurl = "{make_url(url).render_as_string(hide_password=True)}"')


@app.command()
def prune(
    context: typer.Context,
    attempts_days: Annotated[
        float | None, typer.Option(min=0, help="Keep attempts this many days; 0: for ever.")
    ] = None,
    events_days: Annotated[float | None, typer.Option(min=0, help="Keep events this many days; 0: for ever.")] = None,
    pages_days: Annotated[
        float | None, typer.Option(min=0, help="Keep fetched pages this many days; 0: for ever.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much would go.")] = False,
    json_: Json = False,
) -> None:
    """Forget what the logs need not keep: old attempts, events and fetched pages.

    Without options, what [keep] in the settings says, which the wire also does by itself once a day. Articles, revisions and
    deliveries are kept; the books balance, and the attempts that are left prove themselves, as before.

    \b
    briefwire db prune --pages-days 90 --dry-run
    briefwire db prune --attempts-days 400 --events-days 400
    """
    opening: Opening = context.obj
    given = {"attempts_days": attempts_days, "events_days": events_days, "pages_days": pages_days}
    settings = msgspec.structs.replace(
        opening.settings.keep, **{name: days for name, days in given.items() if days is not None}
    )
    keep = retention.since(settings, clock.now())
    if not any(keep):
        raise OperatorError(
            "Nothing says how long to keep the logs.", "Give --pages-days N or the like, or set [keep]."
        )
    store = opening.store(create=False)
    if dry_run:
        with store.read() as connection:
            found = retention.count(connection, keep)
    else:
        with show.busy("Forgetting"):
            found = retention.prune(store, keep)
            housekeeping.unshelve(store, found.places)
    if json_:
        show.as_json({"rows": found.rows, "partitions": found.parts, "files": len(found.places), "dry_run": dry_run})
        return
    show.say(
        f"{'Would forget' if dry_run else 'Forgot'} "
        + ", ".join(f"{n:,} {name}" for name, n in found.rows.items())
        + "."
    )


@contextlib.contextmanager
def _counted(doing: str) -> Iterator[dump.Told]:
    """Says on a terminal how many rows have gone through."""
    rows = 0
    with show.busy(doing) if not show.err().is_terminal else show.err().status(doing) as spinner:

        def told(frame: dump.Frame) -> None:
            nonlocal rows
            if isinstance(frame, dump.Rows):
                rows += len(frame.rows)
                if spinner is not None:
                    spinner.update(f"{doing}: {rows:,} rows, now {frame.table}")

        yield told


def _again(first: dump.Frame, rest: Iterator[dump.Frame]) -> Iterator[dump.Frame]:
    yield first
    yield from rest


def _key(folder: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        return (folder / "secret.key").read_bytes()
    return None


def _keep_key(folder: Path, key: bytes | None) -> None:
    """Puts the backup's key into the data folder. OperatorError: another key is there, which other secrets may need."""
    if key is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "secret.key"
    if path.exists() and path.read_bytes() != key:
        raise OperatorError(
            f"{path} is not the key of this backup.", "Move it away, or name another folder with --data.", code=4
        )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())


def _refuse_running(connection: Any) -> None:
    newest = max(workers.last_beats(connection).values(), default=None)
    if newest is not None and clock.now() - newest < dt.timedelta(seconds=RUNNING_S):
        raise OperatorError(
            "The wire is running.", "Stop it first, wait a quarter of a minute, then try again.", code=4
        )


def _named(url: str) -> str:
    made = make_url(url)
    return str(made.database) if made.get_backend_name() == "sqlite" else made.render_as_string(hide_password=True)
