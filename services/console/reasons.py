"""Why a partner got an article or did not, and what another filter would have changed. The store's history in, answers out.

Both ask the rules again that the planner asked, over the facts as they were when each event happened.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

import msgspec
from sqlalchemy import Connection

from services.publish import filters, planning, routing
from shared.errors import OperatorError
from shared.models import Row
from shared.store import desk, events, partners

BATCH = 200


class Missed(msgspec.Struct, frozen=True):
    """A clause that decided against the article, and what the article has there."""

    clause: str
    value: str


class Answer(msgspec.Struct, frozen=True):
    """What one subscription says by itself."""

    subscription: str
    filter: str
    takes: bool
    because: str
    missed: tuple[Missed, ...] = ()


class Why(msgspec.Struct, frozen=True):
    """One endpoint and one event of the article. `went` is None where that is not settled yet.

    `standing` is the delivery's state ("delivered", "due", "held", "superseded", "quarantined"), else "filtered", "unplanned" or
    "before" (the endpoint joined later). `omitted` are fields that the format could not hold.
    """

    endpoint_id: int
    kind: str
    url: str
    event: int
    what: str
    revision: int
    at: dt.datetime
    went: bool | None
    standing: str
    because: str
    position: int | None = None
    attempts: int = 0
    answered: str = ""
    omitted: tuple[str, ...] = ()
    subscriptions: tuple[Answer, ...] = ()


def explain(connection: Connection, partner: str, article_id: str, now: dt.datetime) -> list[Why]:
    """Every event of the article, for each of the partner's own endpoints. OperatorError: no such partner."""
    rows = [row for row in partners.of_partner(connection, partner) if row["kind"] != "websub"]
    logged = events.of_article(connection, article_id)
    owed = partners.deliveries_of(connection, article_id)
    _, planned = events.head(connection)
    subjects = planning.subjects(connection, logged, now)
    return [_why(connection, row, subject, owed, planned) for row in rows for subject in subjects]


def _why(connection: Connection, row: Row, subject: planning.Subject, owed: Sequence[Row], planned: int) -> Why:
    event = subject.event
    mine = [one for one in owed if one["endpoint_id"] == row["id"]]
    had = any(
        one["event_number"] < event.number and (one["begun"] or one["state"] in ("due", "held", "delivered"))
        for one in mine
        if one["kind"] != events.SECTION
    )
    asked = routing.explain(subject.facts, planning.endpoint_facts(row, already_sent=had))
    delivery = next((one for one in mine if one["event_number"] == event.number), None)
    why = Why(row["id"], row["kind"], row["url"], event.number, event.kind.removeprefix("article."), event.revision, event.at,
              None, "", "", subscriptions=tuple(map(_answer, asked.reasons)))  # fmt: skip
    if delivery is None:
        return _not_owed(why, row, asked.answer, planned)
    attempts = partners.attempts_of(connection, [delivery["id"]])
    last = " ".join(str(part) for part in (attempts[-1]["status"], attempts[-1]["reason"]) if part) if attempts else ""
    return msgspec.structs.replace(
        why, went=_WENT.get(delivery["state"], False), standing=delivery["state"], because=_owed(delivery, asked.answer, subject),
        position=delivery["position"], attempts=len(attempts), answered=last, omitted=tuple((delivery["omitted"] or "").split()),
    )  # fmt: skip


_WENT: dict[str, bool | None] = {"delivered": True, "due": None, "held": None}


def _owed(delivery: Row, answer: routing.Deliver | routing.Skip, subject: planning.Subject) -> str:
    """Why there is a delivery, or why it stands still."""
    match delivery["state"]:
        case "held":
            return "The desk holds the article, or it is under embargo; it goes when it is released."
        case "superseded":
            return "It gave way before it was sent: to a newer revision, or to the article's withdrawal."
        case "quarantined":
            return f"No attempt was accepted ({delivery['reason'] or 'unknown'}); it waits in quarantine."
    if isinstance(answer, routing.Deliver):
        return answer.because
    if subject.event.kind == partners.WITHDRAWN:
        return "The endpoint has, or may have, the article that is withdrawn."
    return "It was planned when the filters were others, or by a history that was asked for."


def _not_owed(why: Why, row: Row, answer: routing.Deliver | routing.Skip, planned: int) -> Why:
    if why.event <= row["joined_n"]:
        because = "The endpoint joined after this event; `partner subscription change --days` brings the last days."
        return msgspec.structs.replace(why, went=False, standing="before", because=because)
    if why.event > planned:
        return msgspec.structs.replace(why, standing="unplanned", because="The planner comes to it within moments.")
    said = (
        answer.sentence
        if isinstance(answer, routing.Skip)
        else "As the filters are now it would go; when it happened they were others."
    )
    return msgspec.structs.replace(why, went=False, standing="filtered", because=said)


def _answer(reason: routing.Reason) -> Answer:
    takes = isinstance(reason.answer, routing.Deliver)
    said = reason.answer.because if isinstance(reason.answer, routing.Deliver) else reason.answer.sentence
    missed = tuple(Missed(one.part, _shown(one.value)) for one in reason.missed)
    return Answer(reason.subscription, _text(reason.filter), takes, said, missed)


def _text(explained: filters.Explained) -> str:
    """The filter as it was asked, from its explanation; empty where it matches everything."""
    match explained.part, explained.parts:
        case "not", (inner,):
            return f"not ({_text(inner)})" if inner.parts else f"not {_text(inner)}"
        case ("and" | "or") as word, parts:
            return f" {word} ".join(
                f"({_text(one)})" if one.parts and one.part != word else _text(one) for one in parts
            )
        case part, _:
            return part


def _shown(value: object) -> str:
    if value is None or value in ("", [], ()):
        return "nothing"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


# Another filter over history


class Example(msgspec.Struct, frozen=True):
    """An article that the other filter adds or drops."""

    article_id: str
    headline: str
    at: dt.datetime


class Tried(msgspec.Struct, frozen=True):
    """What another filter changes over the articles since `since`: how many it adds and drops, some of them, how many match both
    filters, how many neither. `old` of the articles were back-fill and count only where the subscription takes that."""

    endpoint_id: int
    subscription: int
    before: str
    after: str
    since: dt.datetime
    articles: int
    both: int
    neither: int
    added: int
    dropped: int
    old: int
    adds: tuple[Example, ...]
    drops: tuple[Example, ...]


def backtest(connection: Connection, row: Row, wish: Row, after: str, since: dt.datetime, examples: int,
             went_on: Callable[[int], object] = lambda n: None) -> Tried:  # fmt: skip
    """What the filter `after`, in the place of the subscription's, would have let through of what was published since then.

    Articles count once, by the newest of their events. FilterError where `after` does not parse. `went_on` is told how many
    articles have been looked at.
    """
    others = [planning.wanted(one) for one in row["subscriptions"] if one["id"] != wish["id"]]
    before, new = planning.wanted(wish), filters.joined(after, wish["narrow"])
    tests = [filters.compiled(text) for text in others]
    old, fresh = filters.compiled(before), filters.compiled(new)
    counts, found = {"both": 0, "neither": 0, "old": 0}, {"adds": list[events.Event](), "drops": list[events.Event]()}
    looked = 0
    for event, facts in _history(connection, since):
        looked += 1
        went_on(looked)
        if event.backfill and not wish["backfill"]:
            counts["old"] += 1
            continue
        rest = any(test(facts) for test in tests)
        was, would = rest or old(facts), rest or fresh(facts)
        if was == would:
            counts["both" if was else "neither"] += 1
        else:
            found["adds" if would else "drops"].append(event)
    shown = {name: _examples(connection, some[-examples:][::-1]) for name, some in found.items()}
    return Tried(
        row["id"], wish["id"], before, new, since, looked, counts["both"], counts["neither"], len(found["adds"]),
        len(found["drops"]), counts["old"], shown["adds"], shown["drops"],
    )  # fmt: skip


def _history(connection: Connection, since: dt.datetime) -> Iterator[tuple[events.Event, filters.Facts]]:
    """The newest event of every article since then that carries its text, in order, with its facts."""
    logged = events.newest_since(connection, since)
    for start in range(0, len(logged), BATCH):
        for subject in planning.subjects(connection, logged[start : start + BATCH], since):
            yield subject.event, subject.facts.facts


def _examples(connection: Connection, found: Sequence[events.Event]) -> tuple[Example, ...]:
    headlines = desk.headlines(connection, [event.article_id for event in found])
    return tuple(Example(event.article_id, headlines[event.article_id], event.at) for event in found)


def one_endpoint(connection: Connection, partner: str, wanted: int | None) -> Row:
    """The partner's endpoint of that id, or its only one. OperatorError where that does not name one."""
    rows = [row for row in partners.of_partner(connection, partner) if row["kind"] != "websub"]
    named = [row for row in rows if wanted in (None, row["id"])]
    if len(named) == 1:
        return named[0]
    ids = ", ".join(str(row["id"]) for row in rows)
    if wanted is None:
        raise OperatorError(f"{partner} has several endpoints: {ids}.", "Name one with --endpoint.")
    raise OperatorError(f"{partner} has no endpoint {wanted}.", f"It has: {ids}.")


def one_subscription(row: Row, wanted: int | None) -> Row:
    """The endpoint's subscription of that id, or its only one. OperatorError where that does not name one."""
    wishes = row["subscriptions"]
    named: list[Row] = [wish for wish in wishes if wanted in (None, wish["id"])]
    if len(named) == 1:
        return named[0]
    ids = ", ".join(str(wish["id"]) for wish in wishes) or "none"
    raise OperatorError(
        f"Endpoint {row['id']} has these subscriptions: {ids}.", "Name one of them with --subscription."
    )
