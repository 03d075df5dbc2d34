"""Pull feeds over a real socket: what they hold and never hold, paging, validators, what counts as delivered."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import feedparser
import pytest
import requests

from services.publish import lane, web
from shared import queue
from shared.api import Site
from shared.records import Similar
from shared.store import engine, ledger, partners
from shared.store.engine import Store
from tests.publish.stocked import Stock
from tests.serving import Client, Rung, serving, settings

ENDINGS = {
    "rss": "application/rss+xml",
    "atom": "application/atom+xml",
    "json": "application/feed+json",
    "txt": "text/plain",
}


@pytest.fixture
def stock(store: Store) -> Stock:
    return Stock(store)


@pytest.fixture
def client(store: Store, tmp_path: Path, stock: Stock) -> Iterator[Client]:
    with serving(web.routes(Site(settings(tmp_path), store, now=lambda: stock.now, ring=Rung()))) as made:
        yield made


def headlines(answer: requests.Response) -> list[str]:
    if "json" in answer.headers["content-type"]:
        return [item["title"] for item in answer.json()["items"]]
    if "text/plain" in answer.headers["content-type"]:
        return [part.strip().splitlines()[0] for part in answer.text.split("-" * 40) if part.strip()]
    return [entry.title for entry in feedparser.parse(answer.content).entries]


def test_each_format_holds_the_newest_first_and_names_itself_and_the_hub(client: Client, stock: Stock) -> None:
    stock.endpoint()
    stock.publish(1, 2, 3)
    for ending, kind in ENDINGS.items():
        answer = client.get(f"/feeds/pull-key.{ending}")
        assert answer.headers["content-type"].startswith(kind)
        assert headlines(answer) == ["Fare 3 rises", "Fare 2 rises", "Fare 1 rises"]
        assert answer.links["self"]["url"] == f"{client.url}/feeds/pull-key.{ending}"
        assert answer.links["hub"]["url"] == f"{client.url}/hub"
        assert "next" not in answer.links
    for ending in ("rss", "atom"):
        links = {
            link.rel: link.href for link in feedparser.parse(client.get(f"/feeds/pull-key.{ending}").content).feed.links
        }
        assert (links["self"], links["hub"]) == (f"{client.url}/feeds/pull-key.{ending}", f"{client.url}/hub")


def test_an_empty_feed_is_a_feed(client: Client, stock: Stock) -> None:
    stock.endpoint()
    for ending in ENDINGS:
        answer = client.get(f"/feeds/pull-key.{ending}")
        assert (answer.status_code, headlines(answer)) == (200, [])


def test_unknown_feeds_and_odd_questions(client: Client, stock: Stock, store: Store) -> None:
    endpoint = stock.endpoint()
    for path in ("/feeds/wrong.rss", "/feeds/pull-key.xml", "/feeds/%00.rss"):
        assert client.get(path).status_code == 404
    for before in ("0", "-1", "x", "1e3", "9" * 30, "٣"):
        assert client.get(f"/feeds/pull-key.rss?before={before}").json()["error"] == "bad-number"
    for state, status in (("paused", 403), ("removed", 404), ("disabled", 200)):
        with store.write() as c:
            partners.set_endpoint(c, endpoint, state=state)
        assert client.get("/feeds/pull-key.rss").status_code == status


def test_pages_hold_everything_once(client: Client, stock: Stock) -> None:
    stock.endpoint()
    stock.publish(*range(1, 121))
    url, seen = f"{client.url}/feeds/pull-key.json", list[str]()
    while url:
        answer = client.get(url)
        seen += headlines(answer)
        url = answer.links.get("next", {}).get("url", "")
        assert answer.json().get("next_url", "") == url
    assert seen == [f"Fare {n} rises" for n in range(120, 0, -1)]


def test_a_revision_takes_the_place_of_the_one_before(client: Client, stock: Stock) -> None:
    stock.endpoint()
    one, _ = stock.publish(1, 2)
    stock.revise(one, "Fare 1 falls")
    assert headlines(client.get("/feeds/pull-key.atom")) == ["Fare 1 falls", "Fare 2 rises"]


def test_what_is_withdrawn_held_or_under_embargo_is_nowhere(client: Client, stock: Stock) -> None:
    stock.endpoint()
    link = Similar("art_0000000000000002", "Fare 2 rises", None, "related", 0.5, "m", "1", "2026-03-05T14:29:00+00:00")
    one, two, three = stock.publish(1, 2, 3, similar=(link,))
    assert "Fare 2 rises" in client.get("/feeds/pull-key.json").text
    stock.hold(two)
    assert "Fare 2 rises" not in client.get("/feeds/pull-key.json").text
    stock.hold(three, stock.now + dt.timedelta(hours=1))
    assert headlines(client.get("/feeds/pull-key.rss")) == ["Fare 1 rises"]
    stock.now += dt.timedelta(hours=2)
    assert headlines(client.get("/feeds/pull-key.rss")) == ["Fare 3 rises", "Fare 1 rises"]
    stock.withdraw(one)
    assert headlines(client.get("/feeds/pull-key.rss")) == ["Fare 3 rises"]
    stock.release(two)
    assert headlines(client.get("/feeds/pull-key.rss")) == ["Fare 3 rises", "Fare 2 rises"]


def asked(client: Client, **headers: str) -> requests.Response:
    return client.get("/feeds/pull-key.rss", headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_validators(client: Client, stock: Stock) -> None:
    stock.endpoint()
    one, two = stock.publish(1, 2)
    first = asked(client)
    tag = first.headers["etag"]
    assert "last-modified" not in first.headers  # this second is not over
    stock.now += dt.timedelta(seconds=5)
    modified = asked(client).headers["last-modified"]
    assert parsedate_to_datetime(modified) <= stock.now
    for same in (
        {"If_None_Match": tag},
        {"If_None_Match": f'"x", W/{tag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": modified},
    ):
        answer = asked(client, **same)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert asked(client, If_None_Match='"other"', If_Modified_Since=modified).status_code == 200
    assert asked(client, If_Modified_Since="yesterday").status_code == 200
    changes: list[Callable[[], None]] = [
        lambda: stock.revise(one, "Fare 1 falls"), lambda: stock.hold(two), lambda: stock.withdraw(one),
    ]  # fmt: skip
    for change in changes:
        stock.now += dt.timedelta(seconds=5)
        change()
        stock.now += dt.timedelta(seconds=5)
        assert asked(client, If_Modified_Since=modified).status_code == 200
        answer = asked(client, If_None_Match=tag)
        assert answer.status_code == 200
        stock.now += dt.timedelta(seconds=5)
        tag, modified = answer.headers["etag"], asked(client).headers["last-modified"]


def test_what_a_pull_endpoint_was_shown_is_delivered_and_the_books_balance(
    client: Client, stock: Stock, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_current", store)
    monkeypatch.setattr(queue.bell, "ring", Rung())  # there is no broker to ring
    endpoint = stock.endpoint()
    one, two, three = stock.publish(1, 2, 3)
    lane.drain(f"endpoint:{endpoint}")
    resting = stock.lane(endpoint)
    assert resting is not None
    assert (resting["due_at"], resting["lease_owner"]) == (None, None)
    assert [row["state"] for row in stock.deliveries(one)] == ["due"]
    stock.hold(three)
    client.get("/feeds/pull-key.rss")
    assert [stock.deliveries(a)[0]["state"] for a in (one, two, three)] == ["delivered", "delivered", "held"]
    stock.withdraw(two)
    client.get("/feeds/pull-key.rss")
    assert [row["state"] for row in stock.deliveries(two)] == ["delivered", "delivered"]
    with store.read() as c:
        books = ledger.books(c)
        assert partners.broken_chain(c, endpoint) is None
    assert books.balanced
    assert (books.delivery[0].delivered, books.delivery[0].held, books.delivery[0].due) == (3, 1, 0)


def test_a_withdrawal_is_owed_to_a_webhook_that_only_fetched(client: Client, stock: Stock) -> None:
    stock.endpoint("webhook", url="http://p.example/")
    seen, unseen = stock.publish(1)[0], ""
    client.get("/feeds/pull-key.rss")
    unseen = stock.publish(2)[0]
    stock.withdraw(seen)
    stock.withdraw(unseen)
    assert [row["state"] for row in stock.deliveries(seen)] == ["superseded", "due"]
    assert [row["state"] for row in stock.deliveries(unseen)] == ["superseded"]


def test_the_configured_address_is_the_one_shown(store: Store, tmp_path: Path, stock: Stock) -> None:
    stock.endpoint()
    stock.publish(1)
    with serving(web.routes(Site(settings(tmp_path, "https://wire.example/"), store, ring=Rung()))) as client:
        feed: Any = json.loads(client.get("/feeds/pull-key.json").content)
    assert feed["feed_url"] == "https://wire.example/feeds/pull-key.json"
    assert feed["hubs"] == [{"type": "WebSub", "url": "https://wire.example/hub"}]
