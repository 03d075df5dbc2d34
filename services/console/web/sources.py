"""Sources: how fresh each is against its own rhythm, what is wrong with it, what it brought. Rows in, templates out."""

from __future__ import annotations

import datetime as dt

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.web import guard
from services.console.web.desk import Desk
from services.console.web.guard import Call
from services.ingest import schedule
from shared import records
from shared.models import Row
from shared.store import desk as rows
from shared.store import drift, intake, ledger


def sources(call: Call) -> Response:
    """Every source, how fresh it is against its own rhythm, and what is wrong with it."""
    with call.desk.store.read() as connection:
        found = intake.sources(connection)
        books = {line.source: line for line in ledger.books(connection, proof=False).intake}
        held = {row["source_id"]: row for row in drift.held(connection)}
    now = call.desk.now()
    shown = [_fresh(row, now) | {"book": books.get(row["name"]), "drift": held.get(row["id"])} for row in found]
    return call.page("sources.html", sources=shown)


def source(call: Call) -> Response:
    """One source: its rhythm, its hosts, its newest entries."""
    with call.desk.store.read() as connection:
        row = rows.source(connection, int(call.path("source_id")))
        if row is None:
            raise guard.not_found("such source")
        entries = rows.entries_of(connection, row["id"], 40)
        hosts = rows.hosts_of(connection, row["id"])
        book = next((b for b in ledger.books(connection, proof=False).intake if b.source == row["name"]), None)
        hub, shape = rows.hub_of(connection, row["id"]), drift.summary(connection, row["id"])
    fresh = _fresh(row, call.desk.now())
    return call.page("source.html", source=fresh, entries=entries, hosts=hosts, book=book, hub=hub, shape=shape)


def _fresh(row: Row, now: dt.datetime) -> Row:
    """The source with its rhythm read, how long it may be silent, and whether it is silent for longer."""
    state = records.from_json(row["rhythm"], schedule.PollState) if row["rhythm"] else schedule.PollState()
    late = row["state"] == "active" and schedule.overdue(row["new_at"], state.rhythm, now)
    word = "stopped" if row["state"] == "stopped" else row["state"]
    if row["state"] == "active":
        word = "failing" if row["failures"] else "overdue" if late else "fresh" if row["ok_at"] else "new"
    tone = {"fresh": "good", "new": "idle", "paused": "idle", "overdue": "busy", "failing": "busy"}.get(word, "bad")
    allowance_s = schedule.allowance_s(state.rhythm)
    silent_s = (now - row["new_at"]).total_seconds() if row["new_at"] else None
    used = min(1.0, silent_s / allowance_s) if silent_s is not None and allowance_s else None
    return row | {"poll": state, "allowance_s": allowance_s, "used": used, "word": word, "tone": tone}


def routes(desk: Desk) -> list[BaseRoute]:
    return [guard.get(desk, "/sources", sources), guard.get(desk, "/sources/{source_id:int}", source)]
