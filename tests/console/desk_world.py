"""A store with one of everything, its words hostile where asked, and the desk on it behind a real server on loopback."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import msgspec
import requests
import uvicorn
from sqlalchemy import insert, select, update

from services import app
from services.console import accounts
from services.console.web.desk import Desk
from services.publish import policy, sign
from shared import clock, records, settings, vault
from shared.models import CategoryRow, DeliveryRow, EntryRow, LaneRow, LinkRow, PageRow, StatusRow
from shared.queue import Work
from shared.store import articles, events, installation, intake, partners, workers
from shared.store import desk as rows
from shared.store.engine import Store

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7191*7}}"
EVIL_URL = 'javascript:alert(3)//"><svg onload=alert(4)>'
PASSWORD = "a sentence that nobody guesses"
FILTER = 'section = "<b onclick=alert(5)>"'


class World(msgspec.Struct, frozen=True):
    """Ids of what the store holds."""

    source: int
    partner: int
    article: str
    other: str
    stored_entry: int
    bad_entry: int
    due: int
    dead: int
    host: str
    subscription: int

    def targets(self) -> dict[str, str]:
        """A target for every kind of action."""
        return {"source": str(self.source), "host": self.host, "partner": str(self.partner), "article": self.article,
                "delivery": str(self.dead), "entry": str(self.bad_entry), "group": f"entry:{self.source}:{EVIL[:40]}",
                "stage": "deliver", "worker": "fetch", "wire": "wire", "subscription": str(self.subscription),
                "query": f"reason={quote_plus(EVIL[:40])}"}  # fmt: skip


def fill(store: Store, folder: Path, words: str = EVIL, url: str = EVIL_URL) -> World:
    """One source, entry, article in two revisions, partner, delivery under way and delivery in quarantine, and so on."""
    now = clock.now()
    with store.write() as c:
        source = intake.add_source(c, name=f"s {words}"[:100], url=url, kind="feed", profile=words[:100], now=now)
        intake.set_source(c, source, last_error=words, failures=4, polled_at=now, new_at=now)
        host = "h.example"
        entry = records.Entry("a", f"http://{host}/a?{words}", title=words, summary=words, authors=(words,))
        bad = records.Entry("b", url, title=words, summary=words)
        intake.add_entries(c, source, [intake.NewEntry(entry, host, False), intake.NewEntry(bad, host, False)], now)
        stored_entry, bad_entry = c.execute(select(EntryRow.id).order_by(EntryRow.id)).scalars()
        intake.finish_entry(c, bad_entry, "quarantined", reason=words[:40], detail=words)
        body = f"<html><h1>{words}</h1><p>{words}</p></html>".encode()
        page = intake.keep_page(c, stored_entry, intake.NewPage(body, url, url, 200, words, now))
        first, other = _article("art_1", words, url), _article("art_2", f"other {words}", url)
        articles.create(c, first, "1" * 64, source, stored_entry, page, now)
        articles.create(c, other, "2" * 64, source, stored_entry, page, now)
        known = articles.locked(c, "art_1")
        assert known is not None
        second = articles.revise(
            c, known, msgspec.structs.replace(first, headline=f"2 {words}"), "update", stored_entry, page, now
        )
        intake.finish_entry(c, stored_entry, "stored", article_id="art_1")
        _annotate(c, second, words, url, now)
    with store.write() as c:
        secret = vault.seal(folder, [sign.new_secret(bytes(32))])
        partner = partners.add_partner(c, name=f"p {words}"[:100], kind="webhook", url=url, format="brief", secrets=secret,
                                       filter=FILTER, backfill=True, coalesce=False, relinked=False, concurrency=4, now=now)[1]  # fmt: skip
        installation.audit(c, words[:100], words[:60], words, words, now)
        for queue in ("fetch", "extract", "enrich", "plan", "deliver"):
            workers.beat(c, queue, now)
    due, dead = _deliver(store, partner, words, now)
    with store.read() as c:
        subscription = next(
            wish["id"] for row in partners.endpoints(c) if row["id"] == partner for wish in row["subscriptions"]
        )
    return World(source, partner, "art_1", "art_2", stored_entry, bad_entry, due, dead, host, subscription)


def _article(article_id: str, words: str, url: str) -> records.Article:
    moment = records.Moment(words, "2026-03-05T14:20:00+00:00", words, "configured", "minute")
    blocks: tuple[records.Block, ...] = (
        records.Paragraph(words, (records.Mark(0, 8, "link", url),)), records.Heading(words), records.Quote(words, words),
        records.ListBlock(False, (words,)), records.Code(words), records.Table(((words,),), 1, words), records.Embed(url, words, words),
    )  # fmt: skip
    return records.Article(
        id=article_id, source="s", source_item_id=words, url=url, requested_url=url, final_url=url, revision=1, state="usable",
        content_hash="0" * 64, headline=words, language="en", language_evidence=words, authors=(words,), published=moment,
        modified=moment, section=words, category_status=records.CategoryStatus("improved", words, words, words), lead=words,
        blocks=blocks, images=(records.Image(url, words, words, words, words),), tags=(words,), site_name=words, access="free",
        related=(records.Related("publisher_similar", words, 1, url, records.Snapshot(words, url)),),
        removed=(records.Removed(words, words),), origins={words: records.Origin(words, (records.Losing(words, words),))},
    )  # fmt: skip


def _annotate(c: Any, article: records.Article, words: str, url: str, now: dt.datetime) -> None:
    articles.annotate(c, [(article, records.Annotations())])
    for article_id, days, value in (("art_1", 1, "improved"), ("art_2", 0, "worsened")):
        at = now - dt.timedelta(days=days)
        c.execute(insert(StatusRow).values(article_id=article_id, source_id=1, section=words, at=at, value=value))
    articles.set_article(c, "art_1", due_at=None, enriched_revision=2)
    articles.set_article(c, "art_2", due_at=None, enriched_revision=1, state="withdrawn", reason=words[:60])
    reasons = msgspec.json.encode([words]).decode()
    category = {
        "article_id": "art_1",
        "scheme": words[:60],
        "code": words,
        "label": words,
        "method": "model",
        "version": "1",
    }
    c.execute(insert(CategoryRow).values(category | {"score": 0.5, "reasons": reasons, "suggestion": True}))
    link = {
        "article_id": "art_1",
        "other_id": "art_2",
        "relation": "related",
        "score": 0.5,
        "method": "m",
        "version": "1",
    }
    c.execute(insert(LinkRow).values(link | {"as_of": now, "reasons": reasons}))


def _deliver(store: Store, partner: int, words: str, now: dt.datetime) -> tuple[int, int]:
    """The article's two events planned for the partner: the first was tried and given up, the second was tried and is due."""
    with store.write() as c:
        kinds = (("article.published", 1), ("article.updated", 2))
        events.append(c, [events.NewEvent(kind, "art_1", revision, False) for kind, revision in kinds], now)
        logged = events.unplanned(c, 10)
        partners.plan(c, [partners.Planned(partner, e, f"msg_{e.number}") for e in logged], logged[-1].number, now)
        first, second = [row for row in partners.deliveries_of(c, "art_1") if row["endpoint_id"] == partner]
        partners.begin_attempts(c, [first["id"], second["id"]])
        partners.record(c, partner, [
            partners.Tried(first, "dead", now, 20, status=500, reason=words[:60], response=words),
            partners.Tried(second, "retry", now, 20, status=503, reason=words[:60], response=words, due_at=now),
        ])  # fmt: skip
        breaker = policy.Breaker(state="open", until=now + dt.timedelta(minutes=5))
        partners.set_endpoint(c, partner, reason=words)
        values = {"breaker": records.to_json(breaker).decode(), "failures": 3}
        c.execute(update(LaneRow).where(LaneRow.kind == "endpoint").values(values))
    return int(second["id"]), int(first["id"])


class Visitor(requests.Session):
    """A browser at the desk: knows where it is, and the CSRF token of its session."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.trust_env = False
        self.base, self.csrf = base, ""

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        kwargs.setdefault("allow_redirects", method.upper() == "GET")
        kwargs.setdefault("timeout", 30)
        return super().request(method, self.base + url if url.startswith("/") else url, *args, **kwargs)

    def sign_in(self, name: str, password: str = PASSWORD) -> requests.Response:
        """Signs in and remembers the CSRF token that the pages carry."""
        answer = self.post("/sign-in", data={"name": name, "password": password, "next": "/account"})
        if answer.status_code == 303:
            page = self.get("/account").text
            self.csrf = page.split('name="csrf" value="')[1].split('"')[0]
        return answer

    def do(self, action: str, target: str, **fields: str) -> requests.Response:
        """Carries an action out as the confirmation's form does."""
        return self.post(f"/do/{action}/{target}", data={"csrf": self.csrf, "reason": "a test"} | fields)


class Site:
    """A desk that is being served."""

    def __init__(self, desk: Desk, url: str) -> None:
        self.desk, self.url = desk, url
        self._visitors: list[Visitor] = []

    def visitor(self, role: str = "") -> Visitor:
        """Somebody, signed in where a role is named."""
        made = Visitor(self.url)
        self._visitors.append(made)
        if role:
            self.account(role, role)
            assert made.sign_in(role).status_code == 303
        return made

    def account(self, name: str, role: str) -> None:
        """Makes an account with PASSWORD unless it is there."""
        with self.desk.store.write() as c:
            if rows.account(c, name) is None:
                accounts.accept(c, accounts.add(c, name, role, clock.now()), PASSWORD, clock.now())

    def close(self) -> None:
        for one in self._visitors:
            one.close()


@contextlib.contextmanager
def served(store: Store, folder: Path) -> Iterator[Site]:
    """The whole web application on a free port."""
    desk = Desk(settings.load({"BRIEFWIRE_DATA": str(folder)}), store)
    config = uvicorn.Config(app.application(desk), log_level="critical", ws="none")
    server, socket = uvicorn.Server(config), app.listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([socket],))
    thread.start()
    site = Site(desk, f"http://127.0.0.1:{socket.getsockname()[1]}")
    try:
        until = time.monotonic() + 20
        while not (server.started and desk.figures(0.5).books) and time.monotonic() < until:
            time.sleep(0.01)
        yield site
    finally:
        site.close()
        server.should_exit = server.force_exit = True
        thread.join(20)
        socket.close()


def set_delivery(store: Store, delivery_id: int, **values: Any) -> None:
    with store.write() as c:
        c.execute(update(DeliveryRow).where(DeliveryRow.id == delivery_id).values(values))


def work(store: Store) -> contextlib.AbstractContextManager[Work]:
    """A transaction as the desk opens them."""
    return _work(store)


@contextlib.contextmanager
def _work(store: Store) -> Iterator[Work]:
    with store.write() as c:
        made = Work(c, clock.now())
        yield made
        made.finish()


def page_ids(store: Store) -> list[int]:
    with store.read() as c:
        return list(c.execute(select(PageRow.id)).scalars())
