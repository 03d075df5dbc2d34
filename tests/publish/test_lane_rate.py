"""An endpoint's rate and concurrency, its layout and what its format could not hold, over a real socket and both stores."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select, update

from services.publish import lane, policy, web
from services.publish.sign import new_secret
from shared import clock, queue, records, vault
from shared.api import Site
from shared.http import Door, Policy
from shared.models import AttemptRow, DeliveryRow, EndpointRow, LaneRow
from shared.settings import WebSettings
from shared.store import engine, lanes, ledger, partners
from shared.store.engine import Store
from tests.publish.stocked import Stock
from tests.serving import Rung, serving, settings
from tests.websubbing import Loopback, Seen


@pytest.fixture
def stock(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stock]:
    door = Door(Policy(allow_hosts=frozenset({"127.0.0.1"})))
    monkeypatch.setenv("BRIEFWIRE_SECRET_KEY", Fernet.generate_key().decode())
    monkeypatch.setattr(engine, "_current", store)
    monkeypatch.setattr(queue, "door", lambda: door)
    monkeypatch.setattr(queue.bell, "ring", Rung())  # there is no broker to ring
    yield Stock(store)
    door.close()


@pytest.fixture
def partner() -> Iterator[Loopback]:
    made = Loopback(lambda seen: (204, {}, b""))
    yield made
    made.close()


def webhook(stock: Stock, partner: Loopback, **options: Any) -> int:
    sealed = vault.seal(lane.CFG.folder, [new_secret(b"r" * 24)])
    return stock.endpoint("webhook", url=f"{partner.url}/in", secrets=sealed, **options)


def test_a_rate_spaces_the_sends_and_the_lane_rests_between(stock: Stock, partner: Loopback, store: Store) -> None:
    endpoint = webhook(stock, partner, per_minute=6)
    stock.publish(1, 2, 3)
    lane.drain(lanes.endpoint_lane(endpoint))
    assert len(partner.seen) == 1
    with store.read() as c:
        (at,) = c.execute(select(AttemptRow.at)).scalars()
        (line,) = ledger.books(c).delivery
    row = stock.lane(endpoint)
    assert row is not None
    assert dt.timedelta(seconds=8) < row["blocked_until"] - at < dt.timedelta(seconds=10.1)
    assert (row["due_at"] is not None, line.due, line.delivered, line.balanced) == (True, 2, 1, True)
    lane.drain(lanes.endpoint_lane(endpoint))  # rung too early
    assert len(partner.seen) == 1


def test_a_kill_between_taking_and_sending_frees_nothing_of_the_rate(
    stock: Stock, partner: Loopback, store: Store
) -> None:
    endpoint = webhook(stock, partner, per_minute=60)
    stock.publish(*range(1, 9))
    with queue.begin() as work:
        claimed = lanes.claim(work.connection, lanes.endpoint_lane(endpoint), work.now)
    with store.read() as c:
        row = dict(c.execute(select(*EndpointRow.__table__.columns)).mappings().one())
    assert claimed is not None
    assert 1 <= len(lane.Drain(claimed, row).take()) <= 2  # and here it dies
    with store.write() as c:
        c.execute(update(LaneRow).values(lease_owner=None, lease_until=None))
        c.execute(update(DeliveryRow).values(begun=0))
    with queue.begin() as work:
        again = lanes.claim(work.connection, lanes.endpoint_lane(endpoint), work.now)
        assert again is not None
        left = records.from_json(again["bucket"], policy.Bucket)
        assert left.take(work.now, 1.0)[1] > 0.5


def test_what_was_taken_and_not_sent_gives_its_share_back() -> None:
    now = clock.now()
    first, waits = policy.Bucket().take(now, 1.0)
    second, _ = first.take(now, 1.0)
    assert (waits, second.give_back(1)) == (0.0, first)
    assert policy.Bucket().give_back(3) == policy.Bucket()


def test_a_high_rate_holds_up_nothing_and_concurrency_is_kept(stock: Stock, partner: Loopback) -> None:
    lock, at_once, most = threading.Lock(), 0, 0
    together = threading.Barrier(2)

    def answer(seen: Seen) -> tuple[int, dict[str, str], bytes]:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        together.wait(20)  # both slots are in use, else this breaks and the send fails
        with lock:
            at_once -= 1
        return 204, {}, b""

    partner.answer = answer
    endpoint = webhook(stock, partner, per_minute=60_000, concurrency=2)
    ids = stock.publish(*range(1, 13))
    lane.drain(lanes.endpoint_lane(endpoint))
    assert (most, len(partner.seen)) == (2, 12)
    assert {row["state"] for one in ids for row in stock.deliveries(one)} == {"delivered"}


def test_what_is_large_is_a_link_where_that_is_asked_for(
    stock: Stock, partner: Loopback, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = webhook(stock, partner)
    monkeypatch.setattr(lane, "CFG", msgspec.structs.replace(lane.CFG, web=WebSettings(url="https://wire.example/")))
    with store.write() as c:
        partners.set_endpoint(c, endpoint, link_above=100)
    (one,) = stock.publish(1)
    lane.drain(lanes.endpoint_lane(endpoint))
    data = json.loads(partner.seen[0].body)["data"]
    assert data["link"] == f"https://wire.example/events/{partner.seen[0].headers['webhook-id']}"
    assert "record" not in data
    with serving(web.routes(Site(settings(tmp_path), store, now=lambda: stock.now, ring=Rung()))) as client:
        path = data["link"].removeprefix("https://wire.example")
        whole = client.get(path, headers={"Authorization": "Bearer pull-key"})
        assert whole.json()["data"]["record"]["id"] == one
        assert client.get(path).status_code == 401
        for other in (f"msg_{'0' * 32}", "msg_x", "%00"):
            assert client.get(f"/events/{other}", headers={"Authorization": "Bearer pull-key"}).status_code == 404
        stock.hold(one)
        assert client.get(path, headers={"Authorization": "Bearer pull-key"}).status_code == 404
    stock.release(one)
    stock.withdraw(one)
    lane.drain(lanes.endpoint_lane(endpoint))
    assert json.loads(partner.seen[1].body)["data"]["record"]["state"] == "withdrawn"  # never a link


def test_a_delivery_says_what_its_format_could_not_hold(stock: Stock, partner: Loopback, tmp_path: Path) -> None:
    hook = webhook(stock, partner, format="rss")
    folder = stock.endpoint("storage", name="archive", key="k2", url=str(tmp_path), format="brief", layout="{kind}/{article_id}.json",
                            secrets=vault.seal(lane.CFG.folder, []))  # fmt: skip
    (one,) = stock.publish(1)
    for endpoint in (hook, folder):
        lane.drain(lanes.endpoint_lane(endpoint))
    said = {row["endpoint_id"]: row["omitted"] for row in stock.deliveries(one)}
    assert {"category_status", "annotations", "revision"} & set((said[hook] or "").split())
    assert said[folder] is None
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")] == [f"published/{one}.json"]
