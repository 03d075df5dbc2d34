"""Wire, Quarantine, Sections, Ledger, Audit. Rows in, templates out."""

from __future__ import annotations

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.web import guard, live
from services.console.web.desk import Desk
from services.console.web.guard import Call
from services.enrich import status
from shared import pipeline
from shared.errors import OperatorError
from shared.models import Row
from shared.store import desk as rows
from shared.store import intake
from shared.store import quarantine as held_back

SECTIONS = 18
MEMBERS = 60
"""Newest members of a group of the quarantine that its page shows."""
READINGS = 60
"""Newest observations of a section that its page shows and that flips and streaks are worked out from."""


def wire(call: Call) -> Response:
    """The live page."""
    numbers = call.desk.figures()
    return call.page(
        "wire.html", numbers=numbers, live=live.view(numbers), workers=[worker.name for worker in pipeline.WORKERS]
    )


def quarantine(call: Call) -> Response:
    """What waits for a person, by owner and reason, as far as it fits the query asked for; of one group its members too."""
    owner = call.number("owner")
    group = (call.query("of_kind"), owner, call.query("of_reason") or None)
    with call.desk.store.read() as connection:
        query, problem = _asked(call)
        groups = held_back.groups(connection, query) if query else []
        members = _members(connection, group[0], owner, group[2]) if owner is not None else []
    picked = next((g for g in groups if (g["kind"], g["owner_id"], g["reason"]) == group), None)
    kept = [m for m in members if _holds(call.query("within"), *map(str, m.values()))]
    given = held_back.given(query) if query else {}
    return call.page(
        "quarantine.html", groups=groups, members=kept, picked=picked, many=MEMBERS, given=given, problem=problem,
        target=held_back.as_text(query) if query and given else "", kinds=held_back.KINDS, total=sum(g["n"] for g in groups),
    )  # fmt: skip


def _asked(call: Call) -> tuple[held_back.Query | None, str]:
    """The query of the page's form; or none, and what is wrong with it."""
    try:
        return held_back.read({name: call.query(name) for name in _CRITERIA}), ""
    except OperatorError as error:
        return None, f"{error.what} {error.next_step}"


_CRITERIA = ("kind", "reason", "source", "partner", "words", "since", "until")


def _members(connection: Connection, kind: str, owner: int, reason: str | None) -> list[Row]:
    match kind:
        case "entry":
            found = rows.quarantined_entries(connection, owner, reason, MEMBERS)
            return [row | {"entry": intake.entry_of(row)} for row in found]
        case "delivery":
            return rows.quarantined_deliveries(connection, owner, reason, MEMBERS)
        case "article":
            return rows.stuck_articles(connection, owner, reason, MEMBERS)
    return []


def _holds(words: str, *texts: str | None) -> bool:
    """Whether every word stands in one of the texts, whatever its case."""
    whole = " ".join(text or "" for text in texts).lower()
    return all(word in whole for word in words.lower().split())


def sections(call: Call) -> Response:
    """How the status of each section went: its readings, flips and streaks."""
    with call.desk.store.read() as connection:
        found = rows.sections(connection, SECTIONS + 1, call.number("after") or 0)
        more, found = len(found) > SECTIONS, found[:SECTIONS]
        keys = [(row["source_id"], row["section"]) for row in found]
        seen = {key: rows.observations(connection, *key, READINGS) for key in keys}
    series = {key: _series(key[1], observed) for key, observed in seen.items()}
    shown = [row | _drawn(one) for row, one in zip(found, series.values(), strict=True)]
    return call.page(
        "sections.html",
        sections=shown,
        readings=READINGS,
        after=(call.number("after") or 0) + SECTIONS if more else None,
    )


def _drawn(series: status.Series) -> Row:
    """A series with its strip, how wide that is drawn (few readings are not stretched), and its longest streak."""
    longest = max(series.streaks, key=lambda streak: streak.length, default=None)
    return {"series": series, "strip": strip(series), "wide": 8 * max(20, len(series.readings)), "longest": longest}


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
        guard.get(desk, "/quarantine", quarantine),
        guard.get(desk, "/sections", sections),
        guard.get(desk, "/ledger", ledger),
        guard.get(desk, "/audit", audit),
    ]
