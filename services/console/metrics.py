"""Figures in, the Prometheus text exposition (format 0.0.4) out. Names begin with `briefwire_`; times are in seconds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from services.console.numbers import Numbers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Sample(NamedTuple):
    """One line: labels and a value; None values are left out."""

    labels: dict[str, str]
    value: float | None


class Family(NamedTuple):
    """All samples of one name."""

    name: str
    kind: str
    help: str
    samples: list[Sample]


def exposition(numbers: Numbers) -> str:
    """All families as text, ending in a line feed."""
    return "".join(line + "\n" for family in families(numbers) for line in _lines(family))


def families(numbers: Numbers) -> list[Family]:
    """What is told."""
    return [*_stages(numbers), *_sources(numbers), *_endpoints(numbers), *_books(numbers), *_whole(numbers)]


def _stages(numbers: Numbers) -> list[Family]:
    def of(name: str, help_: str, values: Iterable[tuple[str, float | None]]) -> Family:
        return Family(
            f"briefwire_stage_{name}", "gauge", help_, [Sample({"stage": key}, value) for key, value in values]
        )

    stages = numbers.stages
    return [
        of("depth", "Rows that wait for the stage.", ((s.key, s.depth) for s in stages)),
        of("oldest_seconds", "Age of the oldest row that waits.", ((s.key, s.oldest_s or 0.0) for s in stages)),
        of("rate", "Rows a second that left the stage, over about ten seconds.", ((s.key, s.rate) for s in stages)),
        of("paused", "1 where people paused the stage, or drain the wire.", ((s.key, float(s.paused)) for s in stages)),
        Family("briefwire_queue_heartbeat_seconds", "gauge", "Seconds since the queue was last seen consumed.",
               [Sample({"queue": w.queue}, w.beat_s) for w in numbers.workers]),
        Family("briefwire_queue_deaf", "gauge", "1 where nobody consumes the queue.",
               [Sample({"queue": w.queue}, float(w.deaf)) for w in numbers.workers]),
        Family("briefwire_queue_places", "gauge", "Threads or processes that consume the queue at once.",
               [Sample({"queue": w.queue}, w.at_once) for w in numbers.workers]),
    ]  # fmt: skip


def _sources(numbers: Numbers) -> list[Family]:
    def of(name: str, help_: str, values: Iterable[float | None]) -> Family:
        samples = [Sample({"source": one.name}, value) for one, value in zip(numbers.sources, values, strict=True)]
        return Family(f"briefwire_source_{name}", "gauge", help_, samples)

    return [
        of("new_seconds", "Seconds since the source's newest entry.", [one.new_s for one in numbers.sources]),
        of("failures", "Failed polls in a row.", [one.failures for one in numbers.sources]),
        of(
            "overdue",
            "1 where the source is silent for longer than its own habit.",
            [float(one.overdue) for one in numbers.sources],
        ),
    ]


def _endpoints(numbers: Numbers) -> list[Family]:
    labelled = [({"partner": one.partner, "endpoint": str(one.endpoint_id)}, one) for one in numbers.endpoints]

    def of(name: str, help_: str, values: Iterable[float | None]) -> Family:
        samples = [Sample(labels, value) for (labels, _), value in zip(labelled, values, strict=True)]
        return Family(f"briefwire_endpoint_{name}", "gauge", help_, samples)

    found = [one for _, one in labelled]
    return [
        of("backlog", "Deliveries that are due.", [one.backlog for one in found]),
        of("lag_seconds", "Age of the event of the oldest delivery that is due.", [one.lag_s or 0.0 for one in found]),
        of("breaker_open", "1 while the breaker is open.", [float(one.breaker == "open") for one in found]),
        of("active", "1 unless the endpoint is paused or disabled.", [float(one.state == "active") for one in found]),
    ]


def _books(numbers: Numbers) -> list[Family]:
    found = numbers.books
    if found is None:
        return []
    intake = [Sample({"source": line.source, "place": place}, getattr(line, place)) for line in found.books.intake
              for place in ("seen", "waiting", "stored", "duplicate", "quarantined", "gone")]  # fmt: skip
    owed = [Sample({"partner": line.partner, "endpoint": str(line.endpoint), "place": place}, getattr(line, place))
            for line in found.books.delivery
            for place in ("events", "backfilled", "unplanned", "filtered", "held", "due", "delivered", "superseded",
                          "quarantined", "unproven")]  # fmt: skip
    balanced = [
        Sample({"book": "intake"}, float(found.intake_balanced)),
        Sample({"book": "delivery"}, float(found.delivery_balanced)),
    ]
    return [
        Family("briefwire_books_balanced", "gauge", "1 where the book adds up.", balanced),
        Family("briefwire_books_checked_timestamp_seconds", "gauge", "When the books were last checked.",
               [Sample({}, found.at.timestamp())]),
        Family("briefwire_intake_entries", "gauge", "Entries by source and place in the book.", intake),
        Family("briefwire_delivery_events", "gauge", "Events by endpoint and place in the book.", owed),
    ]  # fmt: skip


def _whole(numbers: Numbers) -> list[Family]:
    last = next((p for p in reversed(numbers.points) if p.p50_s is not None), None)
    lags = [Sample({"quantile": "0.5"}, last.p50_s), Sample({"quantile": "0.95"}, last.p95_s)] if last else []
    outcomes = [Sample({"outcome": outcome}, n) for outcome, n in sorted(numbers.outcomes.items())]
    entries, deliveries = numbers.quarantined
    return [
        Family("briefwire_entries_seen_total", "counter", "Entries ever seen.", [Sample({}, numbers.seen)]),
        Family("briefwire_events_total", "counter", "Events ever logged.", [Sample({}, numbers.events)]),
        Family("briefwire_attempts_total", "counter", "Attempts since this process started, by outcome.", outcomes),
        Family("briefwire_delivery_lag_seconds", "gauge", "From event to the partner's answer, newest bin of five seconds.", lags),
        Family("briefwire_quarantined", "gauge", "What waits for a person.",
               [Sample({"kind": "entry"}, entries), Sample({"kind": "delivery"}, deliveries)]),
        Family("briefwire_draining", "gauge", "1 while the wire is drained for a deploy.", [Sample({}, float(numbers.draining))]),
        Family("briefwire_free_bytes", "gauge", "Free in the data folder.", [Sample({}, numbers.free_bytes)]),
        Family("briefwire_sampling_cost_seconds", "gauge", "What asking the store for these figures took.",
               [Sample({}, numbers.cost_s)]),
        Family("briefwire_sampling_seconds_total", "counter", "What asking the store has taken since this process started.",
               [Sample({}, numbers.spent_s)]),
        Family("briefwire_sampled_timestamp_seconds", "gauge", "When these figures were asked for.",
               [Sample({}, numbers.at.timestamp())]),
    ]  # fmt: skip


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        if sample.value is not None:
            labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
            yield (
                f"{family.name}{{{labels}}} {_number(sample.value)}"
                if labels
                else f"{family.name} {_number(sample.value)}"
            )


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
