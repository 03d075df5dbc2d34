"""What a partner takes, changed: endpoints and subscriptions, by the command line and by the desk alike.

    an order (the transaction, whom it is about, the fields filled in) -> what was done, in a sentence, and a secret to show once

Fields that are left empty leave things as they are; flags are "yes" or "no".
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from services.console import endpoints
from services.publish import filters, render, sign
from shared import vault
from shared.errors import OperatorError
from shared.models import Row
from shared.store import lanes, partners

if TYPE_CHECKING:
    from services.console.actions import Order
    from shared.settings import Settings

Said = tuple[str, str | None]

FLAGS = ("backfill", "coalesce", "relinked", "status_changes", "follow")
MOST_AT_ONCE, MOST_PER_MINUTE, MOST_DAYS, MOST_BYTES = 64, 60_000, 3650, 10_000_000


# Endpoints


def judge_address(settings: Settings, fields: Mapping[str, str]) -> None:
    """OperatorError where a webhook's address is refused, with the rule that refuses it. Asks the name service."""
    url = _text(fields, "url")
    if url and endpoints.place(url).kind == "webhook":
        endpoints.check_reachable(settings, url)


def add_endpoint(order: Order) -> Said:
    """A further endpoint of the subject's partner, with one subscription."""
    row, work, fields = order.subject.row, order.work, order.fields
    where = endpoints.place(_text(fields, "url"))
    format_ = _text(fields, "format") or "brief"
    endpoints.check_format(format_)
    wishes = wishes_of(fields)
    secrets, shown = secrets_of(where.kind, fields, order.randomness)
    endpoint_id = partners.add_endpoint(
        work.connection, row["partner_id"], kind=where.kind, url=where.url, format=format_,
        secrets=vault.seal(order.folder, secrets), concurrency=_whole(fields, "at_once", MOST_AT_ONCE, 1) or 4,
        per_minute=_whole(fields, "per_minute", MOST_PER_MINUTE) or None, layout=layout_of(fields, where.kind), now=work.now,
    )  # fmt: skip
    days = _days(fields)
    partners.add_subscription(work.connection, endpoint_id, wishes, work.now, days=days)
    first = f", the last {days:g} days first" if days else ""
    return f"Endpoint {endpoint_id} of {row['partner']} takes {where.kind} {where.url}, format {format_}{first}.", shown


def change_endpoint(order: Order) -> Said:
    """Another address, format, rate, concurrency or layout; positions, log and what waits go on."""
    row, fields = order.subject.row, order.fields
    changes: Row = {}
    if _text(fields, "url"):
        where = endpoints.place(_text(fields, "url"))
        if where.kind != row["kind"]:
            raise OperatorError(f"{row['url']} is of kind {row['kind']}, {where.url} of kind {where.kind}.",
                                "Add it as an endpoint of its own, then remove this one.")  # fmt: skip
        changes["url"] = where.url
    if _text(fields, "format"):
        endpoints.check_format(_text(fields, "format"))
        changes["format"] = _text(fields, "format")
    if (at_once := _whole(fields, "at_once", MOST_AT_ONCE, 1)) is not None:
        changes["concurrency"] = at_once
    if (per_minute := _whole(fields, "per_minute", MOST_PER_MINUTE)) is not None:
        changes["per_minute"] = per_minute or None
    if (link_above := _whole(fields, "link_above", MOST_BYTES)) is not None:
        changes["link_above"] = link_above or None
    if _text(fields, "layout"):
        changes["layout"] = layout_of(fields, row["kind"])
    if not changes:
        raise OperatorError("Nothing was named that is to change.", "Give an address, a format, a rate or a layout.")
    partners.set_endpoint(order.work.connection, row["id"], **changes)
    if "url" in changes and row["state"] == "disabled":
        partners.set_endpoint(order.work.connection, row["id"], state="active", reason=None)
        lanes.pause(order.work.connection, lanes.endpoint_lane(row["id"]), paused=False)
    return f"{order.subject.name}: {_said(changes)}.", None


def remove_endpoint(order: Order) -> Said:
    """One of several endpoints goes; what it was owed is not sent any more."""
    row, connection = order.subject.row, order.work.connection
    others = [one for one in partners.of_partner(connection, row["partner"]) if one["kind"] != "websub"]
    if [one["id"] for one in others] == [row["id"]]:
        raise OperatorError(f"It is the only endpoint of {row['partner']}.", f"`briefwire partner remove {row['partner']}` removes "
                            "the partner; `pause` stops it for a while.")  # fmt: skip
    partners.remove_endpoint(connection, row["id"])
    return f"Endpoint {row['id']} of {row['partner']} is sent nothing more. The log of its deliveries stays.", None


def layout_of(fields: Mapping[str, str], kind: str) -> str | None:
    """The layout of a storage target; "usual" and nothing mean the usual one. OperatorError where it does not work."""
    template = _text(fields, "layout")
    if not template or template == "usual":
        return None
    if kind != "storage":
        raise OperatorError("Only files have a layout.", "Leave the layout out for a webhook.")
    endpoints.check_layout(template)
    return template


# Subscriptions


def add_subscription(order: Order) -> Said:
    """A further wish of an endpoint: it gets what any of its subscriptions matches, once."""
    row, days = order.subject.row, _days(order.fields)
    wishes = wishes_of(order.fields)
    made = partners.add_subscription(order.work.connection, row["id"], wishes, order.work.now, days=days)
    return f"Subscription {made} of {row['partner']}: {shown(wishes)}{_first(days)}.", None


def change_subscription(order: Order) -> Said:
    """Another filter or other flags, from the next event on; with `days`, what it now lets through of them too."""
    row, work, days = order.subject.row, order.work, _days(order.fields)
    wishes = {name: row[name] for name in ("filter", *FLAGS)} | wishes_of(order.fields, row)
    changes = {name: value for name, value in wishes.items() if value != row[name]}
    if not changes and not days:
        raise OperatorError("Nothing was named that would change.", "Give a filter, a flag, or days of history.")
    endpoints.check_filter(filters.joined(wishes["filter"], row["narrow"]))
    if changes:
        partners.set_subscription(work.connection, row["id"], **changes)
    if days:
        partners.ask_history(work.connection, row["endpoint_id"], work.now - dt.timedelta(days=days), work.now)
    return f"Subscription {row['id']} of {row['partner']}: {shown(wishes)}{_first(days)}.", None


def remove_subscription(order: Order) -> Said:
    """A wish goes; later revisions of what came by it do too, unless another subscription follows them."""
    row = order.subject.row
    partners.remove_subscription(order.work.connection, row["id"])
    left = partners.endpoint(order.work.connection, row["endpoint_id"])
    rest = len(left["subscriptions"]) if left else 0
    more = "none is left, so it is sent withdrawals only" if not rest else f"{rest} left"
    return f"Subscription {row['id']} of {row['partner']} is gone; {more}.", None


def wishes_of(fields: Mapping[str, str], before: Row | None = None) -> Row:
    """Filter and flags as a subscription keeps them; with `before` only what is filled in. OperatorError: no such filter."""
    found: Row = {}
    if before is None or "filter" in fields:
        found["filter"] = _text(fields, "filter")
        endpoints.check_filter(found["filter"])
    for name in FLAGS:
        flag = _flag(fields, name)
        if flag is not None or before is None:
            found[name] = flag if flag is not None else name == "follow"
    return found


def shown(wishes: Mapping[str, Any]) -> str:
    """A subscription in words."""
    parts = [wishes["filter"] or "everything"]
    parts += [word for name, word in (("backfill", "back-fill too"), ("coalesce", "newest revision only"),
                                      ("relinked", "changed links too"),
                                      ("status_changes", "sections' changes of status too")) if wishes[name]]  # fmt: skip
    return ", ".join(parts if wishes["follow"] else [*parts, "every revision judged anew"])


# Secrets


def secrets_of(kind: str, fields: Mapping[str, str], randomness: bytes) -> tuple[list[str], str | None]:
    """The secrets of a new endpoint, and what is to be shown of them once. OperatorError: a secret that cannot sign."""
    given, scheme = _text(fields, "secret"), _text(fields, "sign") or "v1"
    if kind == "storage":
        if given:
            raise OperatorError("Files in a storage target are not signed.", "Leave the secret out.")
        return [], None
    if scheme not in ("v1", "v1a"):
        raise OperatorError(f"There is no signature {scheme}.", "There are v1 (HMAC-SHA256) and v1a (ed25519).")
    if given:
        endpoints.check_secret(given)
        return [given], None
    secret, verifier = sign.fresh(scheme, randomness)
    return [secret], verifier


# Fields


def _text(fields: Mapping[str, str], name: str) -> str:
    return fields.get(name, "").strip()


def _flag(fields: Mapping[str, str], name: str) -> bool | None:
    text = _text(fields, name).lower()
    if text not in ("", "yes", "no"):
        raise OperatorError(f"{name} is yes or no, not {text[:20]}.", "Correct it and try again.")
    return text == "yes" if text else None


def _whole(fields: Mapping[str, str], name: str, most: int, least: int = 0) -> int | None:
    text = _text(fields, name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise OperatorError(f"{name.replace('_', ' ').capitalize()} is a whole number from {least} to {most}.",
                            "Correct it and try again.")  # fmt: skip
    return int(text)


def _days(fields: Mapping[str, str]) -> float:
    try:
        days = float(_text(fields, "days") or 0)
    except ValueError:
        days = math.nan
    if not 0 <= days <= MOST_DAYS:  # nan is neither
        raise OperatorError(f"Days of history are a number from 0 to {MOST_DAYS}.", "Correct it and try again.")
    return days


def _first(days: float) -> str:
    return f"; the last {days:g} days are sent first" if days else ""


def _said(changes: Mapping[str, Any]) -> str:
    words = {
        "url": "address",
        "concurrency": "at once",
        "per_minute": "a minute at most",
        "link_above": "a link above bytes",
        "layout": "layout",
        "format": "format",
    }
    shown_ = {"per_minute": "no limit", "layout": "the usual one", "link_above": "never"}
    return ", ".join(
        f"{words[name]}: {shown_.get(name) if value is None else value}" for name, value in changes.items()
    )


def formats() -> str:
    """The formats there are, for the hint of a form."""
    return ", ".join(render.FORMATS)
