"""Figures, curves, metrics and health: what they say of a wire in this or that state."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, update

from services.console import metrics, numbers
from services.console.web import fetched, live, show, signals
from services.console.web.desk import Desk
from services.ingest import schedule
from services.publish import policy
from shared import records, settings
from shared.models import DeliveryRow, HeartbeatRow
from shared.store import desk, ledger
from shared.store.engine import Store
from tests.console.desk_world import Site, World

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
QUEUES = ("fetch", "extract", "enrich", "plan", "deliver")


ANSWERED = numbers.Point(1, 0, 0.25, 0.5)


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


def a_reading(at: dt.datetime = NOW, **values: Any) -> desk.Reading:
    """A reading of an idle, healthy wire, with these values in the place of its own."""
    none = desk.Waiting()
    usual: dict[str, Any] = {
        "poll": none, "fetch": none, "extract": none, "enrich": none, "plan": none, "deliver": none, "seen": 0, "pages": 0, "events": 0,
        "planned": 0, "last_attempt": 0, "outcomes": {}, "tried": (), "lanes": (), "sources": (),
        "beats": tuple((queue, f"{queue}@h:1:1", at) for queue in QUEUES),
    }  # fmt: skip
    return desk.Reading(at=at, **(usual | values))


def derive(now: desk.Reading, before: desk.Reading | None = None, slow: numbers.Slow | None = None,
           points: tuple[numbers.Point, ...] = ()) -> numbers.Numbers:  # fmt: skip
    return numbers.derive(now, before, points, slow or numbers.Slow(), (0.002, 1.0), {"delivered": 3})


def a_lane(**values: Any) -> desk.Lane:
    usual: dict[str, Any] = {"endpoint_id": 7, "partner": "gazette", "state": "active", "breaker": None, "blocked_until": None,
                             "failures": 0, "waiting": desk.Waiting()}  # fmt: skip
    return desk.Lane(**(usual | values))


def test_rates_are_what_left_each_stage() -> None:
    before = a_reading(
        ago(10), seen=100, pages=50, events=40, planned=30, last_attempt=20, extract=desk.Waiting(5, ago(20))
    )
    after = a_reading(seen=120, pages=90, events=70, planned=60, last_attempt=120, extract=desk.Waiting(15, ago(5)))
    found = derive(after, before)
    rates = {stage.key: stage.rate for stage in found.stages}
    assert rates == {"poll": 2.0, "fetch": 4.0, "extract": 3.0, "enrich": 3.0, "plan": 3.0, "deliver": 10.0}
    assert found.stage("extract").depth == 15
    assert found.stage("extract").oldest_s == 5


def test_no_rate_is_negative_and_one_reading_has_none() -> None:
    assert {stage.rate for stage in derive(a_reading()).stages} == {0.0}
    back = derive(a_reading(seen=1), a_reading(ago(5), seen=9))
    assert back.stage("poll").rate == 0.0


def test_an_idle_wire_is_well_and_a_deaf_queue_is_not() -> None:
    assert derive(a_reading()).state == "good"
    beats = tuple((queue, "w", ago(3600) if queue == "extract" else NOW) for queue in QUEUES)
    found = derive(a_reading(beats=beats))
    assert found.state == "bad"
    assert [w.queue for w in found.workers if w.deaf] == ["extract"]
    assert found.stage("extract").state == "bad"
    assert [t.text for t in found.trouble] == ["Nobody consumes the queue extract."]
    assert derive(a_reading(beats=())).state == "bad"


def test_what_waits_for_long_is_told() -> None:
    found = derive(a_reading(fetch=desk.Waiting(3, ago(300))))
    assert found.stage("fetch").state == "busy"
    assert "Fetch: something has waited 300 s." in [t.text for t in found.trouble]


@pytest.mark.parametrize(("lane", "text"), [
    (a_lane(state="disabled", waiting=desk.Waiting(4, ago(1))), "is disabled; 4 deliveries wait"),
    (a_lane(breaker=records.to_json(policy.Breaker(state="open", until=NOW + dt.timedelta(seconds=9))).decode()), "breaker is open"),
    (a_lane(waiting=desk.Waiting(1, ago(90))), "is 90 s behind"),
    (a_lane(failures=2), "behind"),
])  # fmt: skip
def test_a_partner_in_trouble_is_told(lane: desk.Lane, text: str) -> None:
    (trouble,) = derive(a_reading(lanes=(lane,))).trouble
    assert text in trouble.text
    assert trouble.href == "/partners/7"


def test_a_paused_partner_is_no_trouble() -> None:
    assert derive(a_reading(lanes=(a_lane(state="paused", waiting=desk.Waiting(9, ago(900))),))).trouble == ()


def test_sources_in_trouble_are_told_once() -> None:
    failing = desk.Source("a", "active", ago(9), 3, "connect-timeout")
    silent, stopped = desk.Source("b", "active", ago(9), 0, None), desk.Source("c", "stopped", None, 0, "gone")
    found = derive(a_reading(sources=(failing, silent, stopped)), slow=numbers.Slow(overdue=frozenset("ab")))
    assert [t.text for t in found.trouble] == [
        "Source a: connect-timeout", "Source c: gone", "Source b is silent for longer than usual.",
    ]  # fmt: skip
    assert {source.name: source.new_s for source in found.sources} == {"a": 9, "b": 9, "c": None}


def test_a_source_is_overdue_by_its_own_rhythm() -> None:
    rhythm = records.to_json(schedule.PollState(schedule.Rhythm(50.0, 86_400.0, 60))).decode()
    row = {"name": "a", "state": "active", "rhythm": rhythm, "new_at": ago(2 * 86_400)}
    rows = [
        row,
        row | {"name": "b", "new_at": ago(3600)},
        row | {"name": "c", "state": "paused"},
        row | {"name": "d", "rhythm": None},
    ]
    assert numbers.overdue(rows, NOW) == {"a"}


def books(balanced: bool) -> numbers.Books:
    line = ledger.IntakeLine("harbour", 3, 0, 2, 0, 0, 0, balanced=balanced)
    return numbers.summary(ledger.Books((line,), ()), NOW)


def test_books_that_do_not_balance_are_told() -> None:
    found = derive(a_reading(), slow=numbers.Slow(books(False), (1, 2), 10**12))
    assert [t.text for t in found.trouble] == [
        "The books do not balance: intake of harbour.", "In quarantine: 1 entry, 2 deliveries.",
    ]  # fmt: skip
    assert found.state == "bad"
    full = derive(a_reading(), slow=numbers.Slow(books(True), (0, 0), 10**6))
    assert "Only 1 MB are free" in full.trouble[0].text


def test_history_keeps_ten_minutes_in_bins() -> None:
    history = numbers.History(bins=3, bin_s=5.0)
    tries = (
        (18, "delivered", 9.0),
        (11, "delivered", 1.0),
        (11, "delivered", 3.0),
        (11, "retry", 5.0),
        (1, "delivered", 2.0),
    )
    for seconds, outcome, lag in tries:
        history.add(ago(seconds), outcome, lag)
    history.add_uncounted(ago(11), "delivered", 8)
    history.add_uncounted(ago(11), "dead", 1)
    first, second, third = history.points(NOW)
    assert first == numbers.Point(10 / 5, 2 / 5, 3.0, 3.0)
    assert second == numbers.Point()
    assert third == numbers.Point(1 / 5, 0.0, 2.0, 2.0)


@pytest.mark.parametrize(("values", "share", "expected"), [
    ([], 0.5, None), ([4.0], 0.95, 4.0), ([1.0, 2.0, 3.0, 4.0], 0.5, 3.0), (list(map(float, range(100))), 0.95, 95.0),
])  # fmt: skip
def test_quantiles(values: list[float], share: float, expected: float | None) -> None:
    assert numbers.quantile(values, share) == expected


@pytest.mark.parametrize(("value", "top"), [
    (0, 1), (0.004, 0.01), (0.3, 0.5), (1, 1), (1.1, 2), (7, 10), (10, 10), (43, 50), (480, 500), (9999, 10000),
])  # fmt: skip
def test_a_scale_is_a_round_number_that_holds_the_value(value: float, top: float) -> None:
    assert live.ceiling(value) == pytest.approx(top)


def test_a_curve_stays_in_its_frame_and_bridges_short_gaps() -> None:
    path = live.curve([0.0, None, 5.0, *[None] * 20, 10.0, 99.0], 10.0)
    assert path.count("M") == 2
    heights = [float(y) for _, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]
    assert heights == [120.0, 62.0, 4.0, 4.0]
    assert live.curve([None, None], 1.0) == ""


def test_the_page_and_the_stream_show_the_same() -> None:
    found = derive(a_reading(fetch=desk.Waiting(1234, ago(90))), points=(numbers.Point(2.0, 0.0, 0.1, 0.4),))
    shown = live.view(found)
    assert shown.text["fetch.depth"] == "1\u202f234"
    assert shown.text["fetch.oldest"] == "90 s"
    assert shown.text["lag.p95"] == "400 ms"
    assert msgspec.json.decode(live.event(shown).removeprefix(b"data: "), type=live.View) == shown
    assert live.event(shown).endswith(b"\n\n")


@pytest.mark.parametrize(("seconds", "text"), [
    (None, "–"), (0, "0 s"), (0.42, "420 ms"), (4.25, "4.2 s"), (42, "42 s"), (600, "10 min"), (7200, "2 h"), (172_800, "2 d"),
])  # fmt: skip
def test_ages(seconds: float | None, text: str) -> None:
    assert show.age(seconds) == text


def test_shares_are_never_rounded_up_to_all() -> None:
    assert show.share(9999, 10_000) == "99.9 %"
    assert show.share(99_999, 100_000) == "99.9 %"
    assert show.share(5, 5) == "100 %"
    assert show.share(0, 0) == "–"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", " javascript:x", "JaVaScRiPt:x", "//host", "", None]
)
def test_only_web_addresses_become_links(url: str | None) -> None:
    assert show.web_link(url) is None
    assert show.web_link("https://a.example/") == "https://a.example/"


def test_a_marked_page_is_the_page() -> None:
    article = msgspec.json.decode(
        msgspec.json.encode(dict.fromkeys(records.Article.__struct_fields__) | {
            "id": "a", "source": "s", "revision": 1, "state": "usable", "content_hash": "", "headline": "Ferry fares rise",
            "authors": ["Ilze Kalna"], "category_status": {}, "blocks": [], "images": [], "tags": [], "related": [],
            "access": "free", "backfill": False, "removed": [], "origins": {},
        }), type=records.Article)  # fmt: skip
    text = "<title>Ferry fares rise</title><h1>Ferry fares rise</h1><i>Ilze Kalna</i>"
    pieces = list(fetched.marked(text, article))
    assert "".join(piece for piece, _ in pieces) == text
    assert [(piece, field) for piece, field in pieces if field] == [
        ("Ferry fares rise", "headline"), ("Ferry fares rise", "headline"), ("Ilze Kalna", "author"),
    ]  # fmt: skip


def parsed(text: str) -> dict[str, float]:
    """The samples of an exposition; every line is checked against the format."""
    found, typed = {}, set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("#"):
            kind, name = line.split(" ")[1:3]
            typed |= {name} if kind == "TYPE" else set()
            continue
        matched = re.fullmatch(r'([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})? (\S+)', line)
        assert matched, line
        assert matched[1] in typed
        found[matched[1] + (matched[2] or "")] = float(matched[3])
    return found


def test_metrics_tell_the_figures_in_the_text_format() -> None:
    lane = a_lane(partner='q"u\\o\nte', waiting=desk.Waiting(4, ago(7)))
    found = derive(a_reading(lanes=(lane,), seen=12, enrich=desk.Waiting(2, ago(3))), slow=numbers.Slow(books(True), (1, 0), 10**12),
                   points=(ANSWERED,))  # fmt: skip
    samples = parsed(metrics.exposition(found))
    assert samples["briefwire_entries_seen_total"] == 12
    assert samples['briefwire_stage_depth{stage="enrich"}'] == 2
    assert samples['briefwire_stage_oldest_seconds{stage="enrich"}'] == 3
    assert samples['briefwire_books_balanced{book="intake"}'] == 1
    assert samples['briefwire_delivery_lag_seconds{quantile="0.95"}'] == 0.5
    assert samples['briefwire_attempts_total{outcome="delivered"}'] == 3
    assert samples['briefwire_endpoint_lag_seconds{partner="q\\"u\\\\o\\nte",endpoint="7"}'] == 7


def test_alerts_and_dashboard_name_metrics_that_exist() -> None:
    folder = Path(__file__).resolve().parents[2] / "deploy"
    slow = numbers.Slow(books(True), (1, 0), 10**12)
    told = {
        family.name for family in metrics.families(derive(a_reading(lanes=(a_lane(),)), slow=slow, points=(ANSWERED,)))
    }
    for file in (folder / "grafana" / "dashboards" / "briefwire.json", folder / "alerts.yml"):
        named = set(re.findall(r"briefwire_[a-z_]+", file.read_text(encoding="utf-8")))
        assert named, file
        assert named <= told, file


def test_a_sampler_counts_from_reading_to_reading(store: Store, world: World, tmp_path: Path) -> None:
    sampler = numbers.Sampler(store, tmp_path)
    first = sampler.sample()
    assert first.attempts == 2
    assert sum(point.failed for point in first.points) <= 2 / numbers.BIN_S  # the two attempts of the store's past
    with store.write() as c:
        c.execute(update(DeliveryRow).where(DeliveryRow.id == world.due).values(due_at=ago(0)))
    assert sampler.sample().outcomes == {}  # nothing new
    assert sampler.slow_due()
    sampler.ask_slow()
    assert not sampler.slow_due()
    found = sampler.sample()
    assert found.books is not None
    assert found.books.balanced
    assert found.quarantined == (1, 1)
    (endpoint,) = found.endpoints
    assert (endpoint.backlog, endpoint.breaker, endpoint.failures) == (1, "open", 3)


def test_health_is_bad_while_something_does_not_run(store: Store, world: World, tmp_path: Path) -> None:
    made = Desk(settings.load({"BRIEFWIRE_DATA": str(tmp_path)}), store)
    assert signals.checks(made, None)["store"] is False
    found = signals.checks(made, made.sampler.sample())
    assert found["store"]
    assert found["worker-extract"]
    assert found["broker"] is False  # none runs here
    with store.write() as c:
        c.execute(delete(HeartbeatRow).where(HeartbeatRow.kind == "extract"))
    assert signals.checks(made, made.sampler.sample())["worker-extract"] is False
    late = msgspec.structs.replace(made.sampler.sample(), at=made.now() - dt.timedelta(minutes=5))
    assert signals.checks(made, late)["store"] is False


def test_health_and_readiness_over_http(site: Site) -> None:
    stranger = site.visitor()
    health = stranger.get("/health")
    assert health.status_code == 503
    assert health.json()["checks"]["broker"] is False
    assert stranger.get("/ready").json() == {"status": "ready"}
    metrics_page = site.visitor("viewer").get("/metrics")
    assert metrics_page.headers["content-type"] == metrics.CONTENT_TYPE
    assert parsed(metrics_page.text)['briefwire_stage_depth{stage="deliver"}'] == 1
