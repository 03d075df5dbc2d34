"""An extracted page into the store: a first revision, the next one, a duplicate, or nothing new."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from services.ingest import changes, schedule, sifting
from services.ingest.normalise import Extracted
from shared import queue
from shared.errors import Rejected
from shared.models import EntryRow, Row
from shared.queue import Failure, Work
from shared.store import articles, claims, drift, events, intake

SOFT_GONE = "soft-404"
"""The verdict on a page that answers 200 and says that there is nothing."""


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
    """The change against the newest known revision, kind none for the very same text; None for an article never seen.

    Raises:
        Rejected: the page now carries something else altogether; that is no revision of this article.
    """
    known = _known(connection, entry, found, lock=False)
    if known and known["content_hash"] == found.article.content_hash:
        return Compared(known["revision"], changes.Change("none", "Nothing of the article's own changed."))
    newest = articles.revision(connection, known["id"]) if known else None
    if newest is None:
        return None
    change = changes.compare(newest[0], found.article)
    if changes.another_article(change):
        raise Rejected("another-article", f"The page of “{newest[0].headline}” now carries something else.")
    return Compared(newest[0].revision, change)


Result = tuple[Extracted, Compared | None] | Failure


def settle(work: Work, pairs: Sequence[tuple[Row, Result]], kinds: dict[int, str]) -> None:
    """Commits what extracting a batch of claimed entries came to, except where the claim was lost; `kinds` are their sources'.

    Articles never seen, the usual case, are stored all at once; the others one by one.
    """
    ours = {row["id"] for row in claims.mine(work.connection, EntryRow, [row for row, _ in pairs])}
    kept = [(row, result) for row, result in pairs if row["id"] in ours]
    waits, held = sifting.sift(work, [(row, _to_judge(result)) for row, result in kept], kinds)
    done = {
        row["id"]: _failed(work, row, result, held=row["source_id"] in held)
        for row, result in kept
        if isinstance(result, Failure)
    }
    done |= {row["id"]: _waits(row, waits[row["id"]]) for row, _ in kept if row["id"] in waits}
    found = {
        row["id"]: (row, *result) for row, result in kept if not isinstance(result, Failure) and row["id"] not in waits
    }
    for key, stored in store(work, list(found.values())).items():
        row, extracted, _ = found[key]
        done[key] = _finished(work, row, extracted, stored)
        if stored.changed:
            work.ring("article.ingested", [stored.article_id])
    intake.finish_entries(work.connection, list(done.values()))
    read = [
        row["page_id"] for row, _ in kept if done[row["id"]].state in ("stored", "duplicate") and row["id"] not in waits
    ]
    intake.forget_unarchived(work.connection, read)


def _to_judge(result: Result) -> sifting.Result[Compared | None]:
    """The page without a shape where its article is known with the very same text: nothing leaves."""
    if isinstance(result, Failure) or result[1] is None or result[1].change.kind != "none":
        return result
    return msgspec.structs.replace(result[0], shape=None), result[1]


def _failed(work: Work, row: Row, failure: Failure, *, held: bool) -> intake.Finished:
    """Quarantined. A known article whose page says that it is not there is looked at again, then withdrawn: unless the whole
    source is held, when the page says it of everything."""
    if failure.detail == SOFT_GONE and row["article_id"] and not held:
        return _soft_gone(work, row, failure)
    state = "quarantined" if row["state"] == "waiting" else row["state"]  # a known article keeps its place in the book
    return intake.Finished(row["id"], state, failure.reason, failure.detail, row["article_id"], row["host"])


def _soft_gone(work: Work, row: Row, failure: Failure) -> intake.Finished:
    if row["soft_gone"] == 0:
        again = work.now + dt.timedelta(seconds=queue.SETTINGS.fetch.gone_confirm_s)
        detail = "The page says that it is not there; looking again to be sure."
        return intake.Finished(
            row["id"], row["state"], "gone", detail, row["article_id"], row["host"], again, soft_gone=1
        )
    if articles.booked_entry(work.connection, row["article_id"]) in (None, row["id"]):
        withdraw(work, row["article_id"], "gone")
    return intake.Finished(
        row["id"], "gone", "gone", "The page said twice that it is not there.", row["article_id"], row["host"]
    )


def withdraw(work: Work, article_id: str, reason: str) -> None:
    """The article is withdrawn: straight into the event log, so that it overtakes what waits."""
    article = articles.locked(work.connection, article_id)
    if article is None or article["state"] == "withdrawn":
        return
    articles.set_article(work.connection, article_id, state="withdrawn", reason=reason, due_at=work.now)
    work.ring("article.ingested", [article_id])  # enrichment takes it out of others' links
    occurrence = events.occurrences(work.connection, "article.withdrawn", [article_id]).get(article_id, 0)
    work.log(events.NewEvent("article.withdrawn", article_id, article["revision"], article["backfill"], occurrence))


def _waits(row: Row, why: str) -> intake.Finished:
    """Held before it leaves; what is known of its article stays as it is."""
    state = "quarantined" if row["state"] == "waiting" else row["state"]
    return intake.Finished(
        row["id"], state, drift.REASON, why, row["article_id"], row["host"], held_page=row["page_id"]
    )


def _finished(work: Work, row: Row, found: Extracted, stored: Stored) -> intake.Finished:
    published = found.article.published
    again = revisit_at(published.at if published else row["seen_at"], work.now, queue.SETTINGS.fetch.revisit_pace)
    looks_again = row["host"] is not None and stored.state == "stored"
    return intake.Finished(
        row["id"], stored.state, None, None, stored.article_id, row["host"], again if looks_again else None
    )


def store(work: Work, found: Sequence[tuple[Row, Extracted, Compared | None]]) -> dict[int, Stored]:
    """Stores articles. The second time, or by another entry, it is a quiet no-op. Returns entry id -> what became of it."""
    known = articles.known_identities(work.connection, [extracted.identity for _, extracted, _ in found])
    fresh: dict[str, articles.New] = {}
    unknown = [(row, one) for row, one, _ in found if one.identity not in known and row["article_id"] is None]
    again = _printed_twice(work, unknown)
    for row, extracted in unknown:
        if row["id"] not in again:
            fresh.setdefault(extracted.identity, articles.New(
                extracted.article, extracted.identity, row["source_id"], row["id"], row["page_id"]))  # fmt: skip
    created = articles.create_many(work.connection, list(fresh.values()), work.now) if fresh else set()
    done = {
        one.entry_id: Stored(one.article.id, "stored", changed=True)
        for one in fresh.values()
        if one.article.id in created
    }
    done |= {entry_id: Stored(article_id, "duplicate", changed=False) for entry_id, article_id in again.items()}
    for row, extracted, compared in found:
        if row["id"] not in done:
            done[row["id"]] = _store_known(work, row, extracted, compared)
    return done


def _printed_twice(work: Work, found: Sequence[tuple[Row, Extracted]]) -> dict[int, str]:
    """Entry id -> the article that its source printed under another address: the same words, and the same printed instant.

    Without a date two texts may be the same and mean two days, as a report that says "no change" does.
    """
    dated = {
        row["id"]: (row["source_id"], one.article.content_hash, one.article.published.at)
        for row, one in found
        if one.article.published is not None and one.article.published.precision in ("second", "minute")
    }
    known = intake.printed(work.connection, {key[1] for key in dated.values()})
    return {entry_id: known[key] for entry_id, key in dated.items() if key in known}


def _store_known(work: Work, row: Row, found: Extracted, compared: Compared | None) -> Stored:
    known = _known(work.connection, row, found, lock=True)
    assert known is not None  # it was known before, or somebody else created it just now
    state = "stored" if _first_of(work.connection, known["id"], row) else "duplicate"
    if known["content_hash"] == found.article.content_hash and known["state"] == "usable":
        return Stored(known["id"], state, changed=False)
    articles.revise(work.connection, known, found.article, _kind(known, compared), row["id"], row["page_id"], work.now)
    return Stored(known["id"], state, changed=True)


def revisit_at(article_at: dt.datetime, now: dt.datetime, pace: float) -> dt.datetime | None:
    """When the page of an article published then is looked at again; None: never."""
    wait_s = schedule.revisit((now - article_at).total_seconds()) if pace > 0 else None
    return None if wait_s is None else now + dt.timedelta(seconds=wait_s * pace)


def _known(connection: Connection, entry: Row, found: Extracted, *, lock: bool) -> Row | None:
    """The article by its address, else by the entry that it came by."""
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
