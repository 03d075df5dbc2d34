"""What a partner may see of its endpoint and do to it. An endpoint's row and a transaction in, what was done out.

Everything a partner does stands in the audit under its name. It may narrow what it gets, never widen it; it may pause itself,
and lift its own pause and a switch-off that its own 410 caused, never a pause by the operator.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.publish import deliver, feeds_out, filters, policy, render, sign, storage, trial
from shared import clock, queue, records, vault
from shared.errors import OperatorError
from shared.models import Row
from shared.queue import Work
from shared.store import desk, installation, keys, lanes, partners, portal, pull, websub

BY_PARTNER = "paused by the partner"
MOST_KEYS, LONGEST_FILTER = 20, 3000


class Refused(Exception):
    """It cannot be done: a stable code and one sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.sentence = code, sentence


class Subscription(msgspec.Struct, frozen=True):
    """One subscription: `filter` is agreed with the operator, `own` is what the partner narrows it by; both must match.

    `feed` is the address of its own feed, with a pull key in place of {key} and rss, atom, json or txt in place of {ending}.
    """

    id: int
    filter: str
    own: str
    backfill: bool
    coalesce: bool
    relinked: bool
    status_changes: bool
    follow: bool
    feed: str


class Standing(msgspec.Struct, frozen=True):
    """How an endpoint stands. `position` is its newest; `rests_until`: nothing is sent before then, by its own wish or breaker.

    `verify_with` is the public key where the endpoint is signed for by v1a. `cannot_hold` are fields that its format lacks. `feed`
    is the address of all its articles, as a subscription's.
    """

    partner: str
    endpoint: int
    kind: str
    url: str
    format: str
    state: str
    reason: str | None
    position: int
    due: int
    delivered: int
    superseded: int
    quarantined: int
    concurrency: int
    per_minute: int | None
    rests_until: dt.datetime | None
    signed_by: str | None
    verify_with: str | None
    cannot_hold: tuple[str, ...]
    feed: str
    subscriptions: tuple[Subscription, ...]


class Key(msgspec.Struct, frozen=True):
    """A pull key by number; `this` is the one that was shown to ask."""

    id: int
    created_at: dt.datetime
    this: bool


def standing(connection: Connection, row: Row, folder: Path, now: dt.datetime, base: str) -> Standing:
    """How the endpoint stands in this snapshot. `base` is the address of the wire."""
    counts = portal.counts(connection, row["id"])
    kept = vault.unseal(folder, row["secrets"]) if row["secrets"] else ()
    v1a = bool(kept) and kept[0].startswith("whsk_")
    return Standing(
        row["partner"], row["id"], row["kind"], storage.without_login(row["url"]), row["format"], row["state"], row["reason"],
        pull.place(connection, row["id"]).position, counts.get("due", 0), counts.get("delivered", 0), counts.get("superseded", 0),
        counts.get("quarantined", 0), row["concurrency"], row["per_minute"], rests_until(portal.lane(connection, row["id"]), now),
        ("v1a" if v1a else "v1") if kept else None, sign.public_key(kept[0]) if v1a else None,
        render.FORMATS[row["format"]].cannot_hold if row["kind"] in ("webhook", "storage") else (),
        feeds_out.address(base), tuple(_subscription(wish, base) for wish in row["subscriptions"]),
    )  # fmt: skip


def _subscription(wish: Row, base: str) -> Subscription:
    return Subscription(
        wish["id"],
        wish["filter"],
        wish["narrow"],
        wish["backfill"],
        wish["coalesce"],
        wish["relinked"],
        wish["status_changes"],
        wish["follow"],
        feeds_out.address(base, wish["id"]),
    )


def rests_until(lane: Row | None, now: dt.datetime) -> dt.datetime | None:
    """Until when nothing is sent on the lane; None where it is open."""
    if lane is None:
        return None
    breaker = records.from_json(lane["breaker"], policy.Breaker) if lane["breaker"] else policy.Breaker()
    until = [at for at in (lane["blocked_until"], breaker.until) if at is not None and at > now]
    return max(until, default=None)


def keys_of(connection: Connection, row: Row, present: int | None) -> list[Key]:
    """The pull keys that open the endpoint, oldest first."""
    return [Key(one["id"], one["created_at"], one["id"] == present) for one in keys.of(connection, "pull", row["id"])]


# Doing


def pause(work: Work, row: Row) -> str:
    """Nothing is sent until the partner resumes; its backlog waits, in order."""
    if row["state"] != "active":
        raise Refused("not-active", f"The endpoint is {row['state']}; there is nothing to pause.")
    partners.set_endpoint(work.connection, row["id"], state="paused", reason=BY_PARTNER)
    lanes.pause(work.connection, lanes.endpoint_lane(row["id"]), paused=True)
    return _audited(work, row, "pause", "Nothing is sent to you until you resume. What waits is kept, in order.")


def resume(work: Work, row: Row) -> str:
    """The backlog is sent at once, in order."""
    if row["state"] == "paused" and row["reason"] != BY_PARTNER:
        raise Refused("paused-by-operator", "The wire's operator paused this endpoint; ask there.")
    if row["state"] == "active":
        raise Refused("not-paused", "The endpoint is active; there is nothing to resume.")
    partners.set_endpoint(work.connection, row["id"], state="active", reason=None)
    key = lanes.endpoint_lane(row["id"])
    lanes.pause(work.connection, key, paused=False)
    desk.open_lane(work.connection, key)
    work.ring("endpoint.due", [key])
    return _audited(work, row, "resume", "What waited is sent now, in order.")


def replay(work: Work, row: Row, first: int, last: int) -> str:
    """A range of positions is sent again, under the old ids."""
    if row["kind"] == "pull":
        raise Refused("fetches-by-itself", "You fetch by yourself: go back to an earlier cursor.")
    if not 1 <= first <= last:
        raise Refused("bad-range", "The first position is at least 1 and not above the last.")
    n = desk.replay(work.connection, row["id"], first, last, work.now)
    work.ring("endpoint.due", [lanes.endpoint_lane(row["id"])])
    return _audited(
        work, row, "replay", f"{n} deliveries go to you again, in order, under their old ids.", f"{first} to {last}"
    )


def narrow(work: Work, row: Row, subscription_id: int, text: str) -> str:
    """The partner's own filter of a subscription, beside the one agreed with the operator; empty takes it off."""
    wish = next((one for one in row["subscriptions"] if one["id"] == subscription_id), None)
    if wish is None:
        raise Refused("no-such-subscription", "Your endpoint has no such subscription.")
    if "\0" in text:
        raise Refused("bad-filter", "A filter holds no NUL.")
    if len(text) > LONGEST_FILTER:
        raise Refused("bad-filter", f"Your own filter has at most {LONGEST_FILTER} characters.")
    try:
        filters.parse(text)
        filters.parse(filters.joined(wish["filter"], text))
    except filters.FilterError as error:
        raise Refused("bad-filter", f"{error.what}{error.next_step}") from None
    partners.set_subscription(work.connection, subscription_id, narrow=text.strip())
    said = "Your filter counts from the next event on." if text.strip() else "You get everything that was agreed again."
    return _audited(
        work, row, "narrow", f"{said} Later revisions of what you have come all the same.", text.strip()[:300]
    )


def new_key(work: Work, row: Row) -> tuple[int, str]:
    """A further pull key: (its number, the key, to be shown once)."""
    if len(keys.of(work.connection, "pull", row["id"])) >= MOST_KEYS:
        raise Refused("too-many-keys", f"There are {MOST_KEYS} keys already; revoke one first.")
    made = secrets.token_urlsafe(32)
    number = keys.add(work.connection, "pull", row["id"], made, work.now)
    _audited(work, row, "key.pull", "")
    return number, made


def revoke_key(work: Work, row: Row, key_id: int) -> str:
    """The key opens nothing any more; hub subscriptions that were made with it end."""
    if not portal.revoke(work.connection, row["id"], key_id, work.now):
        raise Refused("no-such-key", "Your endpoint has no such key.")
    websub.shut_out(work.connection, row["id"])
    return _audited(work, row, "key.revoke", f"Key {key_id} opens nothing any more.")


def rotate(work: Work, row: Row, folder: Path) -> str:
    """A new signing secret of the same kind; returns what to verify with, to be shown once."""
    if row["kind"] != "webhook":
        raise Refused("not-signed", "Nothing is signed for this endpoint.")
    kept = vault.unseal(folder, row["secrets"])
    secret, shown = sign.fresh(kept[0] if kept else "v1", os.urandom(32))
    partners.set_endpoint(work.connection, row["id"], secrets=vault.seal(folder, [secret, *kept[:1]]))
    _audited(work, row, "rotate-secret", "")
    return shown


def send_test(row: Row, folder: Path, deadline_s: float) -> policy.Outcome:
    """One test event to the endpoint, now, and what it answered."""
    if row["kind"] not in ("webhook", "storage"):
        raise Refused("fetches-by-itself", "You fetch by yourself: nothing is sent to you.")
    try:
        target = deliver.Target(row["url"], vault.unseal(folder, row["secrets"]), {}, deadline_s)
    except OperatorError as error:
        raise Refused("bad-secret", error.what) from None
    return trial.send_test(queue.door(), row["kind"], target, row["format"], clock.now(), os.urandom(8).hex())


def _audited(work: Work, row: Row, action: str, said: str, reason: str = "") -> str:
    who: Any = f"partner {row['partner']}"
    installation.audit(work.connection, who, f"portal.{action}", f"partner {row['partner']}", reason, work.now)
    return said
