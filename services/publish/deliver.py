"""A rendered event and where it goes in; one signed request made; the outcome out, as a value.

A bad answer is an outcome and no exception; so is no answer. What to do about it is `policy.judge`'s business.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from services.publish.policy import EXCERPT_CHARS, KEPT_HEADERS, Outcome
from services.publish.render.shapes import Rendered
from services.publish.sign import sign
from shared.errors import Rejected, Retryable
from shared.http import Door, Reply, Request

ANSWER_BYTES = 64 * 1024
"""More of an answer's body is not read; an answer so long still counts by its status."""

REFUSALS = frozenset({"bad-url", "bad-header", "scheme-refused", "address-refused", "port-refused"})
"""The door's reasons for not making a call at all; its other rejections are about an answer that did come."""

_OURS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "user-agent"})


class Target(msgspec.Struct, frozen=True):
    """An endpoint as a request needs it.

    `secrets` sign, newest first; `headers` are the partner's own (an Authorization, say) and cannot replace ours;
    `timeout_s` covers the whole exchange.
    """

    url: str
    secrets: tuple[str, ...]
    headers: dict[str, str] = {}
    timeout_s: float = 20.0


def send(door: Door, target: Target, rendered: Rendered, webhook_id: str, now: dt.datetime) -> Outcome:
    """POST it, signed at `now`, following no redirect.

    Raises Rejected("bad-secret", ...) when it cannot be signed: that is ours to mend, no partner saw anything.
    """
    signature = sign(target.secrets, webhook_id, now, rendered.body)
    return post(door, target, _headers(target, rendered, signature), rendered.body)


def post(door: Door, target: Target, headers: dict[str, str], body: bytes) -> Outcome:
    """POST a body with these headers, and no others of the target's, following no redirect."""
    request = Request(
        method="POST",
        url=target.url,
        headers=headers,
        body=body,
        redirects=0,
        deadline_s=target.timeout_s,
        max_decoded=ANSWER_BYTES,
        cut_body_ok=True,
    )
    try:
        return _answered(door.send(request))
    except (Retryable, Rejected) as error:
        return Outcome(failure=error.reason, detail=error.detail, refused=error.reason in REFUSALS)


def _headers(target: Target, rendered: Rendered, signature: dict[str, str]) -> dict[str, str]:
    own = {name: value for name, value in target.headers.items() if not _reserved(name)}
    return {**own, "Content-Type": rendered.content_type, **signature}


def _reserved(name: str) -> bool:
    lower = name.strip().lower()
    return lower in _OURS or lower.startswith("webhook-")


def _answered(reply: Reply) -> Outcome:
    lower = {name.lower(): value for name, value in reply.headers.items()}
    return Outcome(
        status=reply.status,
        headers={name: lower[name][:500] for name in KEPT_HEADERS if name in lower},
        complete=reply.complete,
        excerpt=reply.body.decode("utf-8", "replace")[:EXCERPT_CHARS],
        duration_s=reply.duration_s,
    )
