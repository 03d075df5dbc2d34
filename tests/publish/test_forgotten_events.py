"""Events that the log has forgotten: what hangs on them is still sent, and what happens again is no repeat of what was forgotten."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select, update

from services.ingest import storing
from services.publish import lane
from shared import queue
from shared.models import DeliveryRow, EventRow
from shared.queue import begin
from shared.store import articles, desk, engine, events, partners, retention
from shared.store.engine import Store
from tests.publish.stocked import Stock
from tests.serving import Rung


@pytest.fixture
def stock(store: Store, monkeypatch: pytest.MonkeyPatch) -> Stock:
    monkeypatch.setattr(engine, "_current", store)
    monkeypatch.setattr(queue.bell, "ring", Rung())  # there is no broker to ring
    return Stock(store)


def delivered_and_forgotten(stock: Stock) -> None:
    """Everything that is due is delivered; then the log forgets all events."""
    with stock.store.write() as c:
        c.execute(update(DeliveryRow).values(state="delivered", due_at=None, begun=1, delivered_at=stock.now))
    retention.prune(stock.store, retention.Keep(events=stock.now + dt.timedelta(days=1)))
    with stock.store.read() as c:
        assert not c.execute(select(EventRow.number)).all()


def test_a_replay_reaches_behind_what_the_log_has_forgotten(stock: Stock, store: Store) -> None:
    endpoint = stock.endpoint("webhook", url="http://p.example/")
    (article,) = stock.publish(1)
    delivered_and_forgotten(stock)
    with store.write() as c:
        assert desk.replay(c, endpoint, 1, 1, stock.now) == 1
    with store.read() as c:
        (row,) = lane.with_contents(c, partners.sendable(c, endpoint, stock.now, 10), stock.now)
    event = lane.render_input(row)
    assert (event.article.id, event.type) == (article, "article.published")
    assert event.at == stock.now  # of the revision


def test_a_turn_of_a_section_that_was_forgotten_is_not_told_again(stock: Stock, store: Store) -> None:
    endpoint = stock.endpoint("webhook", url="http://p.example/")
    stock.publish(1)
    with store.write() as c:
        c.execute(update(DeliveryRow).values(kind=events.SECTION))
    delivered_and_forgotten(stock)
    with store.write() as c:
        assert desk.replay(c, endpoint, 1, 1, stock.now) == 0


def test_a_second_withdrawal_is_another_one_although_the_first_is_forgotten(stock: Stock, store: Store) -> None:
    stock.endpoint("webhook", url="http://p.example/")
    (article,) = stock.publish(1)
    with store.write() as c:
        c.execute(update(DeliveryRow).values(begun=1))
    with begin() as work:
        storing.withdraw(work, article, "gone")
    stock.plan()
    delivered_and_forgotten(stock)
    with store.write() as c:
        articles.set_article(c, article, state="usable")
    with begin() as work:
        storing.withdraw(work, article, "gone")
    stock.plan()
    told = [row for row in stock.deliveries(article) if row["kind"] == "article.withdrawn"]
    assert [row["state"] for row in told] == ["delivered", "due"]
    assert told[0]["webhook_id"] != told[1]["webhook_id"]
