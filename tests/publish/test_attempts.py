"""Attempts are what was really tried: a batch that was taken and never sent brings no delivery nearer to its end."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from shared.models import DeliveryRow
from shared.store import events, partners
from shared.store.engine import Store
from tests.shared.test_store import NOW, event, later, new_article, new_partner, new_source, plan_all


def delivery(connection: Any) -> dict[str, Any]:
    return dict(connection.execute(select(*DeliveryRow.__table__.columns)).mappings().one())


def planned(connection: Any) -> int:
    endpoint = new_partner(connection)
    events.append(connection, [event(new_article(connection, new_source(connection)))], NOW)
    plan_all(connection, endpoint)
    return endpoint


def test_what_was_taken_and_not_sent_is_no_attempt(store: Store) -> None:
    with store.write() as c:
        endpoint = planned(c)
        for _ in range(8):
            partners.begin_attempts(c, [delivery(c)["id"]])  # and the process died each time
        row = delivery(c)
        partners.begin_attempts(c, [row["id"]])
        partners.record(c, endpoint, [partners.Tried(row, "retry", NOW, 5, status=500, due_at=later(5))])
        assert (delivery(c)["attempts"], delivery(c)["state"]) == (1, "due")


def test_an_attempt_called_off_before_it_left_was_none(store: Store) -> None:
    with store.write() as c:
        endpoint = planned(c)
        row = delivery(c)
        partners.begin_attempts(c, [row["id"]])
        assert partners.maybe_has(c, endpoint, row["article_id"])
        partners.call_off(c, [row["id"]])
        assert not partners.maybe_has(c, endpoint, row["article_id"])
