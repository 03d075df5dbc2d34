"""HTTP on the wire for `shared.adapter`: bytes of a request out, a response whose body is still to be read back.

urllib3 speaks the protocol. Ours are its sockets, which know the call's deadline and count what they read, and its
connections, which dial through the door. What goes wrong on the way comes out as Retryable or Rejected.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from shared.decoding import decoded
from shared.errors import OperatorError, Rejected, Retryable
from shared.names import Answer

CHUNK = 65536
_DRAIN = 16384  # a redirect's body up to this size is read so that its connection can serve the next hop

Connect = Callable[[str, int, "Call"], tuple[socket.socket, str]]
"""Host, port and the call in; a connected socket and the address it reached ("93.184.216.34:443") out."""

Dial = Callable[[str, list[Answer], float], tuple[socket.socket, str]]
"""Like `dial`."""


class Call:
    """What one call out allows and has seen so far; its connection finds it through `_CALL`.

    Every wait ends `within_s` seconds from now. A connection unused for `idle_s` is not trusted: firewalls forget it
    without a word. `max_raw`, `max_decoded` and `max_head` cap bodies, before and after decoding, and heads, in bytes.
    """

    def __init__(
        self, connect: Connect, *, within_s: float, idle_s: float, max_raw: int, max_decoded: int, max_head: int
    ) -> None:
        self.connect, self.within_s, self.idle_s = connect, within_s, idle_s
        self.max_raw, self.max_decoded, self.max_head = max_raw, max_decoded, max_head
        self.started = time.monotonic()
        self.ends = self.started + within_s
        self.begin_try(fresh=False)

    def begin_try(self, *, fresh: bool) -> None:
        """Before each attempt at a request; `fresh` wants a new connection even where one is kept."""
        self.fresh, self.reused, self.received, self.peer = fresh, True, 0, ""

    def left_s(self) -> float:
        """Seconds to the deadline; raises Retryable("deadline") when there are none."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise self.too_late()
        return left

    def too_late(self) -> Retryable:
        return Retryable("deadline", f"The answer was not complete after {self.within_s:g} s.")

    def count(self, size: int) -> None:
        """Every byte read counts, so that no way of framing a body gets around its cap."""
        self.received += size
        if self.received > self.max_raw + self.max_head + 2 * CHUNK:
            raise _too_large(self.max_raw)


_CALL: ContextVar[Call] = ContextVar("briefwire_call")


@contextlib.contextmanager
def running(call: Call) -> Iterator[Call]:
    """Everything this thread sends and receives meanwhile belongs to `call`."""
    token = _CALL.set(call)
    try:
        yield call
    finally:
        _CALL.reset(token)


def pools(ca_file: str | None) -> urllib3.PoolManager:
    """Kept-alive connections: up to 32 a host, 128 hosts."""
    manager = urllib3.PoolManager(num_pools=128, maxsize=32, ssl_context=_tls(ca_file), retries=False)
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
    return manager


def exchange(
    pool: urllib3.HTTPConnectionPool, method: str, target: str, headers: Mapping[str, str], body: bytes | None
) -> urllib3.BaseHTTPResponse:
    """The response, its body unread. A kept-alive connection that turns out dead is replaced once.

    Raises:
        Retryable, Rejected: as `shared.http.Door.send` lists them.
    """
    call = _CALL.get()
    call.begin_try(fresh=False)
    try:
        return _attempt(pool, method, target, headers, body)
    except Retryable as error:
        if error.reason != "connection-reset" or not call.reused or call.received:
            raise
    call.begin_try(fresh=True)
    return _attempt(pool, method, target, headers, body)


def _attempt(
    pool: urllib3.HTTPConnectionPool, method: str, target: str, headers: Mapping[str, str], body: bytes | None
) -> urllib3.BaseHTTPResponse:
    try:
        return pool.urlopen(
            method,
            target,
            body=body,
            headers=headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )
    except _WIRE_ERRORS as error:
        raise _fate(error) from error


def body(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The pieces of the body decoded, no more of it than the call takes; some may be empty.

    Raises:
        Retryable, Rejected: as `shared.http.Door.send` lists them; what fitted was handed out before.
    """
    call = _CALL.get()
    left = call.max_decoded
    for piece in decoded(_raw(response), response.headers.get("content-encoding", "")):
        yield piece[:left]
        left -= len(piece)
        if left < 0:
            raise _too_large(call.max_decoded)
        call.left_s()


def _raw(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The pieces of the body as sent, no more of it than the call takes."""
    call = _CALL.get()
    length = response.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > call.max_raw and response.length_remaining != 0:
        raise _too_large(call.max_raw)
    size = 0
    try:
        for piece in response.stream(CHUNK, decode_content=False):
            size += len(piece)
            if size > call.max_raw:
                raise _too_large(call.max_raw)
            yield piece
    except _WIRE_ERRORS as error:
        raise _fate(error) from error


def drain(response: urllib3.BaseHTTPResponse) -> None:
    """Done with a redirect: its connection is kept when its body is short, closed otherwise."""
    length = response.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and len(length) < 6 and int(length) <= _DRAIN:
        with contextlib.suppress(*_WIRE_ERRORS):  # the redirect itself arrived; its body is of no use
            response.read(_DRAIN, decode_content=False)
    drop(response)


def drop(response: urllib3.BaseHTTPResponse) -> None:
    """Close the connection unless the whole body was read."""
    response.close()
    response.release_conn()


def _too_large(limit: int) -> Rejected:
    return Rejected("too-large", f"The body is larger than {limit} bytes, the most this request takes.")


def bracketed(host: str) -> str:
    """The host as URLs spell it."""
    return f"[{host}]" if ":" in host else host


def dial(host: str, answers: list[Answer], within_s: float) -> tuple[socket.socket, str]:
    """A socket connected to the first of the addresses that takes it; each gets an even share of the time left.

    Raises:
        Retryable: "connect-refused", "connect-timeout", "connect-failed".
        Rejected: "address-refused" when another address answers than the one dialled.
    """
    ends = time.monotonic() + within_s
    failure: OSError = TimeoutError()
    for number, (family, address) in enumerate(answers):
        share_s = (ends - time.monotonic()) / (len(answers) - number)
        if share_s <= 0:
            break
        try:
            sock = _connected(host, family, address, share_s)
        except OSError as error:
            failure = error
            continue
        sock.settimeout(max(0.001, ends - time.monotonic()))  # for the TLS handshake, which may use up what is left
        return sock, f"{bracketed(str(address[0]))}:{address[1]}"
    raise _connect_fate(host, failure)


def _connected(host: str, family: int, address: tuple[Any, ...], within_s: float) -> socket.socket:
    sock = _PlainSocket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(within_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(address)
        peer = sock.getpeername()
        if _number(peer[0]) != _number(address[0]) or peer[1] != address[1]:
            raise Rejected("address-refused", f"{host} was dialled at {address[0]} but {peer[0]} answered.")
    except BaseException:
        sock.close()
        raise
    return sock


def _number(address: str) -> int:
    """The address itself: one spelling, no scope."""
    return int(ipaddress.ip_address(address))


def _connect_fate(host: str, error: OSError) -> Retryable:
    if isinstance(error, TimeoutError):
        return Retryable("connect-timeout", f"{host} did not take a connection in time.")
    if isinstance(error, ConnectionRefusedError):
        return Retryable("connect-refused", f"{host} refuses connections.")
    return Retryable("connect-failed", f"{host} cannot be reached: {error.strerror or error}.")


_WIRE_ERRORS = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)
"""What urllib3 and http.client raise on a bad wire; ValueError from chunk sizes and header values no parser foresaw."""


def _fate(error: BaseException) -> Retryable | Rejected:
    """Our reason for an error of the wire."""
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLError | urllib3.exceptions.SSLError) for cause in causes):
        return Retryable("tls-failed", f"TLS failed: {causes[-1]}.")
    if any(isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError) for cause in causes):
        return _out_of_time()
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return Retryable("connection-reset", "The other side closed the connection before it answered.")
    if any(isinstance(cause, http.client.IncompleteRead | urllib3.exceptions.IncompleteRead) for cause in causes):
        return Retryable("cut-short", "The body ended before its stated length.")
    text = str(causes[-1])[:200]
    if "more than" in text and "headers" in text:
        return Rejected("headers-too-large", "The head has more than 100 lines.")
    return Retryable("protocol-error", f"The answer is not HTTP as it should be: {text}.")


def _out_of_time() -> Retryable:
    """Reads and writes wait until the deadline; only the TLS handshake has less, what connecting may take."""
    call = _CALL.get()
    if time.monotonic() < call.ends - 0.05:
        return Retryable("connect-timeout", "The TLS handshake was not done in time.")
    return call.too_late()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it wraps, inwards: urllib3 puts the cause among the arguments."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        inner = [arg for arg in seen.args if isinstance(arg, BaseException)]
        seen = inner[-1] if inner else None


class _PlainSocket(socket.socket):
    """A TCP socket whose every wait ends with the call."""

    def recv_into(self, *args: Any) -> int:
        return _receive(self, super().recv_into, args)

    def sendall(self, *args: Any) -> None:
        _arm(self)
        super().sendall(*args)


class _TlsSocket(ssl.SSLSocket):
    """The same over TLS; the handshake runs under the time-out of the socket it wraps."""

    def recv_into(self, *args: Any) -> int:
        return _receive(self, super().recv_into, args)

    def send(self, *args: Any) -> int:
        _arm(self)
        return super().send(*args)


def _arm(sock: socket.socket) -> None:
    sock.settimeout(_CALL.get().left_s())


def _receive(sock: socket.socket, receive: Any, args: tuple[Any, ...]) -> int:
    call = _CALL.get()
    sock.settimeout(call.left_s())
    size: int = receive(*args)
    call.count(size)
    return size


class _Metered:
    """A reader of lines that stops a head from growing past its cap."""

    def __init__(self, reader: Any, limit: int) -> None:
        self._reader, self._left, self._limit = reader, limit, limit
        self.close, self.flush = reader.close, reader.flush

    def readline(self, size: int) -> bytes:
        line: bytes = self._reader.readline(min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise Rejected("headers-too-large", f"The head is larger than {self._limit} bytes.")
        return line


class _Response(http.client.HTTPResponse):
    """Reads a head of limited size and passes over interim ones (103 Early Hints)."""

    def begin(self) -> None:
        reader: Any = self.fp
        self.fp = _Metered(reader, _CALL.get().max_head)  # type: ignore[assignment]
        super().begin()
        while self.status < 200 and self.status != 101:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        self.fp = reader


class _PlainConnection(HTTPConnection):
    response_class = _Response
    peer = ""
    used_at = 0.0

    def _new_conn(self) -> socket.socket:
        call = _CALL.get()
        call.reused = False
        sock, self.peer = call.connect(self.host, self.port, call)
        return sock

    def getresponse(self) -> Any:
        _CALL.get().peer, self.used_at = self.peer, time.monotonic()
        return super().getresponse()


class _TlsConnection(HTTPSConnection):
    response_class = _Response
    peer = ""
    used_at = 0.0

    def _new_conn(self) -> socket.socket:
        call = _CALL.get()
        call.reused = False
        sock, self.peer = call.connect(self.host, self.port or 443, call)
        return sock

    def getresponse(self) -> Any:
        _CALL.get().peer, self.used_at = self.peer, time.monotonic()
        return super().getresponse()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection

    def _get_conn(self, timeout: float | None = None) -> Any:
        return _trusted(super()._get_conn(timeout))


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection

    def _get_conn(self, timeout: float | None = None) -> Any:
        return _trusted(super()._get_conn(timeout))


def _trusted(connection: Any) -> Any:
    call = _CALL.get()
    if call.fresh or time.monotonic() - connection.used_at > call.idle_s:
        connection.close()  # it connects again when it is used
    return connection


@functools.cache
def _tls(ca_file: str | None) -> ssl.SSLContext:
    """The system's authorities, certifi's, and the operator's own; names and chains are always verified."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    try:
        if ca_file:
            context.load_verify_locations(ca_file)
    except OSError as error:
        raise OperatorError(f"The authorities in {ca_file} cannot be read: {error}.", "Name a PEM file.") from error
    context.sslsocket_class = _TlsSocket
    return context
