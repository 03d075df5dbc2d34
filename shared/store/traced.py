"""What traces are made of: events and attempts since the last look, with the instants of everything that led to them."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, and_, func, select
from sqlalchemy.orm import aliased

from shared.models import (
    AttemptRow,
    DeliveryRow,
    EndpointRow,
    EntryRow,
    EventRow,
    MetaRow,
    PageRow,
    PartnerRow,
    RevisionRow,
    Row,
)
from shared.store.rows import upsert

_KEYS = ("traced.event", "traced.attempt")


class Cursor(NamedTuple):
    """The last event and the last attempt that traces were made of."""

    event: int
    attempt: int


def cursor(connection: Connection) -> Cursor:
    """How far traces are; at first as far as the ledger is: history is not traced."""
    kept = dict(connection.execute(select(MetaRow.key, MetaRow.value).where(MetaRow.key.in_(_KEYS))).all())
    if len(kept) == len(_KEYS):
        return Cursor(*(int(kept[key]) for key in _KEYS))
    event = connection.execute(select(func.max(EventRow.number))).scalar() or 0
    return Cursor(event, connection.execute(select(func.max(AttemptRow.id))).scalar() or 0)


def keep_cursor(connection: Connection, reached: Cursor) -> None:
    """Traces are made of everything up to there."""
    upsert(
        connection,
        MetaRow,
        [{"key": key, "value": str(n)} for key, n in zip(_KEYS, reached, strict=True)],
        conflict=["key"],
    )


def events_after(connection: Connection, number: int, limit: int) -> list[Row]:
    """Events with the instants of their revision: when its entry was seen, its page fetched, itself stored.

    `first` is the number of the first event of the same revision: the way up to there belongs to that one.
    """
    other = aliased(EventRow)
    same = and_(other.article_id == EventRow.article_id, other.revision == EventRow.revision)
    first = select(func.min(other.number)).where(same).scalar_subquery()
    found = (
        select(
            EventRow.number, EventRow.kind, EventRow.article_id, EventRow.revision, EventRow.at, first.label("first"),
            RevisionRow.at.label("stored_at"), RevisionRow.entry_id, PageRow.fetched_at, PageRow.status, PageRow.size, EntryRow.seen_at,
        )
        .outerjoin(RevisionRow, and_(RevisionRow.article_id == EventRow.article_id, RevisionRow.revision == EventRow.revision))
        .outerjoin(PageRow, PageRow.id == RevisionRow.page_id)
        .outerjoin(EntryRow, EntryRow.id == RevisionRow.entry_id)
        .where(EventRow.number > number)
        .order_by(EventRow.number)
        .limit(limit)
    )  # fmt: skip
    return [dict(row) for row in connection.execute(found).mappings()]


def attempts_after(connection: Connection, attempt_id: int, limit: int) -> list[Row]:
    """Attempts with what they were of and whom they went to."""
    columns = (AttemptRow.id, AttemptRow.number, AttemptRow.at, AttemptRow.duration_ms, AttemptRow.outcome, AttemptRow.status,
               AttemptRow.reason, DeliveryRow.event_number, DeliveryRow.article_id, DeliveryRow.revision, DeliveryRow.kind,
               DeliveryRow.webhook_id, AttemptRow.endpoint_id, PartnerRow.name.label("partner"))  # fmt: skip
    found = (
        select(*columns)
        .join(DeliveryRow, DeliveryRow.id == AttemptRow.delivery_id)
        .join(EndpointRow, EndpointRow.id == AttemptRow.endpoint_id)
        .join(PartnerRow, PartnerRow.id == EndpointRow.partner_id)
        .where(AttemptRow.id > attempt_id)
        .order_by(AttemptRow.id)
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(found).mappings()]


def is_kept(connection: Connection) -> bool:
    """Whether it was ever written down how far traces are."""
    return bool(connection.execute(select(MetaRow.key).where(MetaRow.key == _KEYS[0])).first())
