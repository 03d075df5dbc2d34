"""Withdrawals with their proof: for each, who got the article, who has confirmed that it is withdrawn and when, who has not yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Literal

import msgspec
from sqlalchemy import Connection, and_, func, or_, select

from shared.models import ArticleRow, AttemptRow, AuditRow, DeliveryRow, EndpointRow, EventRow, PartnerRow, Row
from shared.store import events

WITHDRAWN = "article.withdrawn"

Standing = Literal["confirmed", "waiting", "quarantined", "unplanned", "superseded", "gone"]
"""Where an endpoint is with a withdrawal: it answered 2xx (or fetched it); it is being told; no attempts are left; the planner
has not come to it; a later withdrawal of the same article took its place; the endpoint was removed, so it cannot be told."""

OPEN: tuple[Standing, ...] = ("waiting", "quarantined", "unplanned")


class Holder(msgspec.Struct, frozen=True):
    """An endpoint that got the article, or may have. `got_at` is its first 2xx, None where no answer ever came."""

    partner: str
    endpoint_id: int
    url: str
    state: str
    got_at: dt.datetime | None
    standing: Standing
    confirmed_at: dt.datetime | None = None
    attempts: int = 0
    next_at: dt.datetime | None = None
    reason: str | None = None
    position: int | None = None
    webhook_id: str | None = None


class Withdrawal(msgspec.Struct, frozen=True):
    """One withdrawal. `by` and `why` are from the audit where a person withdrew it, else the source did."""

    event: int
    article_id: str
    headline: str
    revision: int
    at: dt.datetime
    by: str
    why: str
    holders: tuple[Holder, ...]

    @property
    def open(self) -> tuple[Holder, ...]:
        """Those who have not confirmed yet."""
        return tuple(one for one in self.holders if one.standing in OPEN)


def report(
    connection: Connection, limit: int, *, article_id: str | None = None, before: int | None = None, unconfirmed: bool = False
) -> list[Withdrawal]:  # fmt: skip
    """Withdrawals, newest first: of one article, below an event number, only those that somebody has not confirmed yet."""
    found = (
        select(
            EventRow.number, EventRow.article_id, EventRow.revision, EventRow.at, ArticleRow.headline, ArticleRow.reason
        )
        .join(ArticleRow, ArticleRow.id == EventRow.article_id)
        .where(EventRow.kind == WITHDRAWN)
        .order_by(EventRow.number.desc())
    )
    found = found if article_id is None else found.where(EventRow.article_id == article_id)
    made: list[Withdrawal] = []
    while len(made) < limit:
        page = found if before is None else found.where(EventRow.number < before)
        rows = [dict(row) for row in connection.execute(page.limit(limit)).mappings()]
        made += [one for one in _withdrawals(connection, rows) if one.open or not unconfirmed]
        if len(rows) < limit:
            break
        before = rows[-1]["number"]
    return made[:limit]


def _withdrawals(connection: Connection, rows: list[Row]) -> list[Withdrawal]:
    ids = {row["article_id"] for row in rows}
    holders, said = _holders(connection, ids), _audits(connection, ids)
    return [_withdrawal(row, holders.get(row["article_id"], []), said) for row in rows]


def _withdrawal(row: Row, owed: list[Row], said: list[Row]) -> Withdrawal:
    audit = min((one for one in said if one["target"] == f"article {row['article_id']}"),
                key=lambda one: abs((one["at"] - row["at"]).total_seconds()), default=None)  # fmt: skip
    mine = audit if audit and abs((audit["at"] - row["at"]).total_seconds()) < 5 else None
    by_endpoint: dict[int, list[Row]] = {}
    for one in owed:
        by_endpoint.setdefault(one["endpoint_id"], []).append(one)
    found = [_holder(row["number"], one) for one in by_endpoint.values()]
    return Withdrawal(
        row["number"], row["article_id"], row["headline"], row["revision"], row["at"],
        mine["who"] if mine else "the source", mine["reason"] if mine else row["reason"] or "",
        tuple(one for one in found if one is not None),
    )  # fmt: skip


def _holder(number: int, owed: list[Row]) -> Holder | None:
    """What one endpoint has of the article and knows of this withdrawal; None where it never got it."""
    others = (WITHDRAWN, events.SECTION)  # these carry no text of the article
    before = [one for one in owed if one["event_number"] < number and one["kind"] not in others and one["begun"]]
    told = next((one for one in owed if one["event_number"] == number), None)
    if not before and told is None:
        return None
    first = owed[0]
    got = min((one["delivered_at"] for one in before if one["delivered_at"]), default=None)
    gone: Standing = "gone" if first["endpoint_state"] == "removed" else "unplanned"
    holder = Holder(first["partner"], first["endpoint_id"], first["url"], first["endpoint_state"], got, gone)
    if told is None:
        return holder
    confirmed_at = told["answered_at"] or told["delivered_at"]  # a replay of it does not undo the first answer
    standing: Standing = "confirmed" if confirmed_at else _STANDING[told["state"]] if gone != "gone" else gone
    return msgspec.structs.replace(
        holder, standing=standing, confirmed_at=confirmed_at, attempts=told["attempts"],
        next_at=None if confirmed_at else told["due_at"], reason=told["reason"], position=told["position"],
        webhook_id=told["webhook_id"],
    )  # fmt: skip


_STANDING: dict[str, Standing] = {
    "due": "waiting", "held": "waiting", "quarantined": "quarantined", "superseded": "superseded",
}  # fmt: skip


def _holders(connection: Connection, article_ids: Collection[str]) -> dict[str, list[Row]]:
    """Article id -> what every endpoint was owed of it, by event. `answered_at` is a first 2xx, which a replay does not undo."""
    answered = select(func.min(AttemptRow.at)).where(
        AttemptRow.delivery_id == DeliveryRow.id, or_(AttemptRow.outcome == "delivered", and_(AttemptRow.outcome == "late",
                                                      AttemptRow.status.between(200, 299))))  # fmt: skip
    columns = [getattr(DeliveryRow, name) for name in (
        "article_id", "endpoint_id", "event_number", "kind", "state", "begun", "attempts", "due_at", "reason", "position",
        "webhook_id", "delivered_at",
    )]  # fmt: skip
    found = (
        select(*columns, answered.scalar_subquery().label("answered_at"), PartnerRow.name.label("partner"), EndpointRow.url,
               EndpointRow.state.label("endpoint_state"))
        .join(EndpointRow, EndpointRow.id == DeliveryRow.endpoint_id)
        .join(PartnerRow, PartnerRow.id == EndpointRow.partner_id)
        .where(DeliveryRow.article_id.in_(sorted(article_ids)))
        .order_by(DeliveryRow.article_id, PartnerRow.name, DeliveryRow.endpoint_id, DeliveryRow.event_number)
    )  # fmt: skip
    made: dict[str, list[Row]] = {}
    for row in connection.execute(found).mappings():
        made.setdefault(row["article_id"], []).append(dict(row))
    return made


def _audits(connection: Connection, article_ids: Collection[str]) -> list[Row]:
    found = select(AuditRow.at, AuditRow.who, AuditRow.target, AuditRow.reason).where(
        AuditRow.action == "withdraw-article", AuditRow.target.in_([f"article {one}" for one in sorted(article_ids)])
    )
    return [dict(row) for row in connection.execute(found).mappings()]
