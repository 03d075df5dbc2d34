"""A whole store out as a stream of frames, and in again: backup, restore and the move from SQLite to PostgreSQL.

A frame is one msgpack value: the header, then rows of one table after the other, at last the trailer that counts them. The
same frames come out of both stores, so a backup of one can be restored into the other.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import zstandard
from sqlalchemy import Connection, Table, delete, func, select, text, update

from shared.errors import OperatorError
from shared.models import Base, EventHeadRow, HeartbeatRow, Leased, MetaRow

FORMAT = 1
ROWS = 200  # a frame; a page's bytes may be some MB, so frames stay small
SEEDED = (MetaRow.__tablename__, EventHeadRow.__tablename__)  # what a new store holds before anything happened


class Header(msgspec.Struct, frozen=True, tag="header"):
    """What the frames are: `shape` is the migration they belong to, `key` what opens the partners' secrets."""

    format: int
    shape: str
    at: dt.datetime
    columns: dict[str, list[str]]
    key: bytes | None = None


class Rows(msgspec.Struct, frozen=True, tag="rows"):
    """Rows of one table, values in the order of the header's columns."""

    table: str
    rows: list[list[Any]]


class Trailer(msgspec.Struct, frozen=True, tag="trailer"):
    """The end, without which a file is torn: how many rows of each table stand before it."""

    counts: dict[str, int]


Frame = Header | Rows | Trailer
Told = Callable[[Frame], None]
_READER = msgspec.msgpack.Decoder(Frame)


def frames(connection: Connection, shape: str, now: dt.datetime, key: bytes | None = None) -> Iterator[Frame]:
    """Everything that this snapshot holds; `connection` is a read of the store."""
    tables = Base.metadata.sorted_tables
    yield Header(
        FORMAT, shape, now, {str(table.name): [str(column.name) for column in table.columns] for table in tables}, key
    )
    counts = {}
    for table in tables:
        name = str(table.name)
        counts[name] = 0
        with connection.execute(select(*table.columns).execution_options(yield_per=ROWS)) as found:
            for part in found.partitions():
                counts[name] += len(part)
                yield Rows(name, [list(row) for row in part])
    yield Trailer(counts)


def load(connection: Connection, stream: Iterable[Frame], shape: str) -> Header:
    """Writes all frames into an empty store, in this one transaction.

    Raises:
        OperatorError: the store is not empty, the frames are of another version, or they end too early.
    """
    refuse_filled(connection)
    for name in SEEDED:
        connection.execute(delete(Base.metadata.tables[name]))
    header, counts, ended = None, dict.fromkeys(Base.metadata.tables, 0), False
    for frame in stream:
        if isinstance(frame, Header):
            header = _accepted(frame, shape)
        elif isinstance(frame, Rows) and header is not None:
            _insert(connection, Base.metadata.tables[frame.table], header.columns[frame.table], frame.rows)
            counts[frame.table] += len(frame.rows)
        elif isinstance(frame, Trailer):
            ended = counts == frame.counts
    if header is None or not ended:
        raise OperatorError("The backup is not whole: its end is missing or does not fit.", "Use another one.", code=4)
    _go_on(connection)
    return header


def refuse_filled(connection: Connection) -> None:
    """Raises OperatorError where the store holds anything besides what a new one does."""
    for table in Base.metadata.sorted_tables:
        if table.name not in SEEDED and connection.execute(select(1).select_from(table).limit(1)).first():
            raise OperatorError(f"The store is not empty: it has rows in {table.name!r}.",
                                "Name an empty database, or another data folder with --data.", code=4)  # fmt: skip


def copy(source: Connection, target: Connection, shape: str, now: dt.datetime, told: Told) -> Header:
    """All of one store's snapshot into another, empty one; `told` hears of each frame."""
    return load(target, heard(frames(source, shape, now), told), shape)


def heard(stream: Iterable[Frame], told: Told) -> Iterator[Frame]:
    """The same frames, each told of before it is passed on."""
    for frame in stream:
        told(frame)
        yield frame


def to_file(stream: Iterable[Frame], path: Path) -> None:
    """Writes the frames, compressed, whole or not at all; readable by its owner only, since it may hold a key.

    Raises:
        OperatorError: the file is there already, or cannot be written.
    """
    if path.exists():
        raise OperatorError(f"{path} is there already.", "Name a new file.", code=4)
    draft = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            _write(stream, file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except OSError as error:
        raise OperatorError(f"The backup cannot be written: {error.strerror}.", "Name another place.", code=4) from None
    finally:
        draft.unlink(missing_ok=True)


def from_file(path: Path) -> Iterator[Frame]:
    """The frames of a backup.

    Raises:
        OperatorError: there is no such file, or it is not a backup of ours.
    """
    try:
        with path.open("rb") as file:
            yield from _read(file)
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}.", "Check the name.", code=4) from None
    except (zstandard.ZstdError, msgspec.DecodeError):
        raise OperatorError(
            f"{path} is not a backup of Briefwire, or is damaged.", "Use another one.", code=4
        ) from None


def _write(stream: Iterable[Frame], file: BinaryIO) -> None:
    encoder = msgspec.msgpack.Encoder()
    with zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(file, closefd=False) as out:
        for frame in stream:
            packed = encoder.encode(frame)
            out.write(len(packed).to_bytes(4, "big"))
            out.write(packed)


def _read(file: BinaryIO) -> Iterator[Frame]:
    with zstandard.ZstdDecompressor().stream_reader(file) as reader:
        while length := _exactly(reader, 4):
            yield _READER.decode(_exactly(reader, int.from_bytes(length, "big")))


def _exactly(reader: zstandard.ZstdDecompressionReader, size: int) -> bytes:
    """That many bytes; fewer only where the stream ends, which then shows as a torn frame or a missing trailer."""
    parts = []
    while size and (part := reader.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _accepted(header: Header, shape: str) -> Header:
    ours = {str(table.name): [str(column.name) for column in table.columns] for table in Base.metadata.sorted_tables}
    if header.format != FORMAT or header.shape != shape or header.columns != ours:
        raise OperatorError(f"The backup is of another version (its shape is {header.shape}, this version's is {shape}).",
                            "Restore it with the version that made it, then upgrade.", code=4)  # fmt: skip
    return header


def _insert(connection: Connection, table: Table, columns: list[str], rows: list[list[Any]]) -> None:
    if connection.dialect.name == "postgresql":
        _copy_in(connection, table.name, columns, rows)
    else:
        connection.execute(table.insert(), [dict(zip(columns, row, strict=True)) for row in rows])


def _copy_in(connection: Connection, table: str, columns: list[str], rows: list[list[Any]]) -> None:
    """COPY: several times as fast as INSERT."""
    names = ", ".join(f'"{name}"' for name in columns)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f'COPY "{table}" ({names}) FROM STDIN') as out:
        for row in rows:
            out.write_row(row)


def _go_on(connection: Connection) -> None:
    """Nobody holds anything any more, and new rows get new numbers."""
    connection.execute(delete(HeartbeatRow))
    for mapper in Base.registry.mappers:
        if issubclass(mapper.class_, Leased):
            connection.execute(update(mapper.class_).where(mapper.class_.lease_owner.is_not(None))
                               .values(lease_owner=None, lease_until=None, lease_epoch=mapper.class_.lease_epoch + 1))  # fmt: skip
    if connection.dialect.name == "postgresql":
        for table in Base.metadata.sorted_tables:
            _raise_sequence(connection, table)


def _raise_sequence(connection: Connection, table: Table) -> None:
    column = table.autoincrement_column
    if column is None:
        return
    named = connection.execute(
        text("SELECT pg_get_serial_sequence(:t, :c)"), {"t": table.name, "c": column.name}
    ).scalar()
    newest = connection.execute(select(func.max(column))).scalar()
    if named and newest:
        connection.execute(text("SELECT setval(:s, :n)"), {"s": named, "n": newest})
