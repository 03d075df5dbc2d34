"""What was pushed in: each push under its name, with the entry that it became."""

from __future__ import annotations

import datetime as dt
import hashlib

from sqlalchemy import Connection, insert, select

from shared.models import EntryRow, PushRow, Row, SourceRow
from shared.store import intake


def begin(connection: Connection, source_id: int, name_hash: str) -> Row | None:
    """The push of that name, where there was one. Other pushes into the source wait until this transaction ends."""
    connection.execute(select(SourceRow.id).where(SourceRow.id == source_id).with_for_update()).all()
    found = select(*PushRow.__table__.columns).where(PushRow.source_id == source_id, PushRow.name_hash == name_hash)
    row = connection.execute(found).mappings().first()
    return dict(row) if row else None


def look_at(connection: Connection, source_id: int, new: intake.NewEntry, now: dt.datetime) -> tuple[int, list[str]]:
    """An address pushed in: its page is fetched, again where it is known. Returns (entry id, lanes that have work)."""
    _, hosts = intake.add_entries(connection, source_id, [new], now)
    key_hash = hashlib.sha256(new.entry.key.encode("utf-8", "surrogatepass")).hexdigest()
    found = select(EntryRow.id).where(EntryRow.source_id == source_id, EntryRow.key_hash == key_hash)
    return int(connection.execute(found).scalar_one()), hosts


def remember(connection: Connection, push_id: str, source_id: int, name_hash: str, body_hash: str, entry_id: int,
             now: dt.datetime) -> None:  # fmt: skip
    """Keeps what became of a push."""
    connection.execute(insert(PushRow).values(
        id=push_id, source_id=source_id, name_hash=name_hash, body_hash=body_hash, entry_id=entry_id, at=now))  # fmt: skip


def status(connection: Connection, source_id: int, push_id: str) -> Row | None:
    """A push with its entry's state, step, due_at, reason, detail and article_id."""
    columns = (EntryRow.state, EntryRow.step, EntryRow.due_at, EntryRow.reason, EntryRow.detail, EntryRow.article_id)
    found = (
        select(PushRow.id, PushRow.at, *columns)
        .join(EntryRow, EntryRow.id == PushRow.entry_id)
        .where(PushRow.id == push_id, PushRow.source_id == source_id)
    )
    row = connection.execute(found).mappings().first()
    return dict(row) if row else None
