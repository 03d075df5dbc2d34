"""The test of a source at the desk: fetched now over the guarded door, read as the wire would, nothing stored; on both databases."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from shared import clock
from shared.models import ArticleRow, AuditRow, EntryRow, PageRow, SourceRow
from shared.store import intake
from shared.store.engine import Store
from tests.console import desk_world
from tests.console.desk_world import EVIL, Site
from tests.console.test_web_pages import faults

WORDS = (
    "The harbour bridge was closed by the council on Monday, officials said, after a long and windy winter of repairs. "
)
ITEM = f"""<!doctype html><html lang="en"><head><title>Harbour bridge reopens</title>
<meta property="article:published_time" content="2026-03-05T10:00:00Z"></head><body><h1>Harbour bridge reopens {{evil}}</h1>
<p>{WORDS * 3}</p><p>{WORDS * 2}{{evil}}</p><p>{WORDS * 2}</p></body></html>"""
FEED = """<rss version="2.0"><channel><title>Harbour</title><item><title>Bridge {evil}</title><link>{base}/item</link>
<guid>{base}/item</guid></item></channel></rss>"""


class Pages(http.server.BaseHTTPRequestHandler):
    """A site with a feed, one article and what is none."""

    asked: list[str] = []  # noqa: RUF012 - one site a module

    def do_GET(self) -> None:
        base, evil = f"http://{self.headers['Host']}", EVIL.replace("<", "&lt;")
        found = {
            "/feed": ("application/rss+xml", FEED.format(base=base, evil=evil)),
            "/item": ("text/html; charset=utf-8", ITEM.format(evil=evil)),
            "/list": ("text/html", "<h1>News</h1>" + "<a href='/item'>x</a> " * 30),
        }
        type(self).asked.append(self.path)
        kind, text = found.get(self.path, ("text/html", ""))
        self.send_response(200 if text else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def pages() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Pages.asked.clear()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def source(store: Store, pages: str) -> int:
    with store.write() as c:
        return intake.add_source(c, name="harbour", url=f"{pages}/feed", kind="feed", profile=None, now=clock.now())


@pytest.fixture
def open_site(store: Store, tmp_path: Path, pages: str) -> Iterator[Site]:
    """The desk where the site on loopback may be spoken to."""
    (tmp_path / "briefwire.toml").write_text(f'[fetch]\nallow_hosts = ["{pages.removeprefix("http://")}"]\n')
    with desk_world.served(store, tmp_path) as site:
        yield site


def counts(store: Store) -> list[int]:
    with store.read() as c:
        tables = (ArticleRow, AuditRow, EntryRow, PageRow)
        kept = c.execute(select(SourceRow.polled_at, SourceRow.due_at, SourceRow.seen)).all()
        return [*(c.execute(select(func.count()).select_from(t)).scalar_one() for t in tables), hash(tuple(kept))]


def test_a_source_is_asked_and_its_newest_page_read_and_nothing_is_stored(
    open_site: Site, source: int, store: Store
) -> None:
    operator = open_site.visitor("operator")
    before = counts(store)
    answer = operator.post(f"/sources/{source}/test", data={"csrf": operator.csrf, "url": ""})
    assert answer.status_code == 200
    assert Pages.asked == ["/feed", "/item"]
    for words in ("It lists 1 entry now", "Harbour bridge reopens", "an article", "h1", "meta article:published_time"):
        assert words in answer.text, words
    assert faults(answer.text) == []
    assert counts(store) == before


def test_one_page_is_read_and_what_is_no_article_said(open_site: Site, source: int, pages: str) -> None:
    operator = open_site.visitor("operator")
    one = operator.post(f"/sources/{source}/test", data={"csrf": operator.csrf, "url": f"{pages}/list"})
    assert "no article" in one.text
    gone = operator.post(f"/sources/{source}/test", data={"csrf": operator.csrf, "url": f"{pages}/nothing"})
    assert (gone.status_code, "answered 404" in gone.text) == (422, True)


def test_the_door_is_guarded(site: Site, source: int, pages: str) -> None:
    """Without leave to speak to loopback the same test is refused, and nothing is asked."""
    operator = site.visitor("operator")
    for url in (f"{pages}/item", "file:///etc/passwd", "http://169.254.169.254/latest", EVIL):
        answer = operator.post(f"/sources/{source}/test", data={"csrf": operator.csrf, "url": url})
        assert (answer.status_code, 'role="alert"' in answer.text, "Known are" in answer.text) == (422, True, False), (
            url
        )
        assert faults(answer.text) == [], url
    assert Pages.asked == []


def test_the_form_is_for_operators(site: Site, world: desk_world.World) -> None:
    assert site.visitor("viewer").get(f"/sources/{world.source}/test").status_code == 403
    page = site.visitor("operator").get(f"/sources/{world.source}/test")
    assert page.status_code == 200
    assert faults(page.text) == []
    assert site.visitor("operator").get("/sources/999/test").status_code == 404
