"""What sites say to the wire over HTTP: briefs pushed in, and WebSub hubs that verify or push.

POST /push/{source}        202, and where to look what became of it
GET  /push/{source}/{id}   waiting | stored | duplicate | quarantined | gone
GET  /websub/{token}       a hub verifies what we asked for
POST /websub/{token}       a hub pushes: the source is polled at once
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import secrets
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute

from services.ingest import pushing, websub
from shared import api, signatures, vault
from shared.api import Problem, Site, bearer, here, unauthorised
from shared.errors import OperatorError, Rejected
from shared.models import Row
from shared.openapi import Answer, Operation, Parameter, problem
from shared.queue import Work
from shared.records import Entry
from shared.store import desk, intake, keys, pushes
from shared.store import websub as subscriptions
from shared.urls import host_key

_SOURCE = Parameter("source", "path", "The source's name.")
_TEXT = {"type": "string"}
_RECORD = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "url": {"type": "string", "format": "uri"}, "html": _TEXT, "text": _TEXT,
        "id": {"type": "string", "minLength": 1, "maxLength": 200},
    },
    "anyOf": [{"required": ["url"]}, {"required": ["html"]}, {"required": ["text"]}],
}  # fmt: skip
_ACCEPTED = {
    "type": "object",
    "required": ["id", "status", "location"],
    "properties": {"id": _TEXT, "status": {"const": "accepted"}, "location": {"type": "string", "format": "uri"}},
}
_STATUS = {
    "type": "object",
    "required": ["id", "received_at", "status", "reason", "detail", "article_id"],
    "properties": {
        "id": _TEXT,
        "received_at": {"type": "string", "format": "date-time"},
        "status": {"enum": ["waiting", "stored", "duplicate", "quarantined", "gone"]},
        "reason": {"type": ["string", "null"]},
        "detail": {"type": ["string", "null"]},
        "article_id": {"type": ["string", "null"]},
    },
}
_BROKEN = {503: problem("The store does not answer; try again.")}

PUSH = Operation(
    "POST", "/push/{source}", "push", "Push a page, a text, or the address of a page into a source.",
    {
        202: Answer("Accepted, now or before: the same push is answered the same.", {"application/json": _ACCEPTED}),
        400: problem("The body is not what its type says, or a name in the request is not usable."),
        401: problem("Neither a key nor a signature of this source."),
        403: problem("The key is another source's."),
        404: problem("There is no such source. Only said to a token of the desk."),
        409: problem("The source is paused, or the name was used for another body."),
        413: problem("The body is too large."),
        415: problem("This content type is not taken."),
        **_BROKEN,
    },
    (
        _SOURCE,
        Parameter("url", "query", "The address of the page or text in the body."),
        Parameter("id", "query", "Your own id of the page or text in the body."),
        Parameter("Idempotency-Key", "header", "Your name of this push; left out, its content is its name."),
    ),
    {"application/json": _RECORD, "text/html": _TEXT, "application/xhtml+xml": _TEXT, "text/plain": _TEXT},
    ("pushKey",),
)  # fmt: skip
STATUS = Operation(
    "GET", "/push/{source}/{id}", "pushStatus", "What became of a push.",
    {
        200: Answer("How it stands.", {"application/json": _STATUS}),
        401: problem("Neither a key nor a signature of this source."),
        403: problem("The key is another source's."),
        404: problem("There is no such push."),
        **_BROKEN,
    },
    (_SOURCE, Parameter("id", "path", "The id that the push was answered with.")),
    security=("pushKey",),
)  # fmt: skip

_TOKEN = Parameter("token", "path", "The token of one subscription.")
VERIFY = Operation(
    "GET", "/websub/{token}", "websubVerify", "A WebSub hub asks whether we meant to subscribe, or says that it refuses.",
    {
        200: Answer("We did: the challenge.", {"text/plain": _TEXT}),
        404: problem("We did not ask for this."),
        **_BROKEN,
    },
    (
        _TOKEN,
        *(Parameter(name, "query", "As WebSub has it.") for name in
          ("hub.mode", "hub.topic", "hub.challenge", "hub.lease_seconds", "hub.reason")),
    ),
)  # fmt: skip
NOTIFY = Operation(
    "POST", "/websub/{token}", "websubNotify", "A WebSub hub pushes. Answered the same whether its signature fits or not.",
    {
        202: Answer("Taken; without a signature that fits it is ignored."),
        404: problem("There is no such subscription."),
        413: problem("The body is too large."),
        400: problem("The body was cut short."),
        **_BROKEN,
    },
    (_TOKEN, Parameter("X-Hub-Signature", "header", "method=hexdigest, by the secret that we gave.")),
    {"*/*": _TEXT},
)  # fmt: skip


def routes(site: Site | None = None) -> list[BaseRoute]:
    """The routes of this service, over this process's store unless told otherwise."""
    at = site or here()
    push, called = Push(at), Called(at)
    limit = int(at.settings.fetch.max_mb * 1024 * 1024)
    return api.routes(
        (_with_limit(PUSH, limit), push.post),
        (STATUS, push.status),
        (VERIFY, called.verify),
        (_with_limit(NOTIFY, limit), called.notify),
    )


def _with_limit(operation: Operation, limit: int) -> Operation:
    return Operation(operation.method, operation.path, operation.name, operation.summary, operation.answers, operation.parameters,
                     operation.bodies, operation.security, limit)  # fmt: skip


class Push:
    """Briefs pushed in."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def post(self, request: Request, body: bytes) -> Response:
        """Takes a push in; the second time it changes nothing."""
        source, signed_as = self._admit(request, body)
        if source["state"] != "active":
            raise Problem(409, "source-not-active", f"The source is {source['state']}; ask its operator.")
        pushed = _read(request, body)
        named = request.headers.get("idempotency-key") or signed_as
        content = hashlib.sha256(
            b"\0".join((request.url.query.encode(), pushed.key.encode("utf-8", "replace"), body))
        ).hexdigest()
        push_id = self._take(source, pushed, keys.digest(f"name:{named}") if named else content, content)
        location = f"{self.site.base(request)}/push/{quote(source['name'], safe='')}/{push_id}"
        return JSONResponse({"id": push_id, "status": "accepted", "location": location}, 202, {"Location": location})

    def status(self, request: Request, body: bytes) -> Response:
        """What became of a push."""
        source, _ = self._admit(request, body)
        with self.site.store.read() as connection:
            row = pushes.status(connection, source["id"], request.path_params["id"])
        if row is None:
            raise Problem(404, "no-such-push", "There is no push of that id in this source.")
        busy = row["step"] is not None and row["due_at"] is not None and row["due_at"] <= self.site.now()
        answer = {"id": row["id"], "received_at": row["at"].isoformat(), "status": "waiting" if busy else row["state"]}
        return JSONResponse(answer | {name: row[name] for name in ("reason", "detail", "article_id")})

    def _take(self, source: Row, pushed: pushing.Pushed, name_hash: str, body_hash: str) -> str:
        with self.site.begin() as work:
            known = pushes.begin(work.connection, source["id"], name_hash)
            if known is not None and known["body_hash"] != body_hash:
                raise Problem(409, "name-used", "That name was given to another body before.")
            if known is not None:
                return str(known["id"])
            push_id = f"push_{secrets.token_hex(12)}"
            entry_id = _enter(work, source["id"], pushed)
            pushes.remember(work.connection, push_id, source["id"], name_hash, body_hash, entry_id, work.now)
        return push_id

    def _admit(self, request: Request, body: bytes) -> tuple[Row, str | None]:
        """The source, and the id under which the request was signed, if it was."""
        name, key = request.path_params["source"], bearer(request)
        with self.site.store.read() as connection:
            try:
                source = intake.source(connection, name)
            except OperatorError:
                source = None
            if key is not None:
                owner = keys.owner(connection, "push", key)
                token = desk.token(connection, keys.digest(key)) if owner is None else None
                return self._by_key(source, owner, token), None
            known = keys.of(connection, "sign", source["id"]) if source else []
        return self._by_signature(request, body, source, known)

    def _by_key(self, source: Row | None, owner: int | None, token: Row | None) -> Row:
        if token is not None and _may_push(token, self.site):
            if source is None:
                raise Problem(404, "no-such-source", "There is no source of that name.")
            return source
        if owner is None:
            raise unauthorised("This key is not known.")
        if source is None or source["id"] != owner:
            raise Problem(403, "another-source", "This key is for another source.")
        return source

    def _by_signature(self, request: Request, body: bytes, source: Row | None, known: list[Row]) -> tuple[Row, str]:
        trusted = [secret for row in known for secret in vault.unseal(self.site.settings.folder, row["sealed"])]
        try:
            name = signatures.verify(trusted, request.headers, body, self.site.now())
        except Rejected as error:
            raise unauthorised("Send a key of the source (Authorization: Bearer …), or sign the request. "
                               f"{error.detail}") from None  # fmt: skip
        if (
            source is None
        ):  # no secret of no source fits, so this cannot be reached; said for the reader and the type checker
            raise unauthorised("There is nothing to verify the signature with.")
        return source, name


class Called:
    """Hubs that call back."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def verify(self, request: Request, body: bytes) -> Response:
        """Confirms what we asked for, and nothing else."""
        fields = request.query_params
        mode, challenge = fields.get("hub.mode"), fields.get("hub.challenge", "")
        with self.site.begin() as work:
            row = subscriptions.subscription(work.connection, request.path_params["token"])
            if row is None or fields.get("hub.topic") != row["topic"]:
                raise Problem(404, "not-asked-for", "We did not ask for this topic here.")
            if mode == "denied":
                tomorrow = work.now + dt.timedelta(seconds=websub.DENIED_S)
                subscriptions.denied(work.connection, row, tomorrow, fields.get("hub.reason") or "The hub refuses.")
                return PlainTextResponse("")
            if mode != ("unsubscribe" if row["state"] == "gone" else "subscribe") or not challenge:
                raise Problem(404, "not-asked-for", f"We did not ask to {str(mode)[:20]} here.")
            if mode == "subscribe":
                self._granted(work, row, websub.granted_s(fields.get("hub.lease_seconds")))
        return PlainTextResponse(challenge, headers={"X-Content-Type-Options": "nosniff"})

    def _granted(self, work: Work, row: Row, lease_s: int) -> None:
        renew_at = websub.renew_at(work.now, lease_s, random.random())  # noqa: S311 - jitter
        subscriptions.verified(work.connection, row, work.now + dt.timedelta(seconds=lease_s), renew_at)

    def notify(self, request: Request, body: bytes) -> Response:
        """Has the source polled at once where the push is signed by our secret; ignores it otherwise."""
        with self.site.store.read() as connection:
            row = subscriptions.subscription(connection, request.path_params["token"])
        if row is None:
            raise Problem(404, "no-such-subscription", "There is no subscription at this address.")
        (secret,) = vault.unseal(self.site.settings.folder, row["secret"])
        if row["state"] != "gone" and websub.genuine(secret, request.headers.get("x-hub-signature"), body):
            with self.site.begin() as work:
                if subscriptions.pushed(work.connection, row, work.now):
                    work.ring("source.due", [row["source_id"]])
        return Response(status_code=202)


def _read(request: Request, body: bytes) -> pushing.Pushed:
    query = request.query_params
    try:
        return pushing.read(body, request.headers.get("content-type"), url=query.get("url"), item_id=query.get("id"))
    except Rejected as error:
        raise Problem(415 if error.reason == "unsupported-type" else 400, error.reason, error.detail) from None


def _enter(work: Work, source_id: int, pushed: pushing.Pushed) -> int:
    """The push as an entry, with its page where it brought one. Returns the entry's id."""
    if pushed.body is None:
        # The instant makes a known entry look changed: who pushes an address says that there is something new.
        entry = Entry(pushed.key, pushed.url, updated_raw=work.now.isoformat())
        entry_id, hosts = pushes.look_at(
            work.connection, source_id, intake.NewEntry(entry, host_key(pushed.key), False), work.now
        )
        work.ring("host.due", hosts)
        return entry_id
    page = intake.NewPage(pushed.body, pushed.url, pushed.url, 200, pushed.content_type, work.now)
    new = intake.NewEntry(Entry(pushed.key, pushed.url), None, backfill=False)
    entry_id, fresh = intake.push_entry(work.connection, source_id, new, page, work.now)
    if fresh:
        work.ring("page.fetched", [entry_id])
    return entry_id


def _may_push(token: Row, site: Site) -> bool:
    open_ = token["until"] is None or token["until"] > site.now()
    return open_ and token["revoked_at"] is None and "push" in token["scopes"].split()
