"""What a person may do to the wire: one function an action, a table of them, and one way through: `perform`.

    action name + target -> effect (a sentence, before) -> perform (one transaction with its line in the audit) -> what was done

The web pages and the command line use the same table, so the same words mean the same. Targets are ids: a source's, an
entry's, an endpoint's, a delivery's, an article's, a host ("news.example"), or a group of the quarantine
("entry:SOURCE:REASON", "delivery:ENDPOINT:REASON"), a query over it ("reason=http-500&partner=desk"), a stage ("deliver"),
a kind of worker ("fetch"), or the whole "wire".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection

from services.console import redrive, subscribing, word
from services.console.accounts import Role
from services.ingest import drift
from services.publish import sign
from shared import pipeline, vault
from shared.errors import OperatorError
from shared.models import Row
from shared.records import to_json
from shared.store import articles, desk, events, installation, intake, lanes, partners, rulings, switches, workers
from shared.store import drift as drifted

if TYPE_CHECKING:
    from shared.queue import Work
    from shared.settings import Settings

Kind = Literal[
    "source", "host", "partner", "article", "delivery", "entry", "group", "query", "stage", "worker", "wire",
    "subscription",
]  # fmt: skip

AT_ONCE = 1000
"""How many of a group one action moves; the rest stays and can be moved by doing it again."""


class Field(msgspec.Struct, frozen=True):
    """Something the person has to fill in. kind: text, number, datetime (local to UTC), flag (yes, no or left empty)."""

    name: str
    label: str
    kind: Literal["text", "number", "datetime", "flag"] = "text"
    hint: str = ""
    optional: bool = False


class Subject(NamedTuple):
    """What an action is about: its name for people, and its row."""

    name: str
    row: Row


class Order(NamedTuple):
    """One action to carry out. `randomness` are 32 fresh bytes, for actions that make a secret."""

    work: Work
    subject: Subject
    fields: Mapping[str, str]
    reason: str
    folder: Path
    randomness: bytes
    who: str = ""


class Done(msgspec.Struct, frozen=True):
    """What was done, in one sentence; `secret` is to be shown once and kept nowhere."""

    said: str
    secret: str | None = None


class Action(msgspec.Struct, frozen=True):
    """One entry of the table. `effect` is a sentence with {name} in it; `grave` ones are painted so. `judge` asks the world about
    the fields, before the transaction: OperatorError where it must not be done."""

    name: str
    title: str
    kind: Kind
    effect: str
    run: Callable[[Order], Done]
    role: Role = "operator"
    fields: tuple[Field, ...] = ()
    needs_reason: bool = False
    grave: bool = False
    judge: Callable[[Settings, Mapping[str, str]], None] | None = None


def subject_of(connection: Connection, kind: Kind, target: str) -> Subject:
    """What the target names. OperatorError: there is no such thing."""
    found = _FINDERS[kind](connection, target)
    if found is None:
        raise OperatorError(f"There is no {kind} {target[:80]}.", "It may have been removed; go back and look again.")
    return found


def effect(action: Action, subject: Subject) -> str:
    """What doing it will mean, in one or two sentences."""
    sentence = action.effect.replace("{name}", subject.name)
    return sentence[:1].upper() + sentence[1:]


def perform(action: Action, work: Work, who: str, target: str, *, reason: str = "", fields: Mapping[str, str] | None = None,
            folder: Path, randomness: bytes) -> Done:  # fmt: skip
    """Carries the action out and writes who did it into the audit, both in the transaction of `work`.

    Raises:
        OperatorError: there is no such target, a field or the reason is missing, or its state does not allow it.
    """
    if action.needs_reason and not reason.strip():
        raise OperatorError("A reason is needed: it stands in the audit.", "Write why, in a few words.")
    subject = subject_of(work.connection, action.kind, target)
    done = action.run(Order(work, subject, fields or {}, reason.strip()[:500], folder, randomness, who))
    installation.audit(work.connection, who, action.name, subject.name, reason.strip()[:500], work.now)
    return done


def _done(said: str, secret: str | None = None) -> Done:
    """What was done, as a sentence that begins with a capital."""
    return Done(said[:1].upper() + said[1:], secret)


# Sources and hosts


def pause_source(order: Order) -> Done:
    intake.set_source(order.work.connection, order.subject.row["id"], state="paused")
    return _done(f"{order.subject.name} is paused.")


def resume_source(order: Order) -> Done:
    row = order.subject.row
    intake.set_source(order.work.connection, row["id"], state="active", failures=0,
                      due_at=None if row["kind"] == "push" else order.work.now)  # fmt: skip
    order.work.ring("source.due", [row["id"]])
    return _done(f"{order.subject.name} is active and polled now.")


def poll_source(order: Order) -> Done:
    row = order.subject.row
    if row["state"] != "active" or row["kind"] == "push":
        raise OperatorError(
            f"{order.subject.name} is not polled: it is {row['state']}, kind {row['kind']}.", "Resume it first."
        )
    intake.set_source(order.work.connection, row["id"], due_at=order.work.now)
    order.work.ring("source.due", [row["id"]])
    return _done(f"{order.subject.name} is polled now.")


def release_source(order: Order) -> Done:
    return _released(order, as_it_is=False)


def accept_source(order: Order) -> Done:
    return _released(order, as_it_is=True)


def _released(order: Order, *, as_it_is: bool) -> Done:
    """What waits because its shape changed is read again: judged again too, or taken as it is and the habits forgotten."""
    row, work = order.subject.row, order.work
    kept = drifted.load(work.connection, [row["id"]])[row["id"]]
    if kept["held_at"] is None and not drifted.odd(work.connection, row["id"], 1):
        raise OperatorError(
            f"Nothing of {order.subject.name} waits.", "`briefwire source list` shows which sources are held."
        )
    state = to_json(drift.released(drift.read(kept["state"]), forget=as_it_is))
    ids = drifted.release(work.connection, row["id"], state, work.now, judge=not as_it_is)
    work.ring("page.fetched", ids)
    how = "as they are; its habits are learned anew" if as_it_is else "again, and judged again"
    return _done(f"{order.subject.name} is released: {len(ids)} entries are read {how}.")


def pause_host(order: Order) -> Done:
    lanes.pause(order.work.connection, order.subject.row["key"], paused=True)
    return Done(f"Nothing more is fetched from {order.subject.name}.")


def resume_host(order: Order) -> Done:
    lanes.pause(order.work.connection, order.subject.row["key"], paused=False)
    desk.open_lane(order.work.connection, order.subject.row["key"])
    order.work.ring("host.due", [order.subject.row["key"]])
    return _done(f"{order.subject.name} is fetched from again.")


# Stages, workers, the whole wire


def pause_stage(order: Order) -> Done:
    row = order.subject.row
    if not switches.turn_off(order.work.connection, row["name"], order.who, order.reason, order.work.now):
        raise OperatorError(f"{order.subject.name} is paused already.", "Resume it to have it work again.")
    return _done(f"{order.subject.name} is paused: workers finish what they hold and take nothing more of it.")


def resume_stage(order: Order) -> Done:
    if not switches.turn_on(order.work.connection, order.subject.row["name"]):
        raise OperatorError(f"{order.subject.name} is not paused.", "Nothing is left to do.")
    return _done(f"{order.subject.name} works again; what waited goes on within a second.")


def drain_wire(order: Order) -> Done:
    switches.turn_off(order.work.connection, switches.DRAIN, order.who, order.reason, order.work.now)
    n = sum(switches.in_hand(order.work.connection, order.work.now).values())
    return Done(f"No worker takes anything new; {n} pieces are still in hand. When that is 0, a deploy is safe.")


def resume_wire(order: Order) -> Done:
    if not switches.turn_on(order.work.connection, switches.DRAIN):
        raise OperatorError("The wire is not drained.", "`briefwire queues` shows whether a single stage is paused.")
    return Done("The workers take up work again; what waited goes on within a second.")


POOLS = {"threads": ("threads", 256), "prefork": ("processes", 64)}
"""Pool -> what it is made of, and how many of them one worker may have."""


def set_workers(order: Order) -> Done:
    n, name = _number(order, "at_once"), order.subject.name
    words, most = POOLS[order.subject.row["pool"]]
    if n > most:
        raise OperatorError(f"A worker may have at most {most} {words}.", "Choose fewer, or run more workers.")
    workers.set_size(order.work.connection, order.subject.row["name"], n, order.who, order.work.now)
    if n == 0:
        return _done(f"{name} goes back to what the settings say, within some seconds.")
    return _done(f"{name} has {n} {words} within some seconds, and after each start.")


# Partners


def pause_partner(order: Order) -> Done:
    return _set_partner(order, "paused", "Nothing is sent to {name}; its backlog waits.")


def resume_partner(order: Order) -> Done:
    done = _set_partner(order, "active", "{name} is sent its backlog now.")
    return _ring_partner(order, done)


def try_partner(order: Order) -> Done:
    row = order.subject.row
    if row["state"] != "active":
        raise OperatorError(f"{order.subject.name} is {row['state']}.", "Resume it first.")
    return _ring_partner(order, _done(f"{order.subject.name} is tried now."))


def replay_partner(order: Order) -> Done:
    first, last = _number(order, "first"), _number(order, "last")
    if last < first:
        raise OperatorError("The last position is before the first.", "Give them the other way round.")
    row = order.subject.row
    n = desk.replay(order.work.connection, row["id"], first, last, order.work.now)
    order.work.ring("endpoint.due", [lanes.endpoint_lane(row["id"])])
    return Done(f"{n} deliveries go to {order.subject.name} again, in order, under their old ids.")


def rotate_secret(order: Order) -> Done:
    row = order.subject.row
    if row["kind"] != "webhook":
        raise OperatorError(
            f"{order.subject.name} takes files; nothing is signed for it.", "There is no secret to rotate."
        )
    kept = vault.unseal(order.folder, row["secrets"])
    secret, verifier = sign.fresh(kept[0] if kept else "v1", order.randomness)
    partners.set_endpoint(order.work.connection, row["id"], secrets=vault.seal(order.folder, [secret, *kept[:1]]))
    return _done(
        f"{order.subject.name} has a new secret; both it and the one before sign until the next rotation.", verifier
    )


def set_concurrency(order: Order) -> Done:
    n = _number(order, "at_once")
    if not 1 <= n <= 64:
        raise OperatorError("Between 1 and 64 may be in flight at once.", "Choose a number in that range.")
    partners.set_endpoint(order.work.connection, order.subject.row["id"], concurrency=n)
    return Done(f"At most {n} deliveries to {order.subject.name} are in flight at once.")


def set_rate(order: Order) -> Done:
    n = _number(order, "per_minute")
    if n > subscribing.MOST_PER_MINUTE:
        raise OperatorError(f"At most {subscribing.MOST_PER_MINUTE} a minute can be set.", "Give 0 for no limit.")
    partners.set_endpoint(order.work.connection, order.subject.row["id"], per_minute=n or None)
    return _done(
        f"{order.subject.name} is sent at most {n} a minute." if n else f"{order.subject.name} has no rate limit."
    )


def _subscribing(run: Callable[[Order], subscribing.Said]) -> Callable[[Order], Done]:
    return lambda order: _done(*run(order))


def _set_partner(order: Order, state: str, said: str) -> Done:
    row, connection = order.subject.row, order.work.connection
    partners.set_endpoint(connection, row["id"], state=state, reason=None)
    lanes.pause(connection, lanes.endpoint_lane(row["id"]), paused=state != "active")
    return _done(said.replace("{name}", order.subject.name))


def _ring_partner(order: Order, done: Done) -> Done:
    key = lanes.endpoint_lane(order.subject.row["id"])
    desk.open_lane(order.work.connection, key)
    order.work.ring("endpoint.due", [key])
    return done


# Articles


def withdraw_article(order: Order) -> Done:
    row, work = order.subject.row, order.work
    if row["state"] == "withdrawn":
        raise OperatorError("The article is withdrawn already.", "Nothing is left to do.")
    articles.set_article(work.connection, row["id"], state="withdrawn", reason="desk", due_at=work.now)
    work.ring("article.ingested", [row["id"]])  # enrichment takes it out of others' links
    work.log(_event(work, "article.withdrawn", row))
    return Done("The article is withdrawn; every partner that has it, or may have it, is told first of all.")


def restore_article(order: Order) -> Done:
    row, work = order.subject.row, order.work
    if row["state"] != "withdrawn":
        raise OperatorError("The article is not withdrawn.", "Only what was withdrawn can be restored.")
    articles.set_article(work.connection, row["id"], state="usable", reason=None)
    _renew_others(order._replace(subject=order.subject._replace(row=row | {"state": "usable"})))
    work.log(_event(work, "article.restored", row))
    return Done("The article is restored: who was told of its withdrawal, and whoever's filter it fits, gets it again.")


def hold_article(order: Order) -> Done:
    row, connection = order.subject.row, order.work.connection
    articles.set_article(connection, row["id"], held=True)
    n = desk.hold_back(connection, row["id"])
    _renew_others(order)
    return Done(f"The article is held; {n} deliveries wait for its release.")


def release_article(order: Order) -> Done:
    row, work = order.subject.row, order.work
    articles.set_article(work.connection, row["id"], held=False, embargo_until=None)
    awake = desk.let_go(work.connection, row["id"], work.now)
    work.ring("endpoint.due", awake)
    _renew_others(order)
    return Done(f"The article is released; {len(awake)} partners are sent what waited.")


def embargo_article(order: Order) -> Done:
    row, work = order.subject.row, order.work
    until = _instant(order, "until")
    if until <= work.now:
        raise OperatorError("That instant has passed.", "Choose one in the future, or release the article.")
    articles.set_article(work.connection, row["id"], embargo_until=until)
    n = desk.hold_back(work.connection, row["id"])
    _renew_others(order)
    return Done(f"The article goes out at {until:%Y-%m-%d %H:%M} UTC; {n} deliveries wait for it.")


def _renew_others(order: Order) -> None:
    """A held article is shown in nobody's links: enrichment takes it out of them, and puts it back."""
    row, work = order.subject.row, order.work
    if row["state"] == "usable" and row["enriched_revision"]:
        rulings.enrich_again(work.connection, [row["id"]], work.now)
        work.ring("article.ingested", [row["id"]])


def recategorise_article(order: Order) -> Done:
    return Done(word.file(order.work, order.subject.row, "section", order.fields.get("section", "").strip()))


def file_article(order: Order) -> Done:
    return Done(word.file(order.work, order.subject.row, *_code(order)))


def clear_category(order: Order) -> Done:
    return Done(word.clear(order.work, order.subject.row, *_code(order)))


def confirm_category(order: Order) -> Done:
    return Done(word.confirm(order.work, order.subject.row, *_code(order)))


def reject_category(order: Order) -> Done:
    return Done(word.reject(order.work, order.subject.row, *_code(order)))


def take_back_category(order: Order) -> Done:
    return Done(word.take_back(order.work, order.subject.row, order.fields.get("scheme", "").strip() or "section"))


def merge_story(order: Order) -> Done:
    into = articles.get(order.work.connection, order.fields.get("into", "").strip())
    if into is None or into["id"] == order.subject.row["id"]:
        raise OperatorError("There is no other article with that id.", "Copy it from that article's page.")
    return Done(word.merge(order.work, order.subject.row, into["id"]))


def split_story(order: Order) -> Done:
    return Done(word.split(order.work, order.subject.row, order.fields.get("others", "").split()))


def drop_link(order: Order) -> Done:
    return Done(word.drop_link(order.work, order.subject.row, order.fields.get("other", "").strip()))


def allow_link(order: Order) -> Done:
    return Done(word.allow_link(order.work, order.subject.row, order.fields.get("other", "").strip()))


def enrich_article(order: Order) -> Done:
    return Done(word.enrich(order.work, order.subject.row))


def _code(order: Order) -> tuple[str, str]:
    return word.scheme_and_code(order.fields.get("code", ""))


def _event(work: Work, kind: str, row: Row) -> events.NewEvent:
    occurrence = events.occurrences(work.connection, kind, [row["id"]]).get(row["id"], 0)
    return events.NewEvent(kind, row["id"], row["revision"], row["backfill"], occurrence)


# Deliveries and the quarantine


def retry_delivery(order: Order) -> Done:
    row, work = order.subject.row, order.work
    barred = desk.barrier(work.connection, row, work.now)
    if barred == "withdrawn":
        raise OperatorError("The article is withdrawn.", "Only its withdrawal can be sent again.")
    if barred:
        raise OperatorError("The article is held or under embargo.", "Release it on its page.")
    state = desk.redeliver(work.connection, row, work.now)
    if state == "superseded":
        return Done(f"{row['partner']} has a newer revision already, so this one is superseded.")
    desk.open_lane(work.connection, lanes.endpoint_lane(row["endpoint_id"]))
    work.ring("endpoint.due", [lanes.endpoint_lane(row["endpoint_id"])])
    return Done(f"It goes to {row['partner']} now, under its old id.")


def drop_delivery(order: Order) -> Done:
    _in_quarantine(desk.drop_delivery(order.work.connection, order.subject.row["id"]))
    return Done(f"Dropped: {order.subject.row['partner']} will not get this event.")


def retry_entry(order: Order) -> Done:
    row, work = order.subject.row, order.work
    if not (row["page_id"] or row["host"]):
        raise OperatorError("The entry has no link to a page, so there is nothing to try.", "Drop it, with a reason.")
    _in_quarantine(desk.retry_entry(work.connection, row, work.now))
    _ring_entry(work, row)
    return Done("The entry is tried again now.")


def requeue_entry(order: Order) -> Done:
    row, work = order.subject.row, order.work
    if row["state"] == "quarantined":
        return retry_entry(order)
    if not switches.requeue_entry(work.connection, row, work.now):
        raise OperatorError(
            f"{order.subject.name} is {row['state']} and cannot be taken up so.", "Retry it, if it is in quarantine."
        )
    if row["step"] == "extract":
        work.ring("page.fetched", [row["id"]])
        return Done("The entry is read again now, from the bytes that were kept.")
    work.ring("host.due", [lanes.host_lane(row["host"])])
    return Done("The entry's page is fetched now, when its host's turn comes, and read again if it changed.")


def drop_entry(order: Order) -> Done:
    _in_quarantine(desk.drop_entry(order.work.connection, order.subject.row["id"], order.reason))
    return Done("Dropped: the entry counts as gone.")


def retry_group(order: Order) -> Done:
    work, rows = order.work, order.subject.row["rows"]
    if order.subject.row["kind"] == "entry":
        moved = [row for row in rows if desk.retry_entry(work.connection, row, work.now)]
        for row in moved:
            _ring_entry(work, row)
        return Done(f"{len(moved)} entries are tried again now.")
    states = [desk.redeliver(work.connection, row, work.now) for row in rows]
    work.ring("endpoint.due", sorted({lanes.endpoint_lane(row["endpoint_id"]) for row in rows}))
    return Done(
        f"{states.count('due')} deliveries are tried again now; {len(states) - states.count('due')} were out of date."
    )


def drop_group(order: Order) -> Done:
    connection, rows = order.work.connection, order.subject.row["rows"]
    if order.subject.row["kind"] == "entry":
        n = sum(desk.drop_entry(connection, row["id"], order.reason) for row in rows)
    else:
        n = sum(desk.drop_delivery(connection, row["id"]) for row in rows)
    return Done(f"{n} dropped.")


def retry_query(order: Order) -> Done:
    return _done(redrive.retry(order.work, order.subject.row, order.fields.get("mark", "")))


def drop_query(order: Order) -> Done:
    return _done(redrive.drop(order.work, order.subject.row, order.reason, order.fields.get("mark", "")))


def _ring_entry(work: Work, row: Row) -> None:
    if row["page_id"]:
        work.ring("page.fetched", [row["id"]])
    else:
        work.ring("host.due", [lanes.host_lane(row["host"])])


def _in_quarantine(changed: bool) -> None:
    if not changed:
        raise OperatorError("It is not in quarantine any more.", "Somebody was faster; look again.")


# Fields


def _number(order: Order, name: str) -> int:
    text = order.fields.get(name, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise OperatorError(
            f"{name.replace('_', ' ').capitalize()} must be a whole number.", "Correct it and try again."
        )
    return int(text)


def _instant(order: Order, name: str) -> dt.datetime:
    try:
        at = dt.datetime.fromisoformat(order.fields.get(name, "").strip())
    except ValueError:
        raise OperatorError("That is not a date and time.", "Write it as 2030-12-31 18:00, in UTC.") from None
    return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)


# Targets


def _source(connection: Connection, target: str) -> Subject | None:
    row = desk.source(connection, int(target)) if _is_id(target) else None
    return Subject(f"source {row['name']}", row) if row and row["state"] != "removed" else None


def _host(connection: Connection, target: str) -> Subject | None:
    row = lanes.get(connection, lanes.host_lane(target))
    return Subject(f"host {target}", row) if row else None


def _partner(connection: Connection, target: str) -> Subject | None:
    row = partners.endpoint(connection, int(target)) if _is_id(target) else None
    return Subject(f"partner {row['partner']}", row) if row and row["state"] != "removed" else None


def _subscription(connection: Connection, target: str) -> Subject | None:
    row = partners.subscription(connection, int(target)) if _is_id(target) else None
    return Subject(f"subscription {row['id']} of {row['partner']}", row) if row and row["state"] != "removed" else None


def _article(connection: Connection, target: str) -> Subject | None:
    row = articles.get(connection, target)
    return Subject(f"article {row['id']}", row) if row else None


def _delivery(connection: Connection, target: str) -> Subject | None:
    row = desk.delivery(connection, int(target)) if _is_id(target) else None
    return Subject(f"delivery {row['webhook_id']} to {row['partner']}", row) if row else None


def _entry(connection: Connection, target: str) -> Subject | None:
    row = desk.entry(connection, int(target)) if _is_id(target) else None
    return Subject(f"entry {row['id']} of {row['source']}", row) if row else None


def _group(connection: Connection, target: str) -> Subject | None:
    kind, _, rest = target.partition(":")
    owner, _, reason = rest.partition(":")
    if kind not in ("entry", "delivery") or not _is_id(owner):
        return None
    find = desk.quarantined_entries if kind == "entry" else desk.quarantined_deliveries
    rows = find(connection, int(owner), reason or None, AT_ONCE)
    noun = (
        ("entry" if len(rows) == 1 else "entries")
        if kind == "entry"
        else "delivery"
        if len(rows) == 1
        else "deliveries"
    )
    return (
        Subject(f"{len(rows)} {noun} in quarantine under {reason or 'no reason'}", {"kind": kind, "rows": rows})
        if rows
        else None
    )


def _query(connection: Connection, target: str) -> Subject | None:
    return Subject(*redrive.fitting(connection, target))


def _stage(_: Connection, target: str) -> Subject | None:
    return Subject(f"stage {target}", {"name": target}) if target in pipeline.STAGES else None


def _worker(_: Connection, target: str) -> Subject | None:
    found = next((worker for worker in pipeline.WORKERS if worker.name == target), None)
    return Subject(f"each {target} worker", {"name": target, "pool": found.pool}) if found else None


def _wire(_: Connection, target: str) -> Subject | None:
    return Subject("the wire", {}) if target == "wire" else None


def _is_id(target: str) -> bool:
    return target.isascii() and target.isdigit() and len(target) < 19


_FINDERS: dict[Kind, Callable[[Connection, str], Subject | None]] = {
    "source": _source, "host": _host, "partner": _partner, "article": _article, "delivery": _delivery, "entry": _entry,
    "group": _group, "query": _query, "subscription": _subscription, "stage": _stage, "worker": _worker, "wire": _wire,
}  # fmt: skip

_WISHES = (
    Field("filter", "Filter", hint="empty: everything", optional=True),
    Field("backfill", "Back-fill too", "flag", optional=True),
    Field("coalesce", "Newest revision only", "flag", optional=True),
    Field("relinked", "Changed links too", "flag", optional=True),
    Field("status_changes", "Sections' changes of status too", "flag", optional=True),
    Field("follow", "All revisions of what went out", "flag", optional=True),
    Field("days", "Days of history first", "number", "0", optional=True),
)

ACTIONS: dict[str, Action] = {action.name: action for action in (
    Action("pause-source", "Pause", "source", "{name} is not polled until somebody resumes it. What it brought goes on its way.",
           pause_source),
    Action("resume-source", "Resume", "source", "{name} is polled at once, then in its own rhythm.", resume_source),
    Action("poll-source", "Poll now", "source", "{name} is polled at once; its rhythm stays as it is.", poll_source),
    Action("release-source", "Release", "source",
           "What waits of {name} is read again, from the bytes that were kept and by its profile as it is now. What still looks unlike "
           "its other articles goes on waiting.", release_source),
    Action("accept-source", "It is fine", "source",
           "What waits of {name} is taken as it is, and from now on the new shape is the usual one.", accept_source,
           needs_reason=True),
    Action("pause-host", "Pause", "host", "No page is fetched from {name} until somebody resumes it. Its entries wait.", pause_host),
    Action("resume-host", "Resume", "host", "Pages are fetched from {name} again, politely, whatever it answered before.", resume_host),
    Action("pause-stage", "Pause", "stage",
           "Workers finish what they hold of {name} and take nothing more of it until somebody resumes it. What comes waits, nothing is "
           "lost.", pause_stage),
    Action("resume-stage", "Resume", "stage", "Workers take up {name} again at once; what waited goes on its way.", resume_stage),
    Action("drain-wire", "Drain", "wire",
           "No worker of {name} takes anything new; what they hold they finish. Then a deploy is safe. The next `briefwire up`, or "
           "Resume, ends it.", drain_wire),
    Action("resume-wire", "Resume", "wire", "The workers of {name} take up work again at once. Single stages that are paused stay so.",
           resume_wire),
    Action("set-workers", "Set size", "worker",
           "So many threads (fetch, deliver) or processes (extract, enrich) {name} has within some seconds, and after each start. "
           "Nothing under way is cut short.", set_workers, role="admin",
           fields=(Field("at_once", "At once", "number", "0: as the settings say"),)),
    Action("pause-partner", "Pause", "partner", "Nothing is sent to {name} until somebody resumes it. Its backlog waits, in order.",
           pause_partner),
    Action("resume-partner", "Resume", "partner", "{name} is sent its backlog at once, in order; its breaker is closed.",
           resume_partner),
    Action("try-partner", "Try now", "partner", "{name} is tried at once, without waiting for its breaker or its pause to end.",
           try_partner),
    Action("replay-partner", "Replay", "partner",
           "Everything at these positions goes to {name} again, in order, under the same ids: a partner that keeps ids sees no "
           "doubles. Withdrawn and held articles do not.", replay_partner,
           fields=(Field("first", "From position", "number"), Field("last", "To position", "number"))),
    Action("rotate-secret", "Rotate secret", "partner",
           "{name} gets a new signing secret, shown once. Until the next rotation every request carries two signatures, by the new "
           "secret and by the one before.", rotate_secret, role="admin", needs_reason=True, grave=True),
    Action("set-concurrency", "Set concurrency", "partner", "So many deliveries to {name} may be in flight at once.", set_concurrency,
           fields=(Field("at_once", "At once", "number", "1 to 64"),)),
    Action("set-rate", "Set rate", "partner", "So many attempts a minute are made to {name} at most, evenly spaced.", set_rate,
           fields=(Field("per_minute", "A minute", "number", "0 for no limit"),)),
    Action("add-endpoint", "Add endpoint", "partner",
           "The partner of {name} gets a further endpoint, with a subscription and a lane of its own. A webhook's secret is shown once.",
           _subscribing(subscribing.add_endpoint), role="admin", judge=subscribing.judge_address, fields=(
               Field("url", "Address", hint="https://desk.example/in, /srv/wire, s3://bucket/wire"),
               Field("format", "Format", hint="brief", optional=True), *_WISHES,
               Field("per_minute", "At most a minute", "number", "no limit", optional=True))),
    Action("change-endpoint", "Change endpoint", "partner",
           "What is filled in changes; positions, log and what waits go on. A disabled endpoint with a new address is active again.",
           _subscribing(subscribing.change_endpoint), role="admin", judge=subscribing.judge_address, fields=(
               Field("url", "Address", optional=True), Field("format", "Format", optional=True),
               Field("per_minute", "At most a minute", "number", "0 for no limit", optional=True),
               Field("link_above", "A link instead of brief JSON above bytes", "number", "0 for never", optional=True),
               Field("at_once", "At once", "number", "1 to 64", optional=True),
               Field("layout", "Layout of files", hint="usual", optional=True))),
    Action("remove-endpoint", "Remove endpoint", "partner", "{name} loses this endpoint: what it is owed is not sent any more. Its log "
           "stays.", _subscribing(subscribing.remove_endpoint), role="admin", needs_reason=True, grave=True),
    Action("add-subscription", "Add subscription", "partner",
           "{name} gets whatever any of its subscriptions matches, once.", _subscribing(subscribing.add_subscription), fields=_WISHES),
    Action("change-subscription", "Change", "subscription",
           "What is filled in changes {name}, from the next event on. What went out is followed all the same.",
           _subscribing(subscribing.change_subscription), fields=_WISHES),
    Action("remove-subscription", "Remove", "subscription",
           "{name} is asked no more. Withdrawals still reach whoever got an article.", _subscribing(subscribing.remove_subscription),
           needs_reason=True, grave=True),
    Action("withdraw-article", "Withdraw", "article",
           "Every partner that has {name}, or may have it, is told that it is withdrawn, before anything else. What was not sent yet "
           "is not sent any more.", withdraw_article, needs_reason=True, grave=True),
    Action("restore-article", "Restore", "article",
           "The withdrawal of {name} is taken back: partners that were told of it, and those whose filter it fits, get it again.",
           restore_article, needs_reason=True),
    Action("hold-article", "Hold", "article", "{name} goes nowhere until somebody releases it. What partners have stays with them.",
           hold_article, needs_reason=True),
    Action("release-article", "Release", "article", "Everything that waited of {name} goes out now; an embargo ends.",
           release_article),
    Action("embargo-article", "Embargo", "article", "{name} goes nowhere before that instant, then goes out by itself.",
           embargo_article, fields=(Field("until", "Until (UTC)", "datetime", "2030-12-31 18:00"),)),
    Action("recategorise-article", "File elsewhere", "article",
           "{name} is filed under this section by your word, above any other; partners that have it get an update.",
           recategorise_article, fields=(Field("section", "Section"),)),
    Action("file-article", "File under a code", "article",
           "{name} is filed under this code by your word, above any other; partners that have it get an update.", file_article,
           fields=(Field("code", "Code", hint="medtop:04000000, or a section"),)),
    Action("clear-category", "Clear category", "article",
           "{name} is no longer filed under this code, and will not be again by itself.", clear_category,
           fields=(Field("code", "Code", hint="medtop:04000000, or a section"),)),
    Action("confirm-category", "Confirm", "article", "The suggestion holds: {name} is filed under it, and the next training learns it.",
           confirm_category, fields=(Field("code", "Code"),)),
    Action("reject-category", "Reject", "article", "The suggestion does not hold: {name} will not be filed under it by itself.",
           reject_category, fields=(Field("code", "Code"),)),
    Action("take-back-category", "Let it be found", "article",
           "What people said of {name} under this scheme is taken back; publisher and models decide again.", take_back_category,
           fields=(Field("scheme", "Scheme", hint="section, medtop"),)),
    Action("drop-link", "Drop link", "article", "{name} and the other article are linked no more, whatever a machine finds.", drop_link,
           fields=(Field("other", "Id of the other article"),)),
    Action("allow-link", "Allow link", "article", "Whether {name} and the other article are linked is found out again.", allow_link,
           fields=(Field("other", "Id of the other article"),)),
    Action("enrich-article", "Look again", "article",
           "{name} is looked at anew by today's models and neighbours; what people said of it stands.", enrich_article),
    Action("merge-story", "Merge stories", "article", "{name} and all of its story join the story of the other article.", merge_story,
           fields=(Field("into", "Id of the other article"),)),
    Action("split-story", "Take out of story", "article",
           "{name} leaves its story for one of its own, with the others that you name; no machine merges it again.", split_story,
           fields=(Field("others", "Ids that go with it", hint="none, or several with spaces between", optional=True),)),
    Action("retry-delivery", "Send again", "delivery", "{name} is sent now, under the same id, and counted from its first attempt.",
           retry_delivery),
    Action("drop-delivery", "Drop", "delivery", "{name} is given up: the partner will not get this event.", drop_delivery,
           needs_reason=True, grave=True),
    Action("retry-entry", "Retry", "entry", "{name} is taken up again where it stopped.", retry_entry),
    Action("requeue-entry", "Requeue", "entry", "{name} is taken up at once: its page is fetched, politely, and read again.",
           requeue_entry),
    Action("drop-entry", "Drop", "entry", "{name} is given up and counts as gone.", drop_entry, needs_reason=True, grave=True),
    Action("retry-group", "Retry all", "group", "{name} are taken up again where they stopped.", retry_group),
    Action("drop-group", "Drop all", "group", "{name} are given up.", drop_group, needs_reason=True, grave=True),
    Action("retry-query", "Retry these", "query", "To take up again where it stopped: {name}. What is out of date is superseded.",
           retry_query),
    Action("drop-query", "Drop these", "query", "To give up: {name}. An article stays until it is withdrawn.", drop_query,
           needs_reason=True, grave=True),
)}  # fmt: skip
