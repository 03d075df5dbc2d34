"""A store with articles and endpoints in it, as ingest, enrichment, the planner and the desk leave them."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import msgspec

from services.publish import planning
from shared import clock, records
from shared.models import Row
from shared.store import articles, desk, events, installation, intake, keys, lanes, partners
from shared.store.engine import Store
from tests.publish.records import ANNOTATIONS, ARTICLE


class Stock:
    """Puts things into a store. `now` is the instant of everything, unless it is moved on; transactions that give
    positions stay open for `pause_s`."""

    def __init__(self, store: Store) -> None:
        self.store, self.now, self.pause_s = store, clock.now(), 0.0
        with store.write() as c:
            self.source = intake.add_source(
                c, name="harbour", url="http://h.example/", kind="feed", profile=None, now=self.now
            )

    def endpoint(self, kind: str = "pull", name: str = "gazette", key: str = "pull-key", **options: Any) -> int:
        """An endpoint with a pull key."""
        values: dict[str, Any] = {
            "url": "", "format": "brief", "secrets": "", "filter": "", "backfill": True, "coalesce": False, "relinked": False,
            "concurrency": 4, "now": self.now,
        }  # fmt: skip
        with self.store.write() as c:
            endpoint_id = partners.add_partner(c, name=name, kind=kind, **(values | options))[1]
            keys.add(c, "pull", endpoint_id, key, self.now)
        return endpoint_id

    def publish(self, *numbers: int, similar: tuple[records.Similar, ...] = (), **changes: Any) -> list[str]:
        """New articles, published and planned. Returns their ids."""
        notes = msgspec.structs.replace(ANNOTATIONS, similar=similar)
        made = [self.article(number, **changes) for number in numbers]
        with self.store.write() as c:
            for article, number in zip(made, numbers, strict=True):
                articles.create(c, article, f"{number:064x}", self.source, 1, None, self.now)
                articles.annotate(c, [(article, notes)])
        self.happen("article.published", *(article.id for article in made))
        return [article.id for article in made]

    def article(self, number: int, **changes: Any) -> records.Article:
        values = {
            "id": f"art_{number:016x}",
            "url": f"https://harbour.example/{number}",
            "headline": f"Fare {number} rises",
            "revision": 1,
        }
        return msgspec.structs.replace(ARTICLE, **(values | changes))

    def revise(self, article_id: str, headline: str) -> None:
        """A new revision of an article, published and planned."""
        with self.store.write() as c:
            known = articles.locked(c, article_id)
            before = articles.revision(c, article_id)
            assert known is not None
            assert before is not None
            revised = articles.revise(
                c, known, msgspec.structs.replace(before[0], headline=headline), "update", 1, None, self.now
            )
            articles.annotate(c, [(revised, before[1])])
        self.happen("article.updated", article_id)

    def withdraw(self, article_id: str) -> None:
        with self.store.write() as c:
            articles.set_article(c, article_id, state="withdrawn")
        self.happen("article.withdrawn", article_id)

    def hold(self, article_id: str, until: dt.datetime | None = None) -> None:
        """Held by the desk, or under embargo until that instant."""
        with self.store.write() as c:
            articles.set_article(c, article_id, held=until is None, embargo_until=until)
            desk.hold_back(c, article_id)

    def release(self, article_id: str) -> None:
        with self.store.write() as c:
            articles.set_article(c, article_id, held=False, embargo_until=None)
            desk.let_go(c, article_id, self.now)
            time.sleep(self.pause_s)

    def happen(self, kind: str, *article_ids: str) -> None:
        """The event, of the articles' present revision, logged and planned."""
        with self.store.write() as c:
            rows = [articles.get(c, article_id) for article_id in article_ids]
            events.append(
                c, [events.NewEvent(kind, row["id"], row["revision"], False) for row in rows if row], self.now
            )
        self.plan()

    def plan(self) -> None:
        """Every event becomes deliveries."""
        while True:
            with self.store.read() as c:
                decided = planning.decide(c, installation.name(c), self.now, 100)
            if decided.upto is None:
                return
            with self.store.write() as c:
                partners.plan(c, decided.planned, decided.upto, self.now)
                time.sleep(self.pause_s)

    def deliveries(self, article_id: str) -> list[Row]:
        with self.store.read() as c:
            return partners.deliveries_of(c, article_id)

    def lane(self, endpoint_id: int) -> Row | None:
        with self.store.read() as c:
            return lanes.get(c, lanes.endpoint_lane(endpoint_id))
