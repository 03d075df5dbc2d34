"""Traces: one an article across all services, from the ledger, to a small OTLP receiver of ours and to nobody else."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.console import traces
from shared import clock
from shared.errors import Retryable
from shared.settings import TraceSettings
from shared.store import events, installation, partners
from shared.store.engine import Store
from tests.console.collector import Collector, attributes
from tests.console.desk_world import World


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.stop()


@pytest.fixture
def tracer(store: Store, world: World, collector: Collector) -> Iterator[traces.Tracer]:
    made = traces.Tracer(store, TraceSettings(endpoint=collector.url, headers={"x-team": "wire"}))
    made.step()  # from now on
    collector.spans.clear()
    yield made
    made.door.close()


def another_event(store: Store, article: str = "art_1") -> int:
    with store.write() as c:
        past = max(e.occurrence for e in events.of_article(c, article))
        (number,) = events.append(c, [events.NewEvent("article.updated", article, 2, False, past + 1)], clock.now())
    return number


def test_a_look_sends_what_is_new_once(store: Store, tracer: traces.Tracer, collector: Collector) -> None:
    assert tracer.step() == 0
    assert collector.names() == []
    another_event(store)
    assert tracer.step() == 1
    assert tracer.step() == 0
    assert collector.names() == ["enrich article.updated"]
    assert collector.headers[-1]["x-team"] == "wire"


def test_history_is_not_sent_when_traces_are_switched_on(store: Store, world: World, collector: Collector) -> None:
    first = traces.Tracer(store, TraceSettings(endpoint=collector.url))
    assert first.step() == 0
    another_event(store)
    assert first.step() == 1
    first.door.close()


def test_what_is_not_taken_is_sent_again_under_the_same_ids(
    store: Store, tracer: traces.Tracer, collector: Collector
) -> None:
    another_event(store)
    collector.status = 503
    with pytest.raises(Retryable):
        tracer.step()
    collector.status = 200
    tracer.step()
    assert len(collector.spans) == 1


def test_a_redirect_leads_nowhere(store: Store, tracer: traces.Tracer, collector: Collector) -> None:
    other = Collector()
    try:
        another_event(store)
        collector.status, collector.location = 307, other.url
        with pytest.raises(Retryable):
            tracer.step()
        assert other.headers == []
    finally:
        other.stop()


def test_an_attempt_is_a_child_of_its_event_and_says_what_was_answered(
    store: Store, world: World, tracer: traces.Tracer, collector: Collector
) -> None:
    with store.write() as c:
        (row,) = [one for one in partners.deliveries_of(c, world.article) if one["id"] == world.due]
        partners.begin_attempts(c, [world.due])
        refused = partners.Tried(row, "retry", clock.now(), 40, status=503, reason="server-error", due_at=clock.now())
        partners.record(c, world.partner, [refused])
        name = installation.name(c)
    assert tracer.step() == 1
    service, span = collector.spans[0]
    assert service == "briefwire-publish"
    assert int.from_bytes(span.trace_id, "big") == traces.trace_id(name, world.article)
    assert int.from_bytes(span.parent_span_id, "big") == traces.span_id(
        name, world.article, f"event:{row['event_number']}"
    )
    assert 39e6 <= span.end_time_unix_nano - span.start_time_unix_nano <= 41e6
    said = attributes(span)
    assert (said["http.response.status_code"], said["briefwire.outcome"], said["briefwire.article_id"]) == (
        503,
        "retry",
        "art_1",
    )
    assert (span.status.code, span.status.message) == (2, "server-error")


def test_the_whole_way_of_an_article_is_one_trace(store: Store, world: World, collector: Collector) -> None:
    made = traces.Tracer(store, TraceSettings(endpoint=collector.url))
    with store.write() as c:
        traces.traced.keep_cursor(c, traces.traced.Cursor(0, 0))
    made.step()
    made.door.close()
    mine = [(service, span) for service, span in collector.spans if attributes(span)["briefwire.article_id"] == "art_1"]
    assert len({span.trace_id for _, span in mine}) == 1
    assert {service for service, _ in mine} >= {"briefwire-ingest", "briefwire-enrich"}
    ids = {span.span_id for _, span in mine}
    assert len(ids) == len(mine)
    parents = defaultdict(set)
    for _, span in mine:
        assert span.end_time_unix_nano >= span.start_time_unix_nano
        parents[span.name].add(span.parent_span_id)
    assert (
        all(parent in ids or not parent for found in parents.values() for parent in found) or "article" not in parents
    )
    assert (
        max(Counter(span.name for _, span in mine if span.name in ("article", "fetch", "extract")).values(), default=0)
        <= 2
    )


def test_ids_are_the_articles_own() -> None:
    assert traces.trace_id("a", "art_1") == traces.trace_id("a", "art_1") != traces.trace_id("b", "art_1")
    assert traces.span_id("a", "art_1", "event:1") != traces.span_id("a", "art_1", "event:2")
    assert 0 < traces.trace_id("a", "x") < 2**128
    assert 0 < traces.span_id("a", "x", "y") < 2**64


def test_without_an_endpoint_nothing_of_it_is_imported(tmp_path: Path) -> None:
    code = (  # what metrics need of it redis-py imports by itself, where it finds it
        "import sys, services.app, services.console.cli, services.ingest.tasks, services.publish.tasks; "
        "print([name for name in sys.modules if name.startswith(('opentelemetry.exporter', 'opentelemetry.sdk.trace'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2],
                          env={"BRIEFWIRE_DATA": str(tmp_path), "PATH": "/usr/bin"})  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr[-500:]


def test_a_missing_package_and_a_bad_address_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert traces.why_not(TraceSettings()) is None
    assert traces.why_not(TraceSettings(endpoint="http://127.0.0.1:4318/v1/traces")) is None
    bad = traces.why_not(TraceSettings(endpoint="not an address"))
    assert bad is not None
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.setattr(traces.importlib.util, "find_spec", lambda name: None)
    missing = traces.why_not(TraceSettings(endpoint="http://127.0.0.1:4318/v1/traces"))
    assert missing is not None
    assert "briefwire[otel]" in missing.next_step
