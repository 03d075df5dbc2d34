"""The ledger in; OpenTelemetry traces out, one an article across all services, sent to the one address that the settings name.

    events and attempts since the last look -> spans with the ledger's own instants -> OTLP over HTTP -> the cursor moves on

Ids are worked out of the article's, so nothing has to travel in messages, a kill loses no span, and one sent twice is the same
span. Workers do nothing for it. Without `endpoint` under [traces] nothing of OpenTelemetry is imported here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from shared import http, urls
from shared.errors import OperatorError, Rejected, Retryable
from shared.models import Row
from shared.settings import TraceSettings
from shared.store import installation, traced
from shared.store.engine import Store

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

log = logging.getLogger("briefwire.traces")
EVENTS, ATTEMPTS = 200, 500
"""At most so many a request."""


class Span(msgspec.Struct, frozen=True):
    """One step of an article's way. `key` and `parent` make its id and its parent's; times are UTC."""

    article_id: str
    key: str
    parent: str | None
    service: str
    name: str
    start: dt.datetime
    end: dt.datetime
    attributes: dict[str, str | int]
    error: str | None = None


def of_event(row: Row) -> Iterator[Span]:
    """The way of a revision up to its first event, or only the event. Pure."""
    article, number = row["article_id"], row["number"]
    about: dict[str, str | int] = {"briefwire.article_id": article, "briefwire.revision": row["revision"]}
    named = {**about, "briefwire.event": number, "briefwire.kind": row["kind"]}
    stored, fetched, seen = row["stored_at"], row["fetched_at"], row["seen_at"]
    began = stored or row["at"]
    if number == row["first"] and stored is not None:
        page = {**about, "briefwire.entry_id": row["entry_id"] or 0}
        if fetched is not None:
            begun = seen if row["revision"] == 1 and seen is not None and seen <= fetched else fetched
            began = begun
            status: dict[str, str | int] = {
                "http.response.status_code": row["status"],
                "http.response.body.size": row["size"],
            }
            yield Span(article, f"fetch:{row['revision']}", "article", "ingest", "fetch", begun, fetched, page | status)
            yield Span(
                article,
                f"extract:{row['revision']}",
                "article",
                "ingest",
                "extract",
                fetched,
                max(fetched, stored),
                page,
            )
        if row["revision"] == 1:
            yield Span(article, "article", None, "ingest", "article", began, max(began, row["at"]), about)
    start = stored if number == row["first"] and stored is not None else row["at"]
    yield Span(
        article,
        f"event:{number}",
        "article",
        "enrich",
        f"enrich {row['kind']}",
        min(start, row["at"]),
        row["at"],
        named,
    )


def of_attempt(row: Row) -> Span:
    """One attempt to deliver. Pure."""
    attributes: dict[str, str | int] = {
        "briefwire.article_id": row["article_id"], "briefwire.revision": row["revision"], "briefwire.event": row["event_number"],
        "briefwire.kind": row["kind"], "briefwire.partner": row["partner"], "briefwire.endpoint_id": row["endpoint_id"],
        "briefwire.webhook_id": row["webhook_id"], "briefwire.attempt": row["number"], "briefwire.outcome": row["outcome"],
    }  # fmt: skip
    if row["status"] is not None:
        attributes["http.response.status_code"] = row["status"]
    start = row["at"] - dt.timedelta(milliseconds=row["duration_ms"])
    error = None if row["outcome"] == "delivered" else str(row["reason"] or row["outcome"])
    return Span(row["article_id"], f"attempt:{row['id']}", f"event:{row['event_number']}", "publish", f"deliver {row['kind']}",
                start, row["at"], attributes, error)  # fmt: skip


def trace_id(installed: str, article_id: str) -> int:
    """The 128-bit id of an article's trace: the same for ever."""
    return int.from_bytes(hashlib.sha256(f"{installed}/{article_id}".encode()).digest()[:16], "big") or 1


def span_id(installed: str, article_id: str, key: str) -> int:
    """The 64-bit id of one step."""
    return int.from_bytes(hashlib.sha256(f"{installed}/{article_id}/{key}".encode()).digest()[:8], "big") or 1


def why_not(settings: TraceSettings) -> OperatorError | None:
    """What stands in the way of traces that are wanted; None where nothing does, or none are wanted."""
    if not settings.endpoint:
        return None
    if importlib.util.find_spec("opentelemetry") is None or importlib.util.find_spec("opentelemetry.sdk") is None:
        return OperatorError("[traces] names an endpoint, but OpenTelemetry is not installed.",
                             "Run pip install 'briefwire[otel]', or leave endpoint empty.", code=4)  # fmt: skip
    try:
        urls.host_key(settings.endpoint)
    except Rejected as error:
        return OperatorError(
            f"The endpoint under [traces] is no address: {error.detail}.", "http://127.0.0.1:4318/v1/traces is one."
        )
    return None


class Tracer:
    """Follows the ledger. One a process; a second one sends the same spans under the same ids."""

    def __init__(self, store: Store, settings: TraceSettings) -> None:
        self.store, self.settings = store, settings
        # Nothing but the one address is allowed to be internal, and redirects are not followed.
        self.door = http.Door(http.Policy(allow_hosts=frozenset([urls.host_key(settings.endpoint)])))

    def step(self) -> int:
        """Sends what is new. Returns how many spans; raises Retryable or Rejected where they were not taken, to be sent again."""
        sent = 0
        while True:
            with self.store.read() as connection:
                at = traced.cursor(connection)
                events = traced.events_after(connection, at.event, EVENTS)
                attempts = traced.attempts_after(connection, at.attempt, ATTEMPTS)
                name = installation.name(connection)
            spans = [*(span for row in events for span in of_event(row)), *map(of_attempt, attempts)]
            if spans:
                self._send(encode(spans, name))
            reached = traced.Cursor(
                events[-1]["number"] if events else at.event, attempts[-1]["id"] if attempts else at.attempt
            )
            self._keep(at, reached)
            sent += len(spans)
            if len(events) < EVENTS and len(attempts) < ATTEMPTS:
                return sent

    def _keep(self, before: traced.Cursor, reached: traced.Cursor) -> None:
        """Writes only where the cursor moves, or was never kept."""
        with self.store.read() as connection:
            known = traced.is_kept(connection)
        if reached != before or not known:
            with self.store.write() as connection:
                traced.keep_cursor(connection, reached)

    def _send(self, body: bytes) -> None:
        headers = {"content-type": "application/x-protobuf"} | self.settings.headers
        reply = self.door.send(
            http.Request(self.settings.endpoint, "POST", headers, body, redirects=0, deadline_s=10.0, cut_body_ok=True)
        )
        if not 200 <= reply.status < 300:
            raise Retryable("traces-refused", f"The endpoint answered {reply.status}.")


def encode(spans: Sequence[Span], installed: str) -> bytes:
    """An OTLP export request."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    body: bytes = encode_spans([_readable(span, installed) for span in spans]).SerializeToString()
    return body


def _readable(span: Span, installed: str) -> ReadableSpan:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(key: str) -> SpanContext:
        ids = trace_id(installed, span.article_id), span_id(installed, span.article_id, key)
        return SpanContext(*ids, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    resource: dict[str, Any] = {"service.name": f"briefwire-{span.service}", "service.namespace": "briefwire",
                                "service.instance.id": installed}  # fmt: skip
    return ReadableSpan(
        name=span.name, context=context(span.key), parent=context(span.parent) if span.parent else None, resource=Resource(resource),
        attributes=span.attributes, start_time=_ns(span.start), end_time=_ns(span.end),
        kind=SpanKind.CLIENT if span.service == "publish" else SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK),
    )  # fmt: skip


def _ns(at: dt.datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
