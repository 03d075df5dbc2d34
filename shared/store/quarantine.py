"""What waits for a person, by query: entries, articles that enrichment could not pass on, deliveries. Criteria in, pieces or groups out.

    Query | one condition a kind | groups (how many, by owner and reason) or pieces, newest first

A query is also a text, `kind=entry&source=harbour`, so that a page, a form and an action can mean the same by it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from sqlalchemy import Connection, Select, Text, cast, false, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from shared.errors import OperatorError
from shared.models import ArticleRow, DeliveryRow, EndpointRow, EntryRow, EventRow, PartnerRow, Row, SourceRow

KINDS = ("entry", "delivery", "article")

STUCK = (
    ArticleRow.due_at.is_(None),
    ArticleRow.enriched_revision < ArticleRow.revision,
    ArticleRow.reason.is_not(None),
)
"""The condition on `ArticleRow`: enrichment gave it up."""


class Query(msgspec.Struct, frozen=True):
    """Which pieces. Empty criteria leave all; `source` fits entries and articles, `partner` and `endpoint` deliveries.

    words: each stands in the reason, what it is, what went wrong or the name of its source or partner. since, until: when it
    came in (an entry first seen, an article stored, the event of a delivery logged); since included, until not.
    keys: only these of them, "entry:7".
    """

    kind: str = ""
    reason: str = ""
    source: str = ""
    partner: str = ""
    endpoint: int | None = None
    words: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    keys: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that can fit it."""
        of_partner = bool(self.partner) or self.endpoint is not None
        fit = {"entry": not of_partner, "article": not of_partner, "delivery": not self.source}
        return tuple(kind for kind in KINDS if fit[kind] and self.kind in ("", kind))


def read(given: Mapping[str, str]) -> Query:
    """The query that a form or an address gives; OperatorError says which part of it is none."""
    texts = {name: given.get(name, "").strip() for name in ("kind", "reason", "source", "partner", "words")}
    if texts["kind"] not in ("", *KINDS):
        raise OperatorError(f"There is no kind {texts['kind'][:40]}.", "There are entry, article and delivery.")
    endpoint = given.get("endpoint", "").strip()
    if endpoint and not (endpoint.isascii() and endpoint.isdigit() and len(endpoint) < 19):
        raise OperatorError(f"{endpoint[:40]} is no endpoint.", "`briefwire partner list` shows their numbers.")
    return Query(
        **texts, endpoint=int(endpoint) if endpoint else None, since=_instant(given.get("since", "")),
        until=_instant(given.get("until", "")), keys=tuple(given.get("keys", "").split()),
    )  # fmt: skip


def _instant(text: str) -> dt.datetime | None:
    if not text.strip():
        return None
    try:
        at = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        what = f"{text.strip()[:40]} is no instant."
        raise OperatorError(what, "Write it as 2026-05-20 or 2026-05-20 18:00, in UTC.") from None
    return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)


def given(query: Query) -> dict[str, str]:
    """Its criteria as texts, without the empty ones: what `read` takes."""
    plain = msgspec.structs.asdict(query) | {"keys": " ".join(query.keys)}
    for name in ("since", "until"):
        plain[name] = plain[name].isoformat() if plain[name] else ""
    return {name: str(value) for name, value in plain.items() if value not in ("", None)}


def as_text(query: Query) -> str:
    """The query in one line."""
    return urlencode(given(query))


def from_text(text: str) -> Query:
    """The query that `as_text` wrote."""
    return read(dict(parse_qsl(text)))


def found(connection: Connection, query: Query, limit: int) -> list[Row]:
    """At most `limit` pieces, newest first within their kind. `key` names each: "entry:7"; `of` is its source or partner."""
    rows: list[Row] = []
    for kind in query.kinds:
        shown = _FROM[kind](query).limit(limit - len(rows))
        rows += [_piece(kind, dict(row)) for row in connection.execute(shown).mappings()]
    return rows


def groups(connection: Connection, query: Query) -> list[Row]:
    """How many there are by kind, owner and reason, largest group first; each with when the oldest came in and its newest id."""
    rows: list[Row] = []
    for kind in query.kinds:
        every = _FROM[kind](query).order_by(None).subquery()
        by = (every.c.owner_id, every.c.of.label("owner"), every.c.reason)
        counted = select(
            *by, func.count().label("n"), func.min(every.c.at).label("since"), func.max(every.c.id).label("sample")
        )
        grouped = connection.execute(counted.group_by(every.c.owner_id, every.c.of, every.c.reason)).mappings()
        rows += [dict(row) | {"kind": kind} for row in grouped]
    return sorted(rows, key=lambda row: (-row["n"], row["kind"], row["owner"]))


def count(connection: Connection, query: Query) -> dict[str, int]:
    """How many there are, by kind; kinds of which there are none are left out."""
    counted: dict[str, int] = {}
    for kind in query.kinds:
        every = _FROM[kind](query).order_by(None).subquery()
        if n := connection.execute(select(func.count()).select_from(every)).scalar_one():
            counted[kind] = n
    return counted


def mark(keys: Collection[str]) -> str:
    """A short sign of exactly these pieces: two looks with the same sign saw the same."""
    return hashlib.sha256(" ".join(sorted(keys)).encode()).hexdigest()[:16]


def retry_article(connection: Connection, article_id: str, now: dt.datetime) -> bool:
    """An article that enrichment gave up waits for it again. False: it does not stand still."""
    again = update(ArticleRow).where(ArticleRow.id == article_id, *STUCK).values(due_at=now, attempts=0, reason=None)
    return bool(connection.execute(again).rowcount)


def _piece(kind: str, row: Row) -> Row:
    row["key"] = f"{kind}:{row['id']}"
    if kind == "delivery":
        row["what"] = f"{row['article_id']} r{row['revision']} {row['event']} {row['what']}"
    return {name: row[name] for name in ("key", "of", "what", "reason", "detail", "at")}


def _entries(query: Query) -> Select[Any]:
    columns = (EntryRow.id, EntryRow.url.label("what"), EntryRow.reason, EntryRow.detail, EntryRow.seen_at.label("at"),
               SourceRow.id.label("owner_id"), SourceRow.name.label("of"))  # fmt: skip
    every = select(*columns).join(SourceRow, SourceRow.id == EntryRow.source_id)
    every = every.where(EntryRow.state == "quarantined").order_by(EntryRow.id.desc())
    return _narrowed(every, query, "entry", EntryRow.id, EntryRow.seen_at, SourceRow.name,
                     (EntryRow.reason, EntryRow.url, EntryRow.detail, SourceRow.name))  # fmt: skip


def _articles(query: Query) -> Select[Any]:
    columns = (ArticleRow.id, ArticleRow.headline.label("what"), ArticleRow.reason, cast(None, Text).label("detail"),
               ArticleRow.first_seen_at.label("at"), SourceRow.id.label("owner_id"), SourceRow.name.label("of"))  # fmt: skip
    every = select(*columns).join(SourceRow, SourceRow.id == ArticleRow.source_id)
    every = every.where(*STUCK).order_by(ArticleRow.first_seen_at.desc(), ArticleRow.id)
    return _narrowed(every, query, "article", ArticleRow.id, ArticleRow.first_seen_at, SourceRow.name,
                     (ArticleRow.reason, ArticleRow.headline, ArticleRow.id, SourceRow.name))  # fmt: skip


def _deliveries(query: Query) -> Select[Any]:
    columns = (DeliveryRow.id, ArticleRow.headline.label("what"), DeliveryRow.reason, cast(None, Text).label("detail"),
               EventRow.at.label("at"), EndpointRow.id.label("owner_id"), PartnerRow.name.label("of"), DeliveryRow.article_id,
               DeliveryRow.revision, DeliveryRow.kind.label("event"))  # fmt: skip
    every = (
        select(*columns)
        .join(EndpointRow, EndpointRow.id == DeliveryRow.endpoint_id)
        .join(PartnerRow, PartnerRow.id == EndpointRow.partner_id)
        .join(EventRow, EventRow.number == DeliveryRow.event_number)
        .outerjoin(ArticleRow, ArticleRow.id == DeliveryRow.article_id)
        .where(DeliveryRow.state == "quarantined")
        .order_by(DeliveryRow.id.desc())
    )
    if query.endpoint is not None:
        every = every.where(DeliveryRow.endpoint_id == query.endpoint)
    return _narrowed(every, query, "delivery", DeliveryRow.id, EventRow.at, PartnerRow.name,
                     (DeliveryRow.reason, DeliveryRow.article_id, DeliveryRow.kind, ArticleRow.headline, PartnerRow.name))  # fmt: skip


_FROM = {"entry": _entries, "article": _articles, "delivery": _deliveries}


def _narrowed(
    every: Any, query: Query, kind: str, id_: InstrumentedAttribute[Any], at: InstrumentedAttribute[Any],
    owner: InstrumentedAttribute[str], texts: tuple[InstrumentedAttribute[Any], ...],
) -> Select[Any]:  # fmt: skip
    """The criteria that all kinds share."""
    reason, name = texts[0], query.partner or query.source
    chosen: Select[Any] = every.where(reason == query.reason) if query.reason else every
    chosen = chosen.where(owner == name) if name else chosen
    chosen = chosen.where(at >= query.since) if query.since else chosen
    chosen = chosen.where(at < query.until) if query.until else chosen
    for word in query.words.split():
        if word.lower() != kind:
            chosen = chosen.where(or_(*(text.icontains(word, autoescape=True) for text in texts)))
    return chosen.where(_named(kind, id_, query.keys)) if query.keys else chosen


def _named(kind: str, id_: InstrumentedAttribute[Any], keys: Collection[str]) -> Any:
    ids = [key.partition(":")[2] for key in keys if key.startswith(f"{kind}:")]
    wanted = ids if kind == "article" else [int(one) for one in ids if one.isdecimal() and len(one) < 19]
    return id_.in_(wanted) if wanted else false()
