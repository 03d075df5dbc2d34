"""An extracted page into the store: a first revision, the next one, a duplicate, or nothing new."""

from __future__ import annotations

import datetime as dt

import msgspec
from sqlalchemy import Connection

from services.ingest import changes, schedule
from services.ingest.normalise import Extracted
from shared.errors import Rejected
from shared.models import Row
from shared.store import articles


class Stored(msgspec.Struct, frozen=True):
    """What became of it: the article's id, the entry's place in the book, and whether there is a new revision."""

    article_id: str
    state: str
    changed: bool


class Compared(msgspec.Struct, frozen=True):
    """How an extracted article differs from the revision that is known: compared before the transaction, since it takes time."""

    revision: int
    change: changes.Change


def compare(connection: Connection, entry: Row, found: Extracted) -> Compared | None:
    """The change against the newest known revision; None for an article never seen.

    Raises:
        Rejected: the page now carries something else altogether; that is no revision of this article.
    """
    known = _known(connection, entry, found, lock=False)
    newest = (
        articles.revision(connection, known["id"])
        if known and known["content_hash"] != found.article.content_hash
        else None
    )
    if newest is None:
        return None
    change = changes.compare(newest[0], found.article)
    if changes.another_article(change):
        raise Rejected("another-article", f"The page of “{newest[0].headline}” now carries something else.")
    return Compared(newest[0].revision, change)


def store(
    connection: Connection, entry: Row, found: Extracted, compared: Compared | None, page_id: int, now: dt.datetime
) -> Stored:
    """Stores what was extracted for an entry. The second time, or by another entry, it is a quiet no-op."""
    article = found.article
    known = _known(connection, entry, found, lock=True)
    if known is None:
        if articles.create(connection, article, found.identity, entry["source_id"], entry["id"], page_id, now):
            return Stored(article.id, "stored", changed=True)
        known = articles.find(connection, found.identity, lock=True)
        assert known is not None  # somebody else created it just now
    state = "stored" if _first_of(connection, known["id"], entry) else "duplicate"
    if known["content_hash"] == article.content_hash and known["state"] == "usable":
        return Stored(known["id"], state, changed=False)
    articles.revise(connection, known, article, _kind(known, compared), entry["id"], page_id, now)
    return Stored(known["id"], state, changed=True)


def revisit_at(article_at: dt.datetime, now: dt.datetime, pace: float) -> dt.datetime | None:
    """When the page of an article published then is looked at again; None: never."""
    wait_s = schedule.revisit((now - article_at).total_seconds()) if pace > 0 else None
    return None if wait_s is None else now + dt.timedelta(seconds=wait_s * pace)


def _known(connection: Connection, entry: Row, found: Extracted, *, lock: bool) -> Row | None:
    known = articles.find(connection, found.identity, lock=lock)
    if known is None and entry["article_id"]:  # the page moved: the entry still means the same article
        return (
            articles.locked(connection, entry["article_id"]) if lock else articles.get(connection, entry["article_id"])
        )
    return known


def _first_of(connection: Connection, article_id: str, entry: Row) -> bool:
    """Whether this entry is the one that the article is booked under."""
    return articles.booked_entry(connection, article_id) in (None, entry["id"])


def _kind(known: Row, compared: Compared | None) -> str:
    if known["state"] == "withdrawn":
        return "restored"
    return "correction" if compared is not None and compared.change.kind == "correction" else "update"
