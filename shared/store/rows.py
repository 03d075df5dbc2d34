"""The two dialects' small differences, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from shared.models import Row


def insert_ignore(connection: Connection, table: type[Any], rows: Sequence[Row], *, conflict: Sequence[str],
                  returning: str | None = None) -> list[Any]:  # fmt: skip
    """Inserts what is not there yet; rows whose `conflict` columns exist are left alone. Returns a column of the new rows."""
    if not rows:
        return []
    statement: Any = _insert(connection)(table).values(list(rows)).on_conflict_do_nothing(index_elements=list(conflict))
    if returning is None:
        connection.execute(statement)
        return []
    return list(connection.execute(statement.returning(getattr(table, returning))).scalars())


def upsert(connection: Connection, table: type[Any], rows: Sequence[Row], *, conflict: Sequence[str]) -> None:
    """Inserts the rows; where `conflict` columns exist, the other columns are replaced."""
    if not rows:
        return
    statement: Any = _insert(connection)(table).values(list(rows))
    replaced = {name: statement.excluded[name] for name in rows[0] if name not in conflict}
    connection.execute(statement.on_conflict_do_update(index_elements=list(conflict), set_=replaced))


def _insert(connection: Connection) -> Any:
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
