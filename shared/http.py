"""The only door out: a `Request` goes in, a `Reply` (any status) comes out, or `Retryable` or `Rejected` is raised.

    name -> every address judged -> one of those addresses dialled -> peer checked -> TLS verified -> head -> body

The same for every hop of a redirect. One total deadline cuts each step, however slowly the other side drips; head, raw
body and decoded body are capped. Nothing is read from the environment: no proxies, no .netrc, no cookies kept.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple
from urllib.parse import unquote

import ada_url
import certifi
import msgspec
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from shared.addresses import why_not_public
from shared.decoding import decoded
from shared.errors import OperatorError, Rejected, Retryable
from shared.names import Names, Resolve
from shared.urls import absolute

REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 65536
_DRAIN = 16384  # a redirect's body up to this size is read so that its connection can serve the next hop
_SAFE_ELSEWHERE = frozenset(
    ("accept", "accept-encoding", "accept-language", "content-type", "if-modified-since", "if-none-match", "user-agent")
)
_OURS = frozenset(("connection", "content-length", "host", "te", "transfer-encoding", "upgrade"))
_BAD_HEADER = re.compile(r"[^\x09\x20-\x7e\x80-\xff]")


class Policy(msgspec.Struct, frozen=True):
    """What the door lets through. Sizes in bytes, durations in seconds.

    `allow_hosts` names internal hosts, "host" or "host:port": for those, and only those, addresses that are not public
    and any port are let through. `ca_file` is a PEM file of further authorities, for internal hosts.
    """

    allow_hosts: frozenset[str] = frozenset()
    user_agent: str = "Briefwire/0.1"
    ports: frozenset[int] = frozenset((80, 443, 8080, 8443))
    connect_s: float = 5.0
    deadline_s: float = 30.0
    max_raw: int = 10 * 1024 * 1024
    max_decoded: int = 20 * 1024 * 1024
    max_header_bytes: int = 64 * 1024
    max_redirects: int = 10
    ca_file: str | None = None


class Request(msgspec.Struct, frozen=True):
    """One call out. `deadline_s` covers all hops; it and `max_decoded` default to the policy's.

    `redirects` is how many to follow (0: a 3xx is the reply). With `cut_body_ok` a reply whose head arrived counts even
    when its body is cut, too large or unreadable: `Reply.complete` is then False.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    redirects: int = 10
    deadline_s: float | None = None
    max_decoded: int | None = None
    cut_body_ok: bool = False


class Reply(msgspec.Struct, frozen=True):
    """What came back. `headers` ignore the case of names; `hops` are the redirects followed: (status, URL that did it).

    `body` is decoded. `peer` is the address that answered, "93.184.216.34:443".
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    final_url: str
    hops: tuple[tuple[int, str], ...]
    duration_s: float
    complete: bool
    peer: str


class _Step(NamedTuple):
    """One hop to make: `target` is path and query."""

    method: str
    url: str
    scheme: str
    host: str
    port: int
    target: str
    headers: dict[str, str]
    body: bytes | None


class _Call:
    """What one `Door.send` allows and has seen so far; its connection finds it through `_CALL`."""

    def __init__(self, door: Door, request: Request) -> None:
        self.door, self.policy = door, door.policy
        self.started = time.monotonic()
        self.ends = self.started + (request.deadline_s or door.policy.deadline_s)
        self.max_decoded = request.max_decoded or door.policy.max_decoded
        self.max_raw = max(door.policy.max_raw, request.max_decoded or 0)
        self.cut_body_ok = request.cut_body_ok
        self.hops: list[tuple[int, str]] = []
        self.begin_try(fresh=False)

    def begin_try(self, *, fresh: bool) -> None:
        self.fresh, self.reused, self.received, self.peer = fresh, True, 0, ""

    def left_s(self) -> float:
        """Seconds to the deadline; raises Retryable("deadline") when there are none."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise self.too_late()
        return left

    def too_late(self) -> Retryable:
        return Retryable("deadline", f"The answer was not complete after {self.ends - self.started:g} s.")

    def count(self, size: int) -> None:
        """Every byte read counts, so that no way of framing a body gets around its cap."""
        self.received += size
        if self.received > self.max_raw + self.policy.max_header_bytes + 2 * _CHUNK:
            raise _too_large(self.max_raw)


_CALL: ContextVar[_Call] = ContextVar("briefwire_call")


class Door:
    """Sends requests under one policy over kept-alive connections. Threads may share it; make it after a fork.

    `resolve` is `socket.getaddrinfo` or something that answers like it.
    """

    def __init__(self, policy: Policy, resolve: Resolve = socket.getaddrinfo) -> None:
        self.policy = policy
        self._names = Names(resolve)
        self._allowed = frozenset(_allowed_key(entry) for entry in policy.allow_hosts)
        self._pools = urllib3.PoolManager(num_pools=128, maxsize=32, ssl_context=_tls(policy.ca_file), retries=False)
        self._pools.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def send(self, request: Request) -> Reply:
        """The reply to `request`, whatever its status.

        Raises:
            Retryable: "dns-failed", "dns-timeout", "connect-refused", "connect-timeout", "connect-failed",
                "tls-failed", "deadline", "connection-reset", "cut-short", "protocol-error", "encoding-broken".
            Rejected: "bad-url", "bad-header", "scheme-refused", "address-refused", "port-refused", "too-large",
                "headers-too-large", "encoding-refused", "too-many-redirects".
        """
        call = _Call(self, request)
        token = _CALL.set(call)
        try:
            return self._follow(_first_step(request, self.policy), request, call)
        finally:
            _CALL.reset(token)

    def close(self) -> None:
        """Close the idle connections and end the resolver's threads."""
        self._pools.clear()
        self._names.close()

    def _follow(self, step: _Step, request: Request, call: _Call) -> Reply:
        allowed = min(request.redirects, self.policy.max_redirects)
        while True:
            response = self._head(step, call)
            location = response.headers.get("location") if response.status in REDIRECTS else None
            if location is None or request.redirects <= 0:
                return _reply(response, step, call)
            if len(call.hops) >= allowed:
                _drop(response)
                raise Rejected("too-many-redirects", f"More than {allowed} redirects, the last one at {step.url}.")
            _drain(response)
            call.hops.append((response.status, step.url))
            step = _next_step(step, response.status, location)

    def _head(self, step: _Step, call: _Call) -> urllib3.BaseHTTPResponse:
        """The response, its body unread. A kept-alive connection that turns out dead is replaced once."""
        call.begin_try(fresh=False)
        try:
            return self._exchange(step)
        except Retryable as error:
            if error.reason != "connection-reset" or not call.reused or call.received:
                raise
        call.begin_try(fresh=True)
        return self._exchange(step)

    def _exchange(self, step: _Step) -> urllib3.BaseHTTPResponse:
        pool = self._pools.connection_from_host(step.host, step.port, step.scheme)
        try:
            return pool.urlopen(
                step.method,
                step.target,
                body=step.body,
                headers=step.headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
        except _WIRE_ERRORS as error:
            raise _fate(error) from error

    def open(self, host: str, port: int, call: _Call) -> tuple[socket.socket, str]:
        """A connected socket to a judged address of that host, and "address:port". Called by our connections only."""
        internal = bool({(host.lower(), None), (host.lower(), port)} & self._allowed)
        if not internal and port not in self.policy.ports:
            raise Rejected("port-refused", f"Port {port} is not among the ports allowed; {_advice(host, port)}.")
        answers = self._names.lookup(host, port, call.left_s())
        if not internal:
            for _, address in answers:
                _judge(host, port, address[0])
        call.reused = False
        return _dial(host, answers, min(self.policy.connect_s, call.left_s()))


def _allowed_key(entry: str) -> tuple[str, int | None]:
    """An entry of allow_hosts as host and port, the host spelled as connections spell it; port None: any."""
    host, colon, digits = entry.strip().rpartition(":")
    if not colon or not digits.isdigit() or (":" in host and not host.startswith("[")):
        host, digits = entry.strip(), ""
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"
    try:
        parts = ada_url.parse_url(f"http://{host}/", attributes=("hostname", "href"))
    except ValueError:
        parts = {"hostname": "", "href": ""}
    if not parts["hostname"] or parts["href"] != f"http://{parts['hostname']}/":
        raise OperatorError(f"{entry!r} in allow_hosts is no host.", 'Write "host" or "host:port".')
    return parts["hostname"].strip("[]").rstrip("."), int(digits) if digits else None


def _first_step(request: Request, policy: Policy) -> _Step:
    headers = {"User-Agent": policy.user_agent, "Accept-Encoding": "gzip, deflate, br, zstd"}
    for name, value in request.headers.items():
        if _BAD_HEADER.search(name + value) or name.lower() in _OURS:
            raise Rejected("bad-header", f"The header {name!r} cannot be sent; take it out of the request.")
        headers = {key: kept for key, kept in headers.items() if key.lower() != name.lower()} | {name: value}
    return _step(request.method, request.url, headers, request.body)


def _step(method: str, url: str, headers: dict[str, str], body: bytes | None) -> _Step:
    try:
        parts = ada_url.parse_url(url, attributes=_PARTS)
    except ValueError:
        raise Rejected("bad-url", f"{url[:200]!r} is not an absolute URL.") from None
    scheme = parts["protocol"].rstrip(":")
    if scheme not in ("http", "https"):
        raise Rejected("scheme-refused", f"The scheme {scheme!r} is not allowed; use an http or https URL.")
    host = parts["hostname"].strip("[]").rstrip(".")
    port = int(parts["port"] or (443 if scheme == "https" else 80))
    if parts["username"] or parts["password"]:
        headers = {**headers, "Authorization": _basic(parts["username"], parts["password"])}
    target = parts["pathname"] + parts["search"]
    shown = f"{scheme}://{parts['hostname']}{':' + parts['port'] if parts['port'] else ''}{target}"
    return _Step(method.upper(), shown, scheme, host, port, target, headers, body)


_PARTS = ("protocol", "username", "password", "hostname", "port", "pathname", "search")


def _basic(username: str, password: str) -> str:
    pair = f"{unquote(username)}:{unquote(password)}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _next_step(step: _Step, status: int, location: str) -> _Step:
    """Where a redirect leads: as RFC 9110 has it, without what was meant for the first host only."""
    with contextlib.suppress(UnicodeError):  # where it is not raw UTF-8, what http.client read as Latin-1 stands
        location = location.encode("latin-1").decode("utf-8")
    url = absolute(step.url, location)
    if url is None:
        raise Rejected("scheme-refused", f"{step.url} redirects to {location[:200]!r}, which is no http or https URL.")
    method, body, headers = step.method, step.body, step.headers
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
    following = _step(method, url, {}, body)
    if not _same_party(step, following):
        headers = {name: value for name, value in headers.items() if name.lower() in _SAFE_ELSEWHERE}
    return following._replace(headers=headers)


def _same_party(one: _Step, two: _Step) -> bool:
    """The same host, and neither another port nor less protection: http to https on the standard ports is the same."""
    upgrade = (one.scheme, one.port, two.scheme, two.port) == ("http", 80, "https", 443)
    return one.host == two.host and (upgrade or (one.scheme, one.port) == (two.scheme, two.port))


def _reply(response: urllib3.BaseHTTPResponse, step: _Step, call: _Call) -> Reply:
    body, complete = _body(response, call)
    return Reply(
        status=response.status,
        headers=response.headers,
        body=body,
        final_url=step.url,
        hops=tuple(call.hops),
        duration_s=time.monotonic() - call.started,
        complete=complete,
        peer=call.peer,
    )


def _body(response: urllib3.BaseHTTPResponse, call: _Call) -> tuple[bytes, bool]:
    """The decoded body, and whether it is whole. What was read of a cut one is kept where a cut body is acceptable."""
    got = bytearray()
    try:
        for piece in decoded(_raw(response, call), response.headers.get("content-encoding", "")):
            got += piece
            if len(got) > call.max_decoded:
                raise _too_large(call.max_decoded)
            call.left_s()
    except (Retryable, Rejected):
        _drop(response)
        if not call.cut_body_ok:
            raise
        return bytes(got[: call.max_decoded]), False
    return bytes(got), True


def _raw(response: urllib3.BaseHTTPResponse, call: _Call) -> Iterator[bytes]:
    length = response.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > call.max_raw and response.status != 304:
        raise _too_large(call.max_raw)
    size = 0
    try:
        for piece in response.stream(_CHUNK, decode_content=False):
            size += len(piece)
            if size > call.max_raw:
                raise _too_large(call.max_raw)
            yield piece
    except _WIRE_ERRORS as error:
        raise _fate(error) from error


def _drain(response: urllib3.BaseHTTPResponse) -> None:
    """Done with a redirect: its connection is kept when its body is short, closed otherwise."""
    length = response.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and len(length) < 6 and int(length) <= _DRAIN:
        with contextlib.suppress(*_WIRE_ERRORS):  # the redirect itself arrived; its body is of no use
            response.read(_DRAIN, decode_content=False)
    _drop(response)


def _drop(response: urllib3.BaseHTTPResponse) -> None:
    """Close the connection unless the whole body was read."""
    response.close()
    response.release_conn()


def _too_large(limit: int) -> Rejected:
    return Rejected("too-large", f"The body is larger than {limit} bytes, the most this request takes.")


def _judge(host: str, port: int, address: str) -> None:
    rule = why_not_public(address)
    if rule:
        raise Rejected("address-refused", f"{host} is at {address}, in {rule}; {_advice(host, port)}.")


def _advice(host: str, port: int) -> str:
    return f"if it is your own host, add {_bracketed(host)}:{port} to allow_hosts"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _dial(host: str, answers: list[tuple[int, tuple[Any, ...]]], within_s: float) -> tuple[socket.socket, str]:
    """The first of the addresses that takes a connection; each gets an even share of the time left."""
    ends = time.monotonic() + within_s
    failure: OSError = OSError("no address")
    for number, (family, address) in enumerate(answers):
        share = (ends - time.monotonic()) / (len(answers) - number)
        if share <= 0:
            failure = TimeoutError()
            break
        sock = _PlainSocket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(share)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
            peer = sock.getpeername()
        except OSError as error:
            sock.close()
            failure = error
            continue
        if _number(peer[0]) != _number(address[0]) or peer[1] != address[1]:
            sock.close()
            raise Rejected("address-refused", f"{host} was dialled at {address[0]} but {peer[0]} answered.")
        sock.settimeout(max(0.001, ends - time.monotonic()))  # for the TLS handshake, which may use up what is left
        return sock, f"{_bracketed(peer[0])}:{peer[1]}"
    raise _connect_fate(host, failure)


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


# --- the wire: sockets that know the call's deadline, connections that dial through the door ---


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
        self.fp = _Metered(reader, _CALL.get().policy.max_header_bytes)  # type: ignore[assignment]
        super().begin()
        while self.status < 200 and self.status != 101:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        self.fp = reader


class _PlainConnection(HTTPConnection):
    response_class = _Response
    peer = ""

    def _new_conn(self) -> socket.socket:
        call = _CALL.get()
        sock, self.peer = call.door.open(self.host, self.port, call)
        return sock

    def getresponse(self) -> Any:
        _CALL.get().peer = self.peer
        return super().getresponse()


class _TlsConnection(HTTPSConnection):
    response_class = _Response
    peer = ""

    def _new_conn(self) -> socket.socket:
        call = _CALL.get()
        sock, self.peer = call.door.open(self.host, self.port or 443, call)
        return sock

    def getresponse(self) -> Any:
        _CALL.get().peer = self.peer
        return super().getresponse()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection

    def _get_conn(self, timeout: float | None = None) -> Any:
        return _fresh_if_asked(super()._get_conn(timeout))


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection

    def _get_conn(self, timeout: float | None = None) -> Any:
        return _fresh_if_asked(super()._get_conn(timeout))


def _fresh_if_asked(connection: Any) -> Any:
    if _CALL.get().fresh:
        connection.close()  # it connects again when it is used
    return connection


@functools.cache
def _tls(ca_file: str | None) -> ssl.SSLContext:
    """The system's authorities, certifi's, and the operator's own; names and chains are always verified."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    if ca_file:
        context.load_verify_locations(ca_file)
    context.sslsocket_class = _TlsSocket
    return context
