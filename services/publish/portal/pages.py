"""The partner's page in a browser: a pull key signs in, a form does what `own` offers. Pages from the server, no script at all.

Every change carries the CSRF token of its session and comes from this site; every answer has strict headers, and no word of
others gets into a page but through the templates' escaping.
"""

from __future__ import annotations

import datetime as dt
import logging
import secrets
import urllib.parse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from services.publish.portal import own
from shared.api import Site
from shared.models import Row
from shared.queue import Work
from shared.store import partners, portal

log = logging.getLogger("briefwire.portal")

COOKIE, LASTS = "briefwire_partner", dt.timedelta(hours=12)
FORM_LIMIT, LOG_PAGE = 64 * 1024, 50

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers send "Origin: null" with our own forms, which we refuse
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


class Turned(Exception):
    """The answer to a request that is turned away: a status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Said(msgspec.Struct, frozen=True):
    """A message for the session's next page; `secret` is shown this once."""

    text: str
    secret: str | None = None
    good: bool = True


class Visit(msgspec.Struct, frozen=True):
    """One request of somebody signed in: the endpoint, the session's token, the form."""

    request: Request
    row: Row
    key_id: int
    csrf: str
    form: dict[str, str]

    def number(self, name: str) -> int | None:
        """A positive number of the query or the form, None where it is not one."""
        text = (self.form.get(name) or self.request.query_params.get(name, "")).strip()
        return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 16 else None


Handler = Callable[[Visit], Response]


class Pages:
    """The pages of one process."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.templates = _templates()
        self._said: dict[str, Said] = {}

    # Looking

    def overview(self, visit: Visit) -> Response:
        with self.site.store.read() as connection:
            found = self._standing(connection, visit)
            newest = portal.log(connection, visit.row["id"], 8)
        return self.page("overview.html", visit, standing=found, attempts=newest, by_partner=own.BY_PARTNER)

    def _standing(self, connection: Connection, visit: Visit) -> own.Standing:
        base = self.site.base(visit.request)
        return own.standing(connection, visit.row, self.site.settings.folder, self.site.now(), base)

    def log(self, visit: Visit) -> Response:
        query = visit.request.query_params
        wish = {name: _plain(query.get(name, "")) for name in ("outcome", "article_id")}
        with self.site.store.read() as connection:
            found = portal.log(connection, visit.row["id"], LOG_PAGE + 1, before=visit.number("before"), **wish)
        more = found[LOG_PAGE - 1]["id"] if len(found) > LOG_PAGE else None
        return self.page("log.html", visit, attempts=found[:LOG_PAGE], more=more, wish=wish)

    def filters(self, visit: Visit, status: int = 200, **tried: Any) -> Response:
        with self.site.store.read() as connection:
            found = self._standing(connection, visit)
        return self.page(
            "filters.html", visit, status, standing=found, **{"wrong": None, "text": "", "which": None, **tried}
        )

    def keys(self, visit: Visit) -> Response:
        with self.site.store.read() as connection:
            found = self._standing(connection, visit)
            listed = own.keys_of(connection, visit.row, visit.key_id)
        return self.page("keys.html", visit, standing=found, keys=listed)

    # Doing

    def narrow(self, visit: Visit) -> Response:
        which, text = visit.number("subscription") or 0, visit.form.get("filter", "")
        try:
            with self.site.begin() as work:
                said = own.narrow(work, visit.row, which, text)
        except own.Refused as refused:
            return self.filters(visit, 400, wrong=refused.sentence, text=text, which=which)
        return self.go(visit, "/portal/filters", Said(said))

    def new_key(self, visit: Visit) -> Response:
        def make(work: Work) -> Said:
            number, key = own.new_key(work, visit.row)
            return Said(f"Key {number} opens your feeds, your events and this page. It is shown this once.", key)

        return self.act(visit, "/portal/keys", make)

    def revoke(self, visit: Visit) -> Response:
        key_id = visit.number("key") or 0
        done = self.act(visit, "/portal/keys", lambda work: Said(own.revoke_key(work, visit.row, key_id)))
        return self.signed_out("/portal/sign-in") if key_id == visit.key_id else done

    def rotate(self, visit: Visit) -> Response:
        def turn(work: Work) -> Said:
            shown = own.rotate(work, visit.row, self.site.settings.folder)
            return Said("Verify with this from now on; the secret before signs along until the next rotation.", shown)

        return self.act(visit, "/portal/keys", turn)

    def replay(self, visit: Visit) -> Response:
        first, last = visit.number("first") or 0, visit.number("last") or 0
        return self.act(visit, "/portal", lambda work: Said(own.replay(work, visit.row, first, last)))

    def pause(self, visit: Visit) -> Response:
        return self.act(visit, "/portal", lambda work: Said(own.pause(work, visit.row)))

    def resume(self, visit: Visit) -> Response:
        return self.act(visit, "/portal", lambda work: Said(own.resume(work, visit.row)))

    def test(self, visit: Visit) -> Response:
        try:
            made = own.send_test(visit.row, self.site.settings.folder, self.site.settings.deliver.deadline_s)
        except own.Refused as refused:
            return self.go(visit, "/portal", Said(refused.sentence, good=False))
        if made.status is None:
            return self.go(visit, "/portal", Said(f"You were not reached: {made.detail or made.failure}", good=False))
        said = f"You answered {made.status} in {made.duration_s:.2f} s. {made.excerpt[:300]}".strip()
        return self.go(visit, "/portal", Said(said, good=made.ok))

    def act(self, visit: Visit, to: str, do: Callable[[Work], Said]) -> Response:
        """Does it in a transaction, then on to a page that says so."""
        try:
            with self.site.begin() as work:
                said = do(work)
        except own.Refused as refused:
            said = Said(refused.sentence, good=False)
        return self.go(visit, to, said)

    # Coming and going

    def sign_in_form(self, request: Request) -> Response:
        return self.bare("sign_in.html", wrong="")

    def sign_in(self, request: Request, form: dict[str, str]) -> Response:
        cookie, csrf, now = secrets.token_urlsafe(32), secrets.token_urlsafe(24), self.site.now()
        with self.site.begin() as work:
            known = portal.sign_in(work.connection, form.get("key", "").strip()[:200], cookie, csrf, now + LASTS, now)
        if not known:
            return self.bare("sign_in.html", 401, wrong="This key opens nothing. The wire's operator makes keys.")
        response = RedirectResponse("/portal", 303)
        response.set_cookie(COOKIE, cookie, max_age=int(LASTS.total_seconds()), path="/portal", httponly=True, samesite="lax",
                            secure=request.url.scheme == "https")  # fmt: skip
        return response

    def sign_out(self, visit: Visit) -> Response:
        with self.site.begin() as work:
            portal.sign_out(work.connection, visit.request.cookies.get(COOKIE, ""))
        return self.signed_out("/portal/sign-in")

    def signed_out(self, to: str) -> Response:
        response = RedirectResponse(to, 303)
        response.delete_cookie(COOKIE, path="/portal")
        return response

    def visit(self, request: Request, form: dict[str, str] | None) -> Visit | None:
        """Who asks; None where nobody is signed in. Turned: the form is not theirs."""
        with self.site.store.read() as connection:
            session = portal.session(connection, request.cookies.get(COOKIE, ""), self.site.now())
            row = partners.endpoint(connection, session["endpoint_id"]) if session else None
        if session is None or row is None or row["state"] == "removed":
            return None
        if form is not None and not secrets.compare_digest(session["csrf"].encode(), form.get("csrf", "").encode()):
            raise Turned(403, "The form is not of this session any more. Go back, load the page again, and repeat it.")
        return Visit(request, row, session["key_id"], session["csrf"], form or {})

    # Answers

    def page(self, template: str, visit: Visit, status: int = 200, **values: Any) -> Response:
        said = self._said.pop(visit.csrf, None)
        here = visit.request.url.path
        return self.bare(template, status, row=visit.row, csrf=visit.csrf, said=said, here=here, **values)

    def bare(self, template: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self.templates.get_template(template).render({"now": self.site.now(), **values}), status)

    def go(self, visit: Visit, to: str, said: Said) -> Response:
        self._said[visit.csrf] = said
        while len(self._said) > 1000:
            self._said.pop(next(iter(self._said)))
        return RedirectResponse(to, 303)


def routes(site: Site) -> list[BaseRoute]:
    """The routes of the pages."""
    at = Pages(site)
    looking = {"/portal": at.overview, "/portal/log": at.log, "/portal/filters": at.filters, "/portal/keys": at.keys}
    doing = {"/portal/filters": at.narrow, "/portal/keys": at.new_key, "/portal/keys/revoke": at.revoke, "/portal/secret": at.rotate,
             "/portal/replay": at.replay, "/portal/pause": at.pause, "/portal/resume": at.resume, "/portal/test": at.test,
             "/portal/sign-out": at.sign_out}  # fmt: skip
    made: list[BaseRoute] = [_route(at, path, looking.get(path), doing.get(path)) for path in {**looking, **doing}]

    async def sign_in(request: Request) -> Response:
        body = await _body(request) if request.method == "POST" else None
        return await run_in_threadpool(_strict, at, request, _signing_in, body)

    return [*made, Route("/portal/sign-in", sign_in, methods=["GET", "POST"])]


def _route(at: Pages, path: str, look: Handler | None, do: Handler | None) -> Route:
    async def endpoint(request: Request) -> Response:
        body = await _body(request) if request.method == "POST" else None
        handler = look if body is None else do
        return await run_in_threadpool(_strict, at, request, partial(_signed_in, handler), body)

    return Route(path, endpoint, methods=[*(["GET"] if look else []), *(["POST"] if do else [])])


def _signed_in(handler: Handler | None, at: Pages, request: Request, form: dict[str, str] | None) -> Response:
    visit = at.visit(request, form)
    if visit is None:
        return RedirectResponse("/portal/sign-in", 303)
    return handler(visit) if handler else at.bare("problem.html", 405, wrong="That is not done here.")


def _signing_in(at: Pages, request: Request, form: dict[str, str] | None) -> Response:
    return at.sign_in_form(request) if form is None else at.sign_in(request, form)


def _strict(
    at: Pages, request: Request, handler: Callable[[Pages, Request, dict[str, str] | None], Response], body: bytes | None
) -> Response:  # fmt: skip
    """The handler's answer under strict headers; a change only from a form of this site."""
    try:
        if body is not None and not _same_origin(request):
            raise Turned(403, "This form was sent from another site.")
        response = handler(at, request, _fields(body) if body is not None else None)
    except Turned as turned:
        response = at.bare("problem.html", turned.status, wrong=turned.sentence)
    except DBAPIError as error:
        log.warning("the store does not answer: %s", error)
        response = at.bare("problem.html", 503, wrong="The store does not answer. Try again in a moment.")
    response.headers.update(HEADERS)
    return response


def _plain(text: str) -> str | None:
    """A text of the query that a store takes; None where there is none."""
    return text if text and text.isprintable() else None


def _same_origin(request: Request) -> bool:
    """A browser says where a form comes from; what is not a browser says nothing and has no cookie to lend."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urllib.parse.urlsplit(origin).netloc == request.headers.get("host")


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


# Templates


def _moment(at: dt.datetime | None) -> str:
    return "–" if at is None else f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def _count(n: int | None) -> str:
    return "–" if n is None else f"{n:,}".replace(",", "\u202f")


def _tone(outcome: str) -> str:
    return {"delivered": "good", "retry": "busy", "late": "busy", "active": "good", "paused": "idle"}.get(
        outcome, "bad"
    )


def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"moment": _moment, "count_": _count, "tone": _tone}
    return made
