"""A request in; who asks, whether they may, whether the form is theirs; then the page, with strict headers, out.

Every route of the desk is made by `get` or `post` here, which name the least role. None as role: open to anybody.
A browser is known by its cookie and shows the CSRF token of its session with every change; a program by a bearer token.
"""

from __future__ import annotations

import logging
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from services.console import accounts
from services.console.accounts import Identity, Role
from services.console.actions import Done
from services.console.web.desk import Desk
from shared.errors import OperatorError

log = logging.getLogger("briefwire.desk")
COOKIE = "briefwire_session"
FORM_LIMIT = 64 * 1024
THEMES = ("light", "dark")

NO_STORE = '<!doctype html><html lang="en"><title>Briefwire</title><main><h1>The store does not answer</h1><p>Try again in a moment.'

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers send "Origin: null" with our own forms, which we refuse
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """The answer to somebody who may not: a status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Call(msgspec.Struct, frozen=True):
    """One request as a handler sees it. `who` is None only on routes that are open to anybody."""

    desk: Desk
    request: Request
    who: Identity | None
    form: dict[str, str] = {}

    @property
    def identity(self) -> Identity:
        """Who asks; routes with a role always have somebody."""
        assert self.who is not None
        return self.who

    @property
    def wants_json(self) -> bool:
        return self.who is not None and self.who.csrf is None

    def query(self, name: str) -> str:
        return self.request.query_params.get(name, "").strip()[:300]

    def number(self, name: str) -> int | None:
        """A positive number of the query, None where it is not one."""
        text = self.query(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page from a template."""
        theme = self.request.cookies.get("theme", "")
        shared = {"who": self.who, "now": self.desk.now(), "here": self.request.url.path, "theme": theme if theme in THEMES else "",
                  "said": self.desk.said(self.who.csrf) if self.who else None, "query": dict(self.request.query_params),
                  "back": _here(self.request)}  # fmt: skip
        return HTMLResponse(self.desk.templates.get_template(template).render(shared | values), status)

    def go(self, to: str, done: Done | None = None) -> Response:
        """On to another page, which shows the message."""
        if done is not None and self.who is not None and self.who.csrf:
            self.desk.say(self.who.csrf, done)
        return RedirectResponse(to, 303)


Handler = Callable[[Call], Response]


def get(desk: Desk, path: str, handler: Handler, role: Role | None = "viewer") -> Route:
    """A page."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(_answer, desk, request, handler, role, None)

    return Route(path, endpoint, methods=["GET"], name=handler.__name__)


def post(desk: Desk, path: str, handler: Handler, role: Role | None) -> Route:
    """A change. A form of a session must carry that session's CSRF token; a program's bearer token needs none."""

    async def endpoint(request: Request) -> Response:
        body = await _body(request)
        return await run_in_threadpool(_answer, desk, request, handler, role, body)

    return Route(path, endpoint, methods=["POST"], name=handler.__name__)


def local(path: str, otherwise: str = "/") -> str:
    """A path on this desk, so that nobody is sent elsewhere by a link."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and not any(c in path for c in "\r\n\t\\")
    return path if plain else otherwise


def identify(desk: Desk, request: Request) -> Identity | None:
    """Who asks, by bearer token or by cookie."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    now, cookie = desk.now(), request.cookies.get(COOKIE)
    with desk.store.read() as connection:
        if scheme.lower() == "bearer":
            found = accounts.recognise_token(connection, bearer.strip(), now)
        else:
            found = accounts.recognise(connection, cookie, now)
    if found is not None and found.stale:
        with desk.store.write() as connection:
            if found.csrf is None:
                accounts.touch_token(connection, bearer.strip(), now)
            else:
                accounts.touch(connection, cookie or "", now)
    return found


def _answer(desk: Desk, request: Request, handler: Handler, role: Role | None, body: bytes | None) -> Response:
    who = None
    try:
        who = identify(desk, request)
        call = Call(desk, request, who, _fields(body) if body is not None else {})
        _admit(call, role, changes=body is not None)
        response = handler(call)
    except Refused as refused:
        response = _refusal(desk, request, who, refused)
    except OperatorError as error:
        response = _problem(Call(desk, request, who), 400, error.what, error.next_step)
    except DBAPIError as error:
        log.warning("the store does not answer: %s", error)
        response = HTMLResponse(NO_STORE, 503)
    response.headers.update({name: value for name, value in HEADERS.items() if name.lower() not in response.headers})
    return response


def _admit(call: Call, role: Role | None, *, changes: bool) -> None:
    if changes and not _same_origin(call.request):
        raise Refused(403, "This form was sent from another site.")
    if role is None:
        return
    if call.who is None:
        raise Refused(401, "Sign in first.")
    if not call.who.may(role):
        raise Refused(403, f"This needs the role {role}.")
    if changes and call.who.csrf is not None and not accounts.csrf_fits(call.who, call.form.get("csrf", "")):
        raise Refused(403, "The form is not of this session any more. Go back, load the page again, and repeat it.")


def _same_origin(request: Request) -> bool:
    """A browser says where a form comes from; what is not a browser says nothing and has no cookie to lend."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urllib.parse.urlsplit(origin).netloc == request.headers.get("host")


def _refusal(desk: Desk, request: Request, who: Identity | None, refused: Refused) -> Response:
    call = Call(desk, request, who)
    asks_page = request.method == "GET" and "authorization" not in request.headers
    if refused.status == 401 and asks_page and request.headers.get("accept", "*/*") != "text/event-stream":
        return call.go(f"/sign-in?next={urllib.parse.quote(_here(request))}")
    return _problem(call, refused.status, refused.sentence)


def _problem(call: Call, status: int, what: str, next_step: str = "") -> Response:
    if call.wants_json or "authorization" in call.request.headers:
        return JSONResponse({"error": what, "next_step": next_step}, status)
    return call.page(
        "problem.html", status, what=what, next_step=next_step, title="Not done" if status != 404 else "Not here"
    )


def lost(desk: Desk) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The answer where no route fits."""

    async def endpoint(request: Request, _: Exception) -> Response:
        return await run_in_threadpool(_answer, desk, request, _nowhere, None, None)

    return endpoint


def _nowhere(call: Call) -> Response:
    raise not_found("such page")


def not_found(what: str) -> Refused:
    """For handlers: there is no such thing."""
    return Refused(404, f"There is no {what} here.")


def _here(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _fields(body: bytes) -> dict[str, str]:
    try:
        return dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))
    except ValueError:  # more fields than any form of ours has
        return {}


async def _body(request: Request) -> bytes:
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > FORM_LIMIT:
            return b""  # no field of ours is that long; without its token the form is refused
    return bytes(read)


def fields_of(form: Mapping[str, str]) -> dict[str, str]:
    """The fields of a form besides those that every form has."""
    return {name: value[:2000] for name, value in form.items() if name not in ("csrf", "reason", "back")}
