"""A reader sees one moment of the store, however many statements it takes: the books would not balance otherwise."""

from __future__ import annotations

import datetime as dt

from shared.store import intake
from shared.store.engine import Store

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)


def test_what_is_committed_while_one_reads_is_not_seen(store: Store) -> None:
    with store.read() as reader:
        assert intake.sources(reader) == []
        with store.write() as writer:
            intake.add_source(writer, name="harbour", url="http://h.example/feed", kind="feed", profile=None, now=NOW)
        assert intake.sources(reader) == []
    with store.read() as reader:
        assert [row["name"] for row in intake.sources(reader)] == ["harbour"]
