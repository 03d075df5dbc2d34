"""The desk on a filled store, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.store.engine import Store
from tests.console import desk_world
from tests.console.desk_world import Site, World


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    """A store with one of everything; its words are hostile."""
    return desk_world.fill(store, tmp_path)


@pytest.fixture
def site(store: Store, world: World, tmp_path: Path) -> Iterator[Site]:
    """The desk on it, served on loopback."""
    with desk_world.served(store, tmp_path) as served:
        yield served
