"""`briefwire source backfill|import|export`: sources and articles in bulk, from files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from services.console import show
from services.console.commands.options import Json
from services.console.opening import Opening
from services.ingest import opml, past
from shared import clock, queue, urls
from shared.errors import OperatorError, Rejected
from shared.models import Row
from shared.store import backfills, intake

File = Annotated[str, typer.Argument(metavar="FILE|-", help="An OPML file; - reads standard input.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to `source`."""
    app.command("backfill")(backfill)
    app.command("import")(import_)
    app.command("export")(export)


def backfill(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A WARC archive, or a list of addresses, one a line.")
    ] = None,
    source: Annotated[
        str, typer.Option("--source", metavar="NAME", help="The source it belongs to; made when new.")
    ] = "",
    json_: Json = False,
) -> None:
    """Take in what a site published in the past, from an archive or a list of addresses.

    Pages of an archive (.warc, .warc.gz) are taken as they are; addresses are fetched by the wire, as politely as any. Ctrl-C stops it;
    the same command goes on where it stopped. Known pages are not taken twice. All of it is back-fill, which only partners
    with --backfill get. Without FILE: the files so far, and how far each was read.

    \b
    briefwire source backfill 2019.warc.gz --source news
    briefwire source backfill addresses.txt --source news
    briefwire source backfill
    """
    opening: Opening = context.obj
    if file is None:
        _list(opening, json_)
        return
    if not source:
        raise OperatorError("No source is named.", "Say which one it belongs to with --source NAME.")
    if not file.is_file():
        raise OperatorError(f"There is no file {file}.", "Check the path.")
    row = _begin(opening, file, source)
    if row["position"] and not row["ended_at"]:
        show.note(f"Going on at {_share(row)}.")
    done = row if row["ended_at"] else _take_all(opening, file, row)
    if json_:
        show.as_json({key: done[key] for key in ("name", "taken", "known", "left_out", "position", "total")})
    elif row["ended_at"]:
        show.say(f"{file.name} was taken in already, on {show.moment(row['ended_at'])}; nothing changed.")
    else:
        show.say(
            f"{done['taken']} taken in, {done['known']} known before, {done['left_out']} left out (no page, or no usable address)."
        )


def _begin(opening: Opening, file: Path, name: str) -> Row:
    with opening.change("backfill", f"source {name}", file.name) as (connection, now):
        known = {row["name"]: row["id"] for row in intake.sources(connection)}
        source_id = known.get(name) or intake.add_source(
            connection, name=name, url="", kind="push", profile=None, now=now
        )
        return backfills.begin(connection, source_id, file.name, past.digest(file), past.total(file), now)


def _take_all(opening: Opening, file: Path, row: Row) -> Row:
    store, limit = opening.store(create=False), int(opening.settings.fetch.max_mb * 1024 * 1024)
    with show.progress(file.name, row["total"]) as move:
        for batch in _batches(past.items(file, row["position"], limit)):
            with store.write() as connection:
                work = queue.Work(connection, clock.now())
                past.take(work, row, batch, batch[-1].position)
                work.finish()
            move(batch[-1].position, f"{file.name}: {batch[-1].url or ''}"[:80])
    with store.write() as connection:
        return backfills.end(connection, row["id"], clock.now())


def _batches(items: Iterator[past.Item]) -> Iterator[list[past.Item]]:
    batch: list[past.Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == past.BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _list(opening: Opening, json_: bool) -> None:
    with opening.read() as connection:
        rows = [row | {"read": _share(row)} for row in backfills.all_(connection)]
    columns = {"source": "source", "name": "file", "read": "read", "taken": "taken in", "known": "known before", "left_out": "left out",
               "started_at": "begun", "ended_at": "ended"}  # fmt: skip
    show.listing(rows, columns, json_=json_, right=("read", "taken", "known", "left_out"),
                 empty="No back-fill so far. `briefwire source backfill FILE --source NAME` begins one.")  # fmt: skip


def _share(row: Row) -> str:
    return "100 %" if row["ended_at"] or not row["total"] else f"{100 * row['position'] // row['total']} %"


def import_(context: typer.Context, file: File, json_: Json = False) -> None:
    """Follow every feed of an OPML list, as other readers export it. A feed that is followed already stays as it is.

    \b
    briefwire source import feeds.opml
    """
    opening: Opening = context.obj
    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        found = opml.load(body)
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror}.", "Check the path.") from None
    except Rejected as error:
        raise OperatorError(f"{file}: {error.detail}", "Give the OPML file that your reader exports.") from None
    added, known = [], []
    with opening.change("import-sources", file, f"{len(found)} feeds") as (connection, now):
        rows = intake.sources(connection)
        names, followed = {row["name"] for row in rows}, {row["url"] for row in rows}
        for feed in found:
            if feed.url in followed:
                known.append(feed.url)
                continue
            name = _name(feed, names)
            names.add(name)
            intake.add_source(connection, name=name, url=feed.url, kind="feed", profile=None, now=now)
            added.append({"name": name, "url": feed.url})
    if json_:
        show.as_json({"added": added, "known": known})
        return
    for one in added:
        show.say(f"Added {one['name']}: feed {one['url']}")
    show.say(f"{len(added)} added, {len(known)} followed already. Their first polls come while `briefwire up` runs.")


def _name(feed: opml.Subscription, taken: set[str]) -> str:
    """The host's name, with a number where that is taken."""
    base = urls.host_key(feed.url).removeprefix("www.")
    return next(name for name in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if name not in taken)


def export(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="Where to write; - is standard output.")] = "-",
) -> None:
    """Write the feeds that are followed as an OPML list, for other readers or another installation.

    \b
    briefwire source export feeds.opml
    """
    with context.obj.read() as connection:
        rows = [row for row in intake.sources(connection) if row["kind"] == "feed"]
    body = opml.dump(opml.Subscription(row["url"], row["name"]) for row in rows)
    if file == "-":
        sys.stdout.buffer.write(body)
        return
    try:
        Path(file).write_bytes(body)
    except OSError as error:
        raise OperatorError(f"{file} cannot be written: {error.strerror}.", "Name another place.") from None
    show.say(f"Wrote {len(rows)} feeds to {file}.")
