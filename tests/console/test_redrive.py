"""Quarantine moved by query, on both databases: exactly what was shown, each piece where it stopped, the books balanced after it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from lxml import html
from sqlalchemy import select, update

from services.console import actions
from services.console.actions import ACTIONS
from shared import clock
from shared.errors import OperatorError
from shared.models import ArticleRow, DeliveryRow, EntryRow
from shared.store import desk, lanes, ledger, quarantine
from shared.store.engine import Store
from shared.store.quarantine import Query
from tests.console import desk_world
from tests.console.desk_world import EVIL, Site, World


@pytest.fixture
def stuck(store: Store, world: World) -> World:
    """Besides the entry and the delivery in quarantine, an article that enrichment gave up."""
    with store.write() as c:
        values = {"due_at": None, "enriched_revision": 0, "reason": "bug"}
        c.execute(update(ArticleRow).where(ArticleRow.id == world.other).values(values))
    return world


def do(store: Store, folder: Path, name: str, target: str, **fields: str) -> tuple[str, dict[str, list[Any]]]:
    """What the action said, and what it rings."""
    with desk_world.work(store) as work:
        done = actions.perform(ACTIONS[name], work, "ilze", target, reason="a test", fields=fields, folder=folder,
                               randomness=bytes(32))  # fmt: skip
        return done.said, work.rings()


def keys(store: Store, query: Query) -> set[str]:
    with store.read() as c:
        return {piece["key"] for piece in quarantine.found(c, query, 100)}


def test_a_query_finds_what_it_names_and_counts_the_same(store: Store, stuck: World) -> None:
    entry, delivery, article = f"entry:{stuck.bad_entry}", f"delivery:{stuck.dead}", f"article:{stuck.other}"
    with store.read() as c:
        names = {row["kind"]: row["owner"] for row in quarantine.groups(c, Query())}
        reason = c.execute(select(DeliveryRow.reason).where(DeliveryRow.id == stuck.dead)).scalar_one()
    now, day = clock.now(), dt.timedelta(days=1)
    asked = [
        (Query(), {entry, delivery, article}), (Query(kind="entry"), {entry}), (Query(reason="bug"), {article}),
        (Query(source=names["entry"]), {entry, article}), (Query(partner=names["delivery"]), {delivery}),
        (Query(endpoint=stuck.partner), {delivery}), (Query(endpoint=stuck.partner + 99), set()),
        (Query(source=names["entry"], partner=names["delivery"]), set()), (Query(words="BUG article"), {article}),
        (Query(words="%"), {k for k in (entry, delivery, article) if "%" in EVIL and k != article}),
        (Query(since=now - day), {entry, delivery, article}), (Query(until=now - day), set()), (Query(since=now + day), set()),
        (Query(keys=(entry, article)), {entry, article}), (Query(reason=reason or "", kind="delivery"), {delivery}),
        (Query(keys=("entry:x", "delivery:", "sto:1")), set()),
    ]  # fmt: skip
    for query, expected in asked:
        assert keys(store, query) == expected, query
        with store.read() as c:
            assert sum(quarantine.count(c, query).values()) == len(expected)
            assert sum(group["n"] for group in quarantine.groups(c, query)) == len(expected)
        assert quarantine.from_text(quarantine.as_text(query)) == query


def test_each_piece_goes_on_where_it_stopped(store: Store, stuck: World, tmp_path: Path) -> None:
    said, rung = do(store, tmp_path, "retry-query", "since=2001-01-01")
    assert said == "3 pieces are on the way again."
    assert rung["host.due"] == [lanes.host_lane(stuck.host)]
    assert rung["article.ingested"] == [stuck.other]
    assert rung["endpoint.due"] == [lanes.endpoint_lane(stuck.partner)]
    assert keys(store, Query()) == set()
    with store.read() as c:
        assert ledger.books(c).balanced
        assert desk.audits(c)[0]["target"].startswith(
            "1 entry, 1 delivery and 1 article in quarantine (since 2001-01-01"
        )
    with pytest.raises(OperatorError, match="Nothing in quarantine fits that"):
        do(store, tmp_path, "retry-query", "since=2001-01-01")


def test_what_cannot_go_on_is_left_and_what_is_out_of_date_superseded(
    store: Store, world: World, tmp_path: Path
) -> None:
    with store.write() as c:
        c.execute(update(EntryRow).where(EntryRow.id == world.bad_entry).values(page_id=None, host=None))
        c.execute(update(ArticleRow).values(state="withdrawn"))
    said, _ = do(store, tmp_path, "retry-query", "since=2001-01-01")
    assert said == "0 pieces are on the way again; 1 out of date and superseded; 1 left: there is nothing to try."
    assert keys(store, Query()) == {f"entry:{world.bad_entry}"}


def test_given_up_are_entries_and_deliveries_but_no_article(store: Store, stuck: World, tmp_path: Path) -> None:
    said, _ = do(store, tmp_path, "drop-query", "since=2001-01-01")
    assert said == "2 dropped. 1 stay: an article is withdrawn, not dropped."
    assert keys(store, Query()) == {f"article:{stuck.other}"}
    with store.read() as c:
        assert ledger.books(c).balanced


def test_nothing_is_moved_where_other_pieces_fit_than_were_shown(site: Site, world: World, store: Store) -> None:
    operator = site.visitor("operator")
    page = html.fromstring(operator.get("/quarantine?kind=entry").text)
    (link,) = [str(a.get("href")) for a in page.iter("a") if str(a.get("href")).startswith("/do/retry-query/")]
    shown = html.fromstring(operator.get(link).text)
    words = str(shown.xpath("string()"))
    assert "1 entry in quarantine (kind entry)" in words
    assert EVIL[:40].split()[0] in words
    (mark,) = [field.get("value") for field in shown.iter("input") if field.get("name") == "mark"]
    desk_world.set_delivery(store, world.dead, state="due")
    with store.write() as c:
        c.execute(update(EntryRow).where(EntryRow.id == world.stored_entry).values(state="quarantined", reason="late"))
    refused = operator.do("retry-query", "kind=entry", mark=str(mark))
    assert "Others fit by now: 2 entries. Nothing was moved." in refused.text
    assert len(keys(store, Query(kind="entry"))) == 2
    assert operator.do("retry-query", "kind=entry&reason=late").status_code == 303
    assert keys(store, Query(kind="entry")) == {f"entry:{world.bad_entry}"}


def test_a_form_that_makes_no_query_says_why(site: Site, world: World) -> None:
    text = site.visitor("operator").get("/quarantine?since=soon").text
    assert "soon is no instant. Write it as 2026-05-20" in text
    assert "/do/retry-query/" not in text
