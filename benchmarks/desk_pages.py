"""Times every page of the desk on a store with 100,000 articles and 1,000,000 attempts, and says how large each page is.

    python -m benchmarks.desk_pages [--articles 100000] [--folder DIR]

Prints a line a page and, last, JSON: the slowest page's median in ms (`slowest_ms`) and the largest page in bytes
(`largest_bytes`). SQLite; the folder is kept and used again where it is named.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import Connection, insert, update

from services.console import accounts
from services.console.demo import content
from shared import clock, migrations, pages, records
from shared.models import (
    ArticleRow,
    AttemptRow,
    DeliveryRow,
    EndpointRow,
    EntryRow,
    EventHeadRow,
    EventRow,
    PageRow,
    RevisionRow,
    SourceRow,
    StatusRow,
)
from shared.store import desk as rows
from shared.store import intake, partners, workers
from shared.store.engine import Store
from tests.console.desk_world import PASSWORD, Site, served

PARTNERS, SOURCES, SECTIONS = 10, 20, 12
RUNS = 7
CHUNK = 5000


def fill(store: Store, n: int) -> None:
    """`n` articles over ninety days, each with a delivery to ten partners and an attempt for each of those."""
    rng, now = random.Random(7), clock.now()
    with store.write() as c:
        sources = [
            intake.add_source(
                c, name=f"source-{k}", url=f"https://s{k}.example/rss", kind="feed", profile=None, now=now
            )
            for k in range(SOURCES)
        ]
        endpoints = [_partner(c, f"partner-{k}", now) for k in range(PARTNERS)]
        for queue in ("fetch", "extract", "enrich", "plan", "deliver"):
            workers.beat(c, queue, now)
    for start in range(0, n, CHUNK):
        numbers = range(start, min(n, start + CHUNK))
        rows = list(_rows(numbers, n, sources, endpoints, now, rng))
        with store.write() as c:
            for table in (EntryRow, PageRow, ArticleRow, RevisionRow, StatusRow, EventRow, DeliveryRow, AttemptRow):
                c.execute(insert(table.__table__), [row for kind, row in rows if kind is table])
    with store.write() as c:
        c.execute(update(EventHeadRow).values(n=n, planned=n))
        c.execute(update(EndpointRow).values(position=n))
        for place, source in enumerate(sources):
            c.execute(
                update(SourceRow)
                .where(SourceRow.id == source)
                .values(seen=len(range(place, n, SOURCES)), new_at=now, ok_at=now)
            )


def _partner(c: Connection, name: str, now: dt.datetime) -> int:
    return partners.add_partner(c, name=name, kind="webhook", url=f"https://{name}.example/in", format="brief", secrets="", filter="",
                                backfill=True, coalesce=False, relinked=False, concurrency=4, now=now)[1]  # fmt: skip


def _rows(numbers: range, n: int, sources: list[int], endpoints: list[int], now: dt.datetime,
          rng: random.Random) -> Iterator[tuple[type[Any], dict[str, Any]]]:  # fmt: skip
    for k in numbers:
        at = now - dt.timedelta(days=90) * ((n - k) / n)
        article = _article(k, at, rng)
        source, record = sources[k % SOURCES], records.to_json(article)
        quarantined, trend = k % 400 == 0, rng.choice(["improved", "unchanged", "worsened"])
        yield EntryRow, {
            "id": k + 1, "source_id": source, "key_hash": f"{k:064x}", "url": article.url, "host": f"s{k % SOURCES}.example",
            "item": b'{"key":"k","url":null}', "item_hash": f"{k:064x}", "state": "quarantined" if quarantined else "stored",
            "step": None, "due_at": None, "seen_at": at, "backfill": False, "reason": f"reason-{k % 7}" if quarantined else None,
            "article_id": article.id, "page_id": k + 1, "lease_epoch": 0, "attempts": 0, "failures": 0, "gone_seen": 0,
        }  # fmt: skip
        yield PageRow, {"id": k + 1, "entry_id": k + 1, "requested_url": article.url, "final_url": article.url, "status": 200,
                        "content_type": "text/html", "sha256": "0" * 64, "size": len(_PAGE), "body": _PACKED, "fetched_at": at}  # fmt: skip
        yield ArticleRow, {
            "id": article.id, "source_id": source, "identity": f"{k:064x}", "url": article.url, "state": "usable", "held": False,
            "revision": 1, "enriched_revision": 1, "content_hash": "0" * 64, "headline": article.headline, "language": "en",
            "section": article.section, "published_at": at, "first_seen_at": at, "backfill": False, "lease_epoch": 0, "attempts": 0,
        }  # fmt: skip
        yield RevisionRow, {"article_id": article.id, "revision": 1, "kind": "new", "record": record, "content_hash": "0" * 64,
                            "annotations": b"{}", "page_id": k + 1, "entry_id": k + 1, "at": at}  # fmt: skip
        yield (
            StatusRow,
            {"article_id": article.id, "source_id": source, "section": article.section, "at": at, "value": trend},
        )
        yield EventRow, {"number": k + 1, "kind": "article.published", "article_id": article.id, "revision": 1, "occurrence": 0,
                         "backfill": False, "at": at}  # fmt: skip
        for place, endpoint in enumerate(endpoints):
            yield from _delivery(k, place, endpoint, article.id, at, bad=rng.random() < 0.001)


def _delivery(k: int, place: int, endpoint: int, article_id: str, at: dt.datetime, *,
              bad: bool) -> Iterator[tuple[type[Any], dict[str, Any]]]:  # fmt: skip
    number = k * PARTNERS + place + 1
    yield DeliveryRow, {
        "id": number, "endpoint_id": endpoint, "event_number": k + 1, "article_id": article_id, "revision": 1,
        "kind": "article.published", "occurrence": 0, "webhook_id": f"msg_{number:032x}", "position": k + 1, "due_at": None, "begun": 1,
        "attempts": 1, "state": "quarantined" if bad else "delivered", "reason": "http-500" if bad else None,
        "delivered_at": None if bad else at,
    }  # fmt: skip
    yield AttemptRow, {
        "id": number, "delivery_id": number, "endpoint_id": endpoint, "number": 1, "at": at, "duration_ms": 20 + place,
        "outcome": "dead" if bad else "delivered", "status": 500 if bad else 200, "reason": None, "response": None, "chain": "0" * 64,
    }  # fmt: skip


_WORDS = [
    word for brief in content.briefs()[:6] for word in re.findall(r"[a-z]{4,}", content.plain(brief.body).lower())
]


_PAGE = ("<html><title>A page</title><body><h1>A page</h1>" + f"<p>{' '.join(_WORDS[:80])}</p>" * 12).encode()
_PACKED = pages.pack(_PAGE)


def _article(k: int, at: dt.datetime, rng: random.Random) -> records.Article:
    words = " ".join(rng.choices(_WORDS, k=8)).capitalize()
    moment = records.Moment(str(at), at.isoformat(), "UTC", "stated", "second")
    blocks = tuple(records.Paragraph(" ".join(rng.choices(_WORDS, k=60))) for _ in range(4))
    return records.Article(
        id=f"art_{k:016x}", source=f"source-{k % SOURCES}", source_item_id=None, url=f"https://s{k % SOURCES}.example/{k}",
        requested_url=None, final_url=None, revision=1, state="usable", content_hash="0" * 64, headline=words, language="en",
        language_evidence=None, authors=("A. Writer",), published=moment, modified=None, section=f"Section {k % SECTIONS}",
        category_status=records.CategoryStatus(), lead=None, blocks=blocks, images=(), tags=(), related=(),
    )  # fmt: skip


def paths(n: int) -> list[str]:
    """The pages, the heavy ones in the ways they are used."""
    return [
        "/", "/sources", "/sources/3", "/articles", f"/articles?q={'+'.join(_WORDS[:2])}", f"/articles?q={_WORDS[0]}&source=4",
        f"/articles?q={_WORDS[0][:3]}", "/articles?q=no-such-word", f"/articles?q=https://s4.example/{n - 16}", "/articles?source=4",
        "/articles?section=Section+3", "/articles?state=held", f"/articles/art_{n - 5:016x}", f"/articles/art_{n - 5:016x}/frame",
        f"/articles/art_{n - 5:016x}/why/2", "/partners", "/partners/2", "/withdrawals", "/sources/3/test", "/quarantine?q=partner",
        "/quarantine", "/quarantine?kind=entry&owner=1&reason=reason-0", "/sections", "/ledger", "/audit", "/account",
        "/metrics", "/api/numbers",
    ]  # fmt: skip


def measure(site: Site, path: str, visitor: requests.Session) -> tuple[float, int]:
    """(median ms of some runs, bytes) of one page, the first run left out: it fills the caches."""
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        answer = visitor.get(path)
        times.append(1000 * (time.perf_counter() - started))
        assert answer.status_code == 200, (path, answer.status_code)
    return statistics.median(times[1:]), len(answer.content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        store = Store(f"sqlite:///{folder / 'briefwire.sqlite3'}")
        migrations.upgrade(store)
        with store.read() as c:
            filled = bool(intake.sources(c))
        if not filled:
            fill(store, given.articles)
        found = time_pages(store, folder, given.articles)
        store.close()
    slowest, largest = max(found.values()), max(found.values(), key=lambda one: one[1])
    print(json.dumps({"articles": given.articles, "attempts": given.articles * PARTNERS, "pages": len(found),
                      "slowest_ms": round(slowest[0], 1), "largest_bytes": largest[1]}))  # fmt: skip


def time_pages(store: Store, folder: Path, n: int) -> dict[str, tuple[float, int]]:
    """Page -> (ms, bytes), printed as they come."""
    with served(store, folder) as site:
        with store.write() as c:
            if rows.account(c, "admin") is None:
                accounts.accept(c, accounts.add(c, "admin", "admin", clock.now()), PASSWORD, clock.now())
        visitor = site.visitor("admin")
        found = {}
        for path in paths(n):
            found[path] = measure(site, path, visitor)
            print(f"{found[path][0]:8.1f} ms {found[path][1]:7d} B  {path}", flush=True)
        latest = site.desk.sampler.latest
        print(f"{1000 * (latest.cost_s if latest else 0):8.2f} ms one look at the figures", flush=True)
    return found


if __name__ == "__main__":
    main()
