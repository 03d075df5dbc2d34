"""Which sources are held because their records changed shape: what is usual for them, what was seen, what waits.

The entries that wait stand in the books as quarantined under the reason `drift`, their pages' bytes kept; an article that is
known already keeps its place in the book, and only its newest page waits.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, case, func, select, update

from shared.models import DriftRow, EntryRow, Row, SourceRow
from shared.store.rows import insert_ignore

REASON = "drift"
EXAMPLES = 5
AS_USUAL = "Its source is held; this page looks as usual."
"""The detail of an entry that waits for nothing but the end of a hold."""


def load(connection: Connection, source_ids: Collection[int]) -> dict[int, Row]:
    """What is remembered of these sources, locked until the transaction ends; rows are made where there are none yet."""
    ids = sorted(source_ids)
    insert_ignore(connection, DriftRow, [{"source_id": one, "state": b""} for one in ids], conflict=["source_id"])
    found = select(*DriftRow.__table__.columns).where(DriftRow.source_id.in_(ids)).order_by(DriftRow.source_id)
    return {row["source_id"]: dict(row) for row in connection.execute(found.with_for_update()).mappings()}


def save(connection: Connection, source_id: int, state: bytes) -> None:
    """Keeps what is remembered of a source."""
    connection.execute(update(DriftRow).where(DriftRow.source_id == source_id).values(state=state))


def hold(connection: Connection, source_id: int, why: Sequence[str], examples: Sequence[Row], now: dt.datetime) -> None:
    """From now on everything of the source waits. `examples` are {entry_id, url, headline, reasons}."""
    shown = json.dumps(list(examples)[:EXAMPLES], ensure_ascii=False)
    values = {"held_at": now, "why": "\n".join(why)[:2000], "examples": shown}
    connection.execute(update(DriftRow).where(DriftRow.source_id == source_id).values(values))


def add_examples(connection: Connection, source_id: int, examples: Sequence[Row]) -> None:
    """More pages of a held source to show, as far as there is room."""
    known = connection.execute(select(DriftRow.examples).where(DriftRow.source_id == source_id)).scalar() or "[]"
    shown = (json.loads(known) + list(examples))[:EXAMPLES]
    values = {"examples": json.dumps(shown, ensure_ascii=False)}
    connection.execute(update(DriftRow).where(DriftRow.source_id == source_id).values(values))


def release(connection: Connection, source_id: int, state: bytes, now: dt.datetime, *, judge: bool) -> list[int]:
    """Ends a hold: what waited is read again, from the bytes that were kept; with `judge` it is judged again too.

    Returns the ids of the entries.
    """
    values: dict[str, Any] = {"held_at": None, "why": None, "examples": None, "state": state}
    connection.execute(update(DriftRow).where(DriftRow.source_id == source_id).values(values))
    waits = (EntryRow.source_id == source_id, EntryRow.reason == REASON, EntryRow.step.is_distinct_from("extract"))
    again = _again(now)
    if judge:
        again["held_page"] = None
    moved = update(EntryRow).where(*waits, EntryRow.page_id.is_not(None)).values(again).returning(EntryRow.id)
    return sorted(connection.execute(moved.execution_options(synchronize_session=False)).scalars())


def end(connection: Connection, source_id: int) -> list[int]:
    """Ends a hold without anybody's doing. Returns the entries that wait for nothing else; odd ones stay where they are."""
    values: dict[str, Any] = {"held_at": None, "why": None, "examples": None}
    connection.execute(update(DriftRow).where(DriftRow.source_id == source_id).values(values))
    waits = (EntryRow.source_id == source_id, EntryRow.reason == REASON, EntryRow.detail == AS_USUAL)
    return sorted(connection.execute(select(EntryRow.id).where(*waits)).scalars())


def send_on(connection: Connection, entry_ids: Collection[int], now: dt.datetime) -> list[int]:
    """These entries are read again, where they still wait because of their shape, and not judged. Returns those that are."""
    waits = (EntryRow.id.in_(list(entry_ids)), EntryRow.reason == REASON, EntryRow.page_id == EntryRow.held_page)
    moved = update(EntryRow).where(*waits, EntryRow.step.is_distinct_from("extract")).values(_again(now))
    return sorted(
        connection.execute(moved.returning(EntryRow.id).execution_options(synchronize_session=False)).scalars()
    )


def _again(now: dt.datetime) -> dict[str, Any]:
    """What is set where an entry is to be read again from the bytes that were kept."""
    return {
        "step": "extract", "due_at": now, "reason": None, "detail": None, "attempts": 0,
        "state": case((EntryRow.state == "quarantined", "waiting"), else_=EntryRow.state),
    }  # fmt: skip


def name_of(connection: Connection, source_id: int) -> str:
    """The source's name."""
    return str(connection.execute(select(SourceRow.name).where(SourceRow.id == source_id)).scalar_one())


def is_held(connection: Connection, source_id: int) -> bool:
    """Whether everything of the source waits."""
    found = select(DriftRow.held_at).where(DriftRow.source_id == source_id, DriftRow.held_at.is_not(None))
    return connection.execute(found).first() is not None


def held(connection: Connection) -> list[Row]:
    """The held sources, longest first: source_id, source, since, why (sentences), waiting (entries), examples."""
    found = (
        select(DriftRow.source_id, SourceRow.name.label("source"), DriftRow.held_at.label("since"), DriftRow.why, DriftRow.examples)
        .join(SourceRow, SourceRow.id == DriftRow.source_id)
        .where(DriftRow.held_at.is_not(None), SourceRow.state != "removed")
        .order_by(DriftRow.held_at, DriftRow.source_id)
    )  # fmt: skip
    rows = [dict(row) for row in connection.execute(found).mappings()]
    waiting = _waiting(connection, [row["source_id"] for row in rows])
    return [_shown(row) | {"waiting": waiting.get(row["source_id"], 0)} for row in rows]


def summary(connection: Connection, source_id: int) -> Row | None:
    """What is usual for a source and what was seen; None where nothing was ever read of it.

    usual: {records, needed, words_low, words_median, words_high, fields: {name: share}}; since: None where it is not held;
    why: sentences; waiting: entries; examples: [{entry_id, url, headline, reasons}]; odd: single pages that wait, held or not.
    """
    row = (
        connection.execute(select(*DriftRow.__table__.columns).where(DriftRow.source_id == source_id))
        .mappings()
        .first()
    )
    if row is None:
        return None
    usual = json.loads(row["state"] or b"{}").get("usual", {})
    kept = {
        "source_id": source_id,
        "since": row["held_at"],
        "why": row["why"],
        "examples": row["examples"],
        "usual": usual,
    }
    return _shown(kept) | {
        "waiting": _waiting(connection, [source_id]).get(source_id, 0),
        "odd": odd(connection, source_id),
    }


def odd(connection: Connection, source_id: int, limit: int = 20) -> list[Row]:
    """The newest entries that wait because of their shape: id, url, detail, seen_at, state."""
    columns = (EntryRow.id, EntryRow.url, EntryRow.detail, EntryRow.seen_at, EntryRow.state)
    found = select(*columns).where(EntryRow.source_id == source_id, EntryRow.reason == REASON)
    return [dict(row) for row in connection.execute(found.order_by(EntryRow.id.desc()).limit(limit)).mappings()]


def _waiting(connection: Connection, source_ids: Collection[int]) -> dict[int, int]:
    found = select(EntryRow.source_id, func.count()).where(
        EntryRow.source_id.in_(list(source_ids)), EntryRow.reason == REASON
    )
    return dict(connection.execute(found.group_by(EntryRow.source_id)).all())


def _shown(row: Row) -> Row:
    return row | {"why": (row["why"] or "").splitlines(), "examples": json.loads(row["examples"] or "[]")}
