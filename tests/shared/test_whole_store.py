"""The store as a whole: backup and restore between both kinds, months divided and dropped, logs forgotten; the books balance after."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from shared import clock, housekeeping, migrations, pages
from shared.errors import OperatorError
from shared.models import AttemptRow, Base, DeliveryRow, EntryRow, EventRow, LaneRow, PageRow
from shared.settings import KeepSettings
from shared.store import dump, events, intake, lanes, ledger, partitions, partners, retention
from shared.store.engine import Store
from tests.servers import Postgres
from tests.shared.test_store import NOW, event, new_article, new_entries, new_partner, new_source, plan_all

OLD = NOW - dt.timedelta(days=500)
KEEP = retention.Keep(
    attempts=NOW - dt.timedelta(days=400), events=NOW - dt.timedelta(days=400), pages=NOW - dt.timedelta(days=400)
)


def page(at: dt.datetime, *, place: str | None = None) -> intake.NewPage:
    return intake.NewPage(b"<p>text</p>", None, None, 200, "text/html", at, place=place)


def filled(store: Store, at: dt.datetime = NOW, *, number: int = 1) -> int:
    """One entry with its page, one article with two events, delivered to one endpoint at `at`. Returns the endpoint."""
    with store.write() as c:
        source = new_source(c, f"harbour-{number}")
        intake.add_entries(c, source, new_entries("a"), at)
        entry = dict(c.execute(select(EntryRow.id).where(EntryRow.source_id == source)).mappings().one())
        intake.keep_page(c, entry["id"], page(at))
        intake.finish_entry(c, entry["id"], "stored")
        endpoint = new_partner(c, f"gazette-{number}", now=at)
        name = new_article(c, source, number)
        events.append(c, [event(name), event(name, kind="article.relinked")], at)
        plan_all(c, endpoint)
    return deliver(store, endpoint, at)


def proven(store: Store, endpoint: int) -> bool:
    """Whether the endpoint's book balances and its chain of attempts holds."""
    with store.read() as c:
        line = next(line for line in ledger.books(c).delivery if line.endpoint == endpoint)
        return line.balanced and partners.broken_chain(c, endpoint) is None


def deliver(store: Store, endpoint: int, at: dt.datetime) -> int:
    with store.write() as c:
        due = [dict(row) for row in c.execute(
            select(*DeliveryRow.__table__.columns).where(DeliveryRow.state == "due", DeliveryRow.endpoint_id == endpoint)
        ).mappings()]  # fmt: skip
        partners.record(c, endpoint, [partners.Tried(row, "delivered", at, 5, 200) for row in due])
    return endpoint


def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.read() as c:
        return {table.name: sorted((tuple(row) for row in c.execute(select(*table.columns))), key=repr)
                for table in Base.metadata.sorted_tables}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store to go into."""
    if request.param == "sqlite":
        made = Store(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = Store(server.fresh("other"))
    migrations.upgrade(made)
    yield made
    made.close()


def test_a_backup_restores_into_either_kind_of_store(store: Store, other: Store, tmp_path: Path) -> None:
    filled(store)
    with store.read() as c:
        dump.to_file(dump.frames(c, migrations.shape(), NOW, b"the key"), tmp_path / "wire.bwz")
    assert (tmp_path / "wire.bwz").stat().st_mode & 0o077 == 0
    with other.write() as c:
        header = dump.load(c, dump.from_file(tmp_path / "wire.bwz"), migrations.shape())
    assert (header.key, header.at) == (b"the key", NOW)
    assert everything(other) == everything(store)
    with other.read() as c:
        assert ledger.books(c).balanced
    filled(other, number=2)  # new rows get new numbers


def test_what_was_held_when_the_backup_was_made_is_free_after_it(store: Store, other: Store) -> None:
    with store.write() as c:
        lanes.wake(c, "host", ["host:h.example"], NOW)
        assert lanes.claim(c, "host:h.example", NOW)
    with store.read() as source, other.write() as target:
        dump.copy(source, target, migrations.shape(), NOW, lambda frame: None)
        assert target.execute(select(LaneRow.lease_owner, LaneRow.lease_until)).one() == (None, None)


def test_a_torn_a_foreign_and_an_older_backup_are_refused_and_leave_nothing(store: Store, tmp_path: Path) -> None:
    filled(store)
    target = Store(f"sqlite:///{tmp_path / 'target.sqlite3'}")
    migrations.upgrade(target)
    whole, empty = tmp_path / "whole.bwz", everything(target)
    with store.read() as c:
        dump.to_file(dump.frames(c, migrations.shape(), NOW), whole)
        frames = list(dump.frames(c, migrations.shape(), NOW))
    torn = tmp_path / "torn.bwz"
    torn.write_bytes(whole.read_bytes()[:-20])
    foreign = tmp_path / "foreign.bwz"
    foreign.write_bytes(b"PK\x03\x04 not ours")
    older = tmp_path / "older.bwz"
    with store.read() as c:
        dump.to_file(dump.frames(c, "0000", NOW), older)
    endless = tmp_path / "endless.bwz"
    dump.to_file(iter(frames[:-1]), endless)
    for file in (torn, foreign, older, endless, tmp_path / "missing.bwz"):
        with pytest.raises(OperatorError), target.write() as c:
            dump.load(c, dump.from_file(file), migrations.shape())
        assert everything(target) == empty
    with pytest.raises(OperatorError, match="there already"), store.read() as c:
        dump.to_file(dump.frames(c, migrations.shape(), NOW), whole)
    target.close()


def test_a_filled_store_takes_no_backup(store: Store) -> None:
    filled(store)
    with store.read() as reading:
        frames = list(dump.frames(reading, migrations.shape(), NOW))
    with pytest.raises(OperatorError, match="not empty"), store.write() as c:
        dump.load(c, frames, migrations.shape())


def test_old_logs_are_forgotten_and_everything_still_proves_itself(store: Store) -> None:
    endpoint = filled(store, OLD)
    with store.write() as c:
        name = c.execute(select(EventRow.article_id)).scalars().first()
        events.append(c, [event(str(name), revision=2, kind="article.updated")], NOW)
        plan_all(c, endpoint)
    deliver(store, endpoint, NOW)
    with store.read() as c:
        assert retention.count(c, KEEP).rows == {"attempts": 2, "events": 2, "pages": 1}
    gone = retention.prune(store, KEEP)
    assert gone.rows == {"attempts": 2, "events": 2, "pages": 1}
    assert retention.prune(store, KEEP).rows == {"attempts": 0, "events": 0, "pages": 0}
    with store.read() as c:
        assert c.execute(select(func.count()).select_from(AttemptRow)).scalar_one() == 1
        assert events.occurrences(c, "article.relinked", [str(name)]) == {str(name): 1}
    assert proven(store, endpoint)


def test_housekeeping_removes_the_files_of_forgotten_pages(store: Store, tmp_path: Path) -> None:
    recent, shelf = clock.now(), f"file://{tmp_path / 'shelf'}"
    old = recent - dt.timedelta(days=50)
    kept, gone = pages.shelve(shelf, b"kept"), pages.shelve(shelf, b"gone")
    with store.write() as c:
        source = new_source(c)
        intake.add_entries(c, source, new_entries("a", "b", "c"), old)
        entries = c.execute(select(EntryRow.id)).scalars().all()
        for entry, place, at in zip(entries, (gone, kept, kept), (old, old, recent), strict=True):
            intake.keep_page(c, entry, page(at, place=place))
            intake.finish_entry(c, entry, "stored")
    assert housekeeping.keep_house(store, KeepSettings(pages_days=30)).rows["pages"] == 2
    assert [Path(place.removeprefix("file://")).exists() for place in (gone, kept)] == [False, True]


def test_a_changed_attempt_shows_after_older_ones_were_forgotten(store: Store) -> None:
    endpoint = filled(store, OLD)
    recent = filled(store, NOW, number=2)
    retention.prune(store, KEEP)
    with store.write() as c:
        c.execute(AttemptRow.__table__.update().values(status=500))
    with store.read() as c:
        assert partners.broken_chain(c, endpoint) is None
        assert partners.broken_chain(c, recent) is not None


def test_what_is_still_needed_is_kept_however_old(store: Store) -> None:
    with store.write() as c:
        source = new_source(c)
        intake.add_entries(c, source, new_entries("a", "b"), OLD)
        first, second = intake.next_to_fetch(c, "h.example", NOW, 2)
        intake.keep_page(c, first["id"], page(OLD))  # waits for extraction
        intake.keep_page(c, second["id"], page(OLD, place="memory://x"))
        intake.finish_entry(c, second["id"], "quarantined", reason="empty")
        endpoint = new_partner(c, now=OLD)
        events.append(c, [event(new_article(c, source))], OLD)
        plan_all(c, endpoint)  # due, not delivered
    assert retention.prune(store, KEEP).rows == {"attempts": 0, "events": 0, "pages": 0}
    with store.write() as c:
        intake.finish_entry(c, second["id"], "stored")
    gone = retention.prune(store, KEEP)
    assert (gone.rows["pages"], gone.places) == (1, ("memory://x",))
    with store.read() as c:
        assert retention.unshared(c, gone.places) == ["memory://x"]
        assert c.execute(select(EntryRow.page_id).where(EntryRow.id == first["id"])).scalar_one()


def test_the_newer_page_of_a_stored_article_is_kept_until_it_was_read(store: Store) -> None:
    filled(store, OLD)
    with store.write() as c:
        entry = c.execute(select(EntryRow.id)).scalar_one()
        intake.keep_page(c, entry, page(OLD))  # fetched again, not yet read
    assert retention.prune(store, KEEP).rows["pages"] == 1
    with store.write() as c:
        assert c.execute(select(func.count()).select_from(PageRow)).scalar_one() == 1
        intake.finish_entry(c, entry, "stored")
    assert retention.prune(store, KEEP).rows["pages"] == 1


def test_months_are_made_ahead_and_dropped_whole(postgres: Postgres) -> None:
    store = Store(postgres.fresh("months"))
    migrations.upgrade(store)
    with store.write() as c:
        partitions.make_ahead(c, NOW + dt.timedelta(days=365))
        first = next(part for part in partitions.parts(c) if part.name == "event_first")
        assert first.until is not None
    begin = first.until + dt.timedelta(days=400)  # inside a month of its own
    month = f"{begin:%Y_%m}"
    with store.write() as c:
        partitions.make_ahead(c, begin - dt.timedelta(days=31))
    filled(store, begin)
    with store.read() as c:
        assert c.execute(text(f"SELECT count(*) FROM event_{month}")).scalar_one() == 2
    long_after = begin + dt.timedelta(days=60)
    gone = retention.prune(store, retention.Keep(long_after, long_after, long_after))
    assert {f"event_{month}", f"attempt_{month}", f"page_{month}"} <= set(gone.parts)
    assert gone.rows == {"attempts": 2, "events": 2, "pages": 1}
    with store.read() as c:
        assert ledger.books(c).balanced
        assert c.execute(select(func.count()).select_from(PageRow)).scalar_one() == 0
    store.close()


def test_an_installation_with_rows_is_divided_in_place(postgres: Postgres) -> None:
    store = Store(postgres.fresh("plain"))
    migrations.upgrade(store, "0001")
    endpoint = filled(store)
    before = everything(store)
    migrations.upgrade(store)
    assert everything(store) == before
    assert proven(store, endpoint)
    assert proven(store, filled(store, number=2))
    with store.read() as c:
        assert {part.table for part in partitions.parts(c)} == set(partitions.DIVIDED)
    store.close()


def test_an_event_is_logged_once_by_writers_that_race(store: Store) -> None:
    with store.write() as c:
        name = new_article(c, new_source(c))
    start = threading.Barrier(4)

    def log() -> None:
        start.wait()
        with store.write() as c:
            events.append(c, [event(name), event(name)], NOW)

    writers = [threading.Thread(target=log) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with store.read() as c:
        assert c.execute(select(func.count()).select_from(EventRow)).scalar_one() == 1
