"""The logs of a PostgreSQL store, divided by month: events, attempts and pages. A month that is past its keeping is dropped whole.

SQLite has no partitions: there `retention` deletes rows. A divided table has its time in the primary key, as PostgreSQL asks; that
an event is logged once is seen to by `events.append`, under the lock of the row that numbers events.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple

from sqlalchemy import Connection, Table, literal_column, text
from sqlalchemy.sql import ColumnElement

DIVIDED = {"event": ("number", "at"), "attempt": ("id", "at"), "page": ("id", "fetched_at")}
AHEAD = 3  # months made before they begin
_UPPER = re.compile(r"TO \('([^']+)'\)")


class Part(NamedTuple):
    """A partition: `until` is its end (exclusive), None for the one that takes what fits no other."""

    table: str
    name: str
    until: dt.datetime | None


def divide(connection: Connection, now: dt.datetime) -> None:
    """Turns the plain tables of a PostgreSQL store into divided ones; what they hold becomes the first part."""
    for table, key in DIVIDED.items():
        _divide(connection, table, key, _month(now, 1))


def make_ahead(connection: Connection, now: dt.datetime) -> list[str]:
    """Makes the parts of the coming months where they are missing; their names. Does nothing on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    there = {part.name for part in parts(connection)}
    made = []
    for table in DIVIDED:
        if f"{table}_first" not in there:
            continue  # not divided yet
        for ahead in range(1, AHEAD + 1):
            begin, end = _month(now, ahead), _month(now, ahead + 1)
            name = f"{table}_{begin:%Y_%m}"
            if name not in there and _free(connection, table, begin):
                connection.execute(
                    text(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{begin}') TO ('{end}')")
                )
                made.append(name)
    return made


def parts(connection: Connection) -> list[Part]:
    """Every part of the divided tables, oldest first; empty on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    found = connection.execute(text(
        "SELECT p.relname, c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i "
        "JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE p.relname = ANY(:names) AND p.relkind = 'p' AND p.relnamespace = to_regnamespace(current_schema())"
    ), {"names": list(DIVIDED)})  # fmt: skip
    there = [Part(table, name, _until(bounds)) for table, name, bounds in found]
    return sorted(there, key=lambda part: (part.table, part.until is None, part.until, part.name))


def inside(part: Part, table: Table) -> ColumnElement[bool]:
    """The condition that a row of the divided table stands in that part."""
    return literal_column(f"{table.name}.tableoid") == literal_column(f"'{part.name}'::regclass")


def drop(connection: Connection, part: Part) -> None:
    """Drops a part with all that it holds."""
    connection.execute(text(f'DROP TABLE "{part.name}"'))


def _divide(connection: Connection, table: str, key: tuple[str, str], until: dt.datetime) -> None:
    first = f"{table}_first"
    indexes = _indexes(connection, table)
    _run(connection, f"ALTER TABLE {table} RENAME TO {first}",
         *(f'ALTER INDEX "{index.name}" RENAME TO "{index.name}_first"' for index in indexes),
         f"CREATE TABLE {table} (LIKE {first} INCLUDING DEFAULTS) PARTITION BY RANGE ({key[1]})",
         f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY ({', '.join(key)})")  # fmt: skip
    for index in indexes:
        if not index.primary:
            _run(connection, index.definition.replace("CREATE UNIQUE INDEX", "CREATE INDEX"))
        if index.primary or index.unique:
            _run(connection, f'ALTER TABLE {first} DROP CONSTRAINT "{index.name}_first"')
    sequence = connection.execute(
        text("SELECT pg_get_serial_sequence(:first, :key)"), {"first": first, "key": key[0]}
    ).scalar()
    if sequence:
        _run(connection, f"ALTER SEQUENCE {sequence} OWNED BY {table}.{key[0]}")
    _run(connection, f"ALTER TABLE {table} ATTACH PARTITION {first} FOR VALUES FROM (MINVALUE) TO ('{until}')",
         f"CREATE TABLE {table}_other PARTITION OF {table} DEFAULT")  # fmt: skip


class _Index(NamedTuple):
    name: str
    definition: str
    primary: bool
    unique: bool


def _indexes(connection: Connection, table: str) -> list[_Index]:
    found = text("SELECT c.relname, pg_get_indexdef(i.indexrelid), i.indisprimary, i.indisunique FROM pg_index i "
                 "JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass(:table)")  # fmt: skip
    return [_Index(*row) for row in connection.execute(found, {"table": table})]


def _run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(text(statement))


def _free(connection: Connection, table: str, begin: dt.datetime) -> bool:
    """Whether the part for the odd rows holds nothing of that month on: a clock that was wrong may have put some there."""
    column = DIVIDED[table][1]
    found = connection.execute(text(f"SELECT 1 FROM {table}_other WHERE {column} >= :begin LIMIT 1"), {"begin": begin})  # noqa: S608 - our own names
    return found.first() is None


def _month(now: dt.datetime, ahead: int) -> dt.datetime:
    """The first instant of the month `ahead` months from now, in UTC."""
    months = now.astimezone(dt.UTC).year * 12 + now.astimezone(dt.UTC).month - 1 + ahead
    return dt.datetime(months // 12, months % 12 + 1, 1, tzinfo=dt.UTC)


def _until(bounds: str) -> dt.datetime | None:
    found = _UPPER.search(bounds)
    if found is None:
        return None
    at = dt.datetime.fromisoformat(found[1])
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
