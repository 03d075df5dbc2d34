"""An extracted page into the store: a first revision, the next one, a duplicate, or nothing new."""

from __future__ import annotations

import datetime as dt

import msgspec
from sqlalchemy import Connection

from services.ingest import changes, schedule
from services.ingest.normalise import Extracted
from shared import records
from shared.models import Row
from shared.store import articles


class Stored(msgspec.Struct, frozen=True):
    """What became of it: the article's id, the entry's place in the book, and whether there is a new revision."""

    article_id: str
    state: str
    changed: bool


def store(connection: Connection, entry: Row, found: Extracted, page_id: int, now: dt.datetime) -> Stored:
    """Stores what was extracted for an entry. The second time, or by another entry, it is a quiet no-op."""
    article = found.article
    known = _known(connection, entry, found)
    if known is None:
        if articles.create(connection, article, found.identity, entry["source_id"], entry["id"], page_id, now):
            return Stored(article.id, "stored", changed=True)
        known = articles.find(connection, found.identity, lock=True)
        assert known is not None  # somebody else created it just now
    state = "stored" if _first_of(connection, known["id"], entry) else "duplicate"
    if known["content_hash"] == article.content_hash and known["state"] == "usable":
        return Stored(known["id"], state, changed=False)
    kind = _kind(connection, known, article)
    articles.revise(connection, known, article, kind, entry["id"], page_id, now)
    return Stored(known["id"], state, changed=True)


def revisit_at(article_at: dt.datetime, now: dt.datetime, pace: float) -> dt.datetime | None:
    """When the page of an article published then is looked at again; None: never."""
    wait_s = schedule.revisit((now - article_at).total_seconds()) if pace > 0 else None
    return None if wait_s is None else now + dt.timedelta(seconds=wait_s * pace)


def _known(connection: Connection, entry: Row, found: Extracted) -> Row | None:
    known = articles.find(connection, found.identity, lock=True)
    if known is None and entry["article_id"]:  # the page moved: the entry still means the same article
        return articles.locked(connection, entry["article_id"])
    return known


def _first_of(connection: Connection, article_id: str, entry: Row) -> bool:
    """Whether this entry is the one that the article is booked under."""
    return articles.booked_entry(connection, article_id) in (None, entry["id"])


def _kind(connection: Connection, known: Row, article: records.Article) -> str:
    if known["state"] == "withdrawn":
        return "restored"
    before = articles.revision(connection, known["id"])
    if before is None:
        return "update"
    return "correction" if changes.compare(before[0], article).kind == "correction" else "update"
