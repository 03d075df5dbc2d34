"""The plain way of doing the same work, to measure ours against: a Celery chain with documents in its messages.

    extract.s(html) | enrich.s() | publish.s()
    poll.s(feed)  ->  fetch.s(url) | extract.s() | enrich.s() | publish.s()      the whole way

The same broker, pools, language detection, linking and rows, one article a transaction; trafilatura or our own extractor
(PLAIN_EXTRACTOR), one `requests.post` a delivery. Imported by the workers that `benchmarks.pipeline` starts.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import os
from collections.abc import Iterator
from typing import Any

import feedparser
import requests
import trafilatura
from celery import Celery, chain
from sqlalchemy import Connection, select

from services.enrich import enriching
from services.ingest import normalise, storing
from services.publish import lane, policy, sign
from services.publish.render import render
from shared import clock, queue, records
from shared.models import ArticleRow, EntryRow, SourceRow, SubscriptionRow
from shared.store import articles, events, installation, intake, partners

app = Celery("plain", broker=queue.app.conf.broker_url)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options=queue.TRANSPORT,
    task_routes={f"plain.{name}": {"queue": f"plain_{name}"} for name in ("extract", "enrich", "publish")}
    | {"plain.poll": {"queue": "plain_fetch"}, "plain.fetch": {"queue": "plain_fetch"}}
    | {"plain.extract_fetched": {"queue": "plain_extract"}},
)


@contextlib.contextmanager
def begin() -> Iterator[queue.Work]:
    """A transaction without doorbells."""
    with queue.store().write() as connection:
        work = queue.Work(connection, clock.now())
        yield work
        work.finish()


def send(entry_id: int, page: bytes, url: str) -> None:
    """One article's chain."""
    chain(extract.s(entry_id, base64.b64encode(page).decode(), url), enrich.s(), publish.s()).apply_async()


@app.task(name="plain.poll")
def poll(source_id: int, url: str) -> None:
    """A feed's entries become rows; each begins a chain."""
    found = feedparser.parse(requests.get(url, timeout=20).content)
    for item in found.entries:
        new = intake.NewEntry(records.Entry(item.id, item.link), None, backfill=True)
        with begin() as work:
            intake.add_entries(work.connection, source_id, [new], work.now)
            entry_id = work.connection.execute(select(EntryRow.id).where(
                EntryRow.source_id == source_id, EntryRow.key_hash == intake.key_hash(item.id))).scalar_one()  # fmt: skip
        chain(fetch.s(entry_id, item.link), extract_fetched.s(), enrich.s(), publish.s()).apply_async()


@app.task(name="plain.fetch")
def fetch(entry_id: int, url: str) -> tuple[int, str, str]:
    """A page's bytes, into the next message."""
    return entry_id, base64.b64encode(requests.get(url, timeout=20).content).decode(), url


@app.task(name="plain.extract_fetched")
def extract_fetched(fetched: tuple[int, str, str]) -> dict[str, Any]:
    """As `extract`, of what `fetch` handed on."""
    return extract(*fetched)  # type: ignore[no-any-return]


@app.task(name="plain.extract")
def extract(entry_id: int, page: str, url: str) -> dict[str, Any]:
    """The page in the message becomes a stored article; the article goes on in the next message."""
    body, now = base64.b64decode(page), clock.now()
    finding = normalise.Finding("plain", records.Entry(url, url), url, url)
    if os.environ.get("PLAIN_EXTRACTOR") == "ours":
        found = normalise.extract(body, "text/html; charset=utf-8", now, finding, None, "UTC")
    else:
        found = _with_trafilatura(body, finding)
    with begin() as work:
        source_id = work.connection.execute(select(EntryRow.source_id).where(EntryRow.id == entry_id)).scalar_one()
        row = {"id": entry_id, "source_id": source_id, "article_id": None, "page_id": 0}
        storing.store(work, [(row, found, None)])
        intake.finish_entry(work.connection, entry_id, "stored", article_id=found.article.id)
    result: dict[str, Any] = records.to_plain(found.article)
    return result


def _with_trafilatura(body: bytes, finding: normalise.Finding) -> normalise.Extracted:
    got = trafilatura.bare_extraction(body, url=finding.final_url, with_metadata=True, include_comments=False)
    paragraphs = tuple(records.Paragraph(text) for text in (got.text or "").split("\n") if text.strip())
    moment = None
    if got.date:
        at = dt.datetime.fromisoformat(got.date).replace(tzinfo=dt.UTC)
        moment = records.Moment(got.date, at.isoformat(), "UTC", "assumed", "day")
    authors = (got.author,) if got.author else ()
    draft = records.Draft(got.title, paragraphs[0].text if paragraphs else None, authors, moment, blocks=paragraphs)
    article = normalise.article(draft, finding)
    return normalise.Extracted(article, normalise.identity_of(article.url, "plain", article.headline, ""))


@app.task(name="plain.enrich")
def enrich(article: dict[str, Any]) -> dict[str, Any]:
    """The article in the message is enriched and stored; its event goes on in the next message."""
    record = records.from_json(records.to_json(article), records.Article)
    studied = enriching.study(record, clock.now())
    with begin() as work:
        rows = articles.claim_articles(work.connection, [record.id], work.now)
        enriching.settle(work, rows, {record.id: [studied]})
    with queue.store().read() as connection:
        revision, notes = articles.revisions(connection, {(record.id, 1)})[record.id, 1]
        event = events.of_article(connection, record.id)[0]
    return {"event": records.to_plain(event), "record": revision.decode(), "notes": (notes or b"{}").decode()}


@app.task(name="plain.publish")
def publish(message: dict[str, Any]) -> None:
    """One POST an endpoint; what came of it is stored."""
    import msgspec

    event = msgspec.convert(message["event"], events.Event)
    with begin() as work:
        endpoints = _wanting(work.connection, event)
        name = installation.name(work.connection)
        planned = [
            partners.Planned(
                row["id"], event, sign.delivery_id(f"{name}:{row['id']}", event.article_id, 1, event.kind, 0)
            )
            for row in endpoints
        ]
        partners.plan(work.connection, planned, event.number, work.now)
        rows = {row["endpoint_id"]: row for row in partners.deliveries_of(work.connection, event.article_id)}
        partners.begin_attempts(work.connection, [row["id"] for row in rows.values()])
    tried = {row["id"]: _post(row, rows[row["id"]], message, event.at) for row in endpoints}
    with begin() as work:
        for endpoint_id, one in tried.items():
            partners.record(work.connection, endpoint_id, [one])


def _wanting(connection: Connection, event: events.Event) -> list[dict[str, Any]]:
    """The endpoints whose filter names the article's source, or that have no filter."""
    source = connection.execute(select(SourceRow.name).join(ArticleRow, ArticleRow.source_id == SourceRow.id)
                                .where(ArticleRow.id == event.article_id)).scalar_one()  # fmt: skip
    wanted = dict(connection.execute(select(SubscriptionRow.endpoint_id, SubscriptionRow.filter)).all())
    return [
        row for row in partners.endpoints(connection) if not wanted[row["id"]] or f'"{source}"' in wanted[row["id"]]
    ]


def _post(endpoint: dict[str, Any], row: dict[str, Any], message: dict[str, Any], at: dt.datetime) -> partners.Tried:
    contents = (message["record"].encode(), message["notes"].encode())
    rendered = render(endpoint["format"], lane.render_input(row | {"contents": contents, "at": at, "hidden": ()}))
    now = clock.now()
    headers = sign.sign(lane.target_of(endpoint).secrets, row["webhook_id"], now, rendered.body)
    reply = requests.post(
        endpoint["url"], rendered.body, headers=headers | {"Content-Type": rendered.content_type}, timeout=20
    )
    took = int(1000 * (clock.now() - now).total_seconds())
    assert isinstance(policy.judge(policy.Outcome(status=reply.status_code), 1, now, 0.0), policy.Delivered)
    return partners.Tried(row, "delivered", clock.now(), took, status=reply.status_code)
