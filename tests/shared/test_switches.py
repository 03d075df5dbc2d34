"""What people switched off, on both stores: what claims then, what rings, what is told, and what is still in hand."""

from __future__ import annotations

import datetime as dt
import importlib
from typing import Any

import pytest

from shared import clock, pipeline, queue, records
from shared.store import claims, intake, lanes, switches
from shared.store.engine import Store

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)


@pytest.fixture
def ours(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store as this process's own, as tasks have it."""
    monkeypatch.setattr(queue, "store", lambda: store)
    return store


def off(store: Store, *keys: str) -> None:
    with store.write() as c:
        for key in keys:
            switches.turn_off(c, key, "ilze", "a test", NOW)


def test_a_task_of_a_stopped_stage_claims_nothing_and_does_not_fail(ours: Store) -> None:
    claimed: list[list[int]] = []

    def work(keys: list[int]) -> None:
        for _ in ("the claim", "the result"):
            with queue.begin():
                claimed.append(keys)

    claiming = queue.unless_stopped("enrich", work)
    off(ours, "enrich")
    claiming([1])
    assert claimed == []
    with ours.write() as c:
        switches.turn_on(c, "enrich")
    claiming([2])
    assert claimed == [[2], [2]]
    off(ours, switches.DRAIN)
    claiming([3])
    assert claimed == [[2], [2]]


def test_every_task_asks_whether_its_stage_is_stopped(ours: Store) -> None:
    off(ours, *pipeline.STAGES)
    for module in {name for worker in pipeline.WORKERS for name in worker.tasks}:
        importlib.import_module(module)
    keys: dict[str, list[Any]] = {
        "enrich.train_model": ["train:medtop"],
        "ingest.fetch_host": ["host:h.example"],
        "publish.deliver_lane": ["endpoint:1"],
    }
    for task in pipeline.STAGE_OF:
        asked: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(queue.switches, "stopped", lambda c, asked=asked: asked.append("yes") or pipeline.STAGES)
            queue.app.tasks[task].run(keys.get(task, [1]))
        assert asked == ["yes"], task


def test_a_drain_stops_every_stage_and_other_switches_stay(store: Store) -> None:
    off(store, switches.DRAIN, "plan")
    with store.write() as c:
        assert set(switches.stopped(c)) == set(pipeline.STAGES)
        assert switches.turn_on(c, switches.DRAIN)
        assert not switches.turn_on(c, switches.DRAIN)
        assert set(switches.stopped(c)) == {"plan"}


def test_what_was_claimed_before_is_finished(ours: Store) -> None:
    done: list[str] = []

    def polling(_: list[int]) -> None:
        with queue.begin():
            pass
        off(ours, "poll")
        with queue.begin():
            done.append("settled")

    queue.unless_stopped("poll", polling)([1])
    assert done == ["settled"]


def test_bells_of_a_stopped_stage_are_not_rung(ours: Store) -> None:
    off(ours, "deliver")
    with ours.write() as c:
        work = queue.Work(c, NOW)
        work.ring("endpoint.due", ["endpoint:1"])
        work.ring("hub.due", [3])
        work.ring("host.due", ["host:a.example"])
        work.finish()
        assert work.rings() == {"host.due": ["host:a.example"]}


def test_who_was_first_to_switch_off_stands_there(store: Store) -> None:
    with store.write() as c:
        assert switches.turn_off(c, "fetch", "ilze", "they asked us to", NOW)
        assert not switches.turn_off(c, "fetch", "anna", "again", NOW + dt.timedelta(hours=1))
        (row,) = switches.off(c).values()
    assert (row["who"], row["reason"], row["at"]) == ("ilze", "they asked us to", NOW)


def test_everything_that_stands_still_is_told_by_queue(store: Store) -> None:
    with store.write() as c:
        source = intake.add_source(c, name="harbour", url="http://h.example/feed", kind="feed", profile=None, now=NOW)
        intake.add_entries(
            c, source, [intake.NewEntry(records.Entry("a", "http://h.example/a"), "h.example", False)], NOW
        )
        intake.set_source(c, source, state="paused")
        lanes.pause(c, lanes.host_lane("h.example"), paused=True)
        switches.turn_off(c, "poll", "ilze", "", NOW)
        told = switches.paused(c)
    assert told == {
        "fetch": ["stage poll", "source harbour", "host h.example"],
        "extract": [],
        "enrich": [],
        "plan": [],
        "deliver": [],
    }


def test_in_hand_is_what_living_processes_hold(store: Store) -> None:
    now = clock.now()
    with store.write() as c:
        source = intake.add_source(c, name="harbour", url="http://h.example/feed", kind="feed", profile=None, now=now)
        new = [intake.NewEntry(records.Entry(key, f"http://h.example/{key}"), "h.example", False) for key in "ab"]
        intake.add_entries(c, source, new, now)
        assert not any(switches.in_hand(c, now).values())
        assert intake.claim_sources(c, [source], now)
        lane = lanes.claim(c, lanes.host_lane("h.example"), now)
        assert lane is not None
        assert {k: n for k, n in switches.in_hand(c, now).items() if n} == {"poll": 1, "fetch": 1}
        assert not any(switches.in_hand(c, now + dt.timedelta(seconds=claims.LEASE_S + 1)).values())
        lanes.rest(c, lane)
        assert switches.in_hand(c, now)["fetch"] == 0
