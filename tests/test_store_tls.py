"""A PostgreSQL of one's own that wants TLS: the URL that docs/deployment.md shows, through TLS before a real server."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Postgres
from tests.test_broker_tls import certificate, pump

REQUEST, YES = (
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    b"S",
)  # how a client of PostgreSQL asks for TLS, and is told that it may
ASK = """
from shared import migrations, settings
from shared.store import engine, ledger
store = engine.current(settings.load())
migrations.upgrade(store)
with store.read() as connection:
    print(ledger.books(connection).balanced)
"""


class Front:
    """Speaks TLS outwards and PostgreSQL's plain protocol inwards. `plain` counts who did not ask for TLS."""

    def __init__(self, folder: Path, port: int) -> None:
        self.authority, self.plain, self._inner = folder / "ca.pem", 0, port
        key = certificate(self.authority, folder / "key.pem")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.authority, key)
        self._context.set_alpn_protocols(["postgresql"])
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self._listening.accept()
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    self._relay(raw)

    def _relay(self, raw: socket.socket) -> None:
        if raw.recv(8) != REQUEST:
            self.plain += 1
            raw.close()
            return
        raw.sendall(YES)
        outer, inner = (
            self._context.wrap_socket(raw, server_side=True),
            socket.create_connection(("127.0.0.1", self._inner)),
        )
        for one, other in ((outer, inner), (inner, outer)):
            threading.Thread(target=pump, args=(one, other), daemon=True).start()


@pytest.fixture
def front(postgres: Postgres, tmp_path: Path) -> Iterator[Front]:
    made = Front(tmp_path, postgres.port)
    yield made
    made.stop()


def ask(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A process of the wire that opens this store."""
    (folder / "store_url").write_text(url + "\n")
    env = {key: value for key, value in os.environ.items() if not key.startswith("BRIEFWIRE_")}
    env |= {"BRIEFWIRE_DATA": str(folder), "BRIEFWIRE_STORE_URL_FILE": str(folder / "store_url")}
    return subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, timeout=60)


def test_the_store_is_reached_over_verified_tls(front: Front, postgres: Postgres, tmp_path: Path) -> None:
    postgres.fresh("tls")
    url = f"postgresql://wire@localhost:{front.port}/tls?sslmode=verify-full&sslrootcert={front.authority}"
    asked = ask(url, tmp_path)
    assert asked.stdout == "True\n", asked.stderr
    assert front.plain == 0


def test_an_unknown_authority_is_refused(front: Front, postgres: Postgres, tmp_path: Path) -> None:
    postgres.fresh("tls")
    other = tmp_path / "other"
    other.mkdir()
    certificate(other / "ca.pem", other / "key.pem")
    asked = ask(
        f"postgresql://wire@localhost:{front.port}/tls?sslmode=verify-full&sslrootcert={other / 'ca.pem'}", tmp_path
    )
    assert (asked.stdout, asked.returncode != 0) == ("", True)
    assert "certificate verify failed" in asked.stderr
