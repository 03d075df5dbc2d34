"""The planner: events in order become deliveries. Reads and decides outside the transaction, then writes all at once.

One planner at a time (the lane "plan"), so positions follow the numbers of events.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.publish import filters, routing, sign
from shared import records
from shared.models import Row
from shared.store import articles, events, partners


class Batch(msgspec.Struct, frozen=True):
    """What the planner decided about the next events. `upto` is the number of the last of them, None where there are none."""

    planned: tuple[partners.Planned, ...] = ()
    upto: int | None = None


class Subject(msgspec.Struct, frozen=True):
    """An event with what routing must know of its article."""

    event: events.Event
    facts: routing.EventFacts
    held: bool


def decide(connection: Connection, installation: str, now: dt.datetime, limit: int) -> Batch:
    """Reads the oldest unplanned events and decides for every endpoint that had joined by then."""
    waiting = events.unplanned(connection, limit)
    if not waiting:
        return Batch()
    endpoints = partners.endpoints(connection)
    pairs = {(row["id"], event.article_id) for row in endpoints for event in waiting}
    followed = partners.followed(connection, pairs)
    planned: list[partners.Planned] = []
    for subject in subjects(connection, waiting, now):
        for row in endpoints:
            if subject.event.number > row["joined_n"]:
                planned.append(_one(subject, row, followed, installation))
                if planned[-1].webhook_id is not None:
                    followed.add((row["id"], subject.event.article_id))
    return Batch(tuple(planned), waiting[-1].number)


def decide_past(connection: Connection, installation: str, now: dt.datetime, limit: int) -> partners.Past | None:
    """Reads and decides the next piece of a history that an endpoint asked for; None where none is waited for.

    What is old goes out here although it was old when first seen: that is what was asked for.
    """
    row = partners.wanting_history(connection)
    if row is None:
        return None
    found = partners.history(connection, row, limit)
    asked = row | {"subscriptions": [wish | {"backfill": True} for wish in row["subscriptions"]]}
    planned = tuple(_one(subject, asked, set(), installation) for subject in subjects(connection, found, now))
    upto = found[-1].number if found else row["history_to"]
    return partners.Past(row["id"], planned, upto, done=len(found) < limit)


def subjects(connection: Connection, waiting: Sequence[events.Event], now: dt.datetime) -> list[Subject]:
    """Events with the facts of their revisions."""
    stored = articles.revisions(connection, {(event.article_id, event.revision) for event in waiting})
    present = {event.article_id: articles.get(connection, event.article_id) for event in waiting}
    return [
        _subject(event, *stored[event.article_id, event.revision], present[event.article_id], now) for event in waiting
    ]


def _subject(event: events.Event, record: bytes, notes: bytes | None, present: Row | None, now: dt.datetime) -> Subject:
    article = records.from_json(record, records.Article)
    annotations = records.from_json(notes, records.Annotations) if notes else records.Annotations()
    kind: Any = event.kind.rpartition(".")[2]
    embargo = present["embargo_until"] if present else None
    held = bool(present and (present["held"] or (embargo and embargo > now)))
    facts = filters.facts_of(article, annotations, kind, event.at)  # not now: asked again later, the answer is the same
    return Subject(event, routing.EventFacts(kind, event.article_id, event.revision, facts, event.backfill), held)


def _one(subject: Subject, row: Row, followed: set[tuple[int, str]], installation: str) -> partners.Planned:
    event = subject.event
    sent = (row["id"], event.article_id) in followed
    answer = routing.decide(subject.facts, endpoint_facts(row, already_sent=sent))
    if isinstance(answer, routing.Skip):
        return partners.Planned(row["id"], event, None)
    name = f"{installation}:{row['id']}"
    webhook_id = sign.delivery_id(name, event.article_id, event.revision, event.kind, event.occurrence)
    held = subject.held and event.kind != partners.WITHDRAWN
    coalesce = any(wish["coalesce"] for wish in row["subscriptions"])
    by = wanted_by(subject.facts, row, already_sent=sent) if row["kind"] != "websub" else ()
    return partners.Planned(row["id"], event, webhook_id, held, coalesce, by)


def wanted_by(facts: routing.EventFacts, row: Row, *, already_sent: bool) -> tuple[int, ...]:
    """The subscriptions that want the event for its own sake: their feeds hold its article."""
    kept = []
    for wish in endpoint_facts(row, already_sent=False).subscriptions:
        # Having the article counts where each revision is judged anew; to follow it by another's wish is no wish of its own.
        alone = routing.EndpointFacts(str(row["id"]), row["format"], (wish,), already_sent and not wish.follow)
        if isinstance(routing.decide(facts, alone), routing.Deliver):
            kept.append(int(wish.id))
    return tuple(kept)


def endpoint_facts(row: Row, *, already_sent: bool) -> routing.EndpointFacts:
    """An endpoint row as routing sees it."""
    # The hub notifies of feeds, which hold articles only.
    wishes = [
        wish | {"status_changes": wish["status_changes"] and row["kind"] != "websub"} for wish in row["subscriptions"]
    ]
    return routing.EndpointFacts(str(row["id"]), row["format"], tuple(map(_subscription, wishes)), already_sent)


def wanted(wish: Row) -> str:
    """The filter of a subscription: the operator's and the partner's own together."""
    return filters.joined(wish["filter"], wish["narrow"])


def _subscription(wish: Row) -> routing.Subscription:
    asked = {"relinked": wish["relinked"], "status_changed": wish["status_changes"]}
    more: Any = frozenset(kind for kind, is_asked in asked.items() if is_asked)
    return routing.Subscription(
        str(wish["id"]), wanted(wish), routing.USUAL_KINDS | more, wish["backfill"], wish["follow"]
    )
