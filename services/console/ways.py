"""An article's id in; everything the store knows of it, and its way through the wire as one list of steps, out."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.ingest import normalise
from shared import records, urls
from shared.errors import Rejected
from shared.store import articles, console, events, partners


class Step(msgspec.Struct, frozen=True):
    """One thing that happened to an article, or is still to happen (`at` is then when it is due, None: unknown)."""

    at: dt.datetime | None
    stage: str
    what: str
    ok: bool = True


class Whole(msgspec.Struct, frozen=True):
    """Everything about one article; rows as plain dicts."""

    article: records.Article
    annotations: records.Annotations
    state: dict[str, Any]
    similar: list[dict[str, Any]]
    revisions: list[dict[str, Any]]
    deliveries: list[dict[str, Any]]
    way: list[Step]


def find(connection: Connection, wanted: str) -> str:
    """The id of the article that an id, the beginning of one, or a URL names. OperatorError where there is none."""
    try:
        identity = normalise.identity_of(urls.canonical(wanted), "", "", "")
    except Rejected:
        identity = None
    return console.find_article(connection, wanted, identity)


def whole(connection: Connection, article_id: str) -> Whole:
    """Everything about an article that exists."""
    present, stored = articles.get(connection, article_id), articles.revision(connection, article_id)
    assert present is not None  # whoever calls has found the id in this snapshot
    assert stored is not None
    record, notes = stored
    state = {
        key: present[key] for key in ("state", "held", "embargo_until", "reason", "backfill", "first_seen_at", "due_at")
    }
    deliveries = partners.deliveries_of(connection, article_id)
    attempts = partners.attempts_of(connection, [row["id"] for row in deliveries])
    for row in deliveries:
        row["attempts_made"] = [dict(one) for one in attempts if one["delivery_id"] == row["id"]]
    return Whole(
        msgspec.structs.replace(record, state="withdrawn") if present["state"] == "withdrawn" else record, notes, state,
        articles.links_of(connection, article_id), articles.history(connection, article_id), deliveries,
        way(connection, article_id, present, deliveries),
    )  # fmt: skip


def way(
    connection: Connection, article_id: str, present: dict[str, Any], deliveries: list[dict[str, Any]]
) -> list[Step]:
    """What happened to the article, oldest first; what is still to come stands last."""
    steps = [*_ingest(connection, article_id), *_revisions(connection, article_id), *_events(connection, article_id)]
    for row in deliveries:
        steps.extend(_delivery(row))
    if present["due_at"] is not None:
        steps.append(Step(present["due_at"], "enrich", "waits for enrichment"))
    elif present["enriched_revision"] < present["revision"]:
        steps.append(Step(None, "enrich", f"stands still: {present['reason'] or 'unknown'}", ok=False))
    return sorted(steps, key=lambda step: (step.at is None, step.at or dt.datetime.max.replace(tzinfo=dt.UTC)))


def _ingest(connection: Connection, article_id: str) -> list[Step]:
    steps, entries = [], console.entries_of(connection, article_id)
    for row in entries:
        old = ", back-fill" if row["backfill"] else ""
        steps.append(
            Step(
                row["seen_at"],
                "seen",
                f"by source {row['source']} as entry {row['id']}{old}: {row['url'] or 'no link'}",
            )
        )
        if row["state"] not in ("stored", "duplicate"):
            why = f" ({row['reason']}: {row['detail']})" if row["reason"] else ""
            steps.append(Step(None, "entry", f"entry {row['id']} is {row['state']}{why}", ok=row["state"] == "waiting"))
        elif row["step"] == "fetch" and row["due_at"] is not None:
            steps.append(Step(row["due_at"], "revisit", f"entry {row['id']} is looked at again"))
    for row in console.fetches_of(connection, [row["id"] for row in entries]):
        what = f"{row['status']} {row['final_url'] or 'pushed in'}, {row['size']:,} bytes, page {row['id']}"
        steps.append(Step(row["fetched_at"], "fetched", what))
    return steps


def _revisions(connection: Connection, article_id: str) -> list[Step]:
    return [Step(row["at"], "stored", f"revision {row['revision']} ({row['kind']})")
            for row in articles.history(connection, article_id)]  # fmt: skip


def _events(connection: Connection, article_id: str) -> list[Step]:
    return [Step(event.at, "event", f"number {event.number}: {event.kind} r{event.revision}")
            for event in events.of_article(connection, article_id)]  # fmt: skip


def _delivery(row: dict[str, Any]) -> list[Step]:
    steps = []
    for one in row["attempts_made"]:
        said = " ".join(str(part) for part in (one["status"], one["reason"]) if part is not None)
        what = f"to {row['partner']}: {row['kind']} r{row['revision']}, attempt {one['number']}: {one['outcome']} {said}".rstrip()
        steps.append(Step(one["at"], "sent", f"{what}, {one['duration_ms']} ms", ok=one["outcome"] == "delivered"))
    if row["state"] != "delivered":
        why = f" ({row['reason']})" if row["reason"] else ""
        what = f"to {row['partner']}: {row['kind']} r{row['revision']} is {row['state']}{why}"
        steps.append(Step(row["due_at"], "delivery", what, ok=row["state"] in ("due", "held", "superseded")))
    return steps
