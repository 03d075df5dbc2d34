"""A feed for each subscription: what its own filter wants and nothing else, its validators, its paging, its topic at the hub."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import feedparser
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select

from services.publish import lane, planning, tasks, web
from shared import clock, queue
from shared.api import Site
from shared.http import Door, Policy
from shared.models import EndpointRow, HubRow
from shared.store import engine, installation, ledger, partners, websub
from shared.store.engine import Store
from tests.publish.stocked import Stock
from tests.serving import Client, Rung, serving, settings
from tests.websubbing import Loopback, confirming

USUAL: dict[str, Any] = {
    "backfill": True,
    "coalesce": False,
    "relinked": False,
    "follow": True,
    "status_changes": False,
}


class Gazette:
    """A partner with two subscriptions: even fares by the first, those of the second by another filter."""

    def __init__(self, stock: Stock, client: Client) -> None:
        self.stock, self.client = stock, client
        self.endpoint = stock.endpoint(filter='headline = "Fare 2 rises" or headline = "Fare 4 rises"')
        self.first = self.wishes()[0]
        self.second = self.subscribe('headline contains "Fare 1*" or headline = "Fare 2 rises"')

    def wishes(self) -> list[int]:
        with self.stock.store.read() as c:
            row = partners.endpoint(c, self.endpoint)
        assert row is not None
        return [wish["id"] for wish in row["subscriptions"]]

    def subscribe(self, text: str, days: float = 0, **flags: Any) -> int:
        with self.stock.store.write() as c:
            return partners.add_subscription(
                c, self.endpoint, USUAL | {"filter": text} | flags, self.stock.now, days=days
            )

    def titles(self, wish: int | None = None, **options: Any) -> list[str]:
        answer = self.client.get(self.path(wish), **options)
        assert answer.status_code == 200
        return [str(item["title"]) for item in answer.json()["items"]]

    def path(self, wish: int | None = None, ending: str = "json") -> str:
        return f"/feeds/pull-key/{wish}.{ending}" if wish else f"/feeds/pull-key.{ending}"


@pytest.fixture
def stock(store: Store) -> Stock:
    return Stock(store)


@pytest.fixture
def client(store: Store, tmp_path: Path, stock: Stock) -> Iterator[Client]:
    with serving(web.routes(Site(settings(tmp_path), store, now=lambda: stock.now, ring=Rung()))) as made:
        yield made


@pytest.fixture
def gazette(stock: Stock, client: Client) -> Gazette:
    return Gazette(stock, client)


def test_each_subscription_has_what_its_filter_wants_and_the_whole_feed_has_all(gazette: Gazette) -> None:
    gazette.stock.publish(1, 2, 3, 4)
    assert gazette.titles(gazette.first) == ["Fare 4 rises", "Fare 2 rises"]
    assert gazette.titles(gazette.second) == ["Fare 2 rises", "Fare 1 rises"]
    assert gazette.titles() == ["Fare 4 rises", "Fare 2 rises", "Fare 1 rises"]


def test_a_feed_names_itself_the_hub_and_its_filter(gazette: Gazette) -> None:
    gazette.stock.publish(1)
    for ending in ("rss", "atom", "json", "txt"):
        answer = gazette.client.get(gazette.path(gazette.second, ending))
        assert answer.links["self"]["url"] == gazette.client.url + gazette.path(gazette.second, ending)
        assert answer.links["hub"]["url"] == f"{gazette.client.url}/hub"
    feed = feedparser.parse(gazette.client.get(gazette.path(gazette.second, "atom")).content).feed
    assert feed.title.startswith('gazette: headline contains "Fare 1*"')
    ids = {
        feedparser.parse(gazette.client.get(gazette.path(wish, "atom")).content).feed.id
        for wish in (None, gazette.first, gazette.second)
    }
    assert len(ids) == 3


def test_what_is_followed_stays_and_what_is_judged_anew_leaves(gazette: Gazette) -> None:
    anew = gazette.subscribe('headline = "Fare 1 rises"', follow=False)
    (one,) = gazette.stock.publish(1)
    assert gazette.titles(anew) == gazette.titles(gazette.second) == ["Fare 1 rises"]
    gazette.stock.revise(one, "Toll 1 falls")
    assert gazette.titles(gazette.second) == ["Toll 1 falls"]
    assert gazette.titles(anew) == gazette.titles(gazette.first) == []
    gazette.stock.withdraw(one)
    assert gazette.titles(gazette.second) == []


def test_the_partners_own_filter_counts_from_the_next_event(gazette: Gazette) -> None:
    gazette.stock.publish(10)
    with gazette.stock.store.write() as c:
        partners.set_subscription(c, gazette.second, narrow='headline contains "Fare 12*"')
    gazette.stock.publish(11, 12)
    assert gazette.titles(gazette.second) == ["Fare 12 rises", "Fare 10 rises"]


def test_held_and_embargoed_articles_are_in_no_subscriptions_feed(gazette: Gazette) -> None:
    one, two = gazette.stock.publish(1, 2)
    gazette.stock.hold(one)
    gazette.stock.hold(two, gazette.stock.now + dt.timedelta(hours=1))
    assert gazette.titles(gazette.second) == []
    gazette.stock.release(one)
    assert gazette.titles(gazette.second) == ["Fare 1 rises"]


def test_pages_hold_everything_once(gazette: Gazette) -> None:
    gazette.stock.publish(*range(100, 180), 2, 4)
    url, seen = gazette.client.url + gazette.path(gazette.second), list[str]()
    while url:
        answer = gazette.client.get(url)
        seen += [item["title"] for item in answer.json()["items"]]
        url = answer.links.get("next", {}).get("url", "")
        assert not url or f"/feeds/pull-key/{gazette.second}.json?before=" in url
    assert seen == ["Fare 2 rises", *(f"Fare {n} rises" for n in range(179, 99, -1))]


def test_validators_of_one_feed_do_not_move_with_another(gazette: Gazette) -> None:
    gazette.stock.publish(1, 2)
    before = {wish: gazette.client.get(gazette.path(wish)) for wish in (gazette.first, gazette.second)}
    gazette.stock.now += dt.timedelta(seconds=5)
    modified = gazette.client.get(gazette.path(gazette.second)).headers["last-modified"]
    gazette.stock.publish(4)
    gazette.stock.now += dt.timedelta(seconds=5)
    answers = {
        wish: gazette.client.get(gazette.path(wish), headers={"If-None-Match": before[wish].headers["etag"]})
        for wish in (gazette.first, gazette.second)
    }
    assert (answers[gazette.first].status_code, answers[gazette.second].status_code) == (200, 304)
    since = {"If-Modified-Since": modified}
    assert gazette.client.get(gazette.path(gazette.second), headers=since).status_code == 304
    assert gazette.client.get(gazette.path(), headers=since).status_code == 200


def test_no_other_endpoints_subscription_no_removed_one_and_no_nonsense(gazette: Gazette, store: Store) -> None:
    other = gazette.stock.endpoint(name="other", key="other-key")
    with store.read() as c:
        row = partners.endpoint(c, other)
    assert row is not None
    for number in (row["subscriptions"][0]["id"], 0, 999, "x", "٣", "9" * 40):
        answer = gazette.client.get(f"/feeds/pull-key/{number}.json")
        assert (answer.status_code, answer.json()["error"]) == (404, "no-such-feed")
    assert gazette.client.get(f"/feeds/other-key/{gazette.first}.json").status_code == 404
    with store.write() as c:
        partners.remove_subscription(c, gazette.first)
    assert gazette.client.get(gazette.path(gazette.first)).status_code == 404


def test_what_a_subscriptions_feed_showed_is_delivered_and_nothing_else(gazette: Gazette, store: Store) -> None:
    one, two, four = gazette.stock.publish(1, 2, 4)
    gazette.titles(gazette.first)
    assert [gazette.stock.deliveries(a)[0]["state"] for a in (one, two, four)] == ["due", "delivered", "delivered"]
    gazette.stock.withdraw(two)
    gazette.titles(gazette.second)
    assert [row["state"] for a in (one, two) for row in gazette.stock.deliveries(a)] == ["delivered"] * 3
    with store.read() as c:
        assert ledger.books(c).balanced
        assert partners.broken_chain(c, gazette.endpoint) is None


def test_history_asked_for_is_in_the_feed_though_the_endpoint_has_it_by_another_wish(gazette: Gazette) -> None:
    gazette.stock.publish(1, 2, 3, 4)
    sent = {row["id"] for n in (2, 3) for row in gazette.stock.deliveries(f"art_{n:016x}")}
    late = gazette.subscribe('headline in ("Fare 2 rises", "Fare 3 rises")', days=3650)
    assert gazette.titles(late) == []
    plan_past(gazette.stock)
    assert sorted(gazette.titles(late)) == ["Fare 2 rises", "Fare 3 rises"]
    assert gazette.titles(gazette.first) == ["Fare 4 rises", "Fare 2 rises"]
    now = {row["id"] for n in (2, 3) for row in gazette.stock.deliveries(f"art_{n:016x}")}
    assert len(now - sent) == 1  # what it had is not sent again
    with gazette.stock.store.read() as c:
        assert ledger.books(c).balanced


def plan_past(stock: Stock) -> None:
    """Every history that was asked for becomes deliveries."""
    while True:
        with stock.store.read() as c:
            past = planning.decide_past(c, installation.name(c), stock.now, 2)
        if past is None:
            return
        with stock.store.write() as c:
            partners.plan_past(c, past, stock.now)


# The hub


@pytest.fixture
def subscriber(store: Store, gazette: Gazette, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Somebody who follows the second subscription's Atom feed."""
    door = Door(Policy(allow_hosts=frozenset({"127.0.0.1"})))
    monkeypatch.setenv("BRIEFWIRE_SECRET_KEY", Fernet.generate_key().decode())
    monkeypatch.setattr(engine, "_current", store)
    monkeypatch.setattr(queue, "door", lambda: door)
    monkeypatch.setattr(queue.bell, "ring", Rung())
    made = Loopback(confirming)
    form = {
        "hub.mode": "subscribe",
        "hub.topic": gazette.client.url + gazette.path(gazette.second, "atom"),
        "hub.callback": made.url,
    }
    assert gazette.client.post("/hub", data=form).status_code == 202
    with store.read() as c:
        due = websub.due_subscribers(c, clock.now(), 10)
    tasks.settle_hub(due)
    yield made
    made.close()
    door.close()


def deliver(store: Store) -> None:
    with store.read() as c:
        found = c.execute(select(EndpointRow.id).where(EndpointRow.kind == "websub")).scalars().all()
    for endpoint_id in found:
        lane.drain(f"endpoint:{endpoint_id}")


def test_a_topic_tells_of_its_subscription_only(gazette: Gazette, subscriber: Loopback, store: Store) -> None:
    gazette.stock.publish(1, 2, 4)
    deliver(store)
    told = [feedparser.parse(seen.body) for seen in subscriber.got("POST")]
    assert sorted(feed.entries[0].title for feed in told) == ["Fare 1 rises", "Fare 2 rises"]
    topic = gazette.client.url + gazette.path(gazette.second, "atom")
    assert {link.href for feed in told for link in feed.feed.links if link.rel == "self"} == {topic}
    with store.read() as c:
        assert ledger.books(c).balanced


def test_a_topic_ends_with_its_subscription(gazette: Gazette, subscriber: Loopback, store: Store) -> None:
    with store.write() as c:
        assert websub.shut_out(c, gazette.endpoint) == 0  # its key is found in the longer address too
        partners.remove_subscription(c, gazette.first)  # another's end is not its end
    gazette.stock.publish(1)
    with store.write() as c:
        partners.remove_subscription(c, gazette.second)
        assert c.execute(select(HubRow.id)).all() == []
    gazette.stock.publish(2)
    deliver(store)
    assert subscriber.got("POST") == []


def test_the_hub_knows_no_topic_of_another_subscription(gazette: Gazette, subscriber: Loopback) -> None:
    for number in ("999", "x"):
        form = {"hub.mode": "subscribe", "hub.topic": f"{gazette.client.url}/feeds/pull-key/{number}.atom",
                "hub.callback": subscriber.url}  # fmt: skip
        answer = gazette.client.post("/hub", data=form)
        assert (answer.status_code, answer.json()["error"]) == (404, "no-such-topic")
