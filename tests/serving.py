"""Our web application over a real socket in this process, and a client that holds every answer to the OpenAPI document."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema  # type: ignore[import-untyped]  # publishes no types
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match

from shared import openapi
from shared.api import ApiRoute
from shared.settings import Settings, WebSettings


class Client:
    """Sends requests to the application; an answer that the document does not know is an AssertionError."""

    def __init__(self, app: Starlette, url: str) -> None:
        self.app, self.url = app, url

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.send("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.send("POST", path, **options)

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        url = path if path.startswith("http") else self.url + path
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, url, timeout=60, allow_redirects=False, **options)
        self.check(method, url, answer)
        return answer

    def check(self, method: str, url: str, answer: requests.Response) -> None:
        operation = self.operation(method, "/" + url.split("://", 1)[1].partition("/")[2].partition("?")[0])
        described = operation.answers.get(answer.status_code)
        assert described is not None, (operation.name, answer.status_code, answer.text[:300])
        kind = answer.headers.get("content-type", "").partition(";")[0]
        assert (
            (kind in {name.partition(";")[0] for name in described.content})
            if kind
            else not described.content or not answer.content
        )
        if kind == "application/json":
            schema = described.content[kind]
            jsonschema.validate(answer.json(), openapi.PROBLEM if "$ref" in schema else schema)

    def operation(self, method: str, path: str) -> openapi.Operation:
        scope = {"type": "http", "method": method, "path": unquote(path), "root_path": ""}
        for route in self.app.routes:
            if isinstance(route, ApiRoute) and route.matches(scope)[0] == Match.FULL:
                return next(one for one in route.operations if one.method == method)
        raise AssertionError(f"no operation for {method} {path}")


@contextlib.contextmanager
def serving(routes: Sequence[BaseRoute]) -> Iterator[Client]:
    """The routes on a port of loopback."""
    app = Starlette(routes=list(routes))
    config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.01)
        yield Client(app, f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


def settings(folder: Path, url: str = "") -> Settings:
    """Settings of an installation in that folder."""
    return Settings(data=str(folder), web=WebSettings(url=url))


class Rung:
    """Notes which stages were rung for which keys."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[Any]]] = []

    def __call__(self, wake: str, keys: Sequence[Any]) -> None:
        self.calls.append((wake, list(keys)))
