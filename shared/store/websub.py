"""WebSub on both sides: subscribers of our hub, and our subscriptions at others' hubs.

A verified subscriber of ours is an endpoint of kind `websub`, filled by the planner and drained by the lanes like any other; it
wants what the endpoint wants whose feed it follows (`shared.store.partners.endpoints`).
Every row says in `due_at` when it wants attention: a verification, a renewal, the end of a lease.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, delete, func, insert, select, update

from shared.models import EndpointRow, HubRow, Row, SourceRow, WebsubRow
from shared.store import claims, events, keys, lanes

Mode = Literal["subscribe", "unsubscribe"]

# Subscribers of our hub


def ask(connection: Connection, mode: Mode, *, topic: str, callback: str, format: str, parent_id: int, lease_s: int, secrets: str,
        now: dt.datetime, subscription_id: int | None = None) -> int | None:  # fmt: skip
    """What somebody asks of the hub, to be verified: of the endpoint `parent_id`, all or one of its subscriptions.

    Returns the row's id; None where there is nothing to unsubscribe.
    """
    pair_hash = hashlib.sha256(f"{topic}\0{callback}".encode()).hexdigest()
    wanted: Row = {
        "wanted": mode,
        "wanted_s": lease_s,
        "wanted_secrets": secrets,
        "due_at": now,
        "failures": 0,
        "reason": None,
    }
    # A verification under way is of what was asked before: a new epoch makes its result too late.
    fresh = wanted | {"lease_owner": None, "lease_until": None, "lease_epoch": HubRow.lease_epoch + 1, "attempts": 0}
    known = connection.execute(
        update(HubRow).where(HubRow.pair_hash == pair_hash).values(fresh).returning(HubRow.id)
    ).scalar()
    if known is not None or mode == "unsubscribe":
        return known
    values = wanted | {
        "pair_hash": pair_hash,
        "topic": topic,
        "callback": callback,
        "format": format,
        "parent_id": parent_id,
        "subscription_id": subscription_id,
    }
    return int(connection.execute(insert(HubRow).values(values).returning(HubRow.id)).scalar_one())


def count_subscribers(connection: Connection, parent_id: int) -> int:
    """How many subscribers, verified or not, the feeds of an endpoint have."""
    return int(connection.execute(select(func.count()).where(HubRow.parent_id == parent_id)).scalar_one())


def due_subscribers(connection: Connection, now: dt.datetime, limit: int) -> list[int]:
    """Subscribers that want verification, or whose lease is over."""
    found = select(HubRow.id).where(claims.due(HubRow, now)).order_by(HubRow.due_at)
    return list(connection.execute(found.limit(limit)).scalars())


def claim_subscribers(connection: Connection, ids: Collection[int], now: dt.datetime) -> list[Row]:
    """Takes subscribers to verify or to end."""
    return claims.claim(connection, HubRow, ids, now)


def subscribed(connection: Connection, row: Row, now: dt.datetime) -> None:
    """The subscriber (claimed) has confirmed: it is delivered to until its lease ends."""
    if not claims.settle(connection, HubRow, row):
        return
    endpoint_id = row["endpoint_id"] or _new_endpoint(connection, row, now)
    lane = lanes.endpoint_lane(endpoint_id)
    connection.execute(update(EndpointRow).where(EndpointRow.id == endpoint_id).values(
        state="active", reason=None, secrets=row["wanted_secrets"]))  # fmt: skip
    lanes.wake(connection, "endpoint", [lane], now)
    lanes.pause(connection, lane, paused=False)
    ends = now + dt.timedelta(seconds=row["wanted_s"])
    values = {
        "endpoint_id": endpoint_id,
        "expires_at": ends,
        "due_at": ends,
        "wanted": None,
        "wanted_secrets": "",
        "failures": 0,
    }
    connection.execute(update(HubRow).where(HubRow.id == row["id"]).values(values))


def ended(connection: Connection, row: Row) -> None:
    """The subscriber (claimed) has left, or its lease is over: nothing more is sent to it."""
    if not claims.settle(connection, HubRow, row):
        return
    connection.execute(delete(HubRow).where(HubRow.id == row["id"]))
    if row["endpoint_id"] is not None:
        connection.execute(update(EndpointRow).where(EndpointRow.id == row["endpoint_id"]).values(state="removed"))
        lanes.pause(connection, lanes.endpoint_lane(row["endpoint_id"]), paused=True)


def refused(connection: Connection, row: Row, reason: str) -> None:
    """The subscriber (claimed) did not confirm: what held before still holds."""
    if row["endpoint_id"] is None:
        ended(connection, row)
    else:
        claims.settle(
            connection, HubRow, row, wanted=None, wanted_secrets="", reason=reason[:500], due_at=row["expires_at"]
        )


def shut_out(connection: Connection, parent_id: int) -> int:
    """Ends the subscriptions to an endpoint's feeds whose topic holds a key that opens nothing any more. Returns how many."""
    live = {one["digest"] for one in keys.of(connection, "pull", parent_id)}
    found = connection.execute(
        select(HubRow.id, HubRow.endpoint_id, HubRow.topic).where(HubRow.parent_id == parent_id)
    ).all()
    gone = [one for one in found if keys.digest(token_of(one.topic)) not in live]
    connection.execute(delete(HubRow).where(HubRow.id.in_([one.id for one in gone])))
    ids = [one.endpoint_id for one in gone if one.endpoint_id is not None]
    connection.execute(update(EndpointRow).where(EndpointRow.id.in_(ids)).values(state="removed"))
    for endpoint_id in ids:
        lanes.pause(connection, lanes.endpoint_lane(endpoint_id), paused=True)
    return len(gone)


def token_of(topic: str) -> str:
    """The pull key in the address of a feed."""
    own = unquote(urlsplit(topic).path).rpartition("/feeds/")[2]
    return own.partition("/")[0] if "/" in own else own.rpartition(".")[0]


def verify_later(connection: Connection, row: Row, due_at: dt.datetime, reason: str) -> None:
    """The subscriber (claimed) could not be reached: it is asked again then."""
    claims.settle(connection, HubRow, row, due_at=due_at, failures=row["failures"] + 1, reason=reason[:500])


def subscriber(connection: Connection, endpoint_id: int) -> Row | None:
    """The subscription that an endpoint of kind `websub` delivers."""
    return _one(connection, select(*HubRow.__table__.columns).where(HubRow.endpoint_id == endpoint_id))


def _new_endpoint(connection: Connection, row: Row, now: dt.datetime) -> int:
    parent = connection.execute(select(EndpointRow.partner_id).where(EndpointRow.id == row["parent_id"])).scalar_one()
    joined, _ = events.head(connection, lock=True)
    values = {"partner_id": parent, "kind": "websub", "url": row["callback"], "format": row["format"], "created_at": now,
              "secrets": row["wanted_secrets"], "joined_n": joined}  # fmt: skip
    return int(connection.execute(insert(EndpointRow).values(values).returning(EndpointRow.id)).scalar_one())


# Our subscriptions at others' hubs


def declare(
    connection: Connection, source_id: int, found: tuple[str, str] | None, token: str, secret: str, now: dt.datetime
) -> int | None:
    """What the source's feed says about hubs: (hub, topic), or None. `token` and `secret` (sealed) serve a new subscription.

    Returns the subscription's id where a hub has to be asked now.
    """
    known = _one(connection, select(*WebsubRow.__table__.columns).where(WebsubRow.source_id == source_id))
    if found is None:
        if known is not None and known["state"] != "gone":
            gone = update(WebsubRow).where(WebsubRow.id == known["id"])
            connection.execute(gone.values(state="gone", due_at=None, lease_epoch=WebsubRow.lease_epoch + 1))
        return None
    values: dict[str, Any] = {
        "hub": found[0],
        "topic": found[1],
        "state": "wanted",
        "due_at": now,
        "failures": 0,
        "reason": None,
    }
    if known is None:
        made = insert(WebsubRow).values(values | {"source_id": source_id, "token": token, "secret": secret})
        return int(connection.execute(made.returning(WebsubRow.id)).scalar_one())
    if (known["hub"], known["topic"]) == found and known["state"] != "gone":
        return None
    again = values | {"token": token, "secret": secret, "lease_epoch": WebsubRow.lease_epoch + 1, "lease_until": None}
    connection.execute(update(WebsubRow).where(WebsubRow.id == known["id"]).values(again))
    return int(known["id"])


def due_subscriptions(connection: Connection, now: dt.datetime, limit: int) -> list[int]:
    """Subscriptions to ask for, or to renew."""
    found = (
        select(WebsubRow.id)
        .join(SourceRow, SourceRow.id == WebsubRow.source_id)
        .where(claims.due(WebsubRow, now), SourceRow.state == "active")
        .order_by(WebsubRow.due_at)
    )
    return list(connection.execute(found.limit(limit)).scalars())


def claim_subscriptions(connection: Connection, ids: Collection[int], now: dt.datetime) -> list[Row]:
    """Takes subscriptions to ask for."""
    return claims.claim(connection, WebsubRow, ids, now)


def asked(connection: Connection, row: Row, due_at: dt.datetime, reason: str | None = None) -> None:
    """The hub was asked (row claimed), or could not be: unless it verifies before, it is asked again then.

    An active subscription stays active while it is renewed. Does nothing where the hub has verified meanwhile.
    """
    state = row["state"] if row["state"] == "active" or reason else "pending"
    claims.settle(connection, WebsubRow, row, state=state, due_at=due_at, failures=row["failures"] + 1, reason=reason)


def subscription(connection: Connection, token: str) -> Row | None:
    """The subscription whose callback has this token."""
    return _one(connection, select(*WebsubRow.__table__.columns).where(WebsubRow.token == token))


def verified(connection: Connection, row: Row, expires_at: dt.datetime, renew_at: dt.datetime) -> None:
    """The hub has verified: it pushes until the lease ends, and is asked again before."""
    values = {"state": "active", "expires_at": expires_at, "due_at": renew_at, "failures": 0, "reason": None,
              "lease_epoch": WebsubRow.lease_epoch + 1, "lease_owner": None, "lease_until": None, "attempts": 0}  # fmt: skip
    connection.execute(update(WebsubRow).where(WebsubRow.id == row["id"]).values(values))


def denied(connection: Connection, row: Row, due_at: dt.datetime, reason: str) -> None:
    """The hub will not push; it is asked again then. Does nothing where the row has moved on since it was read."""
    values = {"state": "denied", "due_at": due_at, "reason": reason[:500], "lease_epoch": WebsubRow.lease_epoch + 1,
              "lease_owner": None, "lease_until": None}  # fmt: skip
    same = (WebsubRow.id == row["id"], WebsubRow.lease_epoch == row["lease_epoch"])
    connection.execute(update(WebsubRow).where(*same).values(values))


def pushed(connection: Connection, row: Row, now: dt.datetime) -> bool:
    """A genuine push came: the source is polled at once. False where it is paused or stopped."""
    connection.execute(update(WebsubRow).where(WebsubRow.id == row["id"]).values(pushed_at=now))
    due = update(SourceRow).where(SourceRow.id == row["source_id"], SourceRow.state == "active")
    return bool(connection.execute(due.values(due_at=now)).rowcount)


def pushed_since(connection: Connection, source_id: int, at: dt.datetime) -> bool:
    """Whether a push came after that instant: a poll that began before it may have read too early."""
    found = select(WebsubRow.id).where(WebsubRow.source_id == source_id, WebsubRow.pushed_at > at)
    return connection.execute(found).first() is not None


def _one(connection: Connection, found: Any) -> Row | None:
    row = connection.execute(found).mappings().first()
    return dict(row) if row else None
