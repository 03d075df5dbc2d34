"""Servers on loopback that misbehave on the wire, for the tests and for `benchmarks.hostile_wire`."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Handler = Callable[[socket.socket], None]


class Server:
    """Answers each connection with `handler` on a thread of its own; `handler` may leave by any OSError."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._handler, self._tls = handler, tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/"

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        with contextlib.suppress(OSError):  # wakes the accept; a plain close would not
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._closing:
                sock.close()
                return
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            self._handler(sock)
        sock.close()


def read_request(sock: socket.socket) -> bytes:
    """One request, head and body, as it came; b"" when the other side closed."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = sock.recv(65536)
        if not piece:
            return b""
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        piece = sock.recv(65536)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n" + body


def respond(sock: socket.socket, answer: bytes, *, then_close: bool = False, then_reset: bool = False) -> None:
    """Read one request and send `answer`."""
    read_request(sock)
    sock.sendall(answer)
    if then_reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if then_close or then_reset:
        sock.close()


def ok(body: bytes, *headers: bytes) -> bytes:
    """A complete answer of 200."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def says(answer: bytes, *, then_close: bool = False, then_reset: bool = False) -> Handler:
    """A handler that gives this answer to every request of its connection."""

    def handler(sock: socket.socket) -> None:
        while True:
            respond(sock, answer, then_close=then_close, then_reset=then_reset)

    return handler


def drips(first: bytes, drop: bytes, *, every_s: float = 0.03) -> Handler:
    """A handler that sends `first`, then `drop` again and again, so slowly that no time-out of a read would fire."""

    def handler(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(first)
        while True:
            time.sleep(every_s)
            sock.sendall(drop)

    return handler


def pours(first: bytes, drop: bytes) -> Handler:
    """The same as fast as it goes."""

    def handler(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(first)
        while True:
            sock.sendall(drop)

    return handler


def silent(sock: socket.socket) -> None:
    """Takes the request and says nothing."""
    while sock.recv(65536):
        pass


def deaf(sock: socket.socket) -> None:
    """Does not even read."""
    while sock.fileno() >= 0:
        time.sleep(0.05)


def drips_handshake(sock: socket.socket) -> None:
    """Starts the TLS record of a ServerHello and never finishes it."""
    sock.recv(65536)
    sock.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")
    while True:
        time.sleep(0.03)
        sock.sendall(b"\x00")


class Authority:
    """A certificate authority made on the spot; `ca_file` is what a client has to trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A test authority")])
        own = _builder(self._name, self._name, self._key, days=10)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        certificate = own.sign(self._key, hashes.SHA256())
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *, address: str = "127.0.0.1", days: int = 10, self_signed: bool = False) -> ssl.SSLContext:
        """A server's TLS context for that address; `days` below zero: expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        issuer, signer = (name, key) if self_signed else (self._name, self._key)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = (
            _builder(name, issuer, key, days).add_extension(names, critical=False).sign(signer, hashes.SHA256())
        )
        place = self._folder / f"{certificate.serial_number}.pem"
        place.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(place)
        return context


def _builder(name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=20))
        .not_valid_after(now + dt.timedelta(days=days))
    )
