"""What is true of this installation as a whole, and who changed what."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Connection, insert, select

from shared.models import AuditRow, MetaRow, Row


def name(connection: Connection) -> str:
    """The installation's id, made with its store: it keeps two installations' delivery ids apart."""
    return str(connection.execute(select(MetaRow.value).where(MetaRow.key == "installation")).scalar_one())


def audit(connection: Connection, who: str, action: str, target: str, reason: str, now: dt.datetime) -> None:
    """Keeps who did what to what, and why."""
    connection.execute(insert(AuditRow).values(at=now, who=who, action=action, target=target, reason=reason))


def audits(connection: Connection, limit: int) -> list[Row]:
    """The newest lines of the audit, newest first."""
    found = select(*AuditRow.__table__.columns).order_by(AuditRow.id.desc()).limit(limit)
    return [dict(row) for row in connection.execute(found).mappings()]
