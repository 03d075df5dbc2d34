"""A Redis of one's own that wants TLS and a password: the URL that docs/deployment.md shows, against a real server."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared import broker

PASSWORD = "a-password-of-tests"

ASK = """
from shared import broker, queue, settings
print(broker.answers(settings.load()))
queue.bell.ping("fetch")
print(queue.bell.depth("fetch"))
"""


class Server:
    """Valkey with a password, behind TLS. `port` is where TLS is spoken, `authority` the certificate to trust."""

    def __init__(self, folder: Path) -> None:
        self.authority = folder / "ca.pem"
        key = certificate(self.authority, folder / "key.pem")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.authority, key)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._inner = folder / "valkey.sock"
        command = [
            str(broker.binary()),
            "--port",
            "0",
            "--unixsocket",
            str(self._inner),
            "--requirepass",
            PASSWORD,
            "--save",
            "",
        ]
        self._process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not self._inner.exists() and time.monotonic() < until:
            time.sleep(0.02)
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        self._listening.close()
        self._process.kill()
        self._process.wait()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self._listening.accept()
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    self._relay(self._context.wrap_socket(raw, server_side=True))

    def _relay(self, outer: ssl.SSLSocket) -> None:
        inner = socket.socket(socket.AF_UNIX)
        inner.connect(str(self._inner))
        for one, other in ((outer, inner), (inner, outer)):
            threading.Thread(target=pump, args=(one, other), daemon=True).start()


def pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := one.recv(65_536):
            other.sendall(piece)
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


def certificate(authority: Path, key_file: Path) -> Path:
    """A certificate for localhost that signs itself; the file of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1)).add_extension(names, critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    authority.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return key_file


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("tls"))
    yield made
    made.stop()


def ask(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A process of the wire that rings a bell through this broker."""
    (folder / "broker_url").write_text(url + "\n")
    env = {key: value for key, value in os.environ.items() if not key.startswith("BRIEFWIRE_")}
    env |= {"BRIEFWIRE_DATA": str(folder), "BRIEFWIRE_BROKER_URL_FILE": str(folder / "broker_url")}
    return subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, timeout=60)


def test_bells_are_rung_over_tls_with_a_password(server: Server, tmp_path: Path) -> None:
    url = f"rediss://:{PASSWORD}@localhost:{server.port}/0?ssl_cert_reqs=required&ssl_ca_certs={server.authority}"
    asked = ask(url, tmp_path)
    assert asked.stdout.split() == ["True", "1"], asked.stderr


@pytest.mark.parametrize("words", ["{password}@localhost:{port}/0", "wrong@localhost:{port}/0?ssl_ca_certs={ca}"])
def test_an_unknown_authority_and_a_wrong_password_are_refused(server: Server, tmp_path: Path, words: str) -> None:
    asked = ask("rediss://:" + words.format(password=PASSWORD, port=server.port, ca=server.authority), tmp_path)
    assert asked.stdout.startswith("False")
    assert PASSWORD not in asked.stdout + asked.stderr
