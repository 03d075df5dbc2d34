"""The WebSub hub: a form in, what it asks of the hub out; a subscriber's answer to our question; one notification sent.

What is distributed is the topic itself, a feed, cut down to the entry that is new (WebSub, section 7).
"""

from __future__ import annotations

import hmac
import re
import urllib.parse

import msgspec

from services.publish import deliver, feeds_out
from services.publish.policy import Outcome
from services.publish.render import FeedInfo, RenderInput
from services.publish.sign import hub_signature
from shared import urls
from shared.errors import Rejected, Retryable
from shared.http import Door, Request
from shared.models import Row
from shared.store.websub import Mode

LEASE_S, SHORTEST_S, LONGEST_S = 864_000, 60, 2_592_000
TRIES = 4  # of a verification that meets nobody
MOST = 1000  # subscribers of one endpoint's feeds
SECRET_BYTES = 200
"""A secret has to be shorter (WebSub, section 5.1)."""

_TOPIC = re.compile(r"/feeds/([^/?#]+?)(?:/([0-9]{1,15}))?\.([a-z]+)\Z")


class Ask(msgspec.Struct, frozen=True):
    """What a form asks of the hub. `token`, `subscription_id` (None: the endpoint's whole feed) and `ending` are read from the
    topic, which stays as it was written."""

    mode: Mode
    topic: str
    token: str
    ending: str
    callback: str
    lease_s: int
    secret: str | None
    subscription_id: int | None = None


class Subscriber(msgspec.Struct, frozen=True):
    """A verified subscriber as a notification needs it: `target.secrets` is empty or holds its one secret."""

    topic: str
    ending: str
    target: deliver.Target

    @property
    def hub(self) -> str:
        return self.topic.partition("/feeds/")[0] + "/hub"


def read(body: bytes) -> Ask:
    """What a form asks for; fields that nobody knows are left alone.

    Raises:
        Rejected: "bad-form", "bad-mode", "bad-callback", "no-such-topic", "bad-lease", "bad-secret".
    """
    try:
        fields = dict(reversed(urllib.parse.parse_qsl(body.decode("utf-8"), max_num_fields=100)))
    except ValueError:
        raise Rejected("bad-form", "Send the fields of WebSub as application/x-www-form-urlencoded.") from None
    mode, secret = fields.get("hub.mode"), fields.get("hub.secret") or None
    if mode not in ("subscribe", "unsubscribe"):
        raise Rejected("bad-mode", "hub.mode is subscribe or unsubscribe.")
    topic, callback = fields.get("hub.topic", ""), fields.get("hub.callback", "")
    found = _TOPIC.search(urllib.parse.unquote(topic)) if urls.is_web(topic) else None
    if found is None or found[3] not in feeds_out.FORMATS:
        raise Rejected("no-such-topic", "hub.topic is no address of a feed of this wire.")
    if not urls.is_web(callback) or not callback.isprintable():
        raise Rejected("bad-callback", "hub.callback is no http or https URL.")
    if secret is not None and (len(secret.encode()) >= SECRET_BYTES or "\0" in secret):
        raise Rejected("bad-secret", f"hub.secret has to be shorter than {SECRET_BYTES} bytes.")
    lease_s, one = _lease(fields.get("hub.lease_seconds", "")), int(found[2]) if found[2] else None
    return Ask(mode, topic, found[1], found[3], callback, lease_s, secret, one)  # type: ignore[arg-type]  # narrowed above


def _lease(text: str) -> int:
    if not text:
        return LEASE_S
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Rejected("bad-lease", "hub.lease_seconds is a whole number of seconds.")
    return min(max(int(text), SHORTEST_S), LONGEST_S)


def verify(door: Door, row: Row, challenge: str) -> None:
    """Asks the subscriber whether it meant it. Returns where it did.

    Raises:
        Retryable: it was not reached.
        Rejected: "not-confirmed", or it may not be called.
    """
    asked = [("hub.mode", row["wanted"]), ("hub.topic", row["topic"]), ("hub.challenge", challenge)]
    if row["wanted"] == "subscribe":
        asked.append(("hub.lease_seconds", str(row["wanted_s"])))
    url, mark, fragment = row["callback"].partition("#")
    url += ("&" if "?" in url else "?") + urllib.parse.urlencode(asked) + mark + fragment
    reply = door.send(Request(url, redirects=0, deadline_s=20.0, max_decoded=deliver.ANSWER_BYTES, cut_body_ok=True))
    if reply.status >= 500 or reply.status == 429:
        raise Retryable("not-confirmed", f"The subscriber answered {reply.status}.")
    echoed = hmac.compare_digest(reply.body.strip(), challenge.encode())
    if not (200 <= reply.status < 300 and echoed):
        raise Rejected(
            "not-confirmed", f"The subscriber answered {reply.status}{'' if echoed else ', without the challenge'}."
        )


def notify(door: Door, subscriber: Subscriber, event: RenderInput) -> Outcome:
    """One notification: the topic's feed with this one entry, signed where there is a secret."""
    info = FeedInfo(
        title=event.article.site_name or event.article.source, url=subscriber.topic, home=subscriber.hub.removesuffix("hub"),
        updated=event.at, hub=subscriber.hub,
    )  # fmt: skip
    made = feeds_out.feed(subscriber.ending, info, [event])
    headers = {
        "Content-Type": made.content_type,
        "Link": f'<{subscriber.hub}>; rel="hub", <{subscriber.topic}>; rel="self"',
    }
    if subscriber.target.secrets:
        headers["X-Hub-Signature"] = hub_signature(subscriber.target.secrets[0], made.body)
    return deliver.post(door, subscriber.target, headers, made.body)
