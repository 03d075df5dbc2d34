"""The steps of the store's shape end where the models are, on both stores."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.models import Base
from shared.store import partitions
from shared.store.engine import Store

ROOT = Path(__file__).resolve().parents[2]
STEPS = ROOT / "shared" / "migrations" / "versions"
SHAPE = """SELECT table_name, column_name, data_type, is_nullable, column_default, character_maximum_length
FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, 2"""


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_first_step_makes_what_the_models_say(dialect: str) -> None:
    """Until the first release; from then on a change of the models is a step of its own, and this compares their ends."""
    written = (STEPS / f"0001_{dialect}.sql").read_text(encoding="utf-8").split("\n;\n")
    statements = runpy.run_path(str(ROOT / "deploy" / "first_shape.py"))["statements"]
    assert sorted(filter(None, map(str.strip, written))) == sorted(statements(dialect))


def test_every_column_of_the_models_is_there_after_all_steps(store: Store) -> None:
    with store.read() as connection:
        if store.is_sqlite:
            there = {(table, row[1]) for table in Base.metadata.tables
                     for row in connection.execute(text(f"PRAGMA table_info({table})"))}  # fmt: skip
        else:
            there = {(row[0], row[1]) for row in connection.execute(text(SHAPE))}
            assert {part.table for part in partitions.parts(connection)} == set(partitions.DIVIDED)
    wanted = {(table.name, column.name) for table in Base.metadata.tables.values() for column in table.columns}
    assert wanted <= there
