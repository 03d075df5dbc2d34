"""Queries that run for every delivery find their rows by the index meant for them, however much waits."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from shared import migrations
from shared.store import partners
from shared.store.engine import Store
from tests.shared.test_store import NOW


def test_what_is_first_in_line_of_its_article_is_one_step(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite3'}")
    migrations.upgrade(store)
    with store.read() as connection:
        query = partners.in_line(1, NOW).compile(connection, compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    store.close()
    assert any("ix_delivery_in_line (endpoint_id=? AND article_id=? AND position<?)" in step for step in plan), plan
