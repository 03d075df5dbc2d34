"""A store into which a test lets articles arrive: they are enriched by the product's own code, and what was logged is read back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from services.enrich import enriching
from services.ingest import storing
from shared import records, vault
from shared.models import Row
from shared.queue import Work
from shared.store import articles, events, intake, partners, rulings
from shared.store.engine import Store

NOW = dt.datetime(2026, 5, 20, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def record(key: str, brief: tuple[str, str], *, at: dt.datetime | None = None, **values: Any) -> records.Article:
    """An article of the source "harbour"."""
    published = records.Moment(f"{at}", at.isoformat(), "UTC", "stated", "minute") if at else None
    made = records.Article(
        id=f"art_{key}", source="harbour", source_item_id=None, url=f"https://harbour.example/{key}", requested_url=None,
        final_url=None, revision=1, state="usable", content_hash=f"{key:0>64}", headline=brief[0], language=None,
        language_evidence=None, authors=(), published=published, modified=None, section=None,
        category_status=records.CategoryStatus(), lead=None, blocks=(records.Paragraph(brief[1]),), images=(), tags=(), related=(),
    )  # fmt: skip
    return msgspec.structs.replace(made, **values)


class Arrivals:
    """`store` with one source; `now` moves on an hour with every step."""

    def __init__(self, store: Store) -> None:
        self.store, self.now = store, NOW
        with store.write() as c:
            self.source = intake.add_source(
                c, name="harbour", url="http://h.example", kind="feed", profile=None, now=NOW
            )

    def add(self, *found: records.Article) -> None:
        """Stores articles and has them enriched in one batch."""
        with self.store.write() as c:
            for article in found:
                articles.create(c, article, f"{article.id:0>64}", self.source, 1, None, self.now)
        self.enrich()

    def revise(self, key: str, kind: str = "update", **values: Any) -> None:
        """Stores a further revision and has it enriched."""
        with self.store.write() as c:
            known, newest = articles.locked(c, f"art_{key}"), articles.revision(c, f"art_{key}")
            assert known is not None
            assert newest is not None
            articles.revise(
                c, known, msgspec.structs.replace(newest[0], content_hash="f" * 64, **values), kind, 1, None, self.now
            )
        self.enrich()

    def withdraw(self, key: str) -> None:
        with self.store.write() as c:
            work = Work(c, self.now)
            storing.withdraw(work, f"art_{key}", "gone")
            work.finish()
        self.enrich()

    def again(self, *keys: str) -> None:
        """Enriches articles anew."""
        with self.store.write() as c:
            rulings.enrich_again(c, [f"art_{key}" for key in keys], self.now)
        self.enrich()

    def enrich(self) -> None:
        """Enriches whatever waits, as a worker does."""
        self.now += HOUR
        with self.store.write() as c:
            rows = articles.claim_articles(c, [row["id"] for row in articles.due_articles(c, self.now, 1000)], self.now)
            waiting = articles.to_enrich(c, rows)
            studied = {
                row["id"]: [enriching.study(one, row["first_seen_at"]) for one in waiting[row["id"]]] for row in rows
            }
            work = Work(c, self.now)
            enriching.settle(work, rows, studied)
            work.finish()

    def stuck(self) -> list[Row]:
        """What still waits."""
        with self.store.read() as c:
            return articles.due_articles(c, self.now + HOUR, 10)

    def notes(self, key: str) -> records.Annotations:
        with self.store.read() as c:
            return articles.notes(c, [f"art_{key}"])[f"art_{key}"]

    def links(self, key: str) -> dict[str, str]:
        """Key of the other article -> relation, as the record carries it."""
        return {one.article_id.removeprefix("art_"): one.relation for one in self.notes(key).similar}

    def codes(self, key: str, scheme: str = "section") -> list[str]:
        """The categories of an article that stand, not the suggestions."""
        return [one.code for one in self.notes(key).categories if one.scheme == scheme and not one.suggestion]

    def logged(self, after: int = 0) -> list[tuple[str, str]]:
        """(kind, key) of the events above that number, in order."""
        return [(one.kind, one.article_id.removeprefix("art_")) for one in self.events(after)]

    def events(self, after: int = 0) -> Sequence[events.Event]:
        with self.store.read() as c:
            return events.after(c, after, 10_000)

    def head(self) -> int:
        with self.store.read() as c:
            return events.head(c)[0]

    def partner(self, folder: Any, **options: Any) -> int:
        """A partner that takes everything; returns its endpoint."""
        values: dict[str, Any] = {
            "kind": "webhook", "format": "brief", "secrets": vault.seal(folder, []), "filter": "", "backfill": True,
            "coalesce": False, "relinked": False, "concurrency": 4, "now": self.now,
        }  # fmt: skip
        with self.store.write() as c:
            return partners.add_partner(c, name="desk", url="https://desk.example/in", **(values | options))[1]
