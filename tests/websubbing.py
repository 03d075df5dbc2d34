"""The other side of WebSub, on loopback: a subscriber that confirms and takes notifications, and a hub that asks back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Seen(NamedTuple):
    """One request: headers by lower-case name, the query's fields."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, dict[str, str], bytes]


class Loopback:
    """Answers every request by `answer`, and keeps what it saw."""

    def __init__(self, answer: Callable[[Seen], Answer]) -> None:
        self.answer, self.seen = answer, list[Seen]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen = Seen(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
                outer.seen.append(seen)
                status, more, content = outer.answer(seen)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET  # noqa: N815 - the base class calls it so

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)

    def got(self, method: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method]


def confirming(seen: Seen) -> Answer:
    """A subscriber that confirms everything and takes everything."""
    return (200, {}, seen.query["hub.challenge"].encode()) if seen.method == "GET" else (204, {}, b"")
