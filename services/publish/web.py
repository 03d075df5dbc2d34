"""What partners fetch by themselves over HTTP, and the WebSub hub.

GET  /feeds/{token}.{ending}   an endpoint's newest articles: rss, atom, json, txt
GET  /feeds/{token}/{subscription}.{ending}   of these only what one subscription wants
GET  /events?after=CURSOR      an endpoint's events in order: at once, by long poll, or as server-sent events
GET  /events/{id}              one event, whole
GET  /openapi.json             all operations of the wire
"""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
import re
from collections.abc import AsyncIterator

import msgspec
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute

from services.publish import feeds_out, hub, planning, portal
from services.publish.portal import own
from services.publish.render import FeedInfo, render
from shared import api, vault
from shared.api import ApiRoute, Problem, Site, bearer, here, unauthorised
from shared.errors import Rejected
from shared.models import Row
from shared.openapi import Answer, Operation, Parameter, document, problem
from shared.store import articles, keys, partners, pull, websub
from shared.text import shorten

PAGE = 50
LONGEST_WAIT_S, STREAM_S, LOOK_S, QUIET_S = 60.0, 300.0, 0.4, 15.0

_BROKEN = {503: problem("The store does not answer; try again.")}
_FARTHEST = 2**53 - 1  # what every JSON reader holds exactly
_NUMBER = {"type": "integer", "minimum": 1, "maximum": _FARTHEST}

_FEED_ANSWERS = {
    200: Answer("The feed, with ETag and, once it has stood for a second, Last-Modified.", {
        "application/rss+xml": {"type": "string"}, "application/atom+xml": {"type": "string"},
        "application/feed+json": {"type": "object"}, "text/plain": {"type": "string"},
    }),
    304: Answer("Nothing changed."),
    400: problem("`before` is no position."),
    403: problem("The endpoint is paused."),
    404: problem("There is no such feed."),
    **_BROKEN,
}  # fmt: skip
_TOKEN = Parameter("token", "path", "A pull key of the endpoint.")
_FEED_PARAMETERS = (
    Parameter("ending", "path", "The format.", {"enum": list(feeds_out.FORMATS)}),
    Parameter("before", "query", "Only what is older than this position; `rel=next` names it.", _NUMBER),
    Parameter("If-None-Match", "header", "The ETag of the copy you have."),
    Parameter("If-Modified-Since", "header", "The Last-Modified of the copy you have."),
)
FEED = Operation("GET", "/feeds/{token}.{ending}", "feed", "An endpoint's newest articles as a feed.", _FEED_ANSWERS,
                 (_TOKEN, *_FEED_PARAMETERS))  # fmt: skip
SUBSCRIPTION_FEED = Operation(
    "GET", "/feeds/{token}/{subscription}.{ending}", "subscriptionFeed", "The newest articles that one subscription wants, as a feed.",
    _FEED_ANSWERS,
    (_TOKEN, Parameter("subscription", "path", "The number of the subscription, as GET /endpoint shows it.", _NUMBER),
     *_FEED_PARAMETERS),
)  # fmt: skip
_EVENTS = {
    "type": "object",
    "required": ["events", "skipped", "next", "more"],
    "properties": {
        "events": {"type": "array", "items": {
            "type": "object",
            "required": ["id", "cursor", "event"],
            "properties": {"id": {"type": "string"}, "cursor": {"type": "string"}, "event": {"type": "object"}},
        }},
        "skipped": {"type": "array", "description": "Positions that hold nothing to tell; with those of the events they are all "
                    "positions from `after` to `next`.", "items": {
            "type": "object",
            "required": ["first", "last"],
            "properties": {"first": _NUMBER, "last": _NUMBER},
        }},
        "next": {"type": "string", "description": "The cursor to go on with."},
        "more": {"type": "boolean", "description": "Whether there is more at once."},
    },
}  # fmt: skip
EVENTS = Operation(
    "GET", "/events", "events", "An endpoint's events after a cursor, in order, none left out.",
    {
        200: Answer("Events and the cursor after them.", {"application/json": _EVENTS, "text/event-stream": {"type": "string"}}),
        400: problem("A parameter is not what it must be."),
        401: problem("No pull key, or not a known one."),
        403: problem("The endpoint is paused."),
        409: problem("The cursor is ahead of the wire: it is another endpoint's, or from before a restore."),
        410: problem("The wire was restored from a backup since this cursor was given."),
        **_BROKEN,
    },
    (
        Parameter("after", "query", "The cursor of the last event you have (or its position); 0, the default, begins at the first, "
                  "`latest` at the end."),
        Parameter("limit", "query", "At most so many events.", {"type": "integer", "minimum": 1, "maximum": 500}),
        Parameter("wait", "query", "So many seconds to wait for an event where there is none.",
                  {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT_S}),
        Parameter("Last-Event-ID", "header", "The same as `after`, as browsers send it."),
    ),
    security=("pullKey",),
)  # fmt: skip
EVENT = Operation(
    "GET", "/events/{id}", "event", "One event by its webhook-id, whole: where `data.link` leads.",
    {
        200: Answer("The event as brief JSON.", {"application/json": {"type": "object"}}),
        401: problem("No pull key, or not a known one."),
        403: problem("The endpoint is paused."),
        404: problem("The endpoint has no such event, or it may not be told any more."),
        **_BROKEN,
    },
    (Parameter("id", "path", "The webhook-id.", {"type": "string", "pattern": "^msg_[0-9a-f]{32}$"}),),
    security=("pullKey",),
)  # fmt: skip
_FORM = {
    "type": "object",
    "required": ["hub.mode", "hub.topic", "hub.callback"],
    "properties": {
        "hub.mode": {"enum": ["subscribe", "unsubscribe"]},
        "hub.topic": {"type": "string", "format": "uri", "description": "The address of a feed, as its rel=self has it."},
        "hub.callback": {"type": "string", "format": "uri"},
        "hub.lease_seconds": {"type": "integer", "minimum": 1, "description": f"{hub.LEASE_S} unless given; "
                              f"at least {hub.SHORTEST_S}, at most {hub.LONGEST_S} are granted."},
        "hub.secret": {"type": "string", "maxLength": hub.SECRET_BYTES - 1},
    },
}  # fmt: skip
HUB = Operation(
    "POST", "/hub", "hub", "Subscribe to a feed by WebSub, or leave it; the callback is asked whether it meant it.",
    {
        202: Answer("The callback is verified now."),
        400: problem("A field is not what it must be."),
        403: problem("The feed has as many subscribers as it may have, or is paused."),
        404: problem("There is no such topic."),
        413: problem("The form is too large."),
        415: problem("This is no form."),
        **_BROKEN,
    },
    bodies={"application/x-www-form-urlencoded": _FORM},
)  # fmt: skip
OPENAPI = Operation(
    "GET", "/openapi.json", "openapi", "This document.",
    {200: Answer("The OpenAPI document.", {"application/json": {"type": "object"}}), **_BROKEN},
)  # fmt: skip


def routes(site: Site | None = None) -> list[BaseRoute]:
    """The routes of this service, over this process's store unless told otherwise."""
    at = site or here()
    return api.routes(
        (FEED, Feeds(at).get), (SUBSCRIPTION_FEED, Feeds(at).get), (EVENTS, Replay(at).get), (EVENT, Replay(at).one),
        (HUB, Hub(at).post), (OPENAPI, _openapi),
    ) + portal.routes(at)  # fmt: skip


def _openapi(request: Request, body: bytes) -> Response:
    """Every operation that the application has a route for, whichever service it is of."""
    known = [one for route in request.app.routes if isinstance(route, ApiRoute) for one in route.operations]
    return JSONResponse(document(known, "1"))


def _endpoint(connection: Connection, key: str | None, unknown: Problem) -> Row:
    """The endpoint that a pull key opens."""
    owner = keys.owner(connection, "pull", key) if key else None
    row = partners.endpoint(connection, owner) if owner is not None else None
    if row is None or row["state"] == "removed":
        raise unknown
    if row["state"] == "paused" and row["reason"] != own.BY_PARTNER:  # who pauses itself may fetch all the same
        raise Problem(403, "paused", "The endpoint is paused; ask the wire's operator.")
    return row


# Feeds


class Feeds:
    """An endpoint's newest articles, or one subscription's, for readers that poll."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def get(self, request: Request, body: bytes) -> Response:
        """One page of the feed, or 304. What a `pull` endpoint was shown counts as delivered."""
        token, ending = request.path_params["token"], request.path_params["ending"]
        unknown = Problem(404, "no-such-feed", "There is no feed at this address.")
        if ending not in feeds_out.FORMATS:
            raise unknown
        before = _number(request.query_params.get("before"), "before")
        with self.site.store.read() as connection:
            endpoint = _endpoint(connection, token, unknown)
            wish = _wish(endpoint, request.path_params.get("subscription"), unknown)
            page = _Page(connection, endpoint, before, self.site.now(), wish)
        since = self._since(endpoint["id"], page) if before is None else None
        headers = self._headers(request, page, ending, since)
        if request.method == "GET":
            self._note(endpoint, page)
        if _unchanged(request, headers):
            return Response(status_code=304, headers=headers)
        made = feeds_out.feed(ending, self._info(request, endpoint, page, since), page.events)
        return Response(made.body, headers=headers | {"Content-Type": made.content_type})

    def _since(self, endpoint_id: int, page: _Page) -> dt.datetime:
        with self.site.store.read() as connection:
            since = pull.changed_at(connection, endpoint_id, page.digest, page.subscription_id)
        if since is None:
            with self.site.begin() as work:
                since = pull.change(work.connection, endpoint_id, page.digest, work.now, page.subscription_id)
        return since

    def _headers(self, request: Request, page: _Page, ending: str, since: dt.datetime | None) -> dict[str, str]:
        links = [(self.site.base(request) + "/hub", "hub"), (self._self(request), "self")]
        links += [(self._next(request, page), "next")] if page.more else []
        headers = {"ETag": f'"{page.digest[:32]}-{ending}"', "Cache-Control": "private, no-cache",
                   "Link": ", ".join(f'<{url}>; rel="{rel}"' for url, rel in links)}  # fmt: skip
        # Last-Modified counts whole seconds: before this one is over, the feed may change again within it.
        if since is not None and self.site.now() - since >= dt.timedelta(seconds=1):
            headers["Last-Modified"] = email.utils.format_datetime(since, usegmt=True)
        return headers

    def _info(self, request: Request, endpoint: Row, page: _Page, since: dt.datetime | None) -> FeedInfo:
        base = self.site.base(request)
        part = f"/subscription-{page.subscription_id}" if page.wish else ""
        return FeedInfo(
            title=_title(endpoint, page.wish), url=self._self(request), home=base + "/",
            updated=max([*(row["at"] for row in page.rows), since or endpoint["created_at"]]), hub=base + "/hub",
            next_url=self._next(request, page) if page.more else None, id=f"{base}/feeds/endpoint-{endpoint['id']}{part}",
        )  # fmt: skip

    def _self(self, request: Request) -> str:
        query = f"?{request.url.query}" if request.url.query else ""
        return self.site.base(request) + request.url.path + query

    def _next(self, request: Request, page: _Page) -> str:
        return f"{self.site.base(request)}{request.url.path}?before={page.rows[-1]['position']}"

    def _note(self, endpoint: Row, page: _Page) -> None:
        """Writes down that the page was fetched, where that is news."""
        fresh = [row["id"] for row in page.rows if not row["begun"]]
        if not fresh and not page.owed:
            return
        with self.site.begin() as work:
            pull.mark(work.connection, fresh)
            pull.fetched(work.connection, endpoint["id"], page.owed, "fetched in a feed", work.now)


def _wish(endpoint: Row, number: str | None, unknown: Problem) -> Row | None:
    """The subscription whose feed is asked for; None where it is the endpoint's whole feed."""
    if number is None:
        return None
    wish = next((one for one in endpoint["subscriptions"] if str(one["id"]) == number), None)
    if wish is None:
        raise unknown
    return dict(wish)


def _title(endpoint: Row, wish: Row | None) -> str:
    if wish is None:
        return str(endpoint["partner"])
    return f"{endpoint['partner']}: {shorten(planning.wanted(wish), 100) or 'everything'}"


class _Page:
    """What one page of a feed holds, read in one snapshot. `owed` is what a `pull` endpoint has with it."""

    def __init__(
        self, connection: Connection, endpoint: Row, before: int | None, now: dt.datetime, wish: Row | None
    ) -> None:
        self.wish, self.subscription_id = wish, int(wish["id"]) if wish else 0
        found = pull.newest(connection, endpoint["id"], now, PAGE + 1, before, wish)
        self.rows, self.more = found[:PAGE], len(found) > PAGE
        contents = articles.revisions(connection, {(row["article_id"], row["revision"]) for row in self.rows})
        hidden = pull.hidden(connection, feeds_out.linked(contents), now)
        self.events = feeds_out.inputs(self.rows, contents, hidden)
        self.digest = feeds_out.digest(self.rows, contents, hidden)
        # Revisions that newer ones on the page replace, and withdrawals, which show as absence, have been told with it.
        last = before - 1 if before is not None else pull.place(connection, endpoint["id"]).position
        first = self.rows[-1]["position"] if self.more else 1
        self.owed = (
            pull.unfetched(connection, endpoint["id"], first, last, now, wish=wish)
            if endpoint["kind"] == "pull"
            else []
        )


def _unchanged(request: Request, headers: dict[str, str]) -> bool:
    """Whether the copy that the request names is still good (RFC 9110, 13.1): ETags count before dates."""
    named = request.headers.get("if-none-match")
    if named is not None:
        tags = {tag.strip().removeprefix("W/") for tag in named.split(",")}
        return named.strip() == "*" or headers["ETag"] in tags
    since, changed = _http_date(request.headers.get("if-modified-since")), _http_date(headers.get("Last-Modified"))
    return since is not None and changed is not None and changed <= since


def _http_date(text: str | None) -> dt.datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(text or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _number(text: str | None, name: str, most: int = _FARTHEST) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= most):
        raise Problem(400, "bad-number", f"{name} must be a whole number from 1 to {most}.")
    return int(text)


# Replay


class _Ask(msgspec.Struct, frozen=True):
    """What a request for events asks for."""

    endpoint: Row
    epoch: int
    position: int
    limit: int
    wait_s: float


class _Batch(msgspec.Struct, frozen=True):
    items: list[feeds_out.Item]
    skipped: list[feeds_out.Skipped]
    position: int
    more: bool


class Replay:
    """An endpoint's events in order, for partners that were away or that would rather ask than be told."""

    def __init__(self, site: Site) -> None:
        self.site = site

    async def get(self, request: Request, body: bytes) -> Response:
        """Events after a cursor, now, within `wait` seconds, or as they come."""
        ask = await run_in_threadpool(self._ask, request)
        if "text/event-stream" in request.headers.get("accept", ""):
            return StreamingResponse(
                self._stream(ask), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
            )
        batch = await run_in_threadpool(self._batch, ask)
        until = asyncio.get_running_loop().time() + ask.wait_s
        while not batch.items and asyncio.get_running_loop().time() < until and not await request.is_disconnected():
            await asyncio.sleep(LOOK_S)
            if await run_in_threadpool(self._position, ask) > batch.position:
                batch = await run_in_threadpool(self._batch, ask)
        answer = feeds_out.page(batch.items, batch.skipped, f"{ask.epoch}.{batch.position}", more=batch.more)
        return Response(answer, media_type="application/json", headers={"Cache-Control": "no-store"})

    def one(self, request: Request, body: bytes) -> Response:
        """One event, whole, by the same rules as the replay."""
        webhook_id, now = request.path_params["id"], self.site.now()
        unknown = Problem(404, "no-such-event", "There is no such event, or it may not be told any more.")
        with self.site.store.read() as connection:
            endpoint = _endpoint(connection, bearer(request), unauthorised("Send a pull key: Authorization: Bearer …"))
            row = pull.one(connection, endpoint["id"], webhook_id, now) if _ID.fullmatch(webhook_id) else None
            if row is None:
                raise unknown
            contents = articles.revisions(connection, {(row["article_id"], row["revision"])})
            hidden = pull.hidden(connection, feeds_out.linked(contents), now)
        if not row["begun"]:
            with self.site.begin() as work:
                pull.mark(work.connection, [row["id"]])
        (event,) = feeds_out.inputs([row], contents, hidden)
        return Response(
            render("brief", event).body, media_type="application/json", headers={"Cache-Control": "no-store"}
        )

    async def _stream(self, ask: _Ask) -> AsyncIterator[bytes]:
        """Events as they come, for some minutes: the reader then comes back with Last-Event-ID, which says what arrived."""
        clock = asyncio.get_running_loop().time
        ends, quiet = clock() + STREAM_S, clock()
        yield b"retry: 1000\n\n"
        while clock() < ends:
            batch = await run_in_threadpool(self._batch, ask)
            for written in feeds_out.in_turn(batch.items, batch.skipped, ask.epoch):
                yield written
            ask = msgspec.structs.replace(ask, position=batch.position)
            if batch.items:
                quiet = clock()
            elif clock() - quiet > QUIET_S:
                quiet = clock()
                yield b": nothing new\n\n"
            while (
                not batch.more
                and clock() < min(ends, quiet + QUIET_S)
                and await run_in_threadpool(self._position, ask) <= ask.position
            ):
                await asyncio.sleep(LOOK_S)

    def _ask(self, request: Request) -> _Ask:
        query = request.query_params
        limit, wait_s = _number(query.get("limit"), "limit", 500) or 100, _seconds(query.get("wait"))
        cursor = request.headers.get("last-event-id") or query.get("after") or "0"
        with self.site.store.read() as connection:
            endpoint = _endpoint(connection, bearer(request), unauthorised("Send a pull key: Authorization: Bearer …"))
            place = pull.place(connection, endpoint["id"])
            position = _position(cursor, place)
            owed = (
                pull.unfetched(connection, endpoint["id"], 1, position, self.site.now())
                if endpoint["kind"] == "pull"
                else []
            )
        if owed and cursor != "latest":
            with self.site.begin() as work:
                pull.fetched(
                    work.connection, endpoint["id"], owed, f"left behind by cursor {place.epoch}.{position}", work.now
                )
        return _Ask(endpoint, place.epoch, position, limit, wait_s)

    def _position(self, ask: _Ask) -> int:
        with self.site.store.read() as connection:
            return pull.place(connection, ask.endpoint["id"]).position

    def _batch(self, ask: _Ask) -> _Batch:
        endpoint_id = ask.endpoint["id"]
        with self.site.store.read() as connection:
            now = self.site.now()
            rows = pull.after(connection, endpoint_id, ask.position, now, ask.limit + 1)
            head = pull.place(connection, endpoint_id).position
            rows, more = rows[: ask.limit], len(rows) > ask.limit
            contents = articles.revisions(connection, {(row["article_id"], row["revision"]) for row in rows})
            hidden = pull.hidden(connection, feeds_out.linked(contents), now)
        position = rows[-1]["position"] if more else max(head, ask.position)
        self._note(ask, [row["id"] for row in rows if not row["begun"]], position)
        found = feeds_out.items(rows, feeds_out.inputs(rows, contents, hidden), ask.epoch)
        passed = feeds_out.skipped([row["position"] for row in rows], ask.position, position)
        return _Batch(found, passed, position, more)

    def _note(self, ask: _Ask, fresh: list[int], position: int) -> None:
        """Writes down what was told and what was passed over, where that is news."""
        if not fresh and (ask.endpoint["kind"] != "pull" or position == ask.position):
            return
        with self.site.begin() as work:
            pull.mark(work.connection, fresh)
            if ask.endpoint["kind"] == "pull":
                pull.give_back(work.connection, ask.endpoint["id"], ask.position, work.now)


_ID = re.compile("msg_[0-9a-f]{32}")
_CURSOR = re.compile(r"(?:(\d{1,18})\.)?(\d{1,18})\Z", re.ASCII)


def _position(cursor: str, place: pull.Place) -> int:
    """The position that a cursor stands for; a Problem where it cannot be gone on from."""
    if cursor == "latest":
        return place.position
    found = _CURSOR.match(cursor)
    if found is None:
        raise Problem(400, "bad-cursor", "A cursor is what an answer gave as `next` or `cursor`, or a position.")
    epoch, position = found.groups()
    if epoch is not None and int(epoch) != place.epoch:
        raise Problem(410, "cursor-of-another-epoch", "The wire was restored from a backup since this cursor was given. Compare with "
                      "the feed, or begin again with after=0: events you have keep their ids.")  # fmt: skip
    if int(position) > place.position:
        raise Problem(409, "cursor-ahead", f"This endpoint has come to position {place.position}. The cursor is another endpoint's, "
                      "or from before a restore.")  # fmt: skip
    return int(position)


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text or 0)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT_S:  # nan is neither
        raise Problem(400, "bad-number", f"wait must be a number of seconds from 0 to {LONGEST_WAIT_S:g}.")
    return seconds


# WebSub


class Hub:
    """Takes what subscribers ask for; the worker verifies it."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def post(self, request: Request, body: bytes) -> Response:
        """202 where the form makes sense: the rest is between the worker and the callback."""
        if (
            request.headers.get("content-type", "").partition(";")[0].strip().lower()
            != "application/x-www-form-urlencoded"
        ):
            raise Problem(415, "unsupported-type", "Send a form: application/x-www-form-urlencoded.")
        try:
            ask = hub.read(body)
        except Rejected as error:
            raise Problem(404 if error.reason == "no-such-topic" else 400, error.reason, error.detail) from None
        with self.site.begin() as work:
            unknown = Problem(404, "no-such-topic", "There is no feed at that address.")
            endpoint = _endpoint(work.connection, ask.token, unknown)
            if ask.subscription_id not in (None, *(wish["id"] for wish in endpoint["subscriptions"])):
                raise unknown
            if ask.mode == "subscribe" and websub.count_subscribers(work.connection, endpoint["id"]) >= hub.MOST:
                raise Problem(403, "too-many-subscribers", "The feed has as many subscribers as it may have.")
            sealed = vault.seal(self.site.settings.folder, [ask.secret] if ask.secret else [])
            asked = websub.ask(
                work.connection, ask.mode, topic=ask.topic, callback=ask.callback, format=ask.ending, parent_id=endpoint["id"],
                lease_s=ask.lease_s, secrets=sealed, now=work.now, subscription_id=ask.subscription_id,
            )  # fmt: skip
            if asked is not None:
                work.ring("hub.due", [asked])
        return Response(status_code=202)
