"""The store's promises, on both databases: claims, lanes, gap-free events, order of delivery, books that notice."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, update

from shared import records
from shared.errors import OperatorError
from shared.models import ArticleRow, AttemptRow, DeliveryRow, EndpointRow, EntryRow, EventRow, SourceRow
from shared.store import articles, claims, events, intake, lanes, ledger, partners
from shared.store.engine import Store

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)


def later(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def new_source(connection: Connection, name: str = "harbour") -> int:
    return intake.add_source(connection, name=name, url="http://h.example/feed", kind="feed", profile=None, now=NOW)


def new_entries(*keys: str, host: str = "h.example", title: str = "t") -> list[intake.NewEntry]:
    return [
        intake.NewEntry(records.Entry(key, f"http://{host}/{key}", title=title), host, backfill=False) for key in keys
    ]


def new_partner(connection: Connection, name: str = "gazette", **options: Any) -> int:
    values: dict[str, Any] = {
        "kind": "webhook", "url": "http://p.example", "format": "brief", "secrets": "", "filter": "", "backfill": False,
        "coalesce": False, "relinked": False, "concurrency": 4, "now": NOW,
    }  # fmt: skip
    return partners.add_partner(connection, name=name, **(values | options))[1]


def new_article(connection: Connection, source_id: int, number: int = 1) -> str:
    article = records.Article(
        id=f"art_{number:016x}", source="harbour", source_item_id=None, url=None, requested_url=None, final_url=None, revision=1,
        state="usable", content_hash="0" * 64, headline=f"Headline {number}", language="en", language_evidence=None, authors=(),
        published=None, modified=None, section=None, category_status=records.CategoryStatus(), lead=None, blocks=(), images=(),
        tags=(), related=(),
    )  # fmt: skip
    articles.create(connection, article, f"{number:064x}", source_id, 1, None, NOW)
    return article.id


def plan_all(connection: Connection, endpoint_id: int) -> None:
    waiting = events.unplanned(connection, 1000)
    planned = [partners.Planned(endpoint_id, event, f"msg_{endpoint_id}_{event.number}") for event in waiting]
    partners.plan(connection, planned, waiting[-1].number, NOW)


def event(article_id: str, revision: int = 1, kind: str = "article.published", occurrence: int = 0) -> events.NewEvent:
    return events.NewEvent(kind, article_id, revision, backfill=False, occurrence=occurrence)


def test_entries_seen_twice_are_one(store: Store) -> None:
    with store.write() as c:
        source = new_source(c)
        assert intake.add_entries(c, source, new_entries("a", "b"), NOW) == (2, ["host:h.example"])
        assert intake.add_entries(c, source, new_entries("a", "b", "c"), NOW)[0] == 1
    with store.read() as c:
        (line,) = ledger.books(c).intake
        assert (line.seen, line.waiting, line.balanced) == (3, 3, True)


def test_a_changed_entry_is_fetched_again(store: Store) -> None:
    with store.write() as c:
        source = new_source(c)
        intake.add_entries(c, source, new_entries("a"), NOW)
        entry = intake.next_to_fetch(c, "h.example", NOW, 1)[0]
        intake.finish_entry(c, entry["id"], "stored")
        assert intake.add_entries(c, source, new_entries("a"), later(1)) == (0, [])
        assert intake.add_entries(c, source, new_entries("a", title="new"), later(2)) == (0, ["host:h.example"])
        assert [row["state"] for row in intake.next_to_fetch(c, "h.example", later(2), 5)] == ["stored"]


def test_a_push_of_the_same_bytes_is_one_entry(store: Store) -> None:
    page = intake.NewPage(b"text", None, None, 200, "text/plain", NOW)
    with store.write() as c:
        source = new_source(c)
        first, fresh = intake.push_entry(c, source, new_entries("k")[0], page, NOW)
        again, repeated = intake.push_entry(c, source, new_entries("k")[0], page, NOW)
        assert (first, fresh, repeated) == (again, True, False)
        assert intake.pages(c, [c.execute(select(EntryRow.page_id)).scalar_one()]).popitem()[1]["body"] == b"text"


def test_a_claim_excludes_and_a_late_result_is_refused(store: Store) -> None:
    with store.write() as c:
        source = new_source(c)
        (mine,) = intake.claim_sources(c, [source], NOW)
        assert intake.claim_sources(c, [source], NOW) == []
        (second,) = intake.claim_sources(c, [source], later(claims.LEASE_S + 1))
        assert second["attempts"] == 2
        assert not claims.settle(c, SourceRow, mine, etag="late")
        assert claims.settle(c, SourceRow, second, etag="fresh", due_at=later(300))
        assert intake.source(c, "harbour")["etag"] == "fresh"
        assert intake.source(c, "harbour")["attempts"] == 0


def test_leases_of_dead_processes_are_freed(store: Store) -> None:
    with store.write() as c:
        source = new_source(c)
        intake.claim_sources(c, [source], NOW)
        assert claims.dead_owners(c) == []
    died = subprocess.run([sys.executable, "-c", "from shared.store import claims; print(claims.owner())"], capture_output=True,
                          text=True, check=True).stdout.strip()  # fmt: skip
    with store.write() as c:
        c.execute(update(SourceRow).values(lease_owner=died))
        assert claims.dead_owners(c) == [died]
        assert claims.free_dead(c) == 1
        assert len(intake.claim_sources(c, [source], NOW)) == 1


def test_two_workers_never_hold_one_article(store: Store) -> None:
    with store.write() as c:
        source = new_source(c)
        ids = [new_article(c, source, n) for n in range(40)]
    won: list[str] = []

    def work() -> None:
        with store.write() as c:
            won.extend(row["id"] for row in articles.claim_articles(c, ids, NOW))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(ids)


def test_a_lane_rests_until_its_next_work(store: Store) -> None:
    with store.write() as c:
        source = new_source(c)
        intake.add_entries(c, source, new_entries("a", "b"), NOW)
        lane = lanes.claim(c, "host:h.example", NOW)
        assert lane is not None
        assert lanes.claim(c, "host:h.example", NOW) is None
        first, second = intake.next_to_fetch(c, "h.example", NOW, 5)
        intake.finish_entry(c, first["id"], "stored")
        intake.put_off(c, second["id"], later(60), "connect-timeout", "", failures=1)
        assert lanes.rest(c, lane) == later(60)
        assert lanes.due_lanes(c, "host", NOW, 10) == []
        assert lanes.due_lanes(c, "host", later(61), 10) == ["host:h.example"]


def test_work_added_while_a_lane_is_held_is_not_forgotten(store: Store) -> None:
    with store.write() as c:
        source = new_source(c)
        intake.add_entries(c, source, new_entries("a"), NOW)
        lane = lanes.claim(c, "host:h.example", NOW)
        assert lane is not None
        intake.finish_entry(c, intake.next_to_fetch(c, "h.example", NOW, 1)[0]["id"], "stored")
        intake.add_entries(c, source, new_entries("b"), later(1))
        assert lanes.rest(c, lane) == later(1)


def test_events_are_numbered_once_and_without_gaps(store: Store) -> None:
    with store.write() as c:
        assert events.append(c, [event("art_a"), event("art_b")], NOW) == [1, 2]
    with pytest.raises(RuntimeError), store.write() as c:
        events.append(c, [event("art_c")], NOW)
        raise RuntimeError("rolled back")
    with store.write() as c:
        assert events.append(c, [event("art_a"), event("art_d"), event("art_d")], NOW) == [3]
        assert events.head(c) == (3, 0)


def test_a_cursor_never_misses_an_event_of_a_slow_or_rolled_back_writer(store: Store) -> None:
    stop, seen = threading.Event(), []

    def read() -> None:
        while not stop.is_set() or _newest(store) > len(seen):
            with store.read() as c:
                seen.extend(e.number for e in events.after(c, seen[-1] if seen else 0, 100))

    def write(name: str, *, slow: bool, fail: bool) -> None:
        for n in range(25):
            try:
                with store.write() as c:
                    events.append(c, [event(f"art_{name}{n}")], NOW)
                    if slow and n % 5 == 0:
                        stop.wait(0.02)
                    if fail and n % 2:
                        raise RuntimeError("rolled back")
            except RuntimeError:
                continue

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(name,), kwargs={"slow": slow, "fail": fail})
               for name, slow, fail in (("slow", True, False), ("failing", False, True), ("usual", False, False))]  # fmt: skip
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert seen == list(range(1, 25 + 13 + 25 + 1))


def _newest(store: Store) -> int:
    with store.read() as c:
        return events.head(c)[0]


def test_revisions_of_an_article_go_in_order_and_a_stuck_article_holds_back_only_itself(store: Store) -> None:
    with store.write() as c:
        endpoint = new_partner(c)
        events.append(c, [event("art_a", 1), event("art_a", 2, "article.updated"), event("art_b", 1)], NOW)
        plan_all(c, endpoint)
        rows = partners.sendable(c, endpoint, NOW, 10)
        assert [(row["article_id"], row["revision"]) for row in rows] == [("art_a", 1), ("art_b", 1)]
        partners.begin_attempts(c, [row["id"] for row in rows])
        partners.record(c, endpoint, [
            partners.Tried(rows[0], "retry", NOW, 5, status=500, reason="status-500", due_at=later(300)),
            partners.Tried(rows[1], "delivered", NOW, 5, status=200),
        ])  # fmt: skip
        assert partners.sendable(c, endpoint, NOW, 10) == []
        assert [row["revision"] for row in partners.sendable(c, endpoint, later(301), 10)] == [1]


def test_a_dead_revision_lets_the_next_one_pass(store: Store) -> None:
    with store.write() as c:
        endpoint = new_partner(c)
        events.append(c, [event("art_a", 1), event("art_a", 2, "article.updated")], NOW)
        plan_all(c, endpoint)
        rows = partners.sendable(c, endpoint, NOW, 10)
        partners.begin_attempts(c, [rows[0]["id"]])
        partners.record(c, endpoint, [partners.Tried(rows[0], "dead", NOW, 5, status=400, reason="status-400")])
        assert [row["revision"] for row in partners.sendable(c, endpoint, NOW, 10)] == [2]
        assert ledger.books(c).delivery[0].quarantined == 1


def test_a_withdrawal_overtakes_and_reaches_only_who_may_have_the_article(store: Store) -> None:
    with store.write() as c:
        has, never = new_partner(c, "has"), new_partner(c, "never")
        events.append(c, [event("art_a", 1), event("art_b", 1), event("art_b", 2, "article.updated")], NOW)
        waiting = events.unplanned(c, 10)
        planned = [partners.Planned(e, one, f"msg_{e}_{one.number}") for e in (has, never) for one in waiting]
        partners.plan(c, planned, waiting[-1].number, NOW)
        first = partners.sendable(c, has, NOW, 10)[1]
        partners.begin_attempts(c, [first["id"]])  # b's first revision is on its way, its outcome unknown
        events.append(c, [event("art_b", 2, "article.withdrawn")], NOW)
        (gone,) = events.unplanned(c, 10)
        partners.plan(c, [partners.Planned(e, gone, f"msg_{e}_{gone.number}") for e in (has, never)], gone.number, NOW)
        assert [row["kind"] for row in partners.sendable(c, has, NOW, 10)] == ["article.withdrawn", "article.published"]
        assert [row["article_id"] for row in partners.sendable(c, never, NOW, 10)] == ["art_a"]
        books = {line.partner: line for line in ledger.books(c).delivery}
        assert (books["has"].superseded, books["has"].due, books["has"].balanced) == (2, 2, True)
        assert (books["never"].superseded, books["never"].filtered, books["never"].balanced) == (2, 1, True)


def test_coalescing_sends_the_newest_revision_only(store: Store) -> None:
    with store.write() as c:
        endpoint = new_partner(c, coalesce=True)
        events.append(c, [event("art_a", n, "article.updated") for n in (1, 2, 3)], NOW)
        waiting = events.unplanned(c, 10)
        planned = [partners.Planned(endpoint, one, f"msg_{one.number}", coalesce=True) for one in waiting]
        partners.plan(c, planned, waiting[-1].number, NOW)
        assert [row["revision"] for row in partners.sendable(c, endpoint, NOW, 10)] == [3]
        assert ledger.books(c).delivery[0].superseded == 2


def test_a_late_answer_is_a_line_in_the_log_and_nothing_more(store: Store) -> None:
    with store.write() as c:
        endpoint = new_partner(c)
        events.append(c, [event("art_a", 1)], NOW)
        plan_all(c, endpoint)
        (row,) = partners.sendable(c, endpoint, NOW, 10)
        partners.begin_attempts(c, [row["id"]])
        partners.record(c, endpoint, [partners.Tried(row, "delivered", NOW, 5, status=200)])
        partners.record(c, endpoint, [partners.Tried(row, "retry", later(9), 5, status=500, due_at=later(60))])
        assert [a["outcome"] for a in partners.attempts_of(c, [row["id"]])] == ["delivered", "late"]
        assert ledger.books(c).delivery[0].delivered == 1


def test_the_log_of_attempts_shows_an_edit(store: Store) -> None:
    with store.write() as c:
        endpoint = new_partner(c)
        events.append(c, [event(f"art_{n}") for n in range(5)], NOW)
        plan_all(c, endpoint)
        rows = partners.sendable(c, endpoint, NOW, 10)
        partners.begin_attempts(c, [row["id"] for row in rows])
        partners.record(c, endpoint, [partners.Tried(row, "delivered", NOW, 5, status=200) for row in rows])
        assert partners.broken_chain(c, endpoint) is None
        third = c.execute(select(AttemptRow.id).order_by(AttemptRow.id).offset(2).limit(1)).scalar_one()
        c.execute(update(AttemptRow).where(AttemptRow.id == third).values(status=201))
        assert partners.broken_chain(c, endpoint) == third
    with store.write() as c:
        c.execute(update(AttemptRow).where(AttemptRow.id == third).values(status=200))
        c.execute(delete(AttemptRow).where(AttemptRow.id > third))
        assert partners.broken_chain(c, endpoint) == 0


def _filled(c: Connection) -> int:
    source = new_source(c)
    intake.add_entries(c, source, new_entries("a", "b"), NOW)
    new_article(c, source)
    endpoint = new_partner(c)
    events.append(c, [event("art_a"), event("art_b")], NOW)
    plan_all(c, endpoint)
    (row, _) = partners.sendable(c, endpoint, NOW, 2)
    partners.begin_attempts(c, [row["id"]])
    partners.record(c, endpoint, [partners.Tried(row, "delivered", NOW, 5, status=200)])
    return endpoint


CORRUPTIONS = {
    "an entry vanishes": delete(EntryRow).where(EntryRow.id == 1),
    "an entry has no place in the book": update(EntryRow).where(EntryRow.id == 1).values(state="lost"),
    "the poll's counter is wrong": update(SourceRow).values(seen=SourceRow.seen + 1),
    "a delivery vanishes": delete(DeliveryRow).where(DeliveryRow.state == "due"),
    "a delivery has no place in the book": update(DeliveryRow).where(DeliveryRow.state == "due").values(state="lost"),
    "filtered is wrong": update(EndpointRow).values(filtered=EndpointRow.filtered + 1),
    "an event vanishes before it is planned": delete(EventRow).where(EventRow.number == 3),
    "a delivery claims what no attempt proves": delete(AttemptRow),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_books_notice(store: Store, name: str) -> None:
    with store.write() as c:
        _filled(c)
        events.append(c, [event("art_c")], NOW)
        assert ledger.books(c).balanced
        c.execute(CORRUPTIONS[name])
        assert not ledger.books(c).balanced


def test_the_figures_of_a_page_are_those_of_the_proof(store: Store) -> None:
    with store.write() as c:
        _filled(c)
        events.append(c, [event("art_c")], NOW)
        proved, worked_out = ledger.books(c), ledger.books(c, proof=False)
        assert (worked_out.intake, worked_out.delivery) == (proved.intake, proved.delivery)
        assert (proved.proved, worked_out.proved) == (True, False)
        assert (worked_out.delivery[0].delivered, worked_out.intake[0].waiting) == (1, 2)
        c.execute(delete(DeliveryRow).where(DeliveryRow.state == "delivered"))
        assert ledger.books(c, proof=False).delivery[0].delivered == 1  # only the proof reads those rows


def test_names_are_taken_once(store: Store) -> None:
    with pytest.raises(OperatorError, match="already"), store.write() as c:
        new_source(c)
        new_source(c)
    with pytest.raises(OperatorError, match="already"), store.write() as c:
        new_partner(c)
        new_partner(c)


def test_an_article_stored_by_two_at_once_is_stored_once(store: Store) -> None:
    with store.write() as c:
        source = new_source(c)
        assert new_article(c, source) == new_article(c, source)
        assert len(c.execute(select(ArticleRow.id)).all()) == 1


def test_a_planner_that_outlived_its_lease_plans_nothing_twice(store: Store) -> None:
    with store.write() as c:
        endpoint = new_partner(c)
        article = new_article(c, new_source(c))
        events.append(c, [event(article), event(article, kind="article.relinked")], NOW)
    with store.read() as c:
        late = [partners.Planned(endpoint, one, None) for one in events.unplanned(c, 1)]
    with store.write() as c:
        plan_all(c, endpoint)
    with pytest.raises(partners.PlannedAlready), store.write() as c:
        partners.plan(c, late, late[-1].event.number, NOW)
    with store.read() as c:
        assert events.head(c) == (2, 2)
        (line,) = ledger.books(c).delivery
        assert (line.filtered, line.due, line.balanced) == (0, 2, True)
