"""A section's status as a series: the same in whatever order articles arrive; what turns its present is told, once, to who asked."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.enrich import turns
from services.publish import feeds_out, planning
from services.publish.render import render
from shared import migrations, records
from shared.store import articles, events, partners, statuses
from shared.store.engine import Store
from tests.enrich import briefs
from tests.enrich.arriving import HOUR, NOW, Arrivals, record

PAST = NOW - 100 * HOUR
Value = Literal["improved", "unchanged", "worsened", "unknown"]


def weekly(key: str, hour: int, value: Value, section: str = "Economy", **more: Any) -> records.Article:
    status = records.CategoryStatus(value)
    text = briefs.weekly(hour, hour + 0.5, hour + 1.5, hour + 2.5)
    return record(key, text, at=PAST + hour * HOUR, section=section, category_status=status, **more)


def told(wire: Arrivals, after: int = 0) -> list[tuple[str, str, str]]:
    """(carrier, before, after) of what was told about sections."""
    found = [one for one in wire.events(after) if one.kind == turns.KIND]
    changes = [
        (one.article_id.removeprefix("art_"), records.from_json(one.detail or "", records.SectionChange))
        for one in found
    ]
    return [(key, change.before, change.after) for key, change in changes]


def series(wire: Arrivals, section: str = "Economy") -> Any:
    with wire.store.read() as c:
        return turns.series(statuses.readings(c, (wire.source, section)))


def test_what_turns_the_present_is_told_with_the_streak_that_it_ends(store: Store) -> None:
    wire = Arrivals(store)
    for n in range(3):
        wire.add(weekly(f"a{n}", n, "worsened"))
    wire.add(weekly("b", 5, "improved"))
    assert told(wire) == [("a0", "unknown", "worsened"), ("b", "worsened", "improved")]
    last = wire.events()[-1]
    assert last.kind == "section.status_changed"
    change = records.from_json(last.detail or "", records.SectionChange)
    assert (change.source, change.section, change.at) == ("harbour", "Economy", (PAST + 5 * HOUR).isoformat())
    assert change.ended == records.Streak("worsened", PAST.isoformat(), (PAST + 2 * HOUR).isoformat(), 3)


def test_what_is_old_never_changes_the_present(store: Store) -> None:
    wire = Arrivals(store)
    wire.add(weekly("new", 50, "improved"))
    before = wire.head()
    wire.add(weekly("old", 3, "worsened", backfill=True))
    assert told(wire, before) == []
    assert series(wire).current == "improved"
    assert [one.after for one in series(wire).flips] == ["improved"], "it does change the past"


def test_unknown_is_not_unchanged(store: Store) -> None:
    wire = Arrivals(store)
    wire.add(weekly("a", 1, "worsened"))
    before = wire.head()
    wire.add(weekly("b", 2, "unknown"))
    assert (told(wire, before), series(wire).current, series(wire).unknown) == ([], "worsened", 1)


def test_a_correction_and_a_withdrawal_turn_the_present_back(store: Store) -> None:
    wire = Arrivals(store)
    wire.add(weekly("a", 1, "worsened"))
    wire.add(weekly("b", 2, "improved"))
    before = wire.head()
    wire.revise("b", "correction", category_status=records.CategoryStatus("unchanged"))
    assert told(wire, before) == [("b", "improved", "unchanged")]
    before = wire.head()
    wire.withdraw("b")
    assert told(wire, before) == [("a", "unchanged", "worsened")]
    before = wire.head()
    wire.revise("b", "restored")
    wire.revise("b", section="Society")
    assert sorted(told(wire, before)) == [
        ("a", "unchanged", "worsened"), ("b", "unknown", "unchanged"), ("b", "worsened", "unchanged"),
    ]  # fmt: skip


def test_a_date_far_ahead_does_not_hold_the_present(store: Store) -> None:
    wire = Arrivals(store)
    wire.add(weekly("a", 1, "worsened"), weekly("typo", 40 * 24 + 100, "improved"))
    assert told(wire) == [("a", "unknown", "worsened")]


_VALUES: tuple[Value, ...] = ("improved", "unchanged", "worsened", "unknown")
_SECTIONS = ("Economy", "Society")
_ARTICLES = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(_VALUES), st.sampled_from(_SECTIONS)),
    min_size=1, max_size=7, unique_by=lambda one: one[0],
)  # fmt: skip


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ARTICLES, st.data())
def test_the_order_of_arrival_makes_no_difference(
    empty: Path, found: Sequence[tuple[int, Value, str]], data: Any
) -> None:
    arrivals = [weekly(f"h{hour}", hour, value, section) for hour, value, section in found]
    shuffled = data.draw(st.permutations(arrivals))
    cut = data.draw(st.integers(0, len(arrivals)))
    one, other = (
        _arrived(empty, [[article] for article in arrivals]),
        _arrived(empty, [shuffled[:cut], shuffled[cut:]]),
    )
    for section in _SECTIONS:
        assert series(one, section) == series(other, section)
        for wire in (one, other):
            said = [change for change in _changes(wire) if change.section == section]
            assert (said[-1].after if said else "unknown") == series(wire, section).current
            assert all(a.after == b.before for a, b in itertools.pairwise(said)), "no turn is left out"
    one.store.close()
    other.store.close()


def _arrived(empty: Path, batches: Sequence[Sequence[records.Article]]) -> Arrivals:
    copy = empty.with_name(f"{next(_NUMBERS)}.sqlite3")
    shutil.copy(empty, copy)
    wire = Arrivals(Store(f"sqlite:///{copy}"))
    for batch in batches:
        if batch:
            wire.add(*batch)
    return wire


_NUMBERS = itertools.count()


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """The file of an empty store, to be copied."""
    made = Store(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    migrations.upgrade(made)
    made.close()
    return tmp_path / "empty.sqlite3"


def _changes(wire: Arrivals) -> list[records.SectionChange]:
    return [records.from_json(one.detail, records.SectionChange) for one in wire.events() if one.detail]


# To partners


@pytest.fixture
def asked(store: Store, tmp_path: Path) -> Arrivals:
    """A partner that asked for the turns of Economy."""
    wire = Arrivals(store)
    wire.partner(tmp_path, filter='section = "Economy" and kind = "status_changed"', status_changes=True)
    return wire


def plan(wire: Arrivals) -> list[tuple[str, str]]:
    """Plans what waits; (kind, key) of the deliveries planned so far."""
    with wire.store.write() as c:
        decided = planning.decide(c, "here", wire.now, 1000)
        if decided.upto is not None:
            partners.plan(c, decided.planned, decided.upto, wire.now)
        (endpoint,) = partners.endpoints(c)
        rows = partners.sendable(c, endpoint["id"], wire.now, 100)
        return sorted((row["kind"], row["article_id"].removeprefix("art_")) for row in rows)


def test_only_who_asked_is_told_and_only_of_what_the_filter_lets_through(asked: Arrivals) -> None:
    asked.add(weekly("a", 1, "worsened"), weekly("s", 2, "improved", "Society"))
    assert plan(asked) == [("section.status_changed", "a")]


def test_being_told_of_a_section_is_not_having_the_article(asked: Arrivals) -> None:
    asked.add(weekly("a", 1, "worsened"))
    plan(asked)
    asked.revise("a", tags=("x",))
    asked.withdraw("a")
    assert plan(asked) == [("section.status_changed", "a")], "neither an update nor a withdrawal, and it still goes"


def test_nobody_is_told_who_did_not_ask(store: Store, tmp_path: Path) -> None:
    wire = Arrivals(store)
    wire.partner(tmp_path)
    wire.add(weekly("a", 1, "worsened"))
    assert plan(wire) == [("article.published", "a")]


@pytest.mark.parametrize("format_name", ["brief", "ninjs", "newsml", "text"])
def test_it_goes_as_brief_json_in_whatever_format_articles_go(asked: Arrivals, format_name: str) -> None:
    asked.add(weekly("a", 1, "worsened"))
    plan(asked)
    with asked.store.read() as c:
        event = next(one for one in events.after(c, 0, 10) if one.kind == turns.KIND)
        contents = articles.revisions(c, {(event.article_id, event.revision)})
        row = {"article_id": event.article_id, "revision": 1, "kind": event.kind, "occurrence": 0, "position": 1}
        at, detail = events.told(c, [event.number])[event.number]
    (made,) = feeds_out.inputs([row | {"at": at, "detail": detail}], contents, ())
    sent = render(format_name, made)
    assert sent.content_type == "application/json"
    body = json.loads(sent.body)
    assert body["type"] == "section.status_changed"
    assert body["data"] == {
        "article_id": "art_a", "revision": 1, "position": 1, "occurrence": 0,
        "change": {"source": "harbour", "section": "Economy", "before": "unknown", "after": "worsened",
                   "at": (PAST + HOUR).isoformat(), "ended": None},
    }  # fmt: skip


def test_the_documented_event_is_one() -> None:
    pages = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
    example = next(one for one in pages.split("```json\n")[1:] if '"section.status_changed"' in one).partition("```")[0]
    change = json.loads(example)["data"]["change"]
    assert records.to_plain(records.from_json(json.dumps(change), records.SectionChange)) == change
