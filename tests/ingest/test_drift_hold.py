"""A source whose pages change is held before a bad record leaves, and released by one action; on both stores."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, select

from benchmarks import drift as bench
from services.console import actions
from services.ingest import drift, normalise, profiles, storing
from shared.errors import OperatorError
from shared.models import ArticleRow, EntryRow, EventRow
from shared.queue import Failure, Work, attempt
from shared.records import from_json, to_json
from shared.store import articles, desk, events, intake, ledger
from shared.store import drift as stored
from shared.store.engine import Store

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
DEMO = profiles.load().named("demo", NOW.date())
HOST = "h.example"


class Wire:
    """One source on a store; pages go through it as through the wire, the newest version of each."""

    def __init__(self, store: Store, kind: str = "feed") -> None:
        self.store, self.kind, self.now = store, kind, NOW
        with store.write() as c:
            self.source = intake.add_source(c, name="site", url="http://h.example/f", kind=kind, profile=None, now=NOW)
        self.profile = DEMO

    def fetch(self, *pages: bench.Page) -> list[int]:
        """The pages as seen and fetched; returns the entries' ids."""
        self.now += dt.timedelta(minutes=5)
        ids = []
        with self.store.write() as c:
            for one in pages:
                intake.add_entries(c, self.source, [intake.NewEntry(one.entry, HOST, backfill=False)], self.now)
                found = c.execute(select(EntryRow.id).where(EntryRow.url == one.entry.url)).scalar_one()
                kept = intake.NewPage(one.body, one.entry.url, one.entry.url, 200, "text/html; charset=utf-8", self.now)
                intake.keep_page(c, found, kept)
                ids.append(found)
        return ids

    def extract(self, *ids: int) -> None:
        """What waits for extraction is judged and stored, in one batch."""
        with self.store.write() as c:
            rows = intake.claim_pages(c, ids, self.now)
            pages = intake.pages(c, [row["page_id"] for row in rows])
        found = [(row, self._read(row, pages[row["page_id"]]["body"])) for row in rows]
        with self.store.read() as c:
            pairs = [(row, self._compared(c, row, one)) for row, one in found]
        with self.store.write() as c:
            work = Work(c, self.now)
            storing.settle(work, pairs, {self.source: self.kind})
            work.finish()

    def _read(self, row: dict, body: bytes) -> normalise.Extracted | Failure:  # type: ignore[type-arg]
        finding = normalise.Finding("site", intake.entry_of(row), row["url"], row["url"])
        return attempt(normalise.extract, body, "text/html; charset=utf-8", self.now, finding, self.profile, "UTC")

    def _compared(self, c: Connection, row: dict, one: normalise.Extracted | Failure) -> storing.Result:  # type: ignore[type-arg]
        if isinstance(one, Failure):
            return one
        compared = attempt(storing.compare, c, row, one)
        return compared if isinstance(compared, Failure) else (one, compared)

    def take(self, *pages: bench.Page) -> list[int]:
        ids = self.fetch(*pages)
        self.extract(*ids)
        return ids

    def state(self, entry: int) -> tuple[str, str | None]:
        with self.store.read() as c:
            return tuple(c.execute(select(EntryRow.state, EntryRow.reason).where(EntryRow.id == entry)).one())  # type: ignore[return-value]

    def act(self, name: str, reason: str = "") -> str:
        with self.store.write() as c:
            done = actions.perform(actions.ACTIONS[name], Work(c, self.now), "ann", str(self.source), reason=reason,
                                   folder=Path(), randomness=b"")  # fmt: skip
        return done.said

    def held(self) -> list[dict]:  # type: ignore[type-arg]
        with self.store.read() as c:
            return stored.held(c)


@pytest.fixture
def wire(store: Store) -> Wire:
    """A source of which twenty-four articles are known."""
    made = Wire(store)
    made.take(*(bench.page(i) for i in range(1, 32) if i % 4))
    return made


def dateless(i: int) -> bench.Page:
    good = bench.page(i)
    return bench.Page(good.entry, bench.LAYOUTS["date removed"](good.body))


def renamed(i: int) -> bench.Page:
    """The body's class has another name."""
    good = bench.page(i)
    return bench.Page(good.entry, good.body.replace(b'<div class="copy">', b'<div class="words">'))


def test_good_pages_pass(wire: Wire) -> None:
    assert wire.held() == []
    assert wire.state(wire.take(bench.page(33))[0]) == ("stored", None)


def test_odd_pages_wait_and_the_third_holds_the_source(wire: Wire) -> None:
    (first,) = wire.take(dateless(33))
    assert wire.state(first) == ("quarantined", "drift")
    (second,) = wire.take(dateless(34))
    assert wire.held() == []
    (third,) = wire.take(dateless(35))
    (row,) = wire.held()
    assert (row["source"], row["waiting"]) == ("site", 3)
    assert any("No date" in why for why in row["why"])
    assert [one["entry_id"] for one in row["examples"]] == [third]
    (good,) = wire.take(bench.page(37))
    assert wire.state(good) == ("quarantined", "drift")
    with wire.store.read() as c:
        assert c.execute(select(ArticleRow.id).where(ArticleRow.published_at.is_(None))).first() is None
        book = next(line for line in ledger.books(c).intake if line.source == "site")
        assert book.balanced
        assert book.quarantined == 4
        told = desk.audits(c, action="source.drift")
        assert [line["target"] for line in told] == ["source site"]
        seen = stored.summary(c, wire.source)
        assert seen is not None
        assert seen["usual"]["fields"]["published"] == 1.0
        assert {one["id"] for one in seen["odd"]} == {first, second, third, good}


def test_one_odd_page_goes_on_when_the_next_ones_are_usual(wire: Wire) -> None:
    (odd,) = wire.take(dateless(33))
    for i in (34, 35):
        wire.take(bench.page(i))
        assert wire.state(odd) == ("quarantined", "drift")
    wire.take(bench.page(37))
    assert wire.state(odd) == ("waiting", None)
    wire.extract(odd)
    assert wire.state(odd) == ("stored", None)
    with wire.store.read() as c:
        assert next(line for line in ledger.books(c).intake if line.source == "site").balanced


def test_in_one_batch_it_does_not_wait_at_all(wire: Wire) -> None:
    ids = wire.take(dateless(33), *(bench.page(i) for i in (34, 35, 37)))
    assert {wire.state(one) for one in ids} == {("stored", None)}


def test_a_record_that_is_bad_whatever_follows_stays(wire: Wire) -> None:
    good = bench.page(33)
    (odd,) = wire.take(bench.Page(good.entry, bench.LAYOUTS["site's name for a headline"](good.body)))
    wire.take(*(bench.page(i) for i in (34, 35, 37, 38)))
    assert wire.state(odd) == ("quarantined", "drift")
    assert wire.held() == []


def test_a_hold_ends_by_itself_when_pages_are_usual_again(wire: Wire) -> None:
    odd = wire.take(*(dateless(i) for i in (33, 34, 35)))
    assert len(wire.held()) == 1
    usual = [wire.take(bench.page(i))[0] for i in (37, 38, 39)]
    assert {wire.state(one) for one in usual} == {("quarantined", "drift")}
    (fourth,) = wire.take(bench.page(41))
    assert wire.held() == []
    assert wire.state(fourth) == ("stored", None)
    assert {wire.state(one) for one in usual} == {("waiting", None)}
    assert {wire.state(one) for one in odd} == {("quarantined", "drift")}  # these were bad, and still are
    wire.extract(*usual)
    assert {wire.state(one) for one in usual} == {("stored", None)}
    with wire.store.read() as c:
        assert next(line for line in ledger.books(c).intake if line.source == "site").balanced
        first, second = sorted(desk.audits(c, action="source.drift"), key=lambda line: line["id"])
    assert "ended by itself" in second["reason"]
    assert "No date" in first["reason"]


def test_released_after_the_profile_was_corrected_they_are_judged_again(wire: Wire) -> None:
    ids = wire.take(*(renamed(i) for i in (33, 34, 35)))
    assert len(wire.held()) == 1
    assert "3 entries" in wire.act("release-source")
    assert wire.held() == []
    wire.extract(*ids)
    assert {wire.state(one) for one in ids} == {("quarantined", "drift")}  # nothing was corrected
    assert len(wire.held()) == 1
    assert DEMO is not None
    fields = DEMO.fields | {"body": profiles.Rule("article.brief > .words")}
    wire.profile = msgspec.structs.replace(DEMO, fields=fields)
    wire.act("release-source")
    wire.extract(*ids)
    assert {wire.state(one) for one in ids} == {("stored", None)}
    assert wire.held() == []


def test_it_is_fine_takes_them_as_they_are_and_learns_the_new_shape(wire: Wire) -> None:
    ids = wire.take(dateless(33), dateless(34), dateless(35), bench.page(37))
    with pytest.raises(OperatorError):
        wire.act("accept-source")
    wire.act("accept-source", "no dates any more")
    wire.extract(*ids)
    assert {wire.state(one) for one in ids} == {("stored", None)}
    assert wire.state(wire.take(dateless(38))[0]) == ("stored", None)
    assert wire.held() == []


def test_a_person_may_send_one_page_on(wire: Wire) -> None:
    (odd,) = wire.take(dateless(33))
    with wire.store.write() as c:
        row = desk.entry(c, odd)
        assert row is not None
        desk.retry_entry(c, row, wire.now)
    wire.extract(odd)
    assert wire.state(odd) == ("stored", None)
    assert wire.state(wire.take(dateless(34))[0]) == ("quarantined", "drift")


def test_nothing_to_release_is_said(wire: Wire) -> None:
    with pytest.raises(OperatorError, match="Nothing of source site waits"):
        wire.act("release-source")


def test_an_article_that_is_known_keeps_its_place_and_its_text(wire: Wire) -> None:
    (entry,) = wire.take(bench.page(33))
    good = bench.page(33)
    wire.take(bench.Page(good.entry, bench.LAYOUTS["teaser only"](good.body)))
    assert wire.state(entry) == ("stored", "drift")
    with wire.store.read() as c:
        row = c.execute(select(ArticleRow.revision).where(ArticleRow.url == good.entry.url)).one()
        assert row.revision == 1
        assert next(line for line in ledger.books(c).intake if line.source == "site").balanced
    wire.act("accept-source", "shortened on purpose")
    wire.extract(entry)
    assert wire.state(entry) == ("stored", None)


def test_pages_that_all_fail_hold_the_source_too(wire: Wire) -> None:
    walls = [bench.page(i) for i in (33, 34, 35, 37)]
    wire.take(*(bench.Page(one.entry, bench.LAYOUTS["cookie wall"](one.body)) for one in walls))
    assert len(wire.held()) == 1


def test_what_is_pushed_in_is_not_judged(store: Store) -> None:
    pushed = Wire(store, "push")
    pushed.take(*(bench.page(i) for i in range(1, 32) if i % 4))
    assert pushed.state(pushed.take(dateless(33))[0]) == ("stored", None)
    with store.read() as c:
        assert stored.summary(c, pushed.source) is None


def test_the_memory_is_read_by_the_code_that_wrote_it(wire: Wire) -> None:
    with wire.store.write() as c:
        state = stored.load(c, [wire.source])[wire.source]["state"]
    assert to_json(drift.read(state)) == state
    assert len(drift.read(state).shapes) == 24


def test_the_same_article_under_another_address_is_a_duplicate(wire: Wire) -> None:
    good = bench.page(33)
    moved = good.body.replace(b"kelmora-monitor.example/", b"kelmora-monitor.example/archive/")
    elsewhere = bench.Page(msgspec.structs.replace(good.entry, key="k2", url=f"{good.entry.url}?from=archive-7"), moved)
    (first,) = wire.take(good)
    (again,) = wire.take(elsewhere)
    assert wire.state(first) == ("stored", None)
    assert wire.state(again) == ("duplicate", None)
    with wire.store.read() as c:
        assert ledger.books(c).intake[0].balanced
        ids = c.execute(select(EntryRow.article_id).where(EntryRow.id.in_([first, again]))).scalars()
        assert len(set(ids)) == 1


def test_a_page_that_turns_into_something_else_is_no_revision(wire: Wire) -> None:
    (entry,) = wire.take(bench.page(33))
    wire.take(bench.Page(bench.page(33).entry, bench.page(34).body.replace(
        str(bench.page(34).entry.url).encode(), str(bench.page(33).entry.url).encode())))  # fmt: skip
    assert wire.state(entry) == ("stored", "another-article")
    with wire.store.read() as c:
        found = c.execute(select(ArticleRow.revision).where(ArticleRow.url == bench.page(33).entry.url)).scalar_one()
    assert found == 1


def not_there(i: int) -> bench.Page:
    page = b"<html><head><title>Page not found</title></head><body><h1>Page not found</h1><p>Sorry, nothing here.</p></body></html>"
    return bench.Page(bench.page(i).entry, page)


def test_a_page_that_says_twice_that_it_is_not_there_is_withdrawn(wire: Wire) -> None:
    (entry,) = wire.take(bench.page(33))
    wire.take(not_there(33))
    assert wire.state(entry) == ("stored", "gone")
    with wire.store.read() as c:
        (due,) = intake.next_to_fetch(c, HOST, wire.now + dt.timedelta(hours=1), 5)
        assert due["id"] == entry
        assert c.execute(select(EventRow.number).where(EventRow.kind == "article.withdrawn")).first() is None
    wire.take(not_there(33))
    assert wire.state(entry) == ("gone", "gone")
    with wire.store.read() as c:
        article = articles.get(c, str(due["article_id"]))
        assert article is not None
        assert article["state"] == "withdrawn"
        assert [one.kind for one in events.of_article(c, article["id"])] == ["article.withdrawn"]
        assert ledger.books(c).intake[0].balanced


def test_one_that_came_back_in_between_is_not(wire: Wire) -> None:
    (entry,) = wire.take(bench.page(33))
    wire.take(not_there(33))
    wire.take(bench.page(33))
    wire.take(not_there(33))
    assert wire.state(entry) == ("stored", "gone")


def test_a_site_that_says_it_of_everything_withdraws_nothing(wire: Wire) -> None:
    ids = wire.take(*(bench.page(i) for i in (33, 34, 35, 37)))
    wire.take(*(not_there(i) for i in (33, 34, 35, 37)))
    wire.take(*(not_there(i) for i in (33, 34, 35, 37)))
    assert len(wire.held()) == 1
    assert {wire.state(one)[0] for one in ids} == {"stored"}


def test_a_shape_says_nothing_of_its_text(wire: Wire) -> None:
    with wire.store.write() as c:
        state = stored.load(c, [wire.source])[wire.source]["state"]
        record = c.execute(select(ArticleRow.headline)).scalars().first()
    assert record is not None
    assert record.encode() not in state
    assert msgspec.json.decode(state)["usual"]["records"] == 24
    assert from_json(to_json(drift.read(state)), drift.State) == drift.read(state)
