"""Fixtures for all tests: a fresh store on SQLite and on PostgreSQL, and the reading matter beside the checkout where it is."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import migrations
from shared.store.engine import Store
from tests import servers

os.environ["COLUMNS"] = "160"  # tables as wide as on a desk, whatever terminal the tests run under

BESIDE = Path(__file__).resolve().parents[2] / "shared"

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of this version's shape; every test that takes it runs on both."""
    if request.param == "sqlite":
        made = Store(f"sqlite:///{tmp_path / 'store.sqlite3'}")
    else:
        made = Store(request.getfixturevalue("postgres").fresh(f"test_{next(_numbers)}"))
    migrations.upgrade(made)
    yield made
    made.close()


@pytest.fixture
def beside() -> Path:
    """The folder of benchmark and conformance data; tests that need it skip without it."""
    if not BESIDE.is_dir():
        pytest.skip("no data folder beside the checkout")
    return BESIDE
