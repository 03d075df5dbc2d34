"""Whose id an entry's key is: the source's own, or ours."""

from __future__ import annotations

import pytest

from services.ingest.normalise import item_id
from shared.records import Entry


@pytest.mark.parametrize(("key", "expected"), [
    ("9544 at http://news.example", "9544"), ("tag:news.example,2026:7", "tag:news.example,2026:7"),
    ("https://news.example/a", None), ("push:" + "0" * 64, None),
])  # fmt: skip
def test_the_source_s_own_id_of_an_item(key: str, expected: str | None) -> None:
    assert item_id(Entry(key, None)) == expected
