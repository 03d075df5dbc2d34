"""Files of the past that are being taken in, and how far each was read."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Connection, insert, select, update

from shared.models import BackfillRow, Row, SourceRow


def begin(connection: Connection, source_id: int, name: str, digest: str, total: int, now: dt.datetime) -> Row:
    """The file's row: a new one, or the one that stands from before, with how far it was read."""
    known = select(*BackfillRow.__table__.columns).where(
        BackfillRow.source_id == source_id, BackfillRow.digest == digest
    )
    row = connection.execute(known).mappings().first()
    if row is None:
        connection.execute(
            insert(BackfillRow).values(source_id=source_id, name=name, digest=digest, total=total, started_at=now)
        )
        row = connection.execute(known).mappings().one()
    return dict(row)


def advance(connection: Connection, backfill_id: int, position: int, *, taken: int, known: int, left_out: int) -> None:
    """The file was read to `position`; so many of its items were new, known, or could not be taken."""
    connection.execute(update(BackfillRow).where(BackfillRow.id == backfill_id).values(
        position=position, taken=BackfillRow.taken + taken, known=BackfillRow.known + known,
        left_out=BackfillRow.left_out + left_out))  # fmt: skip


def end(connection: Connection, backfill_id: int, now: dt.datetime) -> Row:
    """The file was read to its end. Returns its row."""
    connection.execute(
        update(BackfillRow).where(BackfillRow.id == backfill_id).values(position=BackfillRow.total, ended_at=now)
    )
    return dict(
        connection.execute(select(*BackfillRow.__table__.columns).where(BackfillRow.id == backfill_id)).mappings().one()
    )


def all_(connection: Connection) -> list[Row]:
    """Every file with its source's name, newest first."""
    found = select(*BackfillRow.__table__.columns, SourceRow.name.label("source")).join(
        SourceRow, SourceRow.id == BackfillRow.source_id
    )
    return [dict(row) for row in connection.execute(found.order_by(BackfillRow.id.desc())).mappings()]
