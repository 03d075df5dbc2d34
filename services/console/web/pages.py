"""The pages of lists: Wire, Sources, Partners, Quarantine, Sections, Ledger, Audit. Rows in, templates out."""

from __future__ import annotations

import datetime as dt
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.web import guard, live
from services.console.web.desk import Desk
from services.console.web.guard import Call
from services.enrich import status
from services.ingest import schedule
from services.publish import policy
from shared import pipeline, records
from shared.models import Row
from shared.store import desk as rows
from shared.store import intake, lanes, partners

HOUR = dt.timedelta(hours=1)
SECTIONS = 18
READINGS = 60
"""Newest observations of a section that its page shows and that flips and streaks are worked out from."""


def wire(call: Call) -> Response:
    """The live page."""
    numbers = call.desk.figures()
    return call.page(
        "wire.html", numbers=numbers, live=live.view(numbers), workers=[worker.name for worker in pipeline.WORKERS]
    )


def sources(call: Call) -> Response:
    """Every source, how fresh it is against its own rhythm, and what is wrong with it."""
    with call.desk.store.read() as connection:
        found = intake.sources(connection)
        counts = intake.count_states(connection)
    now = call.desk.now()
    return call.page(
        "sources.html", sources=[_fresh(row, now) | {"counts": counts.get(row["id"], {})} for row in found]
    )


def source(call: Call) -> Response:
    """One source: its rhythm, its hosts, its newest entries."""
    with call.desk.store.read() as connection:
        row = rows.source(connection, int(call.path("source_id")))
        if row is None:
            raise guard.not_found("such source")
        entries = rows.entries_of(connection, row["id"], 40)
        hosts = rows.hosts_of(connection, row["id"])
        counts = rows.entry_counts(connection, row["id"])
    return call.page("source.html", source=_fresh(row, call.desk.now()), entries=entries, hosts=hosts, counts=counts)


def _fresh(row: Row, now: dt.datetime) -> Row:
    """The source with its rhythm read, how long it may be silent, and whether it is silent for longer."""
    state = records.from_json(row["rhythm"], schedule.PollState) if row["rhythm"] else schedule.PollState()
    late = row["state"] == "active" and schedule.overdue(row["new_at"], state.rhythm, now)
    word = "stopped" if row["state"] == "stopped" else row["state"]
    if row["state"] == "active":
        word = "failing" if row["failures"] else "overdue" if late else "fresh" if row["ok_at"] else "new"
    tone = {"fresh": "good", "new": "idle", "paused": "idle", "overdue": "busy", "failing": "busy"}.get(word, "bad")
    return row | {"poll": state, "allowance_s": schedule.allowance_s(state.rhythm), "word": word, "tone": tone}


def partners_page(call: Call) -> Response:
    """Every endpoint: how far behind, how it answers, what waits."""
    now = call.desk.now()
    with call.desk.store.read() as connection:
        found = [row | rows.success(connection, row["id"], now - HOUR) for row in partners.endpoints(connection)]
    present = {one.endpoint_id: one for one in call.desk.figures().endpoints}
    return call.page(
        "partners.html", partners=[row | {"now": present.get(row["id"])} for row in found if row["id"] in present]
    )


def partner(call: Call) -> Response:
    """One endpoint: its lane and breaker, its newest attempts, its backlog, what it subscribes to."""
    now, endpoint_id = call.desk.now(), int(call.path("endpoint_id"))
    with call.desk.store.read() as connection:
        row = partners.endpoint(connection, endpoint_id)
        if row is None:
            raise guard.not_found("such partner")
        shown: dict[str, Any] = {
            "lane": lanes.get(connection, lanes.endpoint_lane(endpoint_id)),
            "hour": rows.success(connection, endpoint_id, now - HOUR),
            "day": rows.success(connection, endpoint_id, now - 24 * HOUR),
            "counts": rows.delivery_counts(connection, endpoint_id),
            "attempts": rows.attempts(connection, endpoint_id, 40),
            "backlog": rows.backlog(connection, endpoint_id, 20),
        }
    lane = shown["lane"]
    breaker = records.from_json(lane["breaker"], policy.Breaker) if lane and lane["breaker"] else policy.Breaker()
    present = next((one for one in call.desk.figures().endpoints if one.endpoint_id == endpoint_id), None)
    return call.page("partner.html", partner=row, breaker=breaker, present=present, **shown)


def quarantine(call: Call) -> Response:
    """What waits for a person, by owner and reason; of one group its members too."""
    kind, owner, reason = call.query("kind"), call.number("owner"), call.query("reason") or None
    members: list[Row] = []
    with call.desk.store.read() as connection:
        groups = rows.quarantine_groups(connection)
        if owner is not None and kind == "entry":
            members = [
                row | {"entry": intake.entry_of(row)} for row in rows.quarantined_entries(connection, owner, reason, 60)
            ]
        elif owner is not None and kind == "delivery":
            members = rows.quarantined_deliveries(connection, owner, reason, 60)
    picked = next((g for g in groups if (g["kind"], g["owner_id"], g["reason"]) == (kind, owner, reason)), None)
    return call.page("quarantine.html", groups=groups, members=members, picked=picked)


def sections(call: Call) -> Response:
    """How the status of each section went: its readings, flips and streaks."""
    with call.desk.store.read() as connection:
        found = rows.sections(connection, SECTIONS + 1, call.number("after") or 0)
        more, found = len(found) > SECTIONS, found[:SECTIONS]
        keys = [(row["source_id"], row["section"]) for row in found]
        seen = {key: rows.observations(connection, *key, READINGS) for key in keys}
    series = {key: _series(key[1], observed) for key, observed in seen.items()}
    shown = [row | {"series": one, "strip": strip(one)} for row, one in zip(found, series.values(), strict=True)]
    return call.page(
        "sections.html",
        sections=shown,
        readings=READINGS,
        after=(call.number("after") or 0) + SECTIONS if more else None,
    )


def _series(section: str, observed: list[Row]) -> status.Series:
    return status.series(status.Observation(section, row["at"], row["article_id"], row["value"]) for row in observed)


def strip(series: status.Series) -> dict[str, str]:
    """Trend -> an SVG path with a mark for each reading: above the middle, in it, or below; eight units a reading."""
    heights = {"improved": "2v18", "unchanged": "20v6", "worsened": "26v18"}
    paths = dict.fromkeys(heights, "")
    for place, reading in enumerate(series.readings):
        paths[reading.value] += f"M{place * 8 + 3} {heights[reading.value]}"
    return {trend: path for trend, path in paths.items() if path}


def ledger(call: Call) -> Response:
    """The two books, as of their last check; a wish for a new one is met within seconds."""
    if call.query("check"):
        call.desk.sampler.want_slow()
    return call.page("ledger.html", books=call.desk.figures().books, asked=bool(call.query("check")))


def audit(call: Call) -> Response:
    """Who did what to what, newest first."""
    wish = {name: call.query(name) for name in ("who", "action", "target")}
    with call.desk.store.read() as connection:
        lines = rows.audits(connection, **wish, before=call.number("before"), limit=51)
    return call.page("audit.html", lines=lines[:50], more=lines[50:] and lines[49]["id"], wish=wish)


def routes(desk: Desk) -> list[BaseRoute]:
    return [
        guard.get(desk, "/", wire),
        guard.get(desk, "/sources", sources),
        guard.get(desk, "/sources/{source_id:int}", source),
        guard.get(desk, "/partners", partners_page),
        guard.get(desk, "/partners/{endpoint_id:int}", partner),
        guard.get(desk, "/quarantine", quarantine),
        guard.get(desk, "/sections", sections),
        guard.get(desk, "/ledger", ledger),
        guard.get(desk, "/audit", audit),
    ]
