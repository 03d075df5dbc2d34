"""WebSub as a subscriber: what a source declares, what its hub is asked, whether a push is genuine, when to ask again.

A push is a doorbell: it says that the feed changed, and the source is polled at once. What is read is what the site itself
answers, so that a hub can neither add nor leave out anything.
"""

from __future__ import annotations

import datetime as dt
import hmac
import re
import urllib.parse
from collections.abc import Mapping

from services.ingest import discover
from shared.errors import Rejected, Retryable
from shared.http import Door, Request
from shared.models import Row
from shared.records import Feed
from shared.sandbox import Sandbox

LEASE_S = 864_000  # what we ask for; the hub says what it grants
UNVERIFIED_S, UNREACHED_S, DENIED_S = 600.0, 60.0, 86_400.0
"""How long until a hub is asked again that did not verify, was not reached (both doubling), or refused."""

_ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
_HUB_TAG = re.compile(rb"""rel\s*=\s*["']?[^"'>]*\bhub\b""", re.IGNORECASE)
_PAGES = Sandbox("services.ingest.discover:websub", cpu_s=5.0, memory_mb=1024, wall_s=20.0)


def offered(feed: Feed, body: bytes, url: str, headers: Mapping[str, str]) -> tuple[str, str] | None:
    """The (hub, topic) that a source declares: in its Link header, else in the feed, else in its page's tags."""
    found = discover.websub_in_header(url, headers)
    if found is not None:
        return found.hubs[0], found.topic or feed.self_url or url
    if feed.hub is not None:
        return feed.hub, feed.self_url or url
    if feed.kind == "listing" and _HUB_TAG.search(body):
        found = _PAGES.call(body, url, dict(headers))
        return (found.hubs[0], found.topic) if found else None
    return None


def callback(base: str, token: str) -> str:
    """The address that the hub is to call."""
    return f"{base.rstrip('/')}/websub/{token}"


def ask(door: Door, row: Row, called: str, secret: str) -> None:
    """Asks the hub of a subscription to push its topic to `called`, signed with the secret.

    Raises:
        Retryable: what the door raises; "hub-busy".
        Rejected: what the door raises; "hub-refused".
    """
    form = {"hub.mode": "subscribe", "hub.topic": row["topic"], "hub.callback": called, "hub.secret": secret,
            "hub.lease_seconds": str(LEASE_S)}  # fmt: skip
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urllib.parse.urlencode(form).encode()
    reply = door.send(Request(row["hub"], "POST", headers, body, max_decoded=65_536, cut_body_ok=True))
    if reply.status >= 500 or reply.status in (408, 425, 429):
        raise Retryable("hub-busy", f"{reply.final_url} answered {reply.status}.")
    if not 200 <= reply.status < 300:
        said = reply.body.decode("utf-8", "replace").strip()[:200]
        raise Rejected("hub-refused", f"{reply.final_url} answered {reply.status}{': ' if said else '.'}{said}")


def genuine(secret: str, header: str | None, body: bytes) -> bool:
    """Whether an `X-Hub-Signature` (method=hexdigest) is this secret's over this body."""
    method, _, given = (header or "").partition("=")
    if method not in _ALGORITHMS:
        return False
    expected = hmac.new(secret.encode(), body, method).hexdigest()
    return hmac.compare_digest(expected.encode(), given.strip().lower().encode("utf-8", "replace"))


def renew_at(now: dt.datetime, lease_s: float, jitter: float) -> dt.datetime:
    """When a lease that was granted now is renewed: after 50 to 80 % of it, by the jitter (0 to 1)."""
    return now + dt.timedelta(seconds=lease_s * (0.5 + 0.3 * jitter))


def granted_s(text: str | None) -> int:
    """The lease that a hub grants in `hub.lease_seconds`; the one asked for where it says nothing readable."""
    plain = text is not None and text.isascii() and text.isdigit() and len(text) < 10
    return max(int(text), 1) if plain and text else LEASE_S
