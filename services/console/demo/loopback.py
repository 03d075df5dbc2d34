"""A function from Request to Reply, in; an HTTP/1.1 server with keep-alive on loopback, out.

One thread a connection. `stop` closes every open connection and waits for its thread, so a test leaves nothing behind.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import socket
import socketserver
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from services.console.demo.faults import Fault
from shared.errors import OperatorError

MAX_BODY = 32 * 1024 * 1024
IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` has no query; header names are found in any case; `body` is whole."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. After `hang_s` seconds either `reset` ends the connection or status, headers and body are sent."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    reset: bool = False


def spoil(reply: Reply, fault: Fault | None) -> Reply:
    """The reply as the fault leaves it."""
    if fault is None:
        return reply
    if fault.status is None:
        return Reply(reply.status, reply.body, reply.headers, fault.hang_s, fault.reset)
    headers = {"Content-Type": "text/plain"}
    if fault.retry_after_s is not None:
        headers["Retry-After"] = str(fault.retry_after_s)
    return Reply(fault.status, b"switched to fail\n", headers, fault.hang_s, fault.reset)


def conditional(
    request: Request, body: bytes, content_type: str, changed: dt.datetime | None, now: dt.datetime
) -> Reply:
    """200 with the body and its validators, or 304 where the visitor has it already (RFC 9110, 13.2.2).

    `changed` is when the body last changed (UTC-aware), None where nobody knows.
    """
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {"Content-Type": content_type, "ETag": etag, "Cache-Control": "no-cache"}
    # A second is HTTP's unit: within it the body may change again, so its date says nothing yet.
    if changed is not None and now - changed > dt.timedelta(seconds=2):
        changed = changed.astimezone(dt.UTC).replace(microsecond=0)
        headers["Last-Modified"] = format_datetime(changed, usegmt=True)
    else:
        changed = None
    return Reply(304, b"", headers) if _has_it(request, etag, changed) else Reply(200, body, headers)


def _has_it(request: Request, etag: str, changed: dt.datetime | None) -> bool:
    known = request.headers.get("If-None-Match")
    if known is not None:  # decides alone where it is sent
        return known.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in known.split(","))
    since = request.headers.get("If-Modified-Since")
    if since is None or changed is None:
        return False
    try:
        return changed <= parsedate_to_datetime(since)
    except (ValueError, TypeError):
        return False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024  # head and body leave in one packet
    timeout = IDLE_S
    server: _Server

    def _serve(self) -> None:
        body = self._body()
        if body is None:
            return
        path, _, query = self.path.partition("?")
        reply = self.server.answer(Request(self.command, path, query, self.headers, body))
        if reply.hang_s and self.server.stopping.wait(reply.hang_s):
            self.close_connection = True
        elif reply.reset:
            self._reset()
        else:
            self._send(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = _serve  # noqa: N815  names the base class looks for

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdigit():
            self._refuse(411)
            return None
        if int(length) > MAX_BODY:
            self._refuse(413)
            return None
        return self.rfile.read(int(length))

    def _refuse(self, status: int) -> None:
        self.close_connection = True  # the body stays unread, so this connection cannot carry another request
        self._send(Reply(status))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status not in (204, 304):
            self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and reply.status not in (204, 304):
            self.wfile.write(reply.body)

    def _reset(self) -> None:
        # Linger of zero seconds makes close() send RST: what a crashed partner looks like from outside.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def version_string(self) -> str:
        return "briefwire-demo"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr for each request; the owners keep their own logs."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Callable[[Request], Reply]) -> None:
        self.answer = answer
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's would ask the name service who 127.0.0.1 is
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 0):
            request.close()  # an orderly shutdown first would send FIN instead of the reset asked for
        else:
            super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def hang_up(self) -> None:
        """End every open connection and wait until their threads have let go."""
        self.stopping.set()
        with self._changed:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the other side was faster
            self._changed.wait_for(lambda: not self._open, timeout=5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()  # ours is the bug; a client that went away is none


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name may mean anything tomorrow


class Loopback:
    """A running server: `start`, `url`, `stop`; also a context manager.

    Args:
        answer: called from many threads at once.
        port: 0 takes a free one.
        host: a loopback address; OperatorError for any other, and for a port in use.
    """

    def __init__(self, answer: Callable[[Request], Reply], *, port: int = 0, host: str = "127.0.0.1") -> None:
        if not _is_loopback(host):
            raise OperatorError(f"{host} is not a loopback address.", "The demo's servers listen on 127.0.0.1 only.")
        try:
            self._server = _Server((host, port), answer)
        except (OSError, OverflowError) as error:
            raise OperatorError(
                f"Cannot listen on port {port} of {host}: {error}.", "Port 0 takes a free one."
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="loopback", daemon=True)
        self.port = self._server.server_port
        self.url = f"http://{host}:{self.port}"

    def start(self) -> None:
        """Accept connections from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port and all connections; a second call does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.hang_up()
        self._server.server_close()
