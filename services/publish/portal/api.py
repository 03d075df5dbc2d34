"""The partner's API: what `own` does, as JSON, under a pull key. Described in /openapi.json by the same table.

GET  /endpoint                                  how delivery stands
GET  /endpoint/log                              every attempt, newest first
GET  /endpoint/filters, POST .../{subscription} what it gets, and its own narrower wish
GET  /endpoint/keys, POST, POST .../{key}/revoke
POST /endpoint/secret /test /replay /pause /resume
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.publish.portal import own
from shared import api
from shared.api import Problem, Site, bearer, unauthorised
from shared.models import Row
from shared.openapi import Answer, Operation, Parameter, Security, problem
from shared.queue import Work
from shared.records import from_json
from shared.store import keys, partners, portal

LOG_PAGE = 100

T = TypeVar("T")

_ARTICLE = re.compile("^[A-Za-z0-9_]{1,24}$")
_FARTHEST = 2**53 - 1
_TEXT: dict[str, Any] = {"type": "string"}
_MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_MAYBE_COUNT: dict[str, Any] = {"type": ["integer", "null"]}
_NUMBER: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": _FARTHEST}
_FLAG: dict[str, Any] = {"type": "boolean"}
_FEED: dict[str, Any] = {"type": "string", "description": "The address of its feed: put a pull key for {key} and rss, atom, json or "
                         "txt for {ending}."}  # fmt: skip


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


_SUBSCRIPTION = _object(
    id=_NUMBER,
    filter=_TEXT,
    own=_TEXT,
    backfill=_FLAG,
    coalesce=_FLAG,
    relinked=_FLAG,
    status_changes=_FLAG,
    follow=_FLAG,
    feed=_FEED,
)
_STANDING = _object(
    partner=_TEXT, endpoint=_NUMBER, kind=_TEXT, url=_TEXT, format=_TEXT, state={"enum": ["active", "paused", "disabled"]},
    reason=_MAYBE_TEXT, position=_COUNT, due=_COUNT, delivered=_COUNT, superseded=_COUNT, quarantined=_COUNT, concurrency=_COUNT,
    per_minute=_MAYBE_COUNT, rests_until=_MAYBE_TEXT, signed_by={"enum": ["v1", "v1a", None]}, verify_with=_MAYBE_TEXT,
    cannot_hold=_list(_TEXT), feed=_FEED, subscriptions=_list(_SUBSCRIPTION),
)  # fmt: skip
_ATTEMPT = _object(
    id=_NUMBER, at=_TEXT, outcome={"enum": ["delivered", "retry", "dead", "disabled", "late"]}, status=_MAYBE_COUNT,
    reason=_MAYBE_TEXT, response=_MAYBE_TEXT, duration_ms=_COUNT, number=_COUNT, webhook_id=_TEXT, position=_MAYBE_COUNT,
    article_id=_TEXT, revision=_NUMBER, type=_TEXT, omitted=_MAYBE_TEXT,
)  # fmt: skip
_KEY = _object(id=_NUMBER, created_at=_TEXT, this=_FLAG)
_DONE = _object(done=_TEXT)

_SECURITY: tuple[Security, ...] = ("pullKey",)
_USUAL = {401: problem("No pull key, or not a known one."), 503: problem("The store does not answer; try again.")}
_REFUSED = {409: problem("As the endpoint stands this cannot be done; `error` says why.")}
_WRITING = {
    400: problem("The body is not what it must be."), 413: problem("The body is too large."), 415: problem("This is no JSON."),
}  # fmt: skip


def _json(schema: dict[str, Any], about: str) -> dict[int, Answer]:
    return {200: Answer(about, {"application/json": schema})}


def _get(
    path: str, name: str, summary: str, schema: dict[str, Any], *parameters: Parameter, answers: Any = None
) -> Operation:
    return Operation(
        "GET",
        path,
        name,
        summary,
        {**_json(schema, summary), **_USUAL, **(answers or {})},
        parameters,
        security=_SECURITY,
    )


def _post(path: str, name: str, summary: str, schema: dict[str, Any], body: dict[str, Any] | None = None, *parameters: Parameter,
          answers: Any = None) -> Operation:  # fmt: skip
    bodies = {"application/json": body} if body else {}
    writing = _WRITING if body else {413: _WRITING[413]}
    found = {**_json(schema, summary), **_USUAL, **writing, **_REFUSED, **(answers or {})}
    return Operation("POST", path, name, summary, found, parameters, bodies, _SECURITY)


_NO_SUCH = {404: problem("There is none of that number at this endpoint.")}

ENDPOINT = _get("/endpoint", "endpoint", "How delivery to the endpoint stands.", _STANDING)
LOG = _get(
    "/endpoint/log", "endpointLog", "Every attempt to deliver, newest first.",
    _object(attempts=_list(_ATTEMPT), before=_MAYBE_COUNT),
    Parameter("limit", "query", f"At most so many, {LOG_PAGE} unless given.", {"type": "integer", "minimum": 1, "maximum": 500}),
    Parameter("before", "query", "Only attempts below this id; the answer's `before` leads to the next page.", _NUMBER),
    Parameter("outcome", "query", "Only attempts that ended so.", {"enum": ["delivered", "retry", "dead", "disabled", "late"]}),
    Parameter("article_id", "query", "Only attempts about this article.", {"type": "string", "pattern": _ARTICLE.pattern}),
    answers={400: problem("A parameter is not what it must be.")},
)  # fmt: skip
FILTERS = _get("/endpoint/filters", "filters", "What the endpoint gets.", _object(subscriptions=_list(_SUBSCRIPTION)))
NARROW = _post(
    "/endpoint/filters/{subscription}", "narrow", "Narrow a subscription by a filter of your own; an empty one takes it off.", _DONE,
    {"type": "object", "required": ["filter"], "properties": {"filter": {"type": "string", "maxLength": own.LONGEST_FILTER}}},
    Parameter("subscription", "path", "The subscription's id.", _NUMBER), answers=_NO_SUCH,
)  # fmt: skip
KEYS = _get("/endpoint/keys", "keys", "The pull keys that open the endpoint, by number; keys themselves are never shown again.",
            _object(keys=_list(_KEY)))  # fmt: skip
NEW_KEY = _post("/endpoint/keys", "newKey", "A further pull key, shown this once.", _object(id=_NUMBER, key=_TEXT))
REVOKE = _post("/endpoint/keys/{key}/revoke", "revokeKey", "Shut out a pull key.", _DONE, None,
               Parameter("key", "path", "The key's number.", _NUMBER), answers=_NO_SUCH)  # fmt: skip
SECRET = _post("/endpoint/secret", "rotateSecret", "A new signing secret, shown this once; the one before signs along until the next "
               "rotation.", _object(verify_with=_TEXT))  # fmt: skip
TEST = _post("/endpoint/test", "sendTest", "Send the endpoint one test event now.",
             _object(ok=_FLAG, status=_MAYBE_COUNT, failure=_MAYBE_TEXT, detail=_TEXT, answer=_TEXT,
                     duration_s={"type": "number"}))  # fmt: skip
REPLAY = _post(
    "/endpoint/replay", "replayRange", "Send a range of positions again, in order, under the same ids.", _DONE,
    {"type": "object", "required": ["first", "last"], "properties": {"first": _NUMBER, "last": _NUMBER}},
)  # fmt: skip
PAUSE = _post("/endpoint/pause", "pause", "Send nothing until resumed; the backlog waits.", _DONE)
RESUME = _post("/endpoint/resume", "resume", "Send the backlog and go on.", _DONE)


def routes(site: Site) -> list[BaseRoute]:
    """The routes of the partner's API."""
    at = Portal(site)
    return api.routes(
        (ENDPOINT, at.endpoint), (LOG, at.log), (FILTERS, at.filters), (NARROW, at.narrow), (KEYS, at.keys), (NEW_KEY, at.new_key),
        (REVOKE, at.revoke), (SECRET, at.secret), (TEST, at.test), (REPLAY, at.replay), (PAUSE, at.pause), (RESUME, at.resume),
    )  # fmt: skip


class _Narrow(msgspec.Struct):
    filter: str


_Position = Annotated[int, msgspec.Meta(ge=1, le=_FARTHEST)]


class _Range(msgspec.Struct):
    first: _Position
    last: _Position


class Portal:
    """The handlers. Who asks is known by the pull key alone."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def endpoint(self, request: Request, body: bytes) -> Response:
        with self.site.store.read() as connection:
            row, _ = _whose(connection, request)
            return _answer(self._standing(connection, row, request))

    def log(self, request: Request, body: bytes) -> Response:
        query = request.query_params
        limit = number(query.get("limit"), "limit", 500) or LOG_PAGE
        before = number(query.get("before"), "before", _FARTHEST)
        outcome = query.get("outcome")
        if outcome not in (None, *_ATTEMPT["properties"]["outcome"]["enum"]):
            raise Problem(400, "bad-outcome", "outcome is delivered, retry, dead, disabled or late.")
        if not _ARTICLE.fullmatch(query.get("article_id", "art_")):
            raise Problem(400, "bad-article", "article_id is an article's id.")
        with self.site.store.read() as connection:
            row, _ = _whose(connection, request)
            found = portal.log(
                connection, row["id"], limit + 1, before=before, outcome=outcome, article_id=query.get("article_id")
            )
        more = found[limit - 1]["id"] if len(found) > limit else None
        return _answer({"attempts": found[:limit], "before": more})

    def filters(self, request: Request, body: bytes) -> Response:
        with self.site.store.read() as connection:
            row, _ = _whose(connection, request)
            return _answer({"subscriptions": self._standing(connection, row, request).subscriptions})

    def _standing(self, connection: Connection, row: Row, request: Request) -> own.Standing:
        return own.standing(connection, row, self.site.settings.folder, self.site.now(), self.site.base(request))

    def narrow(self, request: Request, body: bytes) -> Response:
        subscription = _path(request, "subscription")
        return self._do(
            request, lambda work, row: own.narrow(work, row, subscription, _read(request, body, _Narrow).filter)
        )

    def keys(self, request: Request, body: bytes) -> Response:
        with self.site.store.read() as connection:
            row, key_id = _whose(connection, request)
            return _answer({"keys": own.keys_of(connection, row, key_id)})

    def new_key(self, request: Request, body: bytes) -> Response:
        with self.site.begin() as work:
            row, _ = _whose(work.connection, request)
            made = _refusing(lambda: own.new_key(work, row))
        return _answer({"id": made[0], "key": made[1]})

    def revoke(self, request: Request, body: bytes) -> Response:
        key_id = _path(request, "key")
        return self._do(request, lambda work, row: own.revoke_key(work, row, key_id))

    def secret(self, request: Request, body: bytes) -> Response:
        with self.site.begin() as work:
            row, _ = _whose(work.connection, request)
            shown = _refusing(lambda: own.rotate(work, row, self.site.settings.folder))
        return _answer({"verify_with": shown})

    def test(self, request: Request, body: bytes) -> Response:
        with self.site.store.read() as connection:
            row, _ = _whose(connection, request)
        made = _refusing(lambda: own.send_test(row, self.site.settings.folder, self.site.settings.deliver.deadline_s))
        return _answer({"ok": made.ok, "status": made.status, "failure": made.failure, "detail": made.detail, "answer": made.excerpt,
                        "duration_s": made.duration_s})  # fmt: skip

    def replay(self, request: Request, body: bytes) -> Response:
        def ask(work: Work, row: Row) -> str:
            wanted = _read(request, body, _Range)
            return own.replay(work, row, wanted.first, wanted.last)

        return self._do(request, ask)

    def pause(self, request: Request, body: bytes) -> Response:
        return self._do(request, own.pause)

    def resume(self, request: Request, body: bytes) -> Response:
        return self._do(request, own.resume)

    def _do(self, request: Request, act: Callable[[Work, Row], str]) -> Response:
        with self.site.begin() as work:
            row, _ = _whose(work.connection, request)
            said = _refusing(lambda: act(work, row))
        return _answer({"done": said})


def _whose(connection: Connection, request: Request) -> tuple[Row, int]:
    """The endpoint that the request's pull key opens, paused or not, and the key's number."""
    unknown = unauthorised("Send a pull key: Authorization: Bearer …")
    key = bearer(request)
    found = keys.find(connection, "pull", key) if key else None
    row = partners.endpoint(connection, found["owner_id"]) if found else None
    if found is None or row is None or row["state"] == "removed":
        raise unknown
    return row, int(found["id"])


_STATUS = {"no-such-subscription": 404, "no-such-key": 404, "bad-filter": 400}


def _refusing(act: Callable[[], T]) -> T:
    try:
        return act()
    except own.Refused as error:
        raise Problem(_STATUS.get(error.code, 409), error.code, error.sentence) from None


def _read(request: Request, body: bytes, kind: type[T]) -> T:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "unsupported-type", "Send JSON: application/json.")
    try:
        return from_json(body, kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "bad-body", f"The body is not what it must be: {error}.") from None


def _path(request: Request, name: str) -> int:
    text = request.path_params[name]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Problem(404, f"no-such-{name}", f"There is no {name} of that number at this endpoint.")
    return int(text)


def number(text: str | None, name: str, most: int) -> int | None:
    """A whole number of the query; a Problem where it is not one."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= most):
        raise Problem(400, "bad-number", f"{name} must be a whole number from 1 to {most}.")
    return int(text)


def _answer(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"Cache-Control": "no-store"})
