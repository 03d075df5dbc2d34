"""WebSub as a subscriber, over real sockets: the public conformance cases 100 to 104, 200 to 205 and 300 to 302, and leases."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
import requests
from cryptography.fernet import Fernet
from sqlalchemy import delete, select, update

from services.ingest import polled, tasks, web, websub
from shared import clock, queue
from shared.api import Site
from shared.http import Door, Policy
from shared.models import WebsubRow
from shared.settings import WebSettings
from shared.store import engine, intake
from shared.store import websub as subscriptions
from shared.store.engine import Store
from tests.serving import Client, Rung, serving, settings
from tests.websubbing import Answer, Loopback, Seen

RSS = """<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel><title>Harbour</title><link>/</link>
<description>d</description>{links}
<item><title>Fares rise</title><link>{site}/fares</link><guid>{site}/fares</guid></item></channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><id>urn:x</id><title>Harbour</title><updated>2026-05-04T12:00:00Z</updated>{links}
<entry><id>urn:1</id><title>Fares rise</title><updated>2026-05-04T12:00:00Z</updated><link href="{site}/fares"/></entry></feed>"""
HTML = """<!doctype html><html><head><title>Harbour</title>{links}</head><body>
<h2><a href="/2026/fares-rise-in-may">Fares of the ferry rise in May</a></h2><p>May 4, 2026</p>
<h2><a href="/2026/dockers-end-strike">Dockers of the harbour end their strike</a></h2><p>May 3, 2026</p>
<h2><a href="/2026/new-crane">The harbour gets a new crane at last</a></h2><p>May 2, 2026</p></body></html>"""


class World:
    """A publisher with a hub on loopback, our callback, and our workers."""

    def __init__(self, store: Store, client: Client, rung: Rung) -> None:
        self.store, self.client, self.rung = store, client, rung
        self.pages: dict[str, Answer] = {}
        self.hub_answer: Answer = (202, {}, b"")
        self.site = Loopback(self.answer)

    def answer(self, seen: Seen) -> Answer:
        if seen.path == "/hub":
            return self.hub_answer
        return self.pages.get(seen.path, (404, {}, b""))

    def page(self, path: str, form: str, links: str = "", **headers: str) -> None:
        """A feed or page at that path, with these tags and headers; SITE stands for the site's address."""
        kind = {RSS: "application/rss+xml", ATOM: "application/atom+xml", HTML: "text/html"}[form]
        text = form.replace("{links}", links).replace("{site}", self.site.url).replace("SITE", self.site.url)
        sent = {name: value.replace("SITE", self.site.url) for name, value in headers.items()}
        self.pages[path] = 200, {"Content-Type": kind, **sent}, text.encode()

    def follow(self, path: str = "/feed", kind: str = "feed") -> int:
        """A source there, polled once."""
        with self.store.write() as c:
            source = intake.add_source(
                c, name="harbour", url=self.site.url + path, kind=kind, profile=None, now=clock.now()
            )
        tasks.poll_source([source])
        return source

    def poll(self, source: int) -> None:
        with self.store.write() as c:
            intake.set_source(c, source, due_at=clock.now())
        tasks.poll_source([source])

    def ask(self) -> None:
        """What the worker does about hubs that are to be asked now."""
        with self.store.read() as c:
            due = subscriptions.due_subscriptions(c, clock.now(), 10)
        tasks.ask_hubs(due)

    def asked(self) -> list[dict[str, str]]:
        """The forms that the hub was sent."""
        return [{name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
                for seen in self.site.got("POST") if seen.path == "/hub"]  # fmt: skip

    def row(self) -> Any:
        with self.store.read() as c:
            return c.execute(select(*WebsubRow.__table__.columns)).one()

    def verify(self, lease_s: int = 1000, **changes: str) -> requests.Response:
        """The hub asks back, as it must."""
        query = {
            "hub.mode": "subscribe",
            "hub.topic": self.row().topic,
            "hub.challenge": "c0ffee",
            "hub.lease_seconds": str(lease_s),
        }
        query |= {name.replace("_", ".", 1): value for name, value in changes.items()}
        return self.client.get(self.asked()[-1]["hub.callback"], params=query)

    def push(self, body: bytes = b"<rss/>", signature: str | None = None) -> requests.Response:
        headers = {"X-Hub-Signature": signature} if signature else {}
        return self.client.post(self.asked()[-1]["hub.callback"], data=body, headers=headers)

    def subscribed(self, path: str = "/feed") -> int:
        source = self.follow(path)
        self.ask()
        assert self.verify().text == "c0ffee"
        return source


@pytest.fixture
def world(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    door, rung = Door(Policy(allow_hosts=frozenset({"127.0.0.1"}))), Rung()
    monkeypatch.setenv("BRIEFWIRE_SECRET_KEY", Fernet.generate_key().decode())
    monkeypatch.setattr(engine, "_current", store)
    monkeypatch.setattr(queue, "door", lambda: door)
    monkeypatch.setattr(queue.bell, "ring", Rung())  # there is no broker to ring
    with serving(web.routes(Site(settings(tmp_path), store, ring=rung))) as client:
        here = settings(tmp_path, client.url)
        monkeypatch.setattr(polled, "CFG", here)
        monkeypatch.setattr(tasks, "CFG", here)
        made = World(store, client, rung)
        yield made
        made.site.close()
    door.close()


WRONG = '<atom:link rel="hub" href="SITE/wrong"/><atom:link rel="self" href="SITE/no"/>'
LINKS = '<{0}:link rel="hub" href="SITE/hub"/><{0}:link rel="self" href="SITE/feed"/>'
HEADER = '<SITE/hub>; rel="hub", <SITE/feed>; rel="self"'
DISCOVERY: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "100 header": ("feed", RSS, "", {"Link": HEADER}),
    "101 tags": ("listing", HTML, '<link rel="hub" href="SITE/hub"><link rel="self" href="/feed">', {}),
    "102 atom": ("feed", ATOM, '<link rel="hub" href="SITE/hub"/><link rel="self" href="SITE/feed"/>', {}),
    "103 rss": ("feed", RSS, LINKS.format("atom"), {}),
    "104 header beats tags": (
        "feed",
        RSS,
        WRONG,
        {"Link": HEADER},
    ),
}


def test_100_to_104_a_hub_is_found_and_asked(world: World) -> None:
    for name, (kind, form, links, headers) in DISCOVERY.items():
        world.page("/feed", form, links, **headers)
        with world.store.write() as c:
            c.execute(delete(WebsubRow))
            source = intake.add_source(
                c, name=name, url=f"{world.site.url}/feed", kind=kind, profile=None, now=clock.now()
            )
        tasks.poll_source([source])
        world.ask()
        form_sent = world.asked()[-1]
        assert (form_sent["hub.mode"], form_sent["hub.topic"]) == ("subscribe", f"{world.site.url}/feed"), name
        assert form_sent["hub.callback"] == f"{world.client.url}/websub/{world.row().token}"
        assert 20 < len(form_sent["hub.secret"]) < 200
    assert len(world.asked()) == len(DISCOVERY)


def test_200_the_topic_is_what_the_feed_calls_itself(world: World) -> None:
    world.page("/mirror", RSS, LINKS.format("atom"))
    world.follow("/mirror")
    world.ask()
    assert world.asked()[0]["hub.topic"] == f"{world.site.url}/feed"
    assert world.verify().text == "c0ffee"


@pytest.mark.parametrize("status", [302, 301])
def test_201_202_the_topic_redirects(world: World, status: int) -> None:
    world.page("/feed", ATOM, '<link rel="hub" href="SITE/hub"/>')
    world.pages["/old"] = status, {"Location": "/feed"}, b""
    world.follow("/old")
    world.ask()
    assert world.asked()[0]["hub.topic"] == f"{world.site.url}/feed"
    assert world.verify().status_code == 200


@pytest.mark.parametrize("status", [307, 308])
def test_203_204_the_hub_redirects(world: World, status: int) -> None:
    world.page("/feed", RSS, '<atom:link rel="hub" href="SITE/old-hub"/><atom:link rel="self" href="SITE/feed"/>')
    world.pages["/old-hub"] = status, {"Location": "/hub"}, b""
    world.follow()
    world.ask()
    assert world.asked()[0]["hub.topic"] == f"{world.site.url}/feed"
    assert world.verify().status_code == 200


def test_205_what_was_not_asked_for_is_not_confirmed(world: World) -> None:
    world.page("/feed", RSS, LINKS.format("atom"))
    world.follow()
    world.ask()
    assert world.verify(hub_topic="http://elsewhere.example/").status_code == 404
    assert world.verify(hub_mode="unsubscribe").status_code == 404
    assert world.verify(hub_mode="publish").status_code == 404
    assert world.client.get("/websub/unknown?hub.mode=subscribe&hub.topic=x&hub.challenge=y").status_code == 404
    assert world.row().state == "pending"
    assert world.verify().status_code == 200


def signed(world: World, body: bytes, method: str = "sha256") -> str:
    return f"{method}={hmac.new(world.asked()[-1]['hub.secret'].encode(), body, method).hexdigest()}"


def test_300_a_push_is_taken_and_the_source_is_polled_at_once(world: World) -> None:
    world.page("/feed", RSS, LINKS.format("atom"))
    source = world.subscribed()
    with world.store.read() as c:
        assert intake.due_sources(c, clock.now(), 5) == []
    for method in ("sha256", "sha1", "sha512"):
        world.rung.calls.clear()
        assert world.push(b"<rss/>", signed(world, b"<rss/>", method)).status_code == 202
        assert world.rung.calls == [("source.due", [source])]
    with world.store.read() as c:
        assert intake.due_sources(c, clock.now(), 5) == [source]


def test_301_302_a_wrong_or_missing_signature_is_ignored(world: World) -> None:
    world.page("/feed", RSS, LINKS.format("atom"))
    world.subscribed()
    good = signed(world, b"other")
    for signature in (
        good,
        None,
        "sha256=",
        "sha256",
        "md5=" + hashlib.md5(b"x").hexdigest(),
        good.upper(),
        "sha256=é",
    ):
        encoded = signature.encode("utf-8").decode("latin-1") if signature else None
        assert world.push(b"<rss/>", encoded).status_code == 202
    with world.store.read() as c:
        assert intake.due_sources(c, clock.now(), 5) == []
    assert (world.rung.calls, world.row().pushed_at) == ([], None)
    assert world.client.post("/websub/unknown", data=b"x").status_code == 404
    assert world.push(b"x" * 11_000_000, good).status_code == 413


def test_a_push_while_the_source_is_polled_is_not_lost(world: World) -> None:
    world.page("/feed", RSS, LINKS.format("atom"))
    source = world.subscribed()
    page, served, pushed = world.pages["/feed"], threading.Event(), threading.Event()
    answer = world.site.answer

    def slowly(seen: Seen) -> Answer:
        if seen.path != "/feed":
            return answer(seen)
        served.set()
        pushed.wait(20)
        return page

    world.site.answer = slowly
    polling = threading.Thread(target=world.poll, args=(source,))
    polling.start()
    served.wait(20)
    world.push(b"<rss/>", signed(world, b"<rss/>"))
    pushed.set()
    polling.join(20)
    with world.store.read() as c:
        assert intake.due_sources(c, clock.now(), 5) == [source]


def test_a_lease_is_renewed_before_it_ends(world: World) -> None:
    world.page("/feed", RSS, LINKS.format("atom"))
    source = world.subscribed()
    now, row = clock.now(), world.row()
    assert row.state == "active"
    assert dt.timedelta(seconds=490) < row.due_at - now < dt.timedelta(seconds=805)
    assert abs(row.expires_at - now - dt.timedelta(seconds=1000)) < dt.timedelta(seconds=10)
    world.poll(source)
    world.ask()
    assert len(world.asked()) == 1  # nothing to ask for yet
    with world.store.write() as c:
        c.execute(update(WebsubRow).values(due_at=now))
    world.ask()
    assert (len(world.asked()), world.row().state) == (2, "active")
    assert world.asked()[0] == world.asked()[1]
    assert world.verify(5000).status_code == 200
    assert world.row().expires_at - now > dt.timedelta(seconds=4000)
    moments = [websub.renew_at(now, 1000, jitter) for jitter in (0.0, 1.0)]
    assert [(moment - now).total_seconds() for moment in moments] == [500.0, 800.0]


def test_a_hub_that_is_down_refuses_or_never_asks_back_is_asked_again(world: World) -> None:
    world.page("/feed", RSS, LINKS.format("atom"))
    world.hub_answer = 503, {}, b""
    world.follow()
    cases: list[tuple[Answer, str, int]] = [
        ((503, {}, b""), "wanted", 60),
        ((202, {}, b""), "pending", 1200),
        ((400, {}, b"no such topic"), "denied", 86_400),
    ]
    for answer, state, wait_s in cases:
        world.hub_answer = answer
        with world.store.write() as c:
            c.execute(update(WebsubRow).values(due_at=clock.now()))
        world.ask()
        row = world.row()
        assert row.state == state
        assert abs((row.due_at - clock.now()).total_seconds() - wait_s) < 20
    assert "no such topic" in row.reason
    world.verify(hub_mode="denied", hub_reason="spam")
    assert (world.row().state, world.row().reason) == ("denied", "spam")


def test_a_feed_that_names_another_hub_or_none(world: World) -> None:
    world.page("/feed", RSS, LINKS.format("atom"))
    source = world.subscribed()
    world.page("/feed", RSS)
    world.poll(source)
    assert (world.row().state, world.row().due_at) == ("gone", None)
    world.push(b"x", signed(world, b"x"))
    assert world.rung.calls == []
    assert world.verify(hub_mode="unsubscribe").text == "c0ffee"
    assert world.verify().status_code == 404
    world.page("/feed", RSS, LINKS.format("atom"))
    world.poll(source)
    world.ask()
    assert len(world.asked()) == 2
    assert world.asked()[0]["hub.callback"] != world.asked()[1]["hub.callback"]


def test_where_nobody_can_reach_us_no_hub_is_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polled, "CFG", msgspec.structs.replace(polled.CFG, web=WebSettings()))
    world.page("/feed", RSS, LINKS.format("atom"))
    world.follow()
    with world.store.read() as c:
        assert subscriptions.due_subscriptions(c, clock.now(), 5) == []
