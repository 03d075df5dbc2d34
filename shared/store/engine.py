"""A store URL in, transactions out: SQLite in WAL behind a gate, or PostgreSQL.

SQLite has one writing connection a process behind a lock, and a blocking flock on a gate file before BEGIN IMMEDIATE: with
many writing processes the gate queues them fairly where SQLite's own busy handler starves some. No I/O and no parsing
belongs inside a write.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import QueuePool, StaticPool

from shared.errors import OperatorError
from shared.settings import Settings


class Store:
    """Opens transactions. `write()` yields a connection whose work commits whole or not at all; `read()` sees one snapshot.

    `max_mb` is how far a SQLite file may grow (0: as far as the disk reaches); beyond it a write fails and changes nothing.
    """

    def __init__(self, url: str, max_mb: float = 0.0) -> None:
        self.url: URL = _driver(make_url(url))
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._gate: int | None = None
        if self.is_sqlite:
            self._gate = _open_gate(Path(str(self.url.database)))
            self._writer = _sqlite_engine(self.url, pool=StaticPool, max_mb=max_mb)
            self._reader = _sqlite_engine(self.url, pool=QueuePool, readonly=True)
        else:
            self._writer = create_engine(self.url, pool_size=16, max_overflow=32, pool_pre_ping=True)
            # One snapshot for all statements of a read: with PostgreSQL's usual level each would see another moment.
            self._reader = self._writer.execution_options(isolation_level="REPEATABLE READ")

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """One writing transaction; an exception rolls all of it back."""
        if self._gate is None:
            with self._writer.begin() as connection:
                yield connection
            return
        with self._lock, _shut(self._gate), self._writer.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            _commit(connection)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One snapshot, no writing."""
        with self._reader.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                if self.is_sqlite:
                    connection.exec_driver_sql("ROLLBACK")

    @property
    def engine(self) -> Engine:
        """The writing engine, for migrations only."""
        return self._writer

    def close(self) -> None:
        """Gives every connection back."""
        self._writer.dispose()
        self._reader.dispose()
        if self._gate is not None:
            os.close(self._gate)
            self._gate = None


_current: Store | None = None
_opening = threading.Lock()


def current(settings: Settings) -> Store:
    """This process's store; a forked child opens its own, since connections do not survive a fork."""
    global _current
    with _opening:
        if _current is None or _current._pid != os.getpid():
            settings.folder.mkdir(parents=True, exist_ok=True)
            _current = Store(settings.store_url, settings.store.max_mb)
        return _current


def forget() -> None:
    """Drops this process's store, so that the next `current` opens anew."""
    global _current
    with _opening:
        if _current is not None and _current._pid == os.getpid():
            _current.close()
        _current = None


def _commit(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        with contextlib.suppress(Exception):  # the failed COMMIT (a full disk) is the error to show
            connection.exec_driver_sql("ROLLBACK")
        raise


def _driver(url: URL) -> URL:
    """psycopg 3 for every spelling of PostgreSQL."""
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        raise OperatorError(f"The store URL names {url.get_backend_name()}.", "Use postgresql://… or leave it empty.")
    return url


def _open_gate(database: Path) -> int:
    try:
        return os.open(database.with_suffix(".gate"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OperatorError(f"The data folder {database.parent} cannot be written: {error.strerror}.",
                            "Choose another with --data, or correct its owner.", code=4) from None  # fmt: skip


@contextlib.contextmanager
def _shut(gate: int) -> Iterator[None]:
    fcntl.flock(gate, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(gate, fcntl.LOCK_UN)


def _sqlite_engine(url: URL, *, pool: Any, readonly: bool = False, max_mb: float = 0.0) -> Engine:
    options: dict[str, Any] = {} if pool is StaticPool else {"pool_size": 8, "max_overflow": 40}
    engine = create_engine(url, poolclass=pool, connect_args={"check_same_thread": False, "timeout": 30.0}, **options)

    @event.listens_for(engine, "connect")
    def _prepare(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "cache_size=-64000",
            "wal_autocheckpoint=8000",  # fewer checkpoints: each writes pages that the next commits write again
            "temp_store=MEMORY",
        ):
            raw.execute(f"PRAGMA {pragma}")
        if readonly:
            raw.execute("PRAGMA query_only=ON")
        if max_mb:
            size = raw.execute("PRAGMA page_size").fetchone()[0]
            raw.execute(f"PRAGMA max_page_count={max(1, int(max_mb * 1024 * 1024 / size))}")

    return engine
