"""Servers on loopback that misbehave on the wire, for the tests and for `benchmarks.hostile_wire`."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import ipaddress
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import brotli
import zstandard
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
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

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
        self._acceptor.join(5)
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


def blurts(answer: bytes) -> Handler:
    """A handler that sends `answer` at the first byte it gets, whatever that is."""

    def handler(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(answer)

    return handler


def silent(sock: socket.socket) -> None:
    """Takes the request and says nothing."""
    while sock.recv(65536):
        pass


def deaf(sock: socket.socket) -> None:
    """Does not even read."""
    time.sleep(1.2)


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


# --- cases: name, how the server behaves, how the call has to end ---

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_GZIPPED = _OK + b"Content-Encoding: gzip\r\n\r\n"
_ZERO_LINE = b"X-Filler: " + b"0" * 1000 + b"\r\n"


class Case(NamedTuple):
    """`ends` is the reason code, or "200" where the reply itself is right. `tls` is how the server's TLS is set up."""

    name: str
    handler: Handler
    ends: str
    tls: str = ""
    method: str = "GET"
    body: bytes | None = None


def _bomb(encode: Callable[[bytes], bytes], coding: bytes) -> Handler:
    """64 MiB of zeros, packed: under 64 KiB on the wire."""
    return says(ok(encode(bytes(64 << 20)), b"Content-Encoding: " + coding))


def _cut(encode: Callable[[bytes], bytes], coding: bytes) -> Handler:
    """Encoded data without its last bytes, and a Content-Length to match."""
    return says(ok(encode(bytes(range(256)) * 99)[:-12], b"Content-Encoding: " + coding))


def _endless_gzip() -> Handler:
    """A valid stream that never ends: each piece expands a thousandfold."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = pack.compress(b"") + pack.flush(zlib.Z_FULL_FLUSH)
    mebibyte = pack.compress(bytes(1 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    return pours(_GZIPPED + start, mebibyte * 16)


def _loop(sock: socket.socket) -> None:
    """Redirects to itself for ever, a little further each time."""
    number = 0
    while read_request(sock):
        number += 1
        sock.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /%d\r\n\r\n" % number)


def _redirect_with_endless_body(sock: socket.socket) -> None:
    """The first answer is a redirect whose body never ends, the second one is good."""
    if read_request(sock).startswith(b"GET /good "):
        sock.sendall(ok(b"good"))
        return
    sock.sendall(
        b"HTTP/1.1 301 Moved\r\nLocation: /good\r\nContent-Length: 16000\r\nContent-Encoding: br\r\n\r\n" + b"x" * 9
    )
    while True:
        sock.sendall(b"x" * 65536)


def _too_much(sock: socket.socket) -> None:
    """More bytes than Content-Length says: a whole second answer that nobody asked for."""
    while read_request(sock):
        sock.sendall(ok(b"first") + ok(b"smuggled"))


ODDITIES = (
    _OK, b"HTTP/1.0 200 \r\n", b"HTTP/1.1 302 F\r\n", b"HTTP/1.1 304 N\r\n", b"HTTP/1.1 103 E\r\n", b"HTTP/1.1 101 S\r\n",
    b"HTTP/2 200\r\n", b"HTTP/1.1 99999 x\r\n", b"HTTP/1.1 -1 x\r\n", b"HTTP/9.9 200 ok\r\n", b"ICY 200 OK\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: -5\r\n", b"Content-Length: 5, 5\r\n", b"Content-Length: \xb2\r\n",
    b"Content-Length:\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: gzip\r\n", b"Content-Encoding: br\r\n", b"Content-Encoding: zstd\r\n", b"Content-Encoding: \xff\r\n",
    b"Location: /x\r\n", b"Location: //\r\n", b"Location: http://[::1\r\n", b"Location: \xff\xfe\r\n", b"Location: \r\n",
    b"Location: /a\r\n b\r\n", b"Connection: close\r\n", b" folded\r\n", b"No colon\r\n", b": empty\r\n", b"X\0Y: z\r\n",
    b"X: \0\r\n", b"Content-Type: message/rfc822\r\n", b"Content-Type: \xff;charset==\r\n", b"\r\n", b"\n", b"\r",
    b"5\r\nhello\r\n", b"0\r\n\r\n", b"0x5\r\nhello\r\n", b"-0\r\n", b"ffffffffffffffffff\r\n", b"hello", b"\x1f\x8b\x08\0",
)  # fmt: skip
"""Parts of answers, right and wrong, to be put together at random."""

CASES = (
    Case("silent after the request", silent, "deadline"),
    Case("drips the status line", drips(b"HTTP/1.1 2", b"0"), "deadline"),
    Case("drips header bytes", drips(_OK + b"X-Drip: ", b"x"), "deadline"),
    Case("drips header lines", drips(_OK, b"X-Drip: 1\r\n"), "deadline"),
    Case("drips a body of known length", drips(_OK + b"Content-Length: 100000\r\n\r\n", b"x"), "deadline"),
    Case("drips a body to the end of the connection", drips(_OK + b"\r\n", b"x"), "deadline"),
    Case("drips chunks", drips(_CHUNKED, b"1\r\nx\r\n"), "deadline"),
    Case("drips a chunk size", drips(_CHUNKED, b"0"), "deadline"),
    Case("drips trailers", drips(_CHUNKED + b"0\r\n", b"X: 1\r\n"), "deadline"),
    Case("drips a gzip body", drips(_GZIPPED + b"\x1f\x8b\x08\0\0\0\0\0\0\3", b"\0\0\0\xff\xff"), "deadline"),
    Case("drips the TLS handshake", drips_handshake, "connect-timeout", tls="none"),
    Case("silent in the TLS handshake", silent, "connect-timeout", tls="none"),
    Case("drips a header over TLS", drips(_OK + b"X-Drip: ", b"x"), "deadline", tls="good"),
    Case("drips a body over TLS", drips(_OK + b"Content-Length: 100000\r\n\r\n", b"x"), "deadline", tls="good"),
    Case("never reads the request", deaf, "deadline", method="POST", body=bytes(32 << 20)),
    Case("endless header lines", pours(_OK, _ZERO_LINE), "headers-too-large"),
    Case("one endless header line", pours(_OK + b"X: ", b"x" * 4096), "headers-too-large"),
    Case("an endless status line", pours(b"HTTP/1.1 200 ", b"x" * 4096), "headers-too-large"),
    Case("200 short header lines", says(_OK + b"X: 1\r\n" * 200 + b"\r\n"), "headers-too-large"),
    Case("endless interim answers", pours(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "headers-too-large"),
    Case("endless early hints", pours(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), "headers-too-large"),
    Case("endless trailers", pours(_CHUNKED + b"0\r\n", _ZERO_LINE), "too-large"),
    Case("an endless chunk size", pours(_CHUNKED, b"0" * 4096), "protocol-error"),
    Case("an endless body", pours(_OK + b"\r\n", bytes(65536)), "too-large"),
    Case("endless chunks", pours(_CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n"), "too-large"),
    Case("a chunk of size -1, then everything", pours(_CHUNKED + b"-1\r\n", bytes(65536)), "too-large"),
    Case("a chunk of size -5", pours(_CHUNKED + b"-5\r\n", bytes(65536)), "protocol-error"),
    Case("a terabyte announced", says(_OK + b"Content-Length: 1000000000000\r\n\r\nx"), "too-large"),
    Case("a length of 5,000 digits", says(_OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nx"), "too-large"),
    Case("a gzip bomb", _bomb(gzip.compress, b"gzip"), "too-large"),
    Case("a gzip bomb without end", _endless_gzip(), "too-large"),
    Case("a deflate bomb", _bomb(zlib.compress, b"deflate"), "too-large"),
    Case("a brotli bomb", _bomb(brotli.compress, b"br"), "too-large"),
    Case("a zstd bomb", _bomb(zstandard.compress, b"zstd"), "too-large"),
    Case("a bomb in a bomb", _bomb(lambda data: gzip.compress(gzip.compress(data)), b"gzip, gzip"), "encoding-refused"),
    Case("an unknown encoding", says(ok(b"x", b"Content-Encoding: lzma")), "encoding-refused"),
    Case("gzip that is none", says(ok(b"plain text", b"Content-Encoding: gzip")), "encoding-broken"),
    Case("gzip that ends in the middle", _cut(gzip.compress, b"gzip"), "cut-short"),
    Case("brotli that ends in the middle", _cut(brotli.compress, b"br"), "cut-short"),
    Case("zstd that ends in the middle", _cut(zstandard.compress, b"zstd"), "cut-short"),
    Case("redirects without end", _loop, "too-many-redirects"),
    Case("a redirect with an endless body", _redirect_with_endless_body, "200"),
    Case("a reset in place of an answer", says(b"", then_reset=True), "connection-reset"),
    Case("a reset in the head", says(_OK + b"X: 1\r\n", then_reset=True), "connection-reset"),
    Case("a reset in the body", says(_OK + b"Content-Length: 9\r\n\r\nx", then_reset=True), "connection-reset"),
    Case("closes in place of an answer", says(b"", then_close=True), "connection-reset"),
    Case("less than the length says", says(_OK + b"Content-Length: 9\r\n\r\nx", then_close=True), "cut-short"),
    Case("more than the length says", _too_much, "200"),
    Case("chunks that break off", says(_CHUNKED + b"9\r\nx", then_close=True), "cut-short"),
    Case("two different lengths", says(_OK + b"Content-Length: 3\r\nContent-Length: 9\r\n\r\nabc"), "protocol-error"),
    Case("no HTTP at all", says(b"SSH-2.0-OpenSSH_9.6\r\n"), "protocol-error"),
    Case("a TLS record on a plain port", says(b"\x15\x03\x01\0\2\2\x46" * 9, then_close=True), "protocol-error"),
    Case("plain HTTP on a TLS port", blurts(ok(b"x")), "tls-failed", tls="none"),
    Case("a certificate nobody vouches for", says(ok(b"x")), "tls-failed", tls="self-signed"),
    Case("an expired certificate", says(ok(b"x")), "tls-failed", tls="expired"),
    Case("a certificate for another address", says(ok(b"x")), "tls-failed", tls="other"),
)  # fmt: skip


def tls_for(case: Case, authority: Authority) -> ssl.SSLContext | None:
    """The server's TLS for a case: "" and "none" speak plain, the client believes "none" to be TLS."""
    if case.tls == "other":
        return authority.server(address="127.0.0.2")
    if case.tls in ("good", "self-signed", "expired"):
        return authority.server(days=-1 if case.tls == "expired" else 10, self_signed=case.tls == "self-signed")
    return None
