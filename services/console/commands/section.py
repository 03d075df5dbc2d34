"""`briefwire section ...`: how the situation in each section moved, as its articles say."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from services.console import show
from services.console.commands.options import Json
from services.enrich import status, turns
from shared.errors import OperatorError
from shared.models import Row
from shared.store import desk, statuses

app = typer.Typer(
    name="section", help="How the situation in each section moved, as its articles say.", no_args_is_help=True
)

Until = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="As it stood then: 2026-05-20, or 2026-05-20 18:00, in UTC."),
]


@app.command("list")
def list_(
    context: typer.Context,
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Only this source's.")] = None,
    as_of: Until = None,
    json_: Json = False,
) -> None:
    """Every section with its status now, or as it stood at an instant.

    \b
    briefwire section list
    briefwire section list --as-of 2026-05-20 --json
    """
    until = _instant(as_of)
    with context.obj.read() as connection:
        found = [(row, _series(connection, row, until)) for row in statuses.sections(connection, source)]
    rows = [_listed(row, series) for row, series in found if series.readings or series.unknown]
    columns = {"source": "source", "section": "section", "status": "status", "since": "since", "in_a_row": "in a row",
               "flips": "flips", "articles": "articles", "unknown": "unknown"}  # fmt: skip
    show.listing(
        rows, columns, json_=json_, right=("in a row", "flips", "articles", "unknown"), empty="No sections yet."
    )


def _listed(row: Row, series: status.Series) -> Row:
    streak = series.streak
    return {"source": row["source"], "section": row["section"], "status": series.current,
            "since": streak.since if streak else None, "in_a_row": streak.length if streak else 0, "flips": len(series.flips),
            "articles": len(series.readings) + series.unknown, "unknown": series.unknown}  # fmt: skip


@app.command("show")
def show_(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source's name.")],
    section: Annotated[str, typer.Argument(metavar="SECTION", help="The section as the publisher prints it.")],
    as_of: Until = None,
    json_: Json = False,
) -> None:
    """One section's history: its status, streaks and flips, and the articles that say so.

    \b
    briefwire section show belarus-in-focus "Society and politics"
    briefwire section show belarus-in-focus Economy --as-of 2026-05-20
    """
    with context.obj.read() as connection:
        found = [row for row in statuses.sections(connection, source) if row["section"] == section]
        if not found:
            raise OperatorError(
                f"{source} has no section {section} with a status.", "`briefwire section list` shows them."
            )
        series = _series(connection, found[0], _instant(as_of))
        titles = desk.headlines(connection, [one.article_id for one in series.readings])
    if json_:
        show.as_json(_whole(source, section, series))
        return
    show.say(f"{section} ({source}): {series.current}", style="bold")
    show.print_table(("status", "from", "to", "in a row"), [(one.value, one.since, one.until, one.length) for one in series.streaks],
                     title="Streaks", right=("in a row",))  # fmt: skip
    if series.flips:
        show.print_table(("at", "from", "to", "article", "headline"),
                         [(one.at, one.before, one.after, one.article_id, titles.get(one.article_id)) for one in series.flips],
                         title="Flips")  # fmt: skip
    show.say(f"{len(series.readings)} articles say how it moved, {series.unknown} do not.")


def _whole(source: str, section: str, series: status.Series) -> dict[str, Any]:
    return {
        "source": source, "section": section, "status": series.current, "unknown": series.unknown,
        "streaks": [one._asdict() for one in series.streaks], "flips": [one._asdict() for one in series.flips],
        "readings": [{"at": one.at, "article_id": one.article_id, "value": one.value} for one in series.readings],
    }  # fmt: skip


def _series(connection: Connection, row: Row, until: dt.datetime | None) -> status.Series:
    return turns.series(statuses.readings(connection, (row["source_id"], row["section"]), until))


def _instant(text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    try:
        at = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise OperatorError(
            f"{text[:40]} is no instant.", "Write it as 2026-05-20 or 2026-05-20 18:00, in UTC."
        ) from None
    if len(text.strip()) == 10:  # a day means all of it
        at += dt.timedelta(days=1, microseconds=-1)
    return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)
