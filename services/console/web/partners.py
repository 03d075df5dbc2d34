"""Partners: each endpoint, how far behind it is, how it answers, what it is owed; withdrawals and who confirmed. Rows in, templates out."""

from __future__ import annotations

import datetime as dt
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.web import guard
from services.console.web.desk import Desk
from services.console.web.guard import Call
from services.publish import policy
from shared import records
from shared.store import desk as rows
from shared.store import lanes, ledger, partners, pull, websub, withdrawals

HOUR = dt.timedelta(hours=1)
WITHDRAWALS = 20


SENT = ("webhook", "storage", "websub")
"""Kinds that something is sent to; a `pull` endpoint fetches by itself."""


def partners_page(call: Call) -> Response:
    """Every endpoint: how far behind, how it answers, what waits."""
    now = call.desk.now()
    with call.desk.store.read() as connection:
        found = [row | rows.success(connection, row["id"], now - HOUR) for row in partners.endpoints(connection)]
        told = withdrawals.report(connection, WITHDRAWALS, unconfirmed=True)
    present = {one.endpoint_id: one for one in call.desk.figures().endpoints}
    listed = [row | {"now": present[row["id"]], "sent": row["kind"] in SENT} for row in found if row["id"] in present]
    return call.page("partners.html", partners=listed, unconfirmed=len(told), most=WITHDRAWALS)


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
            "book": next(
                (b for b in ledger.books(connection, proof=False).delivery if b.endpoint == endpoint_id), None
            ),
            "attempts": rows.attempts(connection, endpoint_id, 40),
            "backlog": rows.backlog(connection, endpoint_id, 20),
            "siblings": [one for one in partners.endpoints(connection) if one["partner_id"] == row["partner_id"]],
            "hub": websub.subscriber(connection, endpoint_id) if row["kind"] == "websub" else None,
            "subscribers": websub.count_subscribers(connection, endpoint_id),
            "place": pull.place(connection, endpoint_id),
        }
    lane = shown["lane"]
    breaker = records.from_json(lane["breaker"], policy.Breaker) if lane and lane["breaker"] else policy.Breaker()
    present = next((one for one in call.desk.figures().endpoints if one.endpoint_id == endpoint_id), None)
    return call.page("partner.html", partner=row, breaker=breaker, present=present, sent=row["kind"] in SENT, **shown)


def withdrawals_page(call: Call) -> Response:
    """Each withdrawal with its proof: who had the article, who confirmed when, who has not yet."""
    unconfirmed = bool(call.query("open"))
    with call.desk.store.read() as connection:
        found = withdrawals.report(
            connection, WITHDRAWALS + 1, article_id=call.query("article") or None, before=call.number("before"), unconfirmed=unconfirmed
        )  # fmt: skip
    more = found[WITHDRAWALS - 1].event if len(found) > WITHDRAWALS else None
    return call.page(
        "withdrawals.html", found=found[:WITHDRAWALS], more=more, unconfirmed=unconfirmed, article=call.query("article")
    )


def routes(desk: Desk) -> list[BaseRoute]:
    return [
        guard.get(desk, "/partners", partners_page),
        guard.get(desk, "/partners/{endpoint_id:int}", partner),
        guard.get(desk, "/withdrawals", withdrawals_page),
    ]
