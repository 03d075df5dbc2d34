"""What the HTTP faces of the services share: a table of operations and their handlers in, routes out; problems as JSON.

Site       settings, store, clock and bells of this process, as handlers take them
Problem    raised by a handler: a status, a stable code, a sentence
route      an operation and its handler; the body is read up to the operation's limit, blocking handlers run in a thread
"""

from __future__ import annotations

import contextlib
import datetime as dt
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from shared import clock, queue
from shared.openapi import Operation
from shared.settings import Settings
from shared.store.engine import Store

log = logging.getLogger("briefwire.api")

Handler = Callable[[Request, bytes], Response] | Callable[[Request, bytes], Awaitable[Response]]
Ring = Callable[[str, Sequence[Any]], object]


class Problem(Exception):
    """An answer that says what is wrong: a status from 400 up, a code in kebab-case, one sentence."""

    def __init__(self, status: int, error: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {error}: {detail}")
        self.status, self.error, self.detail, self.headers = status, error, detail, dict(headers or {})


class Site:
    """What handlers work with. `ring` wakes a stage once its transaction has committed."""

    def __init__(self, settings: Settings, store: Store, now: Callable[[], dt.datetime] = clock.now,
                 ring: Ring = queue.bell.ring) -> None:  # fmt: skip
        self.settings, self.store, self.now, self._ring = settings, store, now, ring

    @contextlib.contextmanager
    def begin(self) -> Iterator[queue.Work]:
        """A writing transaction; what it rings is rung once it has committed."""
        with self.store.write() as connection:
            work = queue.Work(connection, self.now())
            yield work
            work.finish()
        for wake, keys in work.rings().items():
            self._ring(wake, list(dict.fromkeys(keys)))

    def base(self, request: Request) -> str:
        """The address of this web application, as others know it, without a slash at its end."""
        return (self.settings.web.url or str(request.base_url)).rstrip("/")


def here() -> Site:
    """This process's site."""
    return Site(queue.SETTINGS, queue.store())


class ApiRoute(Route):
    """A path and the operations it was made from, one a method."""

    operations: tuple[Operation, ...]


def routes(*described: tuple[Operation, Handler]) -> list[BaseRoute]:
    """The operations at their paths: one route a path, so that it knows all of its methods."""
    by_path: dict[str, dict[str, tuple[Operation, Handler]]] = {}
    for operation, handler in described:
        by_path.setdefault(operation.path, {})[operation.method] = operation, handler
    return [_route(path, methods) for path, methods in by_path.items()]


def _route(path: str, methods: dict[str, tuple[Operation, Handler]]) -> ApiRoute:
    async def endpoint(request: Request) -> Response:
        return await _answer(request, *methods["GET" if request.method == "HEAD" else request.method])

    made = ApiRoute(path, endpoint, methods=list(methods))
    made.operations = tuple(operation for operation, _ in methods.values())
    return made


async def _answer(request: Request, operation: Operation, handler: Handler) -> Response:
    try:
        body = await _body(request, operation.limit)
        if inspect.iscoroutinefunction(handler):
            response: Response = await handler(request, body)
        else:
            response = await run_in_threadpool(handler, request, body)  # type: ignore[arg-type]  # narrowed by inspect
    except Problem as problem:
        response = JSONResponse({"error": problem.error, "detail": problem.detail}, problem.status, problem.headers)
    except DBAPIError as error:
        log.warning("the store does not answer: %s", error)
        response = JSONResponse(
            {"error": "store-unreachable", "detail": "Try again in a moment."}, 503, {"Retry-After": "5"}
        )
    return response


def bearer(request: Request) -> str | None:
    """The key in the Authorization header."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def unauthorised(detail: str) -> Problem:
    """Nobody we know."""
    return Problem(401, "unauthorised", detail, {"WWW-Authenticate": 'Bearer realm="briefwire"'})


_DRAIN = 8 * 1024 * 1024
"""So much of a body that is too large is read all the same: a sender that is cut off while it sends never sees why."""


async def _body(request: Request, limit: int) -> bytes:
    if request.method in ("GET", "HEAD"):
        return b""
    read, size = bytearray(), 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= limit:
                read += chunk
            if size > limit + _DRAIN:
                break
    except ClientDisconnect:
        raise Problem(400, "cut-short", "The body did not arrive whole.") from None
    if size > limit:
        raise Problem(413, "too-large", f"At most {limit:,} bytes are taken.", {"Connection": "close"})
    return bytes(read)
