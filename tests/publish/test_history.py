"""The last days first: what a new endpoint or subscription asks of the past, planned piece by piece, balanced, in order."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import select, update

from services.publish import planning
from shared.models import ArticleRow, EndpointRow, SubscriptionRow
from shared.store import events, installation, lanes, ledger, partners
from shared.store.engine import Store
from tests.publish.stocked import Stock

WISHES = {"filter": "", "backfill": False, "coalesce": False, "relinked": False, "follow": True}


@pytest.fixture
def stock(store: Store) -> Stock:
    return Stock(store)


def published(stock: Stock, article_id: str, days_ago: float) -> None:
    with stock.store.write() as c:
        at = stock.now - dt.timedelta(days=days_ago)
        c.execute(update(ArticleRow).where(ArticleRow.id == article_id).values(published_at=at))


def plan_past(stock: Stock, batch: int = 2) -> int:
    """The planner at work until nothing is waited for. Returns in how many pieces."""
    pieces = 0
    while True:
        with stock.store.read() as c:
            past = planning.decide_past(c, installation.name(c), stock.now, batch)
        if past is None:
            return pieces
        with stock.store.write() as c:
            partners.plan_past(c, past, stock.now)
        pieces += 1


def owed(stock: Stock, endpoint: int, ids: list[str]) -> list[tuple[str, str, int | None]]:
    rows = [row for one in ids for row in stock.deliveries(one) if row["endpoint_id"] == endpoint]
    return [(row["article_id"], row["kind"], row["position"]) for row in rows]


def balanced(store: Store) -> bool:
    with store.read() as c:
        return ledger.books(c).balanced


def test_a_new_endpoint_gets_the_last_days_first_the_newest_text_of_each(stock: Stock, store: Store) -> None:
    ids = stock.publish(*range(1, 7))
    stock.revise(ids[0], "Fare 1 falls")
    for article_id, days in zip(ids, (1, 2, 3, 30, 2, 2), strict=True):
        published(stock, article_id, days)
    stock.withdraw(ids[4])
    stock.hold(ids[5])
    endpoint = stock.endpoint("webhook", url="http://p.example/", days=7, backfill=False)
    assert plan_past(stock) == 3
    assert owed(stock, endpoint, ids) == [
        (ids[0], "article.updated", 3), (ids[1], "article.published", 1), (ids[2], "article.published", 2),
        (ids[5], "article.published", None),
    ]  # fmt: skip
    assert balanced(store)
    stock.release(ids[5])
    assert owed(stock, endpoint, [ids[5]]) == [(ids[5], "article.published", 4)]
    stock.revise(ids[1], "Fare 2 falls")  # what came by the past is followed
    assert len(owed(stock, endpoint, [ids[1]])) == 2
    assert balanced(store)
    assert plan_past(stock) == 0


def test_the_past_never_steps_behind_what_was_planned_meanwhile(stock: Stock, store: Store) -> None:
    one, two = stock.publish(1, 2)
    for article_id in (one, two):
        published(stock, article_id, 1)
    endpoint = stock.endpoint("webhook", url="http://p.example/", days=7)
    with store.read() as c:
        past = planning.decide_past(c, installation.name(c), stock.now, 10)
    assert past is not None
    stock.revise(one, "Fare 1 falls")  # planned between deciding and writing
    with store.write() as c:
        partners.plan_past(c, past, stock.now)
    assert [kind for _, kind, _ in owed(stock, endpoint, [one])] == ["article.updated"]
    assert [kind for _, kind, _ in owed(stock, endpoint, [two])] == ["article.published"]
    assert balanced(store)


def test_a_wider_subscription_brings_what_the_filter_left_out_and_nothing_twice(stock: Stock, store: Store) -> None:
    endpoint = stock.endpoint("webhook", url="http://p.example/", filter='headline = "Fare 1 rises"')
    ids = stock.publish(1, 2, 3)
    for article_id in ids:
        published(stock, article_id, 1)
    assert [a for a, _, _ in owed(stock, endpoint, ids)] == ids[:1]
    with store.write() as c:
        partners.add_subscription(c, endpoint, WISHES | {"filter": 'headline = "Fare 2 rises"'}, stock.now, days=7)
        lane = lanes.get(c, lanes.PLAN)
        assert lane is not None
        assert lanes.next_work(c, "plan", lanes.PLAN) is not None
    plan_past(stock)
    assert [a for a, _, _ in owed(stock, endpoint, ids)] == ids[:2]
    with store.read() as c:
        (line,) = ledger.books(c).delivery
        assert lanes.next_work(c, "plan", lanes.PLAN) is None
    assert (line.filtered, line.backfilled, line.due, line.balanced) == (2, 1, 2, True)


def test_both_filters_must_match_and_who_does_not_follow_is_asked_each_time(stock: Stock, store: Store) -> None:
    endpoint = stock.endpoint(
        "webhook", url="http://p.example/", filter='section = "Economy" or words < 100000', follow=False
    )

    def set_(**values: Any) -> None:
        with store.write() as c:
            (wish,) = partners.endpoints(c)[0]["subscriptions"]
            partners.set_subscription(c, wish["id"], **values)

    set_(narrow='not headline contains "falls"')
    one, two = stock.publish(1, 2)
    stock.revise(one, "Fare 1 falls")
    assert [kind for _, kind, _ in owed(stock, endpoint, [one, two])] == ["article.published"] * 2
    set_(follow=True)
    stock.revise(two, "Fare 2 falls")
    assert [kind for _, kind, _ in owed(stock, endpoint, [two])] == ["article.published", "article.updated"]


def test_a_removed_endpoint_waits_for_no_past(stock: Stock, store: Store) -> None:
    stock.publish(1)
    endpoint = stock.endpoint("webhook", url="http://p.example/", days=7)
    with store.write() as c:
        partners.remove_endpoint(c, endpoint)
    assert plan_past(stock) == 0
    with store.read() as c:
        assert c.execute(select(EndpointRow.state)).scalar_one() == "removed"


def test_a_new_epoch_tells_old_cursors(store: Store) -> None:
    with store.write() as c:
        assert [events.new_epoch(c), events.new_epoch(c)] == [2, 3]


def test_a_told_turn_of_a_section_is_no_possession_of_its_article(stock: Stock, store: Store) -> None:
    """The history leaves out what the endpoint has; an event about the section that an article speaks of is not the article."""
    (article,) = stock.publish(1)
    published(stock, article, 1)
    endpoint = stock.endpoint(
        "webhook", url="http://p.example/", backfill=False, status_changes=True, filter='section = "None"'
    )
    with store.write() as c:
        c.execute(update(SubscriptionRow).values(filter=""))
        events.append(c, [events.NewEvent(events.SECTION, article, 1, False, detail="{}")], stock.now)
    stock.plan()
    assert [kind for _, kind, _ in owed(stock, endpoint, [article])] == [events.SECTION]
    with store.write() as c:
        partners.ask_history(c, endpoint, stock.now - dt.timedelta(days=7), stock.now)
    plan_past(stock)
    assert sorted(kind for _, kind, _ in owed(stock, endpoint, [article])) == ["article.published", events.SECTION]
    assert balanced(store)
