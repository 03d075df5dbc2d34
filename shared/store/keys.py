"""Keys of programs: who may push into a source, and who may pull what an endpoint gets. Digests in, rows out."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Literal

from sqlalchemy import Connection, insert, select, update

from shared.models import KeyRow, Row

Kind = Literal["push", "sign", "pull"]


def digest(key: str) -> str:
    """What is kept of a key: keys hold 256 random bits, so one SHA-256 is enough."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def add(
    connection: Connection, kind: Kind, owner_id: int, key: str, now: dt.datetime, *, sealed: str | None = None
) -> int:
    """Lets this key in, to one source (push, sign) or one endpoint (pull). Returns its id."""
    values = {"kind": kind, "owner_id": owner_id, "digest": digest(key), "sealed": sealed, "created_at": now}
    return int(connection.execute(insert(KeyRow).values(values).returning(KeyRow.id)).scalar_one())


def owner(connection: Connection, kind: Kind, key: str) -> int | None:
    """Whose key this is; None where nobody's, or revoked."""
    found = select(KeyRow.owner_id).where(
        KeyRow.kind == kind, KeyRow.digest == digest(key), KeyRow.revoked_at.is_(None)
    )
    return connection.execute(found).scalar()


def find(connection: Connection, kind: Kind, key: str) -> Row | None:
    """The key's row (`id`, `owner_id`); None where it is nobody's, or revoked."""
    found = select(KeyRow.id, KeyRow.owner_id).where(
        KeyRow.kind == kind, KeyRow.digest == digest(key), KeyRow.revoked_at.is_(None)
    )
    row = connection.execute(found).mappings().first()
    return dict(row) if row else None


def of(connection: Connection, kind: Kind, owner_id: int) -> list[Row]:
    """The keys that are let in there, oldest first."""
    found = select(*KeyRow.__table__.columns).where(
        KeyRow.kind == kind, KeyRow.owner_id == owner_id, KeyRow.revoked_at.is_(None)
    )
    return [dict(row) for row in connection.execute(found.order_by(KeyRow.id)).mappings()]


def revoke(connection: Connection, kind: Kind, owner_id: int, now: dt.datetime) -> int:
    """Shuts out every key of that kind. Returns how many."""
    live = (KeyRow.kind == kind, KeyRow.owner_id == owner_id, KeyRow.revoked_at.is_(None))
    return int(connection.execute(update(KeyRow).where(*live).values(revoked_at=now)).rowcount)
