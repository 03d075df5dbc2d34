"""The WebSub hub, from the form to the notification, over real sockets: the public conformance cases 100 to 106, and what goes wrong."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import feedparser
import pytest
import requests
from cryptography.fernet import Fernet
from sqlalchemy import Connection, select, update

from services.publish import hub, lane, tasks, web
from shared import clock, queue
from shared.api import Site
from shared.http import Door, Policy
from shared.models import EndpointRow, HubRow
from shared.store import engine, keys, ledger, partners, websub
from shared.store.engine import Store
from tests.publish.stocked import Stock
from tests.serving import Client, Rung, serving, settings
from tests.websubbing import Loopback, Seen, confirming


@pytest.fixture
def stock(store: Store) -> Stock:
    made = Stock(store)
    made.endpoint()
    return made


@pytest.fixture
def subscriber() -> Iterator[Loopback]:
    made = Loopback(confirming)
    yield made
    made.close()


class World:
    """The hub's web face, its worker and its topics."""

    def __init__(self, client: Client, store: Store, rung: Rung) -> None:
        self.client, self.store, self.rung = client, store, rung

    def topic(self, ending: str = "atom") -> str:
        return f"{self.client.url}/feeds/pull-key.{ending}"

    def ask(
        self, subscriber: Loopback, mode: str = "subscribe", ending: str = "atom", **fields: Any
    ) -> requests.Response:
        form = {"hub.mode": mode, "hub.topic": self.topic(ending), "hub.callback": f"{subscriber.url}/back?x=1"}
        answer = self.client.post(
            "/hub", data=form | {name.replace("hub_", "hub."): value for name, value in fields.items()}
        )
        self.work()
        return answer

    def work(self) -> None:
        """What the worker does about everything that is due."""
        with self.store.read() as c:
            due = websub.due_subscribers(c, clock.now(), 100)
        if due:
            tasks.settle_hub(due)

    def deliver(self) -> None:
        with self.store.read() as c:
            endpoints = c.execute(select(EndpointRow.id).where(EndpointRow.kind == "websub")).scalars().all()
        for endpoint_id in endpoints:
            lane.drain(f"endpoint:{endpoint_id}")

    def subscribers(self) -> list[Any]:
        with self.store.read() as c:
            return list(c.execute(select(*HubRow.__table__.columns).order_by(HubRow.id)).all())


@pytest.fixture
def world(store: Store, tmp_path: Path, stock: Stock, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    door, rung = Door(Policy(allow_hosts=frozenset({"127.0.0.1"}))), Rung()
    monkeypatch.setenv("BRIEFWIRE_SECRET_KEY", Fernet.generate_key().decode())
    monkeypatch.setattr(engine, "_current", store)
    monkeypatch.setattr(queue, "door", lambda: door)
    monkeypatch.setattr(queue.bell, "ring", Rung())  # there is no broker to ring
    with serving(web.routes(Site(settings(tmp_path), store, ring=rung))) as client:
        yield World(client, store, rung)
    door.close()


def test_100_a_typical_subscription(world: World, stock: Stock, subscriber: Loopback) -> None:
    stock.publish(1)  # before the subscription: not told
    answer = world.ask(subscriber)
    assert (answer.status_code, answer.content) == (202, b"")
    assert world.rung.calls[0][0] == "hub.due"
    (asked,) = subscriber.got("GET")
    assert asked.query == {"x": "1", "hub.mode": "subscribe", "hub.topic": world.topic(), "hub.lease_seconds": "864000",
                           "hub.challenge": asked.query["hub.challenge"]}  # fmt: skip
    assert len(asked.query["hub.challenge"]) > 30
    stock.publish(2)
    world.deliver()
    (told,) = subscriber.got("POST")
    links = requests.utils.parse_header_links(told.headers["link"])
    assert [(link["rel"], link["url"]) for link in links] == [
        ("hub", f"{world.client.url}/hub"),
        ("self", world.topic()),
    ]
    assert told.headers["content-type"] == requests.get(world.topic(), timeout=20).headers["content-type"]
    assert "x-hub-signature" not in told.headers
    feed = feedparser.parse(told.body)
    assert [entry.title for entry in feed.entries] == ["Fare 2 rises"]
    assert {link.rel: link.href for link in feed.feed.links}["self"] == world.topic()
    with world.store.read() as c:
        assert ledger.books(c).balanced


def test_101_a_secret_signs_what_is_sent(world: World, stock: Stock, subscriber: Loopback) -> None:
    world.ask(subscriber, hub_secret="s3cret—")
    stock.publish(1)
    world.deliver()
    (told,) = subscriber.got("POST")
    expected = hmac.new("s3cret—".encode(), told.body, hashlib.sha256).hexdigest()
    assert told.headers["x-hub-signature"] == f"sha256={expected}"


def test_102_further_parameters_are_left_alone(world: World, stock: Stock, subscriber: Loopback) -> None:
    assert world.ask(subscriber, foo="bar", hub_unknown="1").status_code == 202
    stock.publish(1)
    world.deliver()
    assert len(subscriber.got("POST")) == 1


def test_103_asking_again_before_the_lease_ends_renews_it(world: World, stock: Stock, subscriber: Loopback) -> None:
    world.ask(subscriber, hub_lease_seconds="600")
    before = world.subscribers()[0]
    world.ask(subscriber, hub_lease_seconds="1200", hub_secret="new")
    (after,) = world.subscribers()
    assert (after.id, after.endpoint_id, after.wanted) == (before.id, before.endpoint_id, None)
    assert after.expires_at - before.expires_at > dt.timedelta(seconds=500)
    assert [seen.query["hub.lease_seconds"] for seen in subscriber.got("GET")] == ["600", "1200"]
    stock.publish(1)
    world.deliver()
    (told,) = subscriber.got("POST")  # one, not two
    assert told.headers["x-hub-signature"] == f"sha256={hmac.new(b'new', told.body, hashlib.sha256).hexdigest()}"


def test_104_who_leaves_gets_nothing_more(world: World, stock: Stock, subscriber: Loopback) -> None:
    world.ask(subscriber)
    assert world.ask(subscriber, "unsubscribe").status_code == 202
    asked = subscriber.got("GET")[1]
    assert (asked.query["hub.mode"], "hub.lease_seconds" in asked.query) == ("unsubscribe", False)
    stock.publish(1)
    world.deliver()
    assert (subscriber.got("POST"), world.subscribers()) == ([], [])
    assert world.ask(subscriber, "unsubscribe").status_code == 202  # who is not there may leave


@pytest.mark.parametrize(
    ("ending", "kind"), [("txt", "text/plain"), ("json", "application/feed+json"), ("rss", "application/rss+xml")]
)
def test_105_106_the_content_type_is_the_topics(
    world: World, stock: Stock, subscriber: Loopback, ending: str, kind: str
) -> None:
    world.ask(subscriber, ending=ending, hub_secret="s")
    stock.publish(1)
    world.deliver()
    (told,) = subscriber.got("POST")
    topic = requests.get(world.topic(ending), timeout=20)
    assert told.headers["content-type"] == topic.headers["content-type"]
    assert told.headers["content-type"].startswith(kind)
    assert b"Fare 1 rises" in told.body
    if ending == "txt":
        assert told.body == topic.content


def test_a_withdrawal_reaches_who_was_told_and_filters_are_the_feeds(
    world: World, stock: Stock, subscriber: Loopback
) -> None:
    stock.endpoint(name="few", key="few", filter='headline = "Fare 2 rises"')
    form = {"hub.mode": "subscribe", "hub.topic": f"{world.client.url}/feeds/few.rss", "hub.callback": subscriber.url}
    world.client.post("/hub", data=form)
    world.work()
    _, two = stock.publish(1, 2)
    world.deliver()
    stock.withdraw(two)
    world.deliver()
    assert [feedparser.parse(told.body).entries[0].title for told in subscriber.got("POST")] == [
        "Fare 2 rises", "Withdrawn: Fare 2 rises",
    ]  # fmt: skip


def test_a_changed_filter_counts_for_subscribers_at_once(world: World, stock: Stock, subscriber: Loopback) -> None:
    world.ask(subscriber)
    with world.store.write() as c:
        (parent,) = [row for row in partners.endpoints(c) if row["kind"] == "pull"]
        partners.set_subscription(c, parent["subscriptions"][0]["id"], filter='headline = "Fare 2 rises"')
    stock.publish(1, 2, 3)
    with world.store.write() as c:
        partners.set_subscription(c, parent["subscriptions"][0]["id"], narrow='headline = "Fare 5 rises"', filter="")
    stock.publish(4, 5)
    world.deliver()
    told = {feedparser.parse(seen.body).entries[0].title for seen in subscriber.got("POST")}
    assert told == {"Fare 2 rises", "Fare 5 rises"}


def revoke(connection: Connection, endpoint_id: int) -> None:
    assert websub.shut_out(connection, endpoint_id) == 0  # its key is good
    keys.revoke(connection, "pull", endpoint_id, clock.now())
    assert websub.shut_out(connection, endpoint_id) == 1


@pytest.mark.parametrize("end", [partners.remove_endpoint, revoke])
def test_without_its_endpoint_or_its_key_a_topic_ends(
    world: World, stock: Stock, subscriber: Loopback, end: Callable[[Connection, int], object]
) -> None:
    world.ask(subscriber)
    with world.store.write() as c:
        (parent,) = [row for row in partners.endpoints(c) if row["kind"] == "pull"]
        end(c, parent["id"])
    stock.publish(1)
    world.deliver()
    assert (subscriber.got("POST"), world.subscribers()) == ([], [])


def refusing(seen: Seen) -> tuple[int, dict[str, str], bytes]:
    return (404, {}, seen.query["hub.challenge"].encode()) if seen.method == "GET" else (204, {}, b"")


def test_who_does_not_confirm_is_not_subscribed(world: World, stock: Stock, subscriber: Loopback) -> None:
    for answer in (
        refusing,
        lambda seen: (200, {}, b"something else"),
        lambda seen: (302, {"Location": "/elsewhere"}, b""),
    ):
        subscriber.answer = answer
        assert world.ask(subscriber).status_code == 202
        assert world.subscribers() == []
    subscriber.answer = confirming
    world.ask(subscriber)
    subscriber.answer = refusing
    world.ask(subscriber, "unsubscribe")  # somebody else asked: it stays
    stock.publish(1)
    world.deliver()
    assert len(subscriber.got("POST")) == 1


def test_a_subscriber_that_is_down_is_asked_again_and_given_up(world: World, subscriber: Loopback) -> None:
    subscriber.answer = lambda seen: (503, {}, b"")
    world.ask(subscriber)
    for tried in range(1, hub.TRIES):
        (row,) = world.subscribers()
        assert (row.failures, row.wanted) == (tried, "subscribe")
        assert row.due_at > clock.now()
        with world.store.write() as c:
            c.execute(update(HubRow).values(due_at=clock.now()))
        world.work()
    assert (world.subscribers(), len(subscriber.seen)) == ([], hub.TRIES)


def test_the_end_of_a_lease_is_the_end(world: World, stock: Stock, subscriber: Loopback) -> None:
    world.ask(subscriber)
    with world.store.write() as c:
        c.execute(update(HubRow).values(due_at=clock.now()))
    world.work()
    stock.publish(1)
    world.deliver()
    assert (world.subscribers(), subscriber.got("POST"), len(subscriber.got("GET"))) == ([], [], 1)


def test_a_failed_notification_is_sent_again_and_a_410_ends_it(
    world: World, stock: Stock, subscriber: Loopback
) -> None:
    world.ask(subscriber)
    subscriber.answer = lambda seen: (500, {}, b"")
    (one,) = stock.publish(1)
    world.deliver()
    (row,) = [row for row in stock.deliveries(one) if row["begun"]]
    assert (row["state"], row["reason"], row["attempts"]) == ("due", "http-500", 1)
    subscriber.answer = lambda seen: (410, {}, b"")
    stock.publish(2)
    world.deliver()
    with world.store.read() as c:
        state = c.execute(select(EndpointRow.state).where(EndpointRow.kind == "websub")).scalar_one()
    assert state == "disabled"


def test_forms_that_make_no_sense(world: World, subscriber: Loopback) -> None:
    good: dict[str, str | None] = {"hub.mode": "subscribe", "hub.topic": world.topic(), "hub.callback": subscriber.url}
    cases: list[tuple[dict[str, str | None], int, str]] = [
        ({"hub.mode": "publish"}, 400, "bad-mode"), ({"hub.mode": None}, 400, "bad-mode"),
        ({"hub.topic": f"{world.client.url}/feeds/wrong.atom"}, 404, "no-such-topic"),
        ({"hub.topic": f"{world.client.url}/feeds/pull-key.pdf"}, 404, "no-such-topic"),
        ({"hub.topic": "http://elsewhere.example/"}, 404, "no-such-topic"), ({"hub.topic": None}, 404, "no-such-topic"),
        ({"hub.callback": "ftp://s.example/"}, 400, "bad-callback"), ({"hub.callback": None}, 400, "bad-callback"),
        ({"hub.lease_seconds": "soon"}, 400, "bad-lease"), ({"hub.lease_seconds": "-5"}, 400, "bad-lease"),
        ({"hub.secret": "x" * 200}, 400, "bad-secret"), ({"hub.secret": "ü" * 100}, 400, "bad-secret"),
    ]  # fmt: skip
    for change, status, error in cases:
        answer = world.client.post(
            "/hub", data={name: value for name, value in (good | change).items() if value is not None}
        )
        assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert (
        world.client.post(
            "/hub", data=b"\xff=1", headers={"Content-Type": "application/x-www-form-urlencoded"}
        ).status_code
        == 400
    )
    assert world.client.post("/hub", json=good).status_code == 415
    assert world.client.post("/hub", data={"hub.mode": "x" * 70_000}).status_code == 413
    assert world.client.post("/hub", data=good | {"hub.secret": "x" * 199}).status_code == 202


def test_a_private_callback_is_refused_by_the_door(
    world: World, subscriber: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = Door(Policy())
    monkeypatch.setattr(queue, "door", lambda: strict)
    assert world.ask(subscriber).status_code == 202
    strict.close()
    assert (world.subscribers(), subscriber.seen) == ([], [])
