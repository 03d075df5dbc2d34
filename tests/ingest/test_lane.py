"""A host's lane against a real server on loopback: how many at a time, how far apart, and what its answers do to the lane."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from services.ingest import lane, manners, polled, schedule
from shared import clock, http, queue, records, settings
from shared.models import EntryRow, LaneRow, PageRow, Row, SourceRow
from shared.queue import Failure, Work
from shared.store import desk, engine, intake, lanes, switches
from shared.store.engine import Store

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)


class Site:
    """A server on loopback. `answer` gives (status, headers, body) for a path."""

    def __init__(self) -> None:
        self.answer: Callable[[str], tuple[int, dict[str, str], bytes]] = lambda path: (200, {}, b"<html>a page</html>")
        self.lock, self.busy, self.most, self.asked = threading.Lock(), 0, 0, []  # type: ignore[var-annotated]
        self.together = 1
        self.gate = threading.Semaphore(0)
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with site.lock:
                    site.busy += 1
                    site.most = max(site.most, site.busy)
                    site.asked.append(self.path)
                    full = site.busy >= site.together
                if site.together > 1 and self.path != "/robots.txt" and not full:
                    threading.Event().wait(0.3)  # others may come meanwhile
                status, headers, body = (404, {}, b"") if self.path == "/robots.txt" else site.answer(self.path)
                with site.lock:
                    site.busy -= 1
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Not into the test's output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@pytest.fixture
def wire(store: Store, site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """The store under test as this process's own, and settings for loopback; called with other fetch settings it takes those."""
    door = http.Door(http.Policy(allow_hosts=frozenset([site.host])))
    monkeypatch.setattr(engine, "_current", store)
    monkeypatch.setattr(queue, "door", lambda: door)
    monkeypatch.setattr(queue, "bell", Deaf())
    monkeypatch.setattr(manners, "_known", {})

    def configure(**fetch: Any) -> None:
        cfg = settings.Settings(fetch=settings.FetchSettings(**({"gap_s": 0.0} | fetch)))
        monkeypatch.setattr(queue, "SETTINGS", cfg)
        monkeypatch.setattr(lane, "CFG", cfg)

    configure()
    yield configure
    door.close()


class Deaf(queue.Bell):
    """Nobody listens; the rows say what is due."""

    def ring(self, wake: str, keys: Any) -> int:
        return 0


def add(store: Store, host: str, *paths: str) -> int:
    now = clock.now()
    with store.write() as c:
        source = intake.add_source(c, name="s", url=f"http://{host}/feed", kind="feed", profile=None, now=now)
        new = [intake.NewEntry(records.Entry(path, f"http://{host}{path}"), host, backfill=False) for path in paths]
        intake.add_entries(c, source, new, now)
    return source


def entries(store: Store) -> list[Any]:
    with store.read() as c:
        return list(c.execute(select(EntryRow.state, EntryRow.step, EntryRow.reason).order_by(EntryRow.id)))


def row(store: Store, host: str) -> Row:
    with store.read() as c:
        found = lanes.get(c, lanes.host_lane(host))
        assert found is not None
        return found


PATHS = [f"/{n}" for n in range(6)]


def test_a_drain_fetches_what_is_due_one_at_a_time(store: Store, site: Site, wire: Any) -> None:
    add(store, site.host, *PATHS)
    assert lane.drain(lanes.host_lane(site.host)) is False
    assert [one.step for one in entries(store)] == ["extract"] * 6
    assert sorted(set(site.asked)) == sorted([*PATHS, "/robots.txt"])
    assert site.most == 1
    after = row(store, site.host)
    assert (after["lease_owner"], after["due_at"], after["attempts"]) == (None, None, 0)


def test_so_many_at_a_time_as_its_host_may_have(store: Store, site: Site, wire: Any) -> None:
    wire(hosts={site.host: settings.HostSettings(at_once=3)})
    site.together = 3
    add(store, site.host, *PATHS)
    lane.drain(lanes.host_lane(site.host))
    assert [one.step for one in entries(store)] == ["extract"] * 6
    assert site.most == 3
    assert len([path for path in site.asked if path != "/robots.txt"]) == 6  # none twice


def test_the_host_s_own_gap_goes_before_the_general_one(wire: Any) -> None:
    wire(
        gap_s=2.0,
        at_once=2,
        hosts={"a.example": settings.HostSettings(gap_s=0.5), "b.example": settings.HostSettings(at_once=5)},
    )
    assert [manners.gap_s(host, None) for host in ("a.example", "b.example", "c.example")] == [0.5, 2.0, 2.0]
    assert [manners.at_once(host) for host in ("a.example", "b.example", "c.example")] == [2, 5, 2]


def test_instants_are_reserved_one_gap_apart_whoever_asks(store: Store) -> None:
    with store.write() as c:
        for expected in (0.0, 5.0, 10.0):
            held = lanes.of_host(c, "h.example")
            at = lanes.reserve(c, held, NOW, 5.0, within_s=12.0)
            assert at == NOW + dt.timedelta(seconds=expected)
        assert lanes.reserve(c, lanes.of_host(c, "h.example"), NOW, 5.0, within_s=12.0) is None
        later = NOW + dt.timedelta(seconds=60)
        assert lanes.reserve(c, lanes.of_host(c, "h.example"), later, 5.0, within_s=12.0) == later


def test_a_lane_rests_for_its_gap_before_the_next_drain(store: Store, site: Site, wire: Any) -> None:
    wire(gap_s=600.0)
    add(store, site.host, *PATHS)
    assert lane.drain(lanes.host_lane(site.host)) is False  # one page, then the gap is longer than a drain
    assert [one.step for one in entries(store)].count("extract") == 1
    with store.write() as c:
        assert lanes.claim(c, lanes.host_lane(site.host), clock.now()) is None
        assert lanes.claim(c, lanes.host_lane(site.host), clock.now() + dt.timedelta(seconds=601)) is not None


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_asks_for_less_gets_less_of_everything(store: Store, site: Site, wire: Any, status: int) -> None:
    source = add(store, site.host, *PATHS)
    site.answer = lambda path: (status, {"Retry-After": "120"}, b"")
    lane.drain(lanes.host_lane(site.host))
    assert len([path for path in site.asked if path != "/robots.txt"]) == 1
    after = row(store, site.host)
    assert after["blocked_until"] > clock.now() + dt.timedelta(seconds=100)
    assert (after["failures"], after["slow_s"]) == (1, 1.0)
    polled.poll(source, lambda _: None)  # its feed is on the same host
    assert "/feed" not in site.asked
    with store.read() as c:
        due_at = c.execute(select(SourceRow.due_at).where(SourceRow.id == source)).scalar_one()
    assert due_at is not None
    assert due_at >= after["blocked_until"]


def test_a_poll_that_is_asked_to_slow_down_slows_the_pages_too(store: Store, site: Site, wire: Any) -> None:
    source = add(store, site.host, "/1")
    site.answer = lambda path: (429, {"Retry-After": "60"}, b"")
    polled.poll(source, lambda _: None)
    assert site.asked == ["/feed"]
    assert lane.drain(lanes.host_lane(site.host)) is False
    assert site.asked == ["/feed"]


def test_a_learned_gap_grows_fast_and_shrinks_slowly() -> None:
    assert schedule.slower(0.0, 1.0) == 2.0
    assert schedule.slower(40.0, 1.0) == schedule.SLOWEST_S
    gaps = [60.0]
    while gaps[-1]:
        gaps.append(schedule.quicker(gaps[-1], 1.0))
    assert 30 < len(gaps) < 60
    assert gaps == sorted(gaps, reverse=True)


FEED = b"""<rss version="2.0"><channel><title>t</title><item><title>One</title><guid>1</guid><link>http://%s/a</link></item></channel>
</rss>"""


def poll_again(store: Store, source: int) -> Row:
    """One more poll of a source, whenever it is due; its row afterwards."""
    with store.write() as c:
        intake.set_source(c, source, due_at=clock.now())
    polled.poll(source, lambda _: None)
    with store.read() as c:
        return dict(c.execute(select(*SourceRow.__table__.columns).where(SourceRow.id == source)).mappings().one())


def test_a_permanent_move_is_believed_after_three_sightings_changed_or_not(store: Store, site: Site, wire: Any) -> None:
    source = add(store, site.host)
    answers = {"/feed": (301, {"Location": "/new"}, b""), "/new": (200, {"ETag": '"1"'}, FEED % site.host.encode())}
    site.answer = answers.__getitem__
    assert poll_again(store, source)["url"].endswith("/feed")
    answers["/new"] = (304, {}, b"")
    assert poll_again(store, source)["url"].endswith("/feed")
    moved = poll_again(store, source)
    assert moved["url"] == f"http://{site.host}/new"
    with store.read() as c:
        assert [line["target"] for line in desk.audits(c, action="source.moved")] == ["s"]


def test_a_move_that_is_taken_back_is_not_believed(store: Store, site: Site, wire: Any) -> None:
    source = add(store, site.host)
    answers = {"/feed": (301, {"Location": "/new"}, b""), "/new": (200, {}, FEED % site.host.encode())}
    site.answer = answers.__getitem__
    for _ in range(2):
        poll_again(store, source)
    answers["/feed"] = answers["/new"]
    poll_again(store, source)
    answers["/feed"] = (301, {"Location": "/new"}, b"")
    for _ in range(2):
        assert poll_again(store, source)["url"].endswith("/feed")


def test_a_feed_that_is_gone_stops_and_says_so(store: Store, site: Site, wire: Any) -> None:
    source = add(store, site.host)
    site.answer = lambda path: (410, {}, b"")
    gone = poll_again(store, source)
    assert (gone["state"], gone["due_at"]) == ("stopped", None)
    assert "410" in gone["last_error"]
    with store.read() as c:
        assert desk.audits(c, action="source.gone")


def test_errors_back_off_and_never_stop_a_source(store: Store, site: Site, wire: Any) -> None:
    source = add(store, site.host)
    site.answer = lambda path: (500, {}, b"")
    for failures in range(1, 12):
        found = poll_again(store, source)
        assert (found["state"], found["failures"]) == ("active", failures)
        assert found["due_at"] is not None


def test_a_section_page_that_forbids_it_is_not_followed(store: Store, site: Site, wire: Any) -> None:
    source = add(store, site.host)
    with store.write() as c:
        intake.set_source(c, source, kind="listing")
    links = b"".join(
        b"<li><a href='/2026/a-long-headline-of-a-story-%d'>A long headline of story number %d</a>" % (n, n)
        for n in range(9)
    )
    site.answer = lambda path: (
        200,
        {"Content-Type": "text/html"},
        b"<html><head><meta name=robots content=nofollow></head><ul>" + links,
    )
    assert poll_again(store, source)["last_error"].startswith("nofollow")
    assert entries(store) == []


def test_a_stage_that_people_stopped_asks_nobody(store: Store, site: Site, wire: Any) -> None:
    source = add(store, site.host, "/1")
    with store.write() as c:
        switches.turn_off(c, "fetch", "ann", "", NOW)
        switches.turn_off(c, "poll", "ann", "", NOW)
    lane.drain(lanes.host_lane(site.host))
    polled.poll(source, lambda _: None)
    assert site.asked == []


def test_a_paused_host_is_asked_nothing(store: Store, site: Site, wire: Any) -> None:
    add(store, site.host, "/1")
    with store.write() as c:
        lanes.pause(c, lanes.host_lane(site.host), paused=True)
    lane.drain(lanes.host_lane(site.host))
    assert site.asked == []


def test_what_is_not_to_be_indexed_is_not_taken_in(store: Store, site: Site, wire: Any) -> None:
    add(store, site.host, "/1")
    site.answer = lambda path: (200, {"X-Robots-Tag": "noindex"}, b"<html>a page</html>")
    lane.drain(lanes.host_lane(site.host))
    assert entries(store) == [("quarantined", None, "noindex")]
    with store.read() as c:
        assert c.execute(select(PageRow.id)).first() is None


def test_unless_that_is_not_obeyed(store: Store, site: Site, wire: Any) -> None:
    wire(obey=("noarchive",))
    add(store, site.host, "/1")
    site.answer = lambda path: (200, {"X-Robots-Tag": "noindex, noarchive"}, b"<html>a page</html>")
    lane.drain(lanes.host_lane(site.host))
    assert entries(store)[0].step == "extract"
    with store.read() as c:
        assert c.execute(select(PageRow.directives)).scalar_one() == "noarchive"


def test_bytes_that_may_not_be_kept_are_dropped_once_read(store: Store) -> None:
    with store.write() as c:
        source = intake.add_source(c, name="s", url="", kind="push", profile=None, now=NOW)
        ids = []
        for key, asked in (("a", "noarchive"), ("b", None)):
            page = intake.NewPage(b"<p>bytes", None, None, 200, "text/html", NOW, directives=asked)
            entry, _ = intake.push_entry(c, source, intake.NewEntry(records.Entry(key, None), None, False), page, NOW)
            ids.append(c.execute(select(EntryRow.page_id).where(EntryRow.id == entry)).scalar_one() or 0)
        intake.forget_unarchived(c, ids)
        assert set(intake.pages(c, ids)) == {ids[1]}
        assert c.execute(select(PageRow.sha256).where(PageRow.id == ids[0])).scalar_one()


def failing(store: Store, host_failures: int, page_failures: int, reason: str) -> tuple[str, str | None]:
    """Where an entry stands after one more failure."""
    with store.write() as c:
        source = intake.add_source(c, name="s", url="http://h.example/f", kind="feed", profile=None, now=NOW)
        new = intake.NewEntry(records.Entry("k", "http://h.example/1"), "h.example", backfill=False)
        intake.add_entries(c, source, [new], NOW)
        held = lanes.claim(c, lanes.host_lane("h.example"), NOW)
        assert held is not None
        (entry,) = intake.next_to_fetch(c, "h.example", NOW, 1)
        lane.settle(Work(c, NOW), held | {"failures": host_failures}, entry | {"failures": page_failures},
                    Failure(reason, "It failed.", later=True))  # fmt: skip
        return tuple(c.execute(select(EntryRow.state, EntryRow.step)).one())  # type: ignore[return-value]


def test_a_page_that_keeps_failing_is_quarantined(store: Store) -> None:
    assert failing(store, 0, lane.TRIES - 1, "server-error") == ("quarantined", None)


def test_a_page_of_a_dead_host_waits_for_it(store: Store) -> None:
    assert failing(store, lane.TRIES + 3, lane.TRIES - 1, "connect-refused") == ("waiting", "fetch")


def test_but_not_for_ever(store: Store) -> None:
    assert failing(store, 1000, lane.TRIES_OF_A_DEAD_HOST - 1, "connect-refused") == ("quarantined", None)


def test_a_lane_that_went_to_somebody_else_commits_nothing(store: Store, site: Site, wire: Any) -> None:
    add(store, site.host, "/1", "/2")

    def stolen(path: str) -> tuple[int, dict[str, str], bytes]:
        with store.write() as c:
            c.execute(update(LaneRow).values(lease_epoch=LaneRow.lease_epoch + 1))
        return 200, {}, b"<html>a page</html>"

    site.answer = stolen
    assert lane.drain(lanes.host_lane(site.host)) is False
    assert {one.step for one in entries(store)} == {"fetch"}
    assert len([path for path in site.asked if path != "/robots.txt"]) == 1


def test_a_lane_s_settings_are_checked_at_the_start() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"fetch": {"hosts": {"h.example": {"gap": 1}}}}, settings.Settings)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"fetch": {"obey": ["robots"]}}, settings.Settings)
