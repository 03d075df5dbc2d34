"""The replay over a real socket: cursors, nothing left out whoever writes when, long poll, server-sent events, the books."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import update

from services.publish import web
from services.publish.render import brief
from shared.api import Site
from shared.models import EventHeadRow
from shared.store import events, ledger, partners
from shared.store.engine import Store
from tests.publish.stocked import Stock
from tests.serving import Client, Rung, serving, settings

AUTH = {"Authorization": "Bearer pull-key"}


@pytest.fixture
def stock(store: Store) -> Stock:
    return Stock(store)


@pytest.fixture
def client(store: Store, tmp_path: Path, stock: Stock) -> Iterator[Client]:
    with serving(web.routes(Site(settings(tmp_path), store, now=lambda: stock.now, ring=Rung()))) as made:
        yield made


def replay(client: Client, query: str = "", key: str = "pull-key") -> Any:
    answer = client.get(f"/events{query}", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(answer: Any) -> list[tuple[str, str, int]]:
    return [
        (e["event"]["type"], e["event"]["data"]["article_id"], e["event"]["data"]["revision"]) for e in answer["events"]
    ]


def test_events_in_order_page_by_page_with_the_ids_of_the_webhooks(client: Client, stock: Stock) -> None:
    stock.endpoint("webhook", url="http://p.example/")
    ids = stock.publish(*range(1, 8))
    stock.revise(ids[0], "Fare 1 falls")
    first = replay(client, "?limit=5")
    assert first["more"]
    second = replay(client, f"?limit=5&after={first['next']}")
    assert not second["more"]
    assert told(first) + told(second) == [*(("article.published", a, 1) for a in ids), ("article.updated", ids[0], 2)]
    everything = first["events"] + second["events"]
    sent = {row["position"]: row["webhook_id"] for a in ids for row in stock.deliveries(a)}
    assert [e["id"] for e in everything] == [sent[e["event"]["data"]["position"]] for e in everything]
    assert [e["cursor"] for e in everything] == [f"1.{n}" for n in range(1, 9)]
    assert replay(client, f"?after={second['next']}") == {
        "events": [], "skipped": [], "next": second["next"], "more": False,
    }  # fmt: skip
    assert told(replay(client, f"?after={everything[6]['cursor']}")) == [("article.updated", ids[0], 2)]
    assert told(replay(client, "?after=7")) == [("article.updated", ids[0], 2)]
    assert replay(client, "?after=latest")["next"] == "1.8"
    assert set(everything[0]["event"]) == set(brief.schema()["$defs"]["Envelope"]["required"])


def test_cursors_that_cannot_be_gone_on_from(client: Client, stock: Stock, store: Store) -> None:
    stock.endpoint()
    stock.publish(1, 2)
    old = replay(client)["next"]
    with store.write() as c:
        c.execute(update(EventHeadRow).values(epoch=2))
    cases = [(old, 410, "cursor-of-another-epoch"), ("2.3", 409, "cursor-ahead"), ("3", 409, "cursor-ahead"), ("x", 400, "bad-cursor"),
             ("-1", 400, "bad-cursor"), ("1.", 400, "bad-cursor"), ("1.1.1", 400, "bad-cursor"), ("9" * 40, 400, "bad-cursor")]  # fmt: skip
    for cursor, status, error in cases:
        answer = client.get(f"/events?after={cursor}", headers=AUTH)
        assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert replay(client, "?after=2.1")["next"] == "2.2"


def test_who_may_not_and_odd_questions(client: Client, stock: Stock, store: Store) -> None:
    endpoint = stock.endpoint()
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic cHVsbC1rZXk="},
    ):
        answer = client.get("/events", headers=headers)
        assert (answer.status_code, "www-authenticate" in answer.headers) == (401, True)
    for query in ("limit=0", "limit=501", "limit=x", "wait=x", "wait=-1", "wait=nan", "wait=61", "wait=inf"):
        assert client.get(f"/events?{query}", headers=AUTH).json()["error"] == "bad-number"
    for state, status in (("paused", 403), ("removed", 401)):
        with store.write() as c:
            partners.set_endpoint(c, endpoint, state=state)
        assert client.get("/events", headers=AUTH).status_code == status


def test_an_endpoint_sees_its_own_events_by_its_own_positions(client: Client, stock: Stock) -> None:
    stock.endpoint(name="all", key="all")
    stock.endpoint(name="few", key="few", filter='headline = "Fare 3 rises"')
    stock.publish(1, 2, 3)
    assert len(replay(client, key="all")["events"]) == 3
    (only,) = replay(client, key="few")["events"]
    assert (only["cursor"], only["event"]["data"]["article_id"]) == ("1.1", "art_0000000000000003")


def test_what_is_held_is_told_once_it_is_released_behind_no_cursor(client: Client, stock: Stock) -> None:
    stock.endpoint()
    one, two = stock.publish(1, 2)
    stock.hold(one)
    first = replay(client)
    assert told(first) == [("article.published", two, 1)]
    assert replay(client, f"?after={first['next']}")["events"] == []
    stock.release(one)
    assert told(replay(client, f"?after={first['next']}")) == [("article.published", one, 1)]


def test_a_hold_between_being_told_and_being_acknowledged_passes_nothing_by(client: Client, stock: Stock) -> None:
    stock.endpoint()
    (one,) = stock.publish(1)
    replay(client)  # told, yet the answer may have been lost: the same cursor comes again
    stock.hold(one, stock.now + dt.timedelta(hours=1))
    again = replay(client)
    assert again["events"] == []
    stock.publish(2)
    after = replay(client, f"?after={again['next']}")["next"]
    stock.release(one)
    assert told(replay(client, f"?after={after}")) == [("article.published", one, 1)]


def test_of_a_withdrawn_article_only_the_withdrawal_is_left(client: Client, stock: Stock) -> None:
    stock.endpoint("webhook", url="http://p.example/")
    one, two = stock.publish(1, 2)
    replay(client)
    stock.withdraw(one)
    answer = replay(client)
    assert told(answer) == [("article.published", two, 1), ("article.withdrawn", one, 1)]
    assert answer["events"][1]["event"]["data"]["record"]["blocks"] == []


def accounted(answers: list[Any], head: int) -> dict[int, int]:
    """Position -> how often it was an event or skipped; without gaps and doubles that is once for each up to `head`."""
    met = Counter(e["event"]["data"]["position"] for answer in answers for e in answer["events"])
    met.update(n for answer in answers for one in answer["skipped"] for n in range(one["first"], one["last"] + 1))
    return {n: met[n] for n in {*range(1, head + 1), *met}}


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_every_position_is_an_event_or_said_to_be_skipped(client: Client, stock: Stock, limit: int) -> None:
    stock.endpoint("webhook", url="http://p.example/", coalesce=True)
    one, two, three, four, five = stock.publish(1, 2, 3, 4, 5)
    stock.hold(two)  # its position is given up
    stock.hold(three)
    stock.revise(four, "Fare 4 falls")  # the revision before gives way
    replay(client, "?limit=1")  # the first is told, hence may be had
    stock.withdraw(one)
    stock.withdraw(five)  # never told: nothing to withdraw
    stock.release(two)
    answers, cursor = list[Any](), "0"
    while not answers or answers[-1]["more"]:
        answers.append(replay(client, f"?limit={limit}&after={cursor}"))
        cursor = answers[-1]["next"]
    assert [t for answer in answers for t in told(answer)] == [
        ("article.updated", four, 2), ("article.withdrawn", one, 1), ("article.published", two, 1),
    ]  # fmt: skip
    assert accounted(answers, 8) == dict.fromkeys(range(1, 9), 1)
    assert cursor == "1.8"
    assert told(replay(client, f"?after={cursor}")) == []
    stock.release(three)
    last = replay(client, f"?after={cursor}")
    assert (told(last), last["skipped"]) == ([("article.published", three, 1)], [])


def test_a_hold_after_a_failed_attempt_stops_the_retries(client: Client, stock: Stock, store: Store) -> None:
    endpoint = stock.endpoint("webhook", url="http://p.example/")
    (one,) = stock.publish(1)
    with store.write() as c:
        (row,) = partners.sendable(c, endpoint, stock.now, 10)
        partners.begin_attempts(c, [row["id"]])
        partners.record(c, endpoint, [partners.Tried(row, "retry", stock.now, 5, status=500, due_at=stock.now)])
    stock.hold(one)
    with store.read() as c:
        assert partners.sendable(c, endpoint, stock.now, 10) == []
    stock.release(one)
    with store.read() as c:
        (again,) = partners.sendable(c, endpoint, stock.now, 10)
    assert (again["webhook_id"], again["position"]) == (row["webhook_id"], 2)
    assert accounted([replay(client)], 2) == {1: 1, 2: 1}


def test_a_pull_endpoints_book_is_settled_by_its_cursor(client: Client, stock: Stock, store: Store) -> None:
    endpoint = stock.endpoint()
    stock.publish(1, 2, 3)

    def book() -> tuple[int, int, bool]:
        with store.read() as c:
            (line,) = ledger.books(c).delivery
            assert partners.broken_chain(c, endpoint) is None
        return line.due, line.delivered, line.balanced

    cursor = replay(client, "?limit=2")["next"]
    assert book() == (3, 0, True)
    replay(client, f"?after={cursor}")
    assert book() == (1, 2, True)
    replay(client, f"?after={cursor}")
    assert book() == (1, 2, True)
    replay(client, "?after=3")
    assert book() == (0, 3, True)


def test_a_reader_misses_nothing_of_slow_and_rolled_back_writers(client: Client, stock: Stock, store: Store) -> None:
    stock.endpoint()
    kept = stock.publish(*range(101, 111))
    for article_id in kept:
        stock.hold(article_id)
    stock.pause_s = 0.02

    def publish() -> None:
        for number in range(1, 16):
            stock.publish(number)

    def release() -> None:
        for article_id in kept:
            stock.release(article_id)

    def fail() -> None:
        for n in range(15):
            with pytest.raises(RuntimeError, match="rolled back"), store.write() as c:
                events.append(c, [events.NewEvent("article.published", f"art_none_{n}", 1, False)], stock.now)
                raise RuntimeError("rolled back")

    writers = [threading.Thread(target=target) for target in (publish, release, fail)]
    for writer in writers:
        writer.start()
    seen, cursor, idle = list[str](), "0", 0
    while idle < 2:
        alive = any(writer.is_alive() for writer in writers)
        answer = replay(client, f"?after={cursor}&limit=3")
        seen += [e["event"]["data"]["article_id"] for e in answer["events"]]
        cursor = answer["next"]
        idle = 0 if alive or answer["events"] else idle + 1
    for writer in writers:
        writer.join()
    assert sorted(seen) == sorted([f"art_{n:016x}" for n in range(1, 16)] + kept)


def test_a_long_poll_is_answered_by_the_next_event(client: Client, stock: Stock) -> None:
    stock.endpoint()
    answers = list[Any]()
    waiting = threading.Thread(target=lambda: answers.append(replay(client, "?wait=30")))
    waiting.start()
    time.sleep(0.3)
    (one,) = stock.publish(1)
    waiting.join(30)
    assert told(answers[0]) == [("article.published", one, 1)]
    assert replay(client, f"?wait=0.2&after={answers[0]['next']}")["events"] == []


def stream(client: Client, **headers: str) -> Iterator[dict[str, str]]:
    """Server-sent events as a browser reads them."""
    with requests.get(f"{client.url}/events", stream=True, timeout=60,
                      headers={**AUTH, "Accept": "text/event-stream", **headers}) as answer:  # fmt: skip
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            name, _, value = line.partition(": ")
            if line == "" and "data" in fields:
                yield fields
                fields = {}
            elif name in ("id", "event", "data"):
                fields[name] = value


def test_server_sent_events_as_they_come_and_from_the_last_id_on(client: Client, stock: Stock) -> None:
    stock.endpoint()
    (one,) = stock.publish(1)
    events_of = stream(client)
    first = next(events_of)
    assert (first["event"], first["id"]) == ("article.published", "1.1")
    assert json.loads(first["data"])["event"]["data"]["article_id"] == one
    (two,) = stock.publish(2)
    second = next(events_of)
    assert json.loads(second["data"])["event"]["data"]["article_id"] == two
    events_of.close()  # type: ignore[attr-defined]  # a generator
    assert stock.deliveries(two)[0]["state"] == "due"
    stock.publish(3)
    again = stream(client, **{"Last-Event-ID": second["id"]})
    assert next(again)["id"] == "1.3"
    again.close()  # type: ignore[attr-defined]  # a generator
    assert stock.deliveries(two)[0]["state"] == "delivered"


def test_a_stream_without_a_key_is_refused_as_json(client: Client) -> None:
    assert client.get("/events", headers={"Accept": "text/event-stream"}).status_code == 401
