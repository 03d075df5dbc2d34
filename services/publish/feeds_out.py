"""Deliveries with their contents in; what an endpoint fetches by itself out: a feed of its newest articles, its events.

rss, atom, json   the feed formats
txt               the same as plain text, articles parted by a line of dashes
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from services.publish.render import FeedInfo, Rendered, RenderInput, render, render_feed
from shared import records
from shared.models import Row
from shared.store.partners import WITHDRAWN

FORMATS = {"rss": "rss", "atom": "atom", "json": "jsonfeed", "txt": "text"}
"""The ending of a feed's address, and the format behind it."""

ADDRESS = "/feeds/{key}.{ending}"
SUBSCRIPTION_ADDRESS = "/feeds/{key}/%d.{ending}"

_RULE = b"\n\n----------------------------------------\n\n"

Contents = Mapping[tuple[str, int], tuple[bytes, bytes | None]]


class Item(msgspec.Struct, frozen=True):
    """One event as the replay tells it: `id` is the webhook-id, `cursor` where to go on from, `event` brief JSON."""

    id: str
    cursor: str
    event: msgspec.Raw


def address(base: str, subscription_id: int | None = None) -> str:
    """Where the endpoint's whole feed is, or that of one subscription: with {key} and {ending} to be put in."""
    return base + (ADDRESS if subscription_id is None else SUBSCRIPTION_ADDRESS % subscription_id)


def linked(contents: Contents) -> set[str]:
    """The articles that these name as similar."""
    notes = [records.from_json(raw, records.Annotations) for _, raw in contents.values() if raw]
    return {one.article_id for note in notes for one in note.similar}


def inputs(rows: Sequence[Row], contents: Contents, hidden: Collection[str]) -> list[RenderInput]:
    """Deliveries as the renderers take them; no word of a hidden article is left in another's links."""
    return [_input(row, *contents[row["article_id"], row["revision"]], hidden) for row in rows]


def _input(row: Row, record: bytes, notes: bytes | None, hidden: Collection[str]) -> RenderInput:
    article = records.from_json(record, records.Article)
    if row["kind"] == WITHDRAWN:
        article = msgspec.structs.replace(article, state="withdrawn")
    found = records.from_json(notes, records.Annotations) if notes else records.Annotations()
    shown = tuple(one for one in found.similar if one.article_id not in hidden)
    return RenderInput(
        type=row["kind"], at=row["at"], position=row["position"], occurrence=row["occurrence"], article=article,
        annotations=msgspec.structs.replace(found, similar=shown),
        change=records.from_json(row["detail"], records.SectionChange) if row.get("detail") else None,
    )  # fmt: skip


def digest(rows: Sequence[Row], contents: Contents, hidden: Collection[str]) -> str:
    """The same for the same articles, revisions and findings: what a validator of a feed stands for."""
    made = hashlib.sha256()
    for row in rows:
        record, notes = contents[row["article_id"], row["revision"]]
        made.update(
            f"{row['webhook_id']} {row['position']} {len(record)} {len(notes or b'')} ".encode()
            + record
            + (notes or b"")
        )
    made.update(" ".join(sorted(hidden)).encode())
    return made.hexdigest()


def feed(ending: str, info: FeedInfo, events: Sequence[RenderInput]) -> Rendered:
    """A feed in the format that the ending of its address names."""
    if ending != "txt":
        return render_feed(FORMATS[ending], info, events)
    written = [render("text", event) for event in events]
    body = _RULE.join(one.body.strip() for one in written) + b"\n"
    return Rendered(body, "text/plain; charset=utf-8", "txt")


def items(rows: Sequence[Row], events: Sequence[RenderInput], epoch: int) -> list[Item]:
    """Deliveries as the replay tells them."""
    return [
        Item(row["webhook_id"], f"{epoch}.{row['position']}", msgspec.Raw(render("brief", event).body))
        for row, event in zip(rows, events, strict=True)
    ]


class Skipped(msgspec.Struct, frozen=True):
    """Positions from `first` to `last` that hold nothing to tell: what stood there gave way, or comes at a later position."""

    first: int
    last: int


def skipped(told: Sequence[int], after: int, upto: int) -> list[Skipped]:
    """The positions above `after`, up to `upto`, that are not among those told (in order): together they are all of them."""
    edges = [after, *told, upto + 1]
    return [Skipped(low + 1, high - 1) for low, high in itertools.pairwise(edges) if high - low > 1]


def page(found: Sequence[Item], passed: Sequence[Skipped], following: str, *, more: bool) -> bytes:
    """One answer of the replay as JSON."""
    answer: dict[str, Any] = {"events": found, "skipped": passed, "next": following, "more": more}
    return msgspec.json.encode(answer)


def server_sent(item: Item) -> bytes:
    """One event of the replay as a server-sent event: its id is the cursor."""
    kind = records.from_json(bytes(item.event), _Typed).type
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (item.cursor.encode(), kind.encode(), msgspec.json.encode(item))


def in_turn(found: Sequence[Item], passed: Sequence[Skipped], epoch: int) -> list[bytes]:
    """Events and skipped positions as server-sent events, in order; each moves the reader's cursor behind itself."""
    told = [(int(item.cursor.partition(".")[2]), server_sent(item)) for item in found]
    over = [
        (one.last, b"id: %d.%d\nevent: skipped\ndata: %b\n\n" % (epoch, one.last, msgspec.json.encode(one)))
        for one in passed
    ]
    return [written for _, written in sorted([*told, *over])]


class _Typed(msgspec.Struct):
    type: str
