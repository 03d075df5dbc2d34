"""Articles: finding them, and one article with everything the wire knows of it and its way from a feed to every partner."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from markupsafe import Markup
from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console import fetched, reasons
from services.console.web import guard
from services.console.web.desk import Desk
from services.console.web.guard import Call
from services.ingest import changes
from services.publish import planning, policy, routing
from services.publish.render import html
from shared import records
from shared.models import Row
from shared.store import articles, events, intake, lanes, partners, rulings
from shared.store import desk as rows

PAGE = 40
REDLINE = 12_000


class Step(NamedTuple):
    """One line of an article's way. `took_s`: since the step before."""

    at: dt.datetime
    title: str
    detail: str
    tone: str
    took_s: float | None = None


class Reached(NamedTuple):
    """Where an endpoint stands with the article: its newest delivery, or why it has none; until when its lane rests."""

    endpoint: Row
    delivery: Row | None
    attempts: list[Row]
    because: str
    rests_until: dt.datetime | None


class Field(NamedTuple):
    """A field of the record as the page shows it: the anchor of its mark in the frame, its values, the rule, what lost."""

    anchor: str
    name: str
    words: tuple[str, ...]
    rule: str
    lost: tuple[records.Losing, ...]


class Shown(msgspec.Struct, frozen=True):
    """One revision with what changed since the one before."""

    row: Row
    change: changes.Change | None
    redline: tuple[tuple[str, str], ...]


def article_list(call: Call) -> Response:
    """Search and filters; a single hit of a search opens at once."""
    wish = rows.Wish(words=call.query("q"), source_id=call.number("source"), state=call.query("state"), section=call.query("section"),
                     language=call.query("language"), before=_before(call.query("before")), limit=PAGE + 1)  # fmt: skip
    with call.desk.store.read() as connection:
        found = rows.find_articles(connection, wish)
        sources = intake.sources(connection)
    if wish.words and len(found) == 1 and call.query("open"):
        return call.go(f"/articles/{found[0]['id']}")
    last = found[PAGE - 1] if len(found) > PAGE else None
    before = f"{last['first_seen_at'].isoformat()}~{last['id']}" if last else None
    return call.page("articles.html", articles=found[:PAGE], wish=wish, sources=sources, before=before)


def _before(text: str) -> tuple[dt.datetime, str] | None:
    at, _, article_id = text.partition("~")
    try:
        return (dt.datetime.fromisoformat(at.replace(" ", "+")), article_id) if article_id else None
    except ValueError:
        return None


def article(call: Call) -> Response:
    """One article: who has it, its way, the record as read, its revisions, what is similar."""
    article_id = call.path("article_id")
    with call.desk.store.read() as connection:
        row = articles.get(connection, article_id)
        if row is None:
            raise guard.not_found("such article")
        wanted = call.number("revision") or row["revision"]
        found = articles.revision(connection, article_id, wanted)
        if found is None:
            raise guard.not_found("such revision")
        entries, revisions = rows.entries_about(connection, article_id), rows.revision_records(connection, article_id)
        logged = events.of_article(connection, article_id)
        deliveries = partners.deliveries_of(connection, article_id)
        attempts = partners.attempts_of(connection, [d["id"] for d in deliveries])
        pages = rows.pages_about(connection, [entry["id"] for entry in entries])
        reached = _reached(connection, logged, deliveries, attempts, call.desk.now())
        links, categories = articles.links_of(connection, article_id), articles.categories_of(connection, article_id)
        parted = rows.headlines(connection, [other for _, other in rulings.dropped(connection, [article_id])])
    record, notes = found
    fetched_from = {r["page_id"] for r in revisions if r["revision"] == wanted}
    return call.page(
        "article.html", article=row, record=record, notes=notes, body=body_of(record), fields=fields_of(record), reached=reached,
        links=links, parted=parted, categories=categories, revisions=list(shown(revisions)), wanted=wanted, entries=entries,
        kept=any(page["kept"] for page in pages if page["id"] in fetched_from),
        spans=durations(record, entries, revisions, attempts),
        steps=timeline(entries, pages, revisions, logged, deliveries, attempts),
    )  # fmt: skip


def why(call: Call) -> Response:
    """Why one endpoint got the article or did not, event by event, with what each of its subscriptions says."""
    article_id, endpoint_id = call.path("article_id"), int(call.path("endpoint_id"))
    with call.desk.store.read() as connection:
        row, endpoint = articles.get(connection, article_id), partners.endpoint(connection, endpoint_id)
        if row is None or endpoint is None or endpoint["state"] == "removed":
            raise guard.not_found("such article or partner")
        found = reasons.explain(connection, endpoint["partner"], article_id, call.desk.now())
    mine = [one for one in found if one.endpoint_id == endpoint_id]
    return call.page("why.html", article=row, partner=endpoint["partner"], found=mine[::-1])


def body_of(record: records.Article) -> list[tuple[str, Markup]]:
    """(anchor, sanitised HTML) of each block; pictures are named, not shown: they would be fetched from elsewhere."""
    made = ((f"block-{n}", html.sanitised(html.block_html(block))) for n, block in enumerate(record.blocks))
    return [(anchor, Markup(markup)) for anchor, markup in made]  # noqa: S704 - sanitised by nh3


def fields_of(record: records.Article) -> list[Field]:
    """The record's fields but its body, each with the rule that gave it."""
    found: dict[str, Field] = {}
    for value in fetched.values(record):
        if value.field == "blocks":
            continue
        before = found.get(value.field)
        origin = record.origins.get(value.field, records.Origin(""))
        found[value.field] = (
            before._replace(words=(*before.words, value.words))
            if before
            else Field(value.anchor, value.field, (value.words,), origin.rule, origin.lost)
        )
    return list(found.values())


def shown(revisions: Sequence[Row]) -> Iterator[Shown]:
    """The revisions, newest first, each with its redline against the one before."""
    stored = [records.from_json(row["record"], records.Article) for row in revisions]
    for place in range(len(revisions) - 1, -1, -1):
        change = changes.compare(stored[place - 1], stored[place]) if place else None
        yield Shown(revisions[place], change, tuple(excerpt(change.redline)) if change else ())


def excerpt(redline: Iterable[changes.Piece], around: int = 160) -> Iterator[tuple[str, str]]:
    """A redline with long unchanged stretches shortened to what stands beside the changes."""
    left = REDLINE
    for op, text in redline:
        cut = f"{text[:around]} … {text[-around:]}" if op == "same" and len(text) > 2 * around + 20 else text
        yield op, cut[:left]
        left -= len(cut)
        if left <= 0:
            return


# Who has it, and who has not


def _reached(connection: Connection, logged: list[events.Event], deliveries: list[Row], attempts: list[Row],
             now: dt.datetime) -> list[Reached]:  # fmt: skip
    newest = {row["endpoint_id"]: row for row in deliveries}
    subject = planning.subjects(connection, logged[-1:], now)[0] if logged else None
    endpoints = partners.endpoints(connection)
    keys = {endpoint["id"]: lanes.endpoint_lane(endpoint["id"]) for endpoint in endpoints}
    resting = {key: rests_until(lane, now) for key, lane in rows.lane_rows(connection, keys.values()).items()}
    found = []
    for endpoint in endpoints:
        row = newest.get(endpoint["id"])
        tries = [a for a in attempts if row and a["delivery_id"] == row["id"]]
        because = "" if row else why_not(subject, endpoint)
        found.append(Reached(endpoint, row, tries, because, resting.get(keys[endpoint["id"]])))
    return found


def rests_until(lane: Row, now: dt.datetime) -> dt.datetime | None:
    """Until when nothing is sent on the lane, by its breaker or by the partner's wish; None where it is open."""
    breaker = records.from_json(lane["breaker"], policy.Breaker) if lane["breaker"] else policy.Breaker()
    until = [at for at in (lane["blocked_until"], breaker.until) if at is not None and at > now]
    return max(until, default=None)


def why_not(subject: planning.Subject | None, endpoint: Row) -> str:
    """Why the endpoint has no delivery of the article, in one sentence: routing asked again."""
    if subject is None:
        return "The article is not enriched yet, so no partner has been asked."
    if subject.event.number <= endpoint["joined_n"]:
        return "The partner joined after this; a back-fill would bring it."
    answer = routing.decide(subject.facts, planning.endpoint_facts(endpoint, already_sent=False))
    return answer.sentence if isinstance(answer, routing.Skip) else "It is about to be planned."


# Its way


def timeline(entries: Sequence[Row], pages: Sequence[Row], revisions: Sequence[Row], logged: Sequence[events.Event],
             deliveries: Sequence[Row], attempts: Sequence[Row]) -> list[Step]:  # fmt: skip
    """Everything that happened to the article, in order, with the time between."""
    steps = [Step(e["seen_at"], f"Seen in {e['source']}", e["url"] or "pushed in", "idle") for e in entries]
    steps += _fetches(pages, {r["page_id"] for r in revisions})
    steps += [Step(r["at"], f"Revision {r['revision']} stored", r["kind"], "idle") for r in revisions]
    steps += [Step(e.at, f"Event {e.number} logged", e.kind.removeprefix("article."), "good") for e in logged]
    owed = {d["id"]: d for d in deliveries}
    steps += [_answer(a, owed[a["delivery_id"]]) for a in attempts]
    ordered = sorted(steps, key=lambda step: step.at)
    ages = [None, *((b.at - a.at).total_seconds() for a, b in itertools.pairwise(ordered))]
    return [step._replace(took_s=age) for step, age in zip(ordered, ages, strict=True)]


def durations(record: records.Article, entries: Sequence[Row], revisions: Sequence[Row],
              attempts: Sequence[Row]) -> list[tuple[str, float]]:  # fmt: skip
    """(what, seconds) of the article's first way through the wire: to being seen, stored, and taken by the first and last partner."""
    seen = min((e["seen_at"] for e in entries), default=None)
    if seen is None:
        return []
    taken = [a["at"] for a in attempts if a["outcome"] == "delivered"]
    ends = [("published to seen", record.published.at if record.published else None, seen),
            ("seen to stored", seen, min((r["at"] for r in revisions), default=None)),
            ("seen to the first partner", seen, min(taken, default=None)),
            ("seen to the newest answer", seen, max(taken, default=None))]  # fmt: skip
    return [(what, (end - start).total_seconds()) for what, start, end in ends if start and end and end >= start]


def _fetches(pages: Sequence[Row], told: set[int]) -> Iterator[Step]:
    """The fetches that brought a revision; of the others only how many there were, at the last of them."""
    for page in pages:
        if page["id"] in told:
            yield Step(page["fetched_at"], "Page fetched", f"answered {page['status']}, {page['size']} bytes", "idle")
    again = [page["fetched_at"] for page in pages if page["id"] not in told]
    if again:
        times = "once" if len(again) == 1 else f"{len(again)} times"
        yield Step(max(again), "Looked at again", f"{times}, nothing new; this was the last", "idle")


def _answer(attempt: Row, delivery: Row) -> Step:
    answered = f"answered {attempt['status']}" if attempt["status"] else attempt["reason"] or "no answer"
    kind = delivery["kind"].removeprefix("article.")
    tone = {"delivered": "good", "retry": "busy"}.get(attempt["outcome"], "bad")
    title = f"{delivery['partner']}: {attempt['outcome']}"
    return Step(
        attempt["at"], title, f"{kind}, attempt {attempt['number']}, {answered} in {attempt['duration_ms']} ms", tone
    )


def routes(desk: Desk) -> list[BaseRoute]:
    return [
        guard.get(desk, "/articles", article_list),
        guard.get(desk, "/articles/{article_id}", article),
        guard.get(desk, "/articles/{article_id}/why/{endpoint_id:int}", why),
    ]
