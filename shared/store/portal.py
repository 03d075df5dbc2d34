"""What a partner sees and does on its own page: its browser sessions, its log of deliveries, how it stands. Rows out."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Connection, delete, func, insert, select, update

from shared.models import AttemptRow, DeliveryRow, KeyRow, LaneRow, PortalSessionRow, Row
from shared.store import keys, lanes


def sign_in(connection: Connection, key: str, cookie: str, csrf: str, until: dt.datetime, now: dt.datetime) -> bool:
    """Begins a session under a pull key. False: it opens nothing."""
    found = connection.execute(
        select(KeyRow.id).where(KeyRow.kind == "pull", KeyRow.digest == keys.digest(key), KeyRow.revoked_at.is_(None))
    ).scalar()
    if found is None:
        return False
    connection.execute(delete(PortalSessionRow).where(PortalSessionRow.until <= now))
    values = {"token_hash": keys.digest(cookie), "key_id": found, "csrf": csrf, "created_at": now, "until": until}
    connection.execute(insert(PortalSessionRow).values(values))
    return True


def session(connection: Connection, cookie: str, now: dt.datetime) -> Row | None:
    """The session of a cookie: `csrf`, `key_id`, `endpoint_id`. None where it is over, or its key was revoked."""
    found = (
        select(PortalSessionRow.csrf, PortalSessionRow.key_id, KeyRow.owner_id.label("endpoint_id"))
        .join(KeyRow, KeyRow.id == PortalSessionRow.key_id)
        .where(
            PortalSessionRow.token_hash == keys.digest(cookie),
            PortalSessionRow.until > now,
            KeyRow.revoked_at.is_(None),
        )
    )
    row = connection.execute(found).mappings().first()
    return dict(row) if row else None


def sign_out(connection: Connection, cookie: str) -> None:
    """Ends the session."""
    connection.execute(delete(PortalSessionRow).where(PortalSessionRow.token_hash == keys.digest(cookie)))


def revoke(connection: Connection, endpoint_id: int, key_id: int, now: dt.datetime) -> bool:
    """Shuts out one pull key of the endpoint. False: it has no such key."""
    live = (KeyRow.id == key_id, KeyRow.kind == "pull", KeyRow.owner_id == endpoint_id, KeyRow.revoked_at.is_(None))
    return bool(connection.execute(update(KeyRow).where(*live).values(revoked_at=now)).rowcount)


def counts(connection: Connection, endpoint_id: int) -> dict[str, int]:
    """State -> how many of the endpoint's deliveries. What is held is nobody's to know."""
    found = select(DeliveryRow.state, func.count()).where(
        DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.state != "held"
    )
    return dict(connection.execute(found.group_by(DeliveryRow.state)).all())


def lane(connection: Connection, endpoint_id: int) -> Row | None:
    """The endpoint's lane: `breaker` and `blocked_until`."""
    found = select(LaneRow.breaker, LaneRow.blocked_until).where(LaneRow.key == lanes.endpoint_lane(endpoint_id))
    row = connection.execute(found).mappings().first()
    return dict(row) if row else None


def log(
    connection: Connection, endpoint_id: int, limit: int, *, before: int | None = None, outcome: str | None = None,
    article_id: str | None = None,
) -> list[Row]:  # fmt: skip
    """The endpoint's attempts, newest first, below an id, of one outcome, about one article; each with what it was for."""
    found = (
        select(
            AttemptRow.id, AttemptRow.at, AttemptRow.outcome, AttemptRow.status, AttemptRow.reason, AttemptRow.response,
            AttemptRow.duration_ms, AttemptRow.number, DeliveryRow.webhook_id, DeliveryRow.position, DeliveryRow.article_id,
            DeliveryRow.revision, DeliveryRow.kind.label("type"), DeliveryRow.omitted,
        )
        .join(DeliveryRow, DeliveryRow.id == AttemptRow.delivery_id)
        .where(AttemptRow.endpoint_id == endpoint_id)
        .order_by(AttemptRow.id.desc())
        .limit(limit)
    )  # fmt: skip
    for column, value in ((AttemptRow.outcome, outcome), (DeliveryRow.article_id, article_id)):
        found = found if value is None else found.where(column == value)
    found = found if before is None else found.where(AttemptRow.id < before)
    return [dict(row) for row in connection.execute(found).mappings()]
