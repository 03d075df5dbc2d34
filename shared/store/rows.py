"""The two dialects' small differences, and many rows at a time, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam
from sqlalchemy.dialects import postgresql, sqlite

from shared.models import Row


def insert_ignore(
    connection: Connection,
    table: type[Any],
    rows: Sequence[Row],
    *,
    conflict: Sequence[str],
    returning: str | None = None,
) -> list[Any]:
    """Inserts what is not there yet; rows whose `conflict` columns exist are left alone. Returns a column of the new rows."""
    if not rows:
        return []
    statement: Any = _insert(connection)(table.__table__)
    if returning is None:
        connection.execute(statement.on_conflict_do_nothing(index_elements=list(conflict)), list(rows))
        return []
    statement = statement.values(list(rows)).on_conflict_do_nothing(index_elements=list(conflict))
    return list(connection.execute(statement.returning(table.__table__.c[returning])).scalars())


def upsert(connection: Connection, table: type[Any], rows: Sequence[Row], *, conflict: Sequence[str]) -> None:
    """Inserts the rows; where `conflict` columns exist, the other columns are replaced."""
    if not rows:
        return
    statement: Any = _insert(connection)(table.__table__)
    replaced = {name: statement.excluded[name] for name in rows[0] if name not in conflict}
    connection.execute(statement.on_conflict_do_update(index_elements=list(conflict), set_=replaced), list(rows))


def update_many(connection: Connection, table: type[Any], rows: Sequence[Row], *, key: Sequence[str]) -> None:
    """Updates many rows by key in one go; all rows name the same columns."""
    if not rows:
        return
    core: Table = table.__table__
    changed: dict[str, Any] = {name: bindparam(f"v_{name}") for name in rows[0] if name not in key}
    statement = core.update().where(*(core.c[name] == bindparam(f"k_{name}") for name in key)).values(changed)
    bound = [{(f"k_{name}" if name in key else f"v_{name}"): value for name, value in row.items()} for row in rows]
    connection.execute(statement, bound)


def _insert(connection: Connection) -> Any:
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
