"""The bundled site over real sockets: what it publishes, how it changes and fails, and that profile `demo` reads it."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import feedparser
import pytest
import requests

from services.console.demo import bulk, pages
from services.console.demo.content import SECTIONS, Brief, briefs, parse, plain
from services.console.demo.faults import Fault, Faults
from services.console.demo.loopback import Loopback, Reply
from services.console.demo.site import DemoSite
from services.ingest import profiles
from services.ingest.extract import PageInput, draft
from services.ingest.profiles import Profile
from shared.errors import OperatorError
from shared.records import Block, Draft, ListBlock, Table

NOW = dt.datetime(2026, 3, 10, 7, 30, 5, tzinfo=dt.UTC)
CORRECTED = "politics/assembly-passes-budget-after-night-session"
WITHDRAWN = "security/eleven-arrests-at-the-brask-arsenal"


@pytest.fixture
def site() -> Iterator[DemoSite]:
    running = DemoSite(initial=3)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def profile() -> Profile:
    found = profiles.load().named("demo", NOW.date())
    assert found is not None
    return found


def entries(site: DemoSite) -> list[Any]:
    feed = feedparser.parse(requests.get(site.feed_url, timeout=5).content)
    assert not feed.bozo
    return list(feed.entries)


def by_name(name: str) -> Brief:
    return next(brief for brief in briefs() if brief.name == name)


class TestContent:
    def test_holds_forty_briefs_in_five_sections(self) -> None:
        articles = [brief for brief in briefs() if brief.kind == "brief"]
        assert len(articles) >= 44
        assert {brief.section for brief in articles} == set(SECTIONS)
        assert all(120 <= len(brief.text.split()) <= 350 for brief in articles)

    def test_numbers_names_and_headlines_are_unique(self) -> None:
        for field in ("number", "name", "headline"):
            values = [getattr(brief, field) for brief in briefs()]
            assert len(set(values)) == len(values)

    def test_similar_and_copies_point_at_briefs_that_exist(self) -> None:
        names = {brief.name for brief in briefs()}
        pointers = [name for brief in briefs() for name in (*brief.similar, brief.copy_of) if name]
        assert len(pointers) > 20
        assert set(pointers) <= names

    def test_a_copy_prints_the_text_of_its_original_under_another_headline(self) -> None:
        copy = next(brief for brief in briefs() if brief.copy_of)
        original = by_name(copy.copy_of or "")
        assert copy.text == original.text
        assert copy.headline != original.headline

    def test_a_story_told_twice_shares_numbers_but_hardly_a_phrase(self) -> None:
        stories: dict[str, list[Brief]] = {}
        for brief in briefs():
            if brief.story:
                stories.setdefault(brief.story, []).append(brief)
        assert [len(told) for told in stories.values()] == [2, 2]
        for first, second in stories.values():
            shared = _shingles(first.text) & _shingles(second.text)
            assert len(shared) < 0.1 * min(len(_shingles(first.text)), len(_shingles(second.text)))
            assert len(_numbers(first.text) & _numbers(second.text)) >= 2

    def test_carries_every_trap(self) -> None:
        everything = "\n".join(brief.body for brief in briefs())
        for markup in ("<ol>", "<ul>", "<table>", "<blockquote>", "<h2>", "<em>", "&nbsp;", "“", '"', "‘"):
            assert markup in everything
        assert {brief.status for brief in briefs()} == {"improved", "unchanged", "worsened", None}
        assert {brief.language for brief in briefs()} == {"en", "ru", "be"}
        assert any((brief.age_days or 0) > 365 for brief in briefs())

    def test_a_correction_changes_number_and_text(self) -> None:
        before, after = by_name(CORRECTED), by_name(CORRECTED).corrected()
        assert "58 votes to 44" in before.text
        assert "61 votes to 44" in after.text
        assert after.blocks[-1].startswith("<p>Correction: ")
        assert before.sha256 != after.sha256

    def test_a_brief_without_a_correction_says_so(self) -> None:
        with pytest.raises(ValueError, match="nothing to correct"):
            by_name(WITHDRAWN).corrected()

    def test_a_misspelt_field_is_refused(self) -> None:
        with pytest.raises(ValueError, match="statsu"):
            parse('+++\nnumber = 1\nheadline = "x"\nstatsu = "improved"\n+++\nText.\n', "politics", "x")


class TestPublishing:
    def test_first_briefs_are_older_and_released_ones_new(self, site: DemoSite) -> None:
        before = dt.datetime.now(dt.UTC).replace(microsecond=0)
        released = site.release(2)
        found = {entry.link: parsedate_to_datetime(entry.published) for entry in entries(site)}
        assert len(found) == 5
        for url, published in found.items():
            assert (published >= before) == (url in released)

    def test_feed_is_newest_first_with_section_and_lead(self, site: DemoSite) -> None:
        site.release(1)
        items = entries(site)
        assert [item.id for item in items] == ["kelmora-1004", "kelmora-1003", "kelmora-1002", "kelmora-1001"]
        assert items[0].category == "Security"
        assert plain(items[0].summary) == briefs()[3].lead
        assert items[0].author == briefs()[3].author

    def test_an_old_item_comes_with_its_old_date(self, site: DemoSite) -> None:
        old = next(brief for brief in briefs() if brief.age_days)
        site.publish(old)
        assert entries(site)[-1].link.endswith(old.path)

    def test_about_page_is_in_the_feed_but_in_no_section(self, site: DemoSite) -> None:
        site.release(100)
        assert any(entry.link == f"{site.url}/about" for entry in entries(site))
        for section in SECTIONS:
            listing = requests.get(f"{site.url}/{section}", timeout=5).text
            assert listing.count('class="listed"') >= 8
            assert "About the Kelmora Monitor</a></h2>" not in listing

    def test_release_ends_with_the_bundle(self, site: DemoSite) -> None:
        assert len(site.release(1000)) == len(briefs()) - 3
        assert site.release(1) == []
        assert site.state() == {"out": len(briefs()), "waiting": 0, "complete": True, "published": len(briefs())}

    def test_update_changes_page_and_feed_but_not_the_date(self, site: DemoSite) -> None:
        site.release(len(briefs()))
        url = f"{site.url}/{CORRECTED}"
        before = requests.get(url, timeout=5)
        site.update(CORRECTED)
        after = requests.get(url, timeout=5)
        assert "58 votes" in before.text
        assert "Correction: " in after.text
        assert before.headers["ETag"] != after.headers["ETag"]
        entry = next(entry for entry in entries(site) if entry.link == url)
        assert "61 votes" in entry.summary
        assert site.log[-1]["event"] == "updated"
        published = next(line for line in site.log if line["url"] == url)
        assert site.log[-1]["published"] == published["published"]

    def test_withdrawn_page_is_gone_from_everywhere(self, site: DemoSite) -> None:
        site.release(len(briefs()))
        site.withdraw(WITHDRAWN)
        assert requests.get(f"{site.url}/{WITHDRAWN}", timeout=5).status_code == 410
        for path in ("/rss.xml", "/", "/security"):
            assert WITHDRAWN not in requests.get(site.url + path, timeout=5).text
        with pytest.raises(ValueError, match="is not out"):
            site.withdraw(WITHDRAWN)

    def test_similar_block_grows_when_its_target_comes_out(self, site: DemoSite) -> None:
        first = briefs()[0]
        before = requests.get(site.url + first.path, timeout=5).text
        site.release(len(briefs()))
        after = requests.get(site.url + first.path, timeout=5).text
        assert "Similar articles" not in before
        assert [f'<a href="/{name}">' in after for name in first.similar] == [True, True]

    def test_log_file_has_each_event_on_a_line(self, tmp_path: Path) -> None:
        path = tmp_path / "published.jsonl"
        site = DemoSite(initial=2, log=path)
        site.start()
        site.release(1)
        site.stop()
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert lines == site.log
        assert [line["initial"] for line in lines] == [True, True, False]
        assert lines[0]["text_sha256"] == briefs()[0].sha256

    def test_by_itself_it_corrects_withdraws_and_completes(self) -> None:
        site = DemoSite(initial=12, per_second=200, update_after_s=0.05, withdraw_after_s=0.05)
        site.start()
        try:
            deadline = time.monotonic() + 30
            while not site.complete and time.monotonic() < deadline:
                time.sleep(0.02)
            events = [(line["event"], line.get("name")) for line in site.log]
        finally:
            site.stop()
        assert ("updated", CORRECTED) in events
        assert ("withdrawn", WITHDRAWN) in events
        assert events[-1] == ("complete", None)
        assert len([event for event, _ in events if event == "published"]) == len(briefs())


class TestHttp:
    def test_unchanged_feed_and_page_answer_304(self, site: DemoSite) -> None:
        for url in (site.feed_url, f"{site.url}{briefs()[0].path}"):
            etag = requests.get(url, timeout=5).headers["ETag"]
            again = requests.get(url, headers={"If-None-Match": f'W/"x", {etag}'}, timeout=5)
            assert (again.status_code, again.content) == (304, b"")
        site.release(1)
        assert requests.get(site.feed_url, headers={"If-None-Match": etag}, timeout=5).status_code == 200

    def test_date_alone_decides_only_after_its_second_is_over(self) -> None:
        clock = [NOW]
        site = DemoSite(initial=1, now=lambda: clock[0])
        site.start()
        try:
            assert "Last-Modified" not in requests.get(site.feed_url, timeout=5).headers
            clock[0] += dt.timedelta(seconds=10)
            stamp = requests.get(site.feed_url, timeout=5).headers["Last-Modified"]
            since = {"If-Modified-Since": stamp}
            assert requests.get(site.feed_url, headers=since, timeout=5).status_code == 304
            site.release(1)
            assert requests.get(site.feed_url, headers=since, timeout=5).status_code == 200
            assert requests.get(site.feed_url, headers={"If-Modified-Since": "soon"}, timeout=5).status_code == 200
        finally:
            site.stop()

    def test_one_connection_carries_many_requests(self, site: DemoSite) -> None:
        connection = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=5)
        connection.connect()
        first = connection.sock
        for path in ("/", "/rss.xml", "/robots.txt", "/img/x.png", "/privacy", "/nothing", briefs()[0].path):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == (404 if path == "/nothing" else 200)
            assert connection.sock is first
        connection.close()

    def test_head_has_the_length_and_no_body(self, site: DemoSite) -> None:
        head, get = requests.head(site.feed_url, timeout=5), requests.get(site.feed_url, timeout=5)
        assert head.content == b""
        assert head.headers["Content-Length"] == str(len(get.content))

    def test_short_link_leads_to_the_page(self, site: DemoSite) -> None:
        answer = requests.get(f"{site.url}/b/1001", timeout=5)
        assert answer.url == site.url + briefs()[0].path
        assert requests.get(f"{site.url}/b/9999", timeout=5).status_code == 404

    def test_hits_count_path_and_status(self, site: DemoSite) -> None:
        for _ in range(3):
            requests.get(f"{site.url}/robots.txt", timeout=5)
        assert site.hits["/robots.txt", 200] == 3

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "localhost", ""])
    def test_an_address_that_is_not_loopback_is_refused(self, host: str) -> None:
        with pytest.raises(OperatorError, match="is not a loopback address"):
            Loopback(lambda request: Reply(200), host=host)

    def test_a_port_that_cannot_be_had_is_one_sentence(self, site: DemoSite) -> None:
        for port in (int(site.url.rpartition(":")[2]), 99_999):
            with pytest.raises(OperatorError, match=f"Cannot listen on port {port}"):
                DemoSite(port=port)

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems give loopback one address")
    def test_two_sites_may_be_two_hosts(self, site: DemoSite) -> None:
        other = bulk.BulkSite(1, host="127.0.0.2")
        other.start()
        try:
            assert other.url.startswith("http://127.0.0.2:")
            assert requests.get(other.feed_url, timeout=5).status_code == 200
        finally:
            other.stop()

    def test_stop_closes_open_connections(self) -> None:
        site = DemoSite(initial=1)
        site.start()
        with socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])), timeout=5) as idle:
            idle.sendall(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(4096).startswith(b"HTTP/1.1 200")
            site.stop()
            assert idle.recv(4096) == b""
        site.stop()


class TestFaults:
    def test_next_requests_fail_then_work(self, site: DemoSite) -> None:
        site.faults.set(Fault(status=503, count=2, retry_after_s=7))
        answers = [requests.get(site.feed_url, timeout=5) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [503, 503, 200]
        assert answers[0].headers["Retry-After"] == "7"

    def test_reset_ends_the_connection(self, site: DemoSite) -> None:
        site.faults.set(Fault(reset=True, count=1))
        with pytest.raises(requests.ConnectionError):
            requests.get(site.feed_url, timeout=5)
        assert requests.get(site.feed_url, timeout=5).status_code == 200

    def test_hang_outlasts_the_visitor_and_not_the_site(self, site: DemoSite) -> None:
        site.faults.set(Fault(hang_s=600, path="/rss.xml"))
        with pytest.raises(requests.Timeout):
            requests.get(site.feed_url, timeout=0.2)
        assert requests.get(site.url, timeout=5).status_code == 200

    def test_a_share_of_failures_is_the_same_for_the_same_seed(self) -> None:
        drawn = []
        for _ in range(2):
            faults = Faults()
            faults.set(Fault(status=500, share=0.3, seed=5))
            drawn.append([faults.take("/") is not None for _ in range(200)])
        assert drawn[0] == drawn[1]
        assert 30 <= sum(drawn[0]) <= 90

    def test_control_route_steers_and_tells(self, site: DemoSite) -> None:
        control = f"{site.url}/-/control"
        state = requests.post(control, json={"release": 2, "fault": {"status": 500, "count": 1}}, timeout=5).json()
        assert state["out"] == 5
        assert requests.get(site.url, timeout=5).status_code == 500
        assert requests.get(f"{site.url}/-/state", timeout=5).json()["published"] == 5

    @pytest.mark.parametrize(
        ("body", "content_type", "status"),
        [
            (b'{"release": 1}', "text/plain", 405),
            (b"{", "application/json", 400),
            (b"[]", "application/json", 400),
            (b'{"withdraw": "no/such"}', "application/json", 400),
            (b'{"fault": {"statsu": 500}}', "application/json", 400),
        ],
    )
    def test_control_route_refuses_nonsense(self, site: DemoSite, body: bytes, content_type: str, status: int) -> None:
        headers = {"Content-Type": content_type}
        answer = requests.post(f"{site.url}/-/control", data=body, headers=headers, timeout=5)
        assert answer.status_code == status
        assert site.state()["out"] == 3


class TestProfile:
    """Profile `demo` takes from each page what its file holds, and nothing from around it."""

    @pytest.mark.parametrize("brief", [one for one in briefs() if one.kind == "brief"], ids=lambda one: one.slug[:30])
    def test_reads_each_brief(self, brief: Brief, profile: Profile) -> None:
        read = _read(brief, profile)
        assert read.headline == brief.headline
        assert read.section == SECTIONS[brief.section]
        assert read.source_item_id == str(brief.number)
        assert read.authors == ((brief.author,) if brief.author else ())
        assert read.category_status.value == (brief.status or "unknown")
        assert read.published is not None
        assert read.published.zone_source == "configured"
        assert read.published.at == NOW.replace(second=0)
        assert _squeezed(_texts(read.blocks)) == _squeezed([_without_caption(brief.body)])
        assert [related.target for related in read.related] == [f"http://h.example/{name}" for name in brief.similar]
        assert read.verdict.kind == "article"

    def test_a_brief_printed_whole_below_stays_out_of_the_body(self, profile: Profile) -> None:
        brief = next(one for one in briefs() if one.whole)
        target = by_name(brief.similar[0])
        snapshot = _read(brief, profile).related[0].snapshot
        assert snapshot is not None
        assert snapshot.headline == target.headline
        assert _squeezed(_texts(snapshot.blocks)) == _squeezed([target.body])

    def test_keeps_no_break_spaces(self, profile: Profile) -> None:
        brief = by_name("economy/grain-silo-burns-at-ersk-terminal-four")
        assert "Terminal\u00a04" in (_read(brief, profile).lead or "")

    def test_credit_is_no_link_and_no_text(self, profile: Profile) -> None:
        pictured = [brief for brief in briefs() if brief.credit]
        assert len(pictured) >= 5
        for brief in pictured:
            read = _read(brief, profile)
            assert brief.credit is not None
            assert read.images[0].credit is not None
            assert brief.credit.endswith(read.images[0].credit)
            assert not any(".example" in text for text in _texts(read.blocks))

    def test_about_page_is_no_article(self, profile: Profile) -> None:
        about = next(one for one in briefs() if one.kind == "about")
        assert _read(about, profile).verdict.kind == "not-an-article"

    def test_reads_the_correction(self, profile: Profile) -> None:
        read = _read(by_name(CORRECTED).corrected(), profile)
        assert _texts(read.blocks)[-1].startswith("Correction: ")
        assert "61 votes" in (read.lead or "")


class TestBulk:
    def test_the_same_number_gives_the_same_page_and_another_another(self) -> None:
        assert bulk.page(5, 1, "h.example") == bulk.page(5, 1, "h.example")
        assert bulk.page(5, 1, "h.example") != bulk.page(5, 2, "h.example")
        assert len({bulk.brief(i).headline for i in range(1500)}) == 1500

    def test_texts_are_distinct_and_of_a_brief_s_length(self) -> None:
        texts = [bulk.brief(i, seed=3).text for i in range(150)]
        assert all(150 <= len(text.split()) <= 400 for text in texts)
        grams = [_shingles(text) for text in texts]
        closest = max(len(a & b) / min(len(a), len(b)) for i, a in enumerate(grams) for b in grams[:i])
        assert closest < 0.6

    @pytest.mark.parametrize("large", [False, True])
    def test_profile_reads_both_sizes(self, profile: Profile, large: bool) -> None:
        html = bulk.page(9, 0, "h.example", large=large)
        read = draft(PageInput(html, "http://h.example/x", "text/html; charset=utf-8", NOW), profile)
        assert (len(html) > 30_000) == large
        assert len(html) < 62_000
        assert read.headline == bulk.brief(9).headline
        assert _squeezed(_texts(read.blocks)) == _squeezed([bulk.brief(9).body])

    def test_site_serves_what_its_feed_lists(self) -> None:
        site = bulk.BulkSite(5, window=4)
        site.start()
        try:
            site.publish(2)
            feed = feedparser.parse(requests.get(site.feed_url, timeout=5).content)
            assert {entry.id for entry in feed.entries} == {f"kelmora-{100_000 + i}" for i in (6, 5, 4, 3)}
            assert parsedate_to_datetime(feed.entries[-1].published) == bulk.START + 3 * bulk.EVERY
            for entry in feed.entries:
                assert entry.title in requests.get(entry.link, timeout=5).text.replace("&#39;", "'")
            assert requests.get(f"{site.url}/politics/none", timeout=5).status_code == 404
        finally:
            site.stop()


class TestProcess:
    def test_announces_itself_and_ends_with_its_parent(self, tmp_path: Path) -> None:
        ready, log = tmp_path / "ready.json", tmp_path / "published.jsonl"
        command = [sys.executable, "-m", "services.console.demo.site", "--initial", "2", "--interval", "0"]
        options = ["--ready", str(ready), "--log", str(log), "--with-parent"]
        with subprocess.Popen([*command, *options], stdin=subprocess.PIPE) as process:
            try:
                where = _wait_for(ready)
                assert where["pid"] == process.pid
                state = requests.post(f"{where['url']}/-/control", json={"release": 1}, timeout=5).json()
                assert state["out"] == 3
                assert process.stdin is not None
                process.stdin.close()
                assert process.wait(timeout=20) == 0
            finally:
                process.kill()
        assert len(log.read_text().splitlines()) == 3

    def test_a_taken_port_is_one_sentence_and_an_exit_code(self, site: DemoSite) -> None:
        command = [sys.executable, "-m", "services.console.demo.site", "--port", site.url.rpartition(":")[2]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "Cannot listen on port" in done.stderr
        assert "Traceback" not in done.stderr


def _wait_for(ready: Path) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert time.monotonic() < deadline, "the process never announced itself"
        time.sleep(0.05)
    return dict(json.loads(ready.read_text()))


def _read(brief: Brief, profile: Profile) -> Draft:
    """The draft of a brief's page with all of its similar items printed below."""
    similar = [pages.Item(by_name(name), NOW, NOW) for name in brief.similar]
    html = pages.brief(pages.Item(brief, NOW, NOW), "http://h.example", similar, briefs()[:3])
    page = PageInput(html, f"http://h.example{brief.path}", "text/html; charset=utf-8", NOW)
    return draft(page, profile)


def _texts(blocks: tuple[Block, ...]) -> list[str]:
    texts: list[str] = []
    for block in blocks:
        if isinstance(block, ListBlock):
            texts.extend(_items(block))
        elif isinstance(block, Table):
            texts.extend(cell for row in block.rows for cell in row)
        else:
            texts.append(getattr(block, "text", "") or "")
    return texts


def _items(block: ListBlock) -> list[str]:
    texts = []
    for place, text in enumerate(block.items):
        texts.append(text)
        texts.extend(line for nested in block.nested if nested.item == place for line in _items(nested.list))
    return texts


def _without_caption(body: str) -> str:
    """A table's caption is no cell."""
    start, end = body.find("<caption>"), body.find("</caption>")
    return body if start < 0 else body[:start] + body[end:]


def _squeezed(texts: list[str]) -> str:
    return "".join("".join(plain(text).split()) for text in texts)


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


def _numbers(text: str) -> set[str]:
    return {word.strip(".,") for word in text.split() if word[0].isdigit()}
