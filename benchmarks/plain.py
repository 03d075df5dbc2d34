"""The plain way of doing the same work, to measure ours against: a Celery chain with documents in its messages.

    extract.s(html) | enrich.s() | publish.s()

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

import requests
import trafilatura
from celery import Celery, chain

from services.enrich import enriching
from services.ingest import normalise, storing
from services.publish import lane, policy, sign
from services.publish.render import render
from shared import clock, queue, records
from shared.store import articles, events, installation, intake, partners

app = Celery("plain", broker=queue.app.conf.broker_url)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options=queue.TRANSPORT,
    task_routes={f"plain.{name}": {"queue": f"plain_{name}"} for name in ("extract", "enrich", "publish")},
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
        row = {"id": entry_id, "source_id": 1, "article_id": None, "page_id": 0}
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
        endpoints = partners.endpoints(work.connection)
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
