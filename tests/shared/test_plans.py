"""Every query that runs all the time finds its rows by an index, with a million rows in the tables: asked of both stores' planners.

The store's own functions run; each statement that they send is then explained. A plan that reads a large table from end to
end fails the test.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, Engine, event, text

from shared import migrations, records
from shared.models import Base
from shared.store import articles, claims, clusters, console, desk, events, intake, lanes, partners, pull, similar
from shared.store.engine import Store
from tests.servers import Postgres

MILLION = 1_000_000
FEWER = {"revision": 200_000, "doc": 200_000, "link": 200_000}  # asked only by whole keys
NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
LARGE = ("entry", "article", "revision", "event", "delivery", "attempt", "sig", "fp", "doc", "link")
PARTIAL = {str(index.name) for table in Base.metadata.tables.values() for index in table.indexes
           if index.dialect_options["sqlite"]["where"] is not None}  # fmt: skip
FIRST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ARTICLE = "art_0000000000050000"
# Rows as SQL over a number i; an instant is written {at}, a text of 64 letters {hash}, an article's name {name}.
ROWS = {
    "entry": "id, source_id, key_hash, item, item_hash, state, seen_at, backfill, host, url, step, due_at, article_id, page_id",
    "article": "id, source_id, identity, state, held, revision, content_hash, headline, first_seen_at, backfill, published_at, due_at,"
               " section",
    "revision": "article_id, revision, kind, record, content_hash, at",
    "event": "number, kind, article_id, revision, occurrence, backfill, at",
    "delivery": "id, endpoint_id, event_number, article_id, revision, kind, occurrence, webhook_id, state, position, due_at, delivered_at",
    "attempt": "id, delivery_id, endpoint_id, number, at, duration_ms, outcome, status, chain",
    "sig": "term, day, doc, weight",
    "fp": "hash, day, doc",
    "doc": "doc, article_id, day, profile",
    "link": "article_id, other_id, relation, score, method, version, as_of, reasons",
}  # fmt: skip
VALUES = {
    "entry": "i, i % 200 + 1, {hash}, {bytes}, {hash}, CASE WHEN i % 100 = 0 THEN 'waiting' WHEN i % 997 = 0 THEN 'quarantined' ELSE"
             " 'stored' END, {at}, {no}, 'h' || i % 2000, 'u', CASE WHEN i % 200 = 0 THEN 'fetch' WHEN i % 100 = 0 THEN 'extract' END,"
             " CASE WHEN i % 100 = 0 THEN {at} END, {name}, i",
    "article": "{name}, i % 200 + 1, {hash}, CASE WHEN i % 5000 = 0 THEN 'withdrawn' ELSE 'usable' END, {no}, 1, {hash}, 'headline', {at},"
               " {no}, {at}, CASE WHEN i % 1000 = 0 THEN {at} END, 'Economy'",
    "revision": "{name}, 1, 'new', {bytes}, {hash}, {at}",
    "event": "i, 'article.published', {name}, 1, 0, {no}, {at}",
    "delivery": "i, i % 20 + 1, i, {name}, 1, CASE WHEN i % 2500 = 0 THEN 'article.withdrawn' ELSE 'article.published' END, 0, 'm',"
                " CASE WHEN i % 50 = 0 THEN 'due' WHEN i % 997 = 0 THEN 'quarantined' ELSE 'delivered' END, i, {at}, {at}",
    "attempt": "i, i, i % 20 + 1, 1, {at}, 20, 'delivered', 200, 'c'",
    "sig": "i % 5000, 20500 + i / 10000, i, 0.1",
    "fp": "i % 300000, 20500 + i / 10000, i",
    "doc": "i, {name}, 20500 + i / 10000, {bytes}",
    "link": "{name}, 'art_' || substr('0000000000000000' || (i + 1), -16), 'related', 0.5, 'm', 'v', {at}, '[]'",
}  # fmt: skip
SQLITE = {"name": "'art_' || substr('0000000000000000' || i, -16)", "at": "datetime('2026-01-01', '+' || (i * 10) || ' seconds')",
          "hash": "printf('%064d', i)", "bytes": "x'00'", "no": "0"}  # fmt: skip
POSTGRESQL = {"name": "'art_' || lpad(i::text, 16, '0')", "at": "timestamptz '2026-01-01 00:00+00' + i * interval '10 s'",
              "hash": "lpad(i::text, 64, '0')", "bytes": "'\\x00'::bytea", "no": "false"}  # fmt: skip


def _fill(store: Store) -> None:
    """A million rows in every large table; indexes are made after the rows, which is quicker."""
    words = SQLITE if store.is_sqlite else POSTGRESQL
    with store.write() as c:
        _few(c, words)
        for name in LARGE:
            table = Base.metadata.tables[name]
            kept = [index for index in table.indexes if store.is_sqlite or not index.ddl_if]
            for index in kept:
                c.execute(text(f'DROP INDEX IF EXISTS "{index.name}"'))
            if store.is_sqlite and name == "article":
                for trigger in c.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
                    c.execute(
                        text(f'DROP TRIGGER "{trigger}"')
                    )  # of the words of headlines, which are not asked for here
            values = VALUES[name].format(**words)
            if not store.is_sqlite:
                values = values.replace("substr('0000000000000000' || (i + 1), -16)", "lpad((i + 1)::text, 16, '0')")
            series = _series(store, FEWER.get(name, MILLION))
            c.execute(text(f"INSERT INTO {name} ({ROWS[name]}) SELECT {values} FROM {series}"))
            for index in kept:
                index.create(c, checkfirst=True)
        if not store.is_sqlite:
            for name in ("entry", "delivery", "attempt"):
                c.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), {MILLION})"))
        c.execute(text(f"UPDATE event_head SET n = {MILLION}, planned = {MILLION - 300}"))
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
        c.execute(text("ANALYZE"))


def _series(store: Store, n: int) -> str:
    if not store.is_sqlite:
        return f"generate_series(1, {n}) AS s(i)"
    return f"(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {n}) SELECT i FROM s)"


def _few(c: Connection, words: dict[str, str]) -> None:
    for i in range(1, 201):
        c.execute(text(f"INSERT INTO source (id, name, url, kind, state, created_at, due_at) VALUES ({i}, 's{i}', 'u', 'feed', 'active',"
                       f" :at, :at)"), {"at": FIRST.replace(tzinfo=None) if words is SQLITE else FIRST})  # fmt: skip
    for i in range(1, 21):
        partners.add_partner(c, name=f"p{i}", kind="webhook", url="http://p.example", format="brief", secrets="", filter="",
                             backfill=False, coalesce=False, relinked=False, concurrency=4, now=FIRST)  # fmt: skip
    for kind, n in (("host", 2000), ("endpoint", 20)):
        lanes.wake(c, kind, [f"{kind}:h{i}" for i in range(n)], FIRST)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if request.param == "sqlite":
        made = Store(f"sqlite:///{tmp_path_factory.mktemp('large') / 'store.sqlite3'}")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = Store(server.fresh("large"))
    migrations.upgrade(made)
    _fill(made)
    yield made
    made.close()


class Hot(NamedTuple):
    """A query that runs all the time, by the store's own function."""

    what: str
    ask: Callable[[Connection], Any]


NAMES = [f"art_{i:016d}" for i in range(1000, 1032)]
HASH = f"{77:064d}"
HOT = [
    Hot("sources due", lambda c: intake.due_sources(c, NOW, 50)),
    Hot("entries of a feed looked up and added", lambda c: intake.add_entries(c, 7, [
        intake.NewEntry(_entry(str(i)), "h7", backfill=False) for i in range(30)], NOW)),
    Hot("what to fetch of a host", lambda c: intake.next_to_fetch(c, "h200", NOW, 10)),
    Hot("pages due", lambda c: intake.due_pages(c, NOW, 100)),
    Hot("pages claimed", lambda c: intake.claim_pages(c, [100, 300, 500], NOW)),
    Hot("an entry finished", lambda c: intake.finish_entry(c, 100, "stored")),
    Hot("lanes due", lambda c: [lanes.due_lanes(c, kind, NOW, 50) for kind in ("host", "endpoint", "plan")]),
    Hot("an article by its identity", lambda c: articles.known_identities(c, [HASH])),
    Hot("articles due", lambda c: articles.due_articles(c, NOW, 100)),
    Hot("articles claimed", lambda c: articles.claim_articles(c, NAMES, NOW)),
    Hot("revisions to enrich", lambda c: articles.history(c, ARTICLE)),
    Hot("links of an article", lambda c: articles.links(c, NAMES)),
    Hot("links both ways", lambda c: articles.links_of(c, ARTICLE)),
    Hot("stories of articles", lambda c: clusters.of_articles(c, NAMES)),
    Hot("similar by fingerprint", lambda c: similar.candidates_by_fp(c, [5, 6, 7], 20550, 20564)),
    Hot("similar by terms", lambda c: similar.candidates_by_terms(c, dict.fromkeys(range(1, 20), 0.2), 20550, 20564)),
    Hot("profiles", lambda c: similar.profiles(c, [5, 6, 7])),
    Hot("events logged", lambda c: events.append(c, [events.NewEvent("article.updated", n, 2, False) for n in NAMES], NOW)),
    Hot("events unplanned", lambda c: events.unplanned(c, 100)),
    Hot("events of an article", lambda c: events.of_article(c, ARTICLE)),
    Hot("deliveries planned", lambda c: partners.plan(c, [
        partners.Planned(3, e, f"m{e.number}") for e in events.unplanned(c, 20)], MILLION - 280, NOW)),
    Hot("deliveries that may go", lambda c: partners.sendable(c, 11, NOW, 20)),
    Hot("a delivery begun", lambda c: partners.begin_attempts(c, [50, 100, 150])),
    Hot("a delivery recorded", lambda c: partners.record(c, 11, [
        partners.Tried(row, "delivered", NOW, 5, 200) for row in partners.sendable(c, 11, NOW, 3)])),
    Hot("whether a partner has an article", lambda c: partners.maybe_has(c, 11, ARTICLE)),
    Hot("deliveries of an article", lambda c: partners.deliveries_of(c, ARTICLE)),
    Hot("attempts of deliveries", lambda c: partners.attempts_of(c, [50, 100])),
    Hot("an endpoint's events after a position", lambda c: pull.after(c, 11, 500_000, NOW, 100)),
    Hot("an endpoint's newest", lambda c: pull.newest(c, 11, NOW, 50)),
    Hot("a reading of the live page", lambda c: desk.reading(c, NOW, MILLION - 100)),
    Hot("newest articles", lambda c: desk.find_articles(c, desk.Wish(limit=50))),
    Hot("what quarantine holds", lambda c: desk.quarantined_entries(c, 7, None, 50)),
    Hot("an endpoint's attempts", lambda c: desk.attempts(c, 11, 50)),
    Hot("what waits", lambda c: console.due(c, NOW)),
    Hot("leases of the dead", lambda c: claims.dead_owners(c)),
]  # fmt: skip


def _entry(key: str) -> records.Entry:
    return records.Entry(key, f"http://h.example/{key}", title=key)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_query_that_runs_all_the_time_reads_a_large_table_from_end_to_end(large: Store) -> None:
    scans = {}
    for hot in HOT:
        with pytest.raises(_RollBackError), large.write() as connection:
            scans[hot.what] = [
                scan
                for statement in _sent(large.engine, connection, hot.ask)
                for scan in _scans(connection, *statement)
            ]
            raise _RollBackError
    wrong = {what: found for what, found in scans.items() if found}
    assert not wrong, json.dumps(wrong, indent=1)


class _RollBackError(Exception):
    """Ends a transaction without its effects."""


def _sent(engine: Engine, connection: Connection, ask: Callable[[Connection], Any]) -> list[tuple[str, Any]]:
    """The statements that the function sends, each with its first parameters."""
    heard: list[tuple[str, Any]] = []

    def hear(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        heard.append((statement, parameters[0] if many else parameters))

    event.listen(engine, "before_cursor_execute", hear)
    try:
        ask(connection)
    finally:
        event.remove(engine, "before_cursor_execute", hear)
    return heard


def _scans(connection: Connection, statement: str, parameters: Any) -> list[str]:
    if connection.dialect.name == "sqlite":
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        return [f"{row[3]} in {statement[:200]}" for row in plan if _reads_all(row[3].split(), statement)]
    explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    plan = explained if isinstance(explained, list) else json.loads(explained)
    return [f"{node['Node Type']} of {node['Relation Name']} in {statement[:200]}" for node in _nodes(plan[0]["Plan"])
            if node["Node Type"].endswith("Seq Scan") and node["Plan Rows"] > 10_000 and _is_large(node["Relation Name"])]  # fmt: skip


def _reads_all(step: list[str], statement: str) -> bool:
    """Whether a step of SQLite reads a large table or index to its end: one for a few rows is short, a limit ends any in order."""
    if step[0] != "SCAN" or step[1] not in LARGE:
        return False
    return step[-1] not in PARTIAL and not ("LIMIT" in statement and step[-1] != step[1])


def _is_large(relation: str) -> bool:
    return any(relation == name or relation.startswith(f"{name}_") for name in LARGE)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
