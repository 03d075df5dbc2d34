"""Sources, their entries, the bytes of their pages: the ingest service's rows."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, case, func, insert, select, update

from shared import pages as shelf
from shared import records
from shared.errors import OperatorError
from shared.models import ArticleRow, EntryRow, PageRow, RobotsRow, Row, SourceRow
from shared.store import claims, lanes
from shared.store.rows import insert_ignore, update_many, upsert

CHANGED = "changed"
"""The reason of an entry whose page is to be fetched once more as soon as what we have of it is through."""


class NewEntry(msgspec.Struct, frozen=True):
    """An entry as a poll saw it. `host` is the key of the lane that fetches it."""

    entry: records.Entry
    host: str | None
    backfill: bool


class NewPage(msgspec.Struct, frozen=True):
    """Bytes as fetched or pushed in."""

    body: bytes
    requested_url: str | None
    final_url: str | None
    status: int
    content_type: str | None
    fetched_at: dt.datetime
    etag: str | None = None
    last_modified: str | None = None
    place: str | None = None
    """Where the bytes stand already, if not in the row (`shared.pages.shelve`)."""
    packed: bytes | None = None
    """The bytes packed already, so that no transaction has to."""
    directives: str | None = None
    """What the page asks of robots, parted by spaces, as far as that is obeyed."""


def add_source(connection: Connection, *, name: str, url: str, kind: str, profile: str | None, now: dt.datetime) -> int:
    """A new source, due at once. Raises OperatorError where the name is taken."""
    if connection.execute(select(SourceRow.id).where(SourceRow.name == name)).first():
        raise OperatorError(f"There is a source named {name} already.", "Choose another with --name.")
    due_at = None if kind == "push" else now
    values = {"name": name, "url": url, "kind": kind, "profile": profile, "created_at": now, "due_at": due_at}
    return int(connection.execute(insert(SourceRow).values(values).returning(SourceRow.id)).scalar_one())


def sources(connection: Connection) -> list[Row]:
    """Every source that was not removed, by name."""
    found = select(*SourceRow.__table__.columns).where(SourceRow.state != "removed").order_by(SourceRow.name)
    return [dict(row) for row in connection.execute(found).mappings()]


def source(connection: Connection, name: str) -> Row:
    """One source by name; raises OperatorError where there is none."""
    found = select(*SourceRow.__table__.columns).where(SourceRow.name == name, SourceRow.state != "removed")
    row = connection.execute(found).mappings().first()
    if row is None:
        raise OperatorError(f"There is no source named {name}.", "`briefwire source list` shows them.")
    return dict(row)


def set_source(connection: Connection, source_id: int, **values: Any) -> None:
    """Changes a source outside a claim (pause, resume, remove, poll now)."""
    connection.execute(update(SourceRow).where(SourceRow.id == source_id).values(values))


def due_sources(connection: Connection, now: dt.datetime, limit: int) -> list[int]:
    """Active sources whose poll is due and that nobody polls."""
    found = (
        select(SourceRow.id).where(SourceRow.state == "active", claims.due(SourceRow, now)).order_by(SourceRow.due_at)
    )
    return list(connection.execute(found.limit(limit)).scalars())


def claim_sources(connection: Connection, ids: Collection[int], now: dt.datetime) -> list[Row]:
    """Takes sources to poll."""
    return claims.claim(connection, SourceRow, ids, now, where=(SourceRow.state == "active",))


def known_since(connection: Connection, source_id: int, limit: int = 200) -> list[dt.datetime]:
    """When the source's newest entries were first seen, newest first: its rhythm."""
    found = select(EntryRow.seen_at).where(EntryRow.source_id == source_id, EntryRow.backfill.is_(False))
    return list(connection.execute(found.order_by(EntryRow.id.desc()).limit(limit)).scalars())


def printed_dates(connection: Connection, source_id: int, limit: int = 60) -> list[dt.datetime]:
    """When the source's newest back-fill says that it was published: a rhythm for a source that was only just added."""
    found = select(EntryRow.item).where(EntryRow.source_id == source_id, EntryRow.backfill.is_(True))
    items = connection.execute(found.order_by(EntryRow.id.desc()).limit(limit)).scalars()
    printed = (records.from_json(item, records.Entry).published_utc for item in items)
    return [dt.datetime.fromisoformat(at) for at in printed if at]


def add_entries(
    connection: Connection, source_id: int, found: Sequence[NewEntry], now: dt.datetime
) -> tuple[int, list[str]]:
    """Entries never seen become rows; known ones that changed in the feed are looked at again.

    Raises the source's `seen` in the same transaction. Returns (how many are new, lanes of hosts that have work).
    """
    rows = [_entry_row(source_id, new, now) for new in found]
    known = _known(connection, source_id, [row["key_hash"] for row in rows])
    fresh = [row for row in rows if row["key_hash"] not in known]
    changed = [row for row in rows if row["host"] and known.get(row["key_hash"], row["item_hash"]) != row["item_hash"]]
    hosts = {lanes.host_lane(row["host"]) for row in [*fresh, *changed] if row["host"]}
    lanes.wake(connection, "host", hosts, now)  # lanes before entries, as whoever drains them locks them
    added = set(insert_ignore(connection, EntryRow, fresh, conflict=["source_id", "key_hash"], returning="key_hash"))
    if added:
        values: dict[str, Any] = {"seen": SourceRow.seen + len(added), "new_at": now}
        connection.execute(update(SourceRow).where(SourceRow.id == source_id).values(values))
    for row in changed:
        _look_again(connection, source_id, row, now)
    return len(added), sorted(hosts)


def push_entry(
    connection: Connection, source_id: int, new: NewEntry, page: NewPage, now: dt.datetime
) -> tuple[int, bool]:
    """A page or text pushed in: entry and bytes at once. Returns (entry id, whether it is new); pushing twice changes nothing."""
    row = _entry_row(source_id, new, now)
    digest = hashlib.sha256(page.body).hexdigest()
    known = connection.execute(
        select(EntryRow.id, EntryRow.item_hash).where(
            EntryRow.source_id == source_id, EntryRow.key_hash == row["key_hash"]
        )
    ).first()
    if known is None:
        values = row | {"item_hash": digest, "state": "waiting", "reason": None, "host": None, "step": None}
        entry_id = int(connection.execute(insert(EntryRow).values(values).returning(EntryRow.id)).scalar_one())
        connection.execute(update(SourceRow).where(SourceRow.id == source_id)
                           .values(seen=SourceRow.seen + 1, new_at=now))  # fmt: skip
    elif known.item_hash == digest:
        return int(known.id), False
    else:
        entry_id = int(known.id)
        connection.execute(update(EntryRow).where(EntryRow.id == entry_id).values(item_hash=digest))
    keep_page(connection, entry_id, page)
    return entry_id, True


def key_hash(key: str) -> str:
    """What an entry is found by within its source."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def is_known(connection: Connection, source_id: int, key: str) -> bool:
    """Whether the source has an entry of that key."""
    found = select(EntryRow.id).where(EntryRow.source_id == source_id, EntryRow.key_hash == key_hash(key))
    return connection.execute(found).first() is not None


def marks(connection: Connection, source_id: int) -> dict[str, str]:
    """Key hash -> mark of every watched file that was taken in."""
    found = select(EntryRow.key_hash, EntryRow.mark).where(EntryRow.source_id == source_id, EntryRow.mark.is_not(None))
    return {key: str(mark) for key, mark in connection.execute(found)}


def mark(connection: Connection, entry_id: int, mark: str) -> None:
    """Notes the state of the file that an entry was taken from."""
    connection.execute(update(EntryRow).where(EntryRow.id == entry_id).values(mark=mark))


def keep_page(connection: Connection, entry_id: int, page: NewPage, *, seen: str | None = None) -> int:
    """Keeps the bytes, and has the entry wait for extraction; whoever extracts older bytes of it loses the claim.

    `seen` is the hash of the feed's item for which the page was fetched: where the item is another by now, the page will be
    fetched again afterwards. Returns the page's id.
    """
    values = {
        "entry_id": entry_id, "requested_url": page.requested_url, "final_url": page.final_url, "status": page.status,
        "content_type": page.content_type, "sha256": hashlib.sha256(page.body).hexdigest(), "size": len(page.body),
        "body": None if page.place else page.packed or shelf.pack(page.body), "place": page.place,
        "fetched_at": page.fetched_at, "directives": page.directives,
    }  # fmt: skip
    page_id = int(connection.execute(insert(PageRow).returning(PageRow.id), values).scalar_one())
    connection.execute(update(EntryRow).where(EntryRow.id == entry_id).values(
        step="extract", due_at=page.fetched_at, page_id=page_id, failures=0, gone_seen=0, etag=page.etag,
        last_modified=page.last_modified, attempts=0, lease_epoch=EntryRow.lease_epoch + 1, lease_owner=None, lease_until=None,
        reason=case((EntryRow.item_hash != seen, CHANGED), else_=None) if seen else None,
    ))  # fmt: skip
    return page_id


def changed_since(connection: Connection, entry: Row) -> bool:
    """Whether the feed names another text by now than when this entry was read. Locks the entry."""
    found = select(EntryRow.item_hash).where(EntryRow.id == entry["id"]).with_for_update()
    return bool(connection.execute(found).scalar_one() != entry["item_hash"])


def next_to_fetch(
    connection: Connection, host: str, now: dt.datetime, limit: int, *, but: Collection[int] = ()
) -> list[Row]:
    """The host's entries that are due, longest waiting first; those with the ids `but` are under way already."""
    found = (
        select(*EntryRow.__table__.columns)
        .where(EntryRow.step == "fetch", EntryRow.host == host, EntryRow.due_at <= now, EntryRow.id.not_in(but))
        .order_by(EntryRow.due_at)
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(found).mappings()]


def put_off(
    connection: Connection, entry_id: int, due_at: dt.datetime, reason: str, detail: str, **values: Any
) -> None:
    """The fetch is tried again at `due_at`."""
    changes = {"due_at": due_at, "reason": reason, "detail": detail[:500]} | values
    connection.execute(update(EntryRow).where(EntryRow.id == entry_id).values(changes))


def finish_entry(connection: Connection, entry_id: int, state: str, *, reason: str | None = None, detail: str | None = None,
                 article_id: str | None = None, revisit_at: dt.datetime | None = None) -> None:  # fmt: skip
    """The entry has its place in the book; with `revisit_at` its page is looked at again then, or at once where it changed."""
    found = select(EntryRow.host, EntryRow.reason, EntryRow.due_at).where(EntryRow.id == entry_id).with_for_update()
    before = connection.execute(found).one()
    if before.reason == CHANGED:
        revisit_at = before.due_at
    values: dict[str, Any] = {
        "state": state, "reason": reason, "detail": detail[:500] if detail else None, "lease_owner": None,
        "lease_until": None, "attempts": 0, "step": "fetch" if revisit_at else None, "due_at": revisit_at, "gone_seen": 0,
    }  # fmt: skip
    if article_id is not None:
        values["article_id"] = article_id
    connection.execute(update(EntryRow).where(EntryRow.id == entry_id).values(values))
    if revisit_at is not None and before.host:
        lanes.wake(connection, "host", [lanes.host_lane(before.host)], revisit_at)


class Finished(msgspec.Struct, frozen=True):
    """An entry's place in the book, and when its page is looked at again, if ever."""

    entry_id: int
    state: str
    reason: str | None = None
    detail: str | None = None
    article_id: str | None = None
    host: str | None = None
    revisit_at: dt.datetime | None = None
    held_page: int | None = None
    soft_gone: int = 0


def finish_entries(connection: Connection, done: Sequence[Finished]) -> None:
    """`finish_entry` for many."""
    found = select(EntryRow.id, EntryRow.due_at).where(
        EntryRow.id.in_([one.entry_id for one in done]), EntryRow.reason == CHANGED
    )
    changed = dict(connection.execute(found.with_for_update()).all())
    done = [msgspec.structs.replace(one, revisit_at=changed.get(one.entry_id, one.revisit_at)) for one in done]
    rows = [
        {"id": one.entry_id, "state": one.state, "reason": one.reason, "detail": one.detail[:500] if one.detail else None,
         "article_id": one.article_id, "step": "fetch" if one.revisit_at else None, "due_at": one.revisit_at,
         "lease_owner": None, "lease_until": None, "attempts": 0, "gone_seen": 0, "held_page": one.held_page,
         "soft_gone": one.soft_gone}
        for one in done
    ]  # fmt: skip
    update_many(connection, EntryRow, rows, key=["id"])
    again: dict[str, dt.datetime] = {}
    for one in done:
        if one.revisit_at is not None and one.host:
            again[one.host] = min(one.revisit_at, again.get(one.host, one.revisit_at))
    for host in sorted(again):
        lanes.wake(connection, "host", [lanes.host_lane(host)], again[host])


def printed(connection: Connection, hashes: Collection[str]) -> dict[tuple[int, str, dt.datetime], str]:
    """(source, hash of its words, published) -> article id, of those that have one of the hashes and are not withdrawn."""
    found = select(ArticleRow.source_id, ArticleRow.content_hash, ArticleRow.published_at, ArticleRow.id).where(
        ArticleRow.content_hash.in_(list(hashes)), ArticleRow.published_at.is_not(None), ArticleRow.state == "usable"
    )
    return {(source, digest, at): key for source, digest, at, key in connection.execute(found) if at} if hashes else {}


def due_pages(connection: Connection, now: dt.datetime, limit: int) -> list[Row]:
    """Entries that wait for extraction and that nobody holds: id and attempts, longest waiting first."""
    found = select(EntryRow.id, EntryRow.attempts).where(EntryRow.step == "extract", claims.due(EntryRow, now))
    return [dict(row) for row in connection.execute(found.order_by(EntryRow.due_at).limit(limit)).mappings()]


def claim_pages(connection: Connection, ids: Collection[int], now: dt.datetime) -> list[Row]:
    """Takes entries to extract."""
    return claims.claim(connection, EntryRow, ids, now, where=(EntryRow.step == "extract",))


def pages(connection: Connection, ids: Collection[int]) -> dict[int, Row]:
    """Page rows by id, bodies inflated; without those whose bytes are not kept any more."""
    found = select(*PageRow.__table__.columns).where(PageRow.id.in_(list(ids)))
    rows = [dict(row) for row in connection.execute(found).mappings()]
    return {row["id"]: row | {"body": _bytes(row)} for row in rows if row["place"] or row["body"] is not None}


def forget_unarchived(connection: Connection, page_ids: Collection[int]) -> None:
    """Drops the bytes of those pages that ask not to be archived; that they were fetched, and their digest, stays."""
    asked = PageRow.directives.contains("noarchive")
    connection.execute(update(PageRow).where(PageRow.id.in_(list(page_ids)), asked).values(body=None))


def _bytes(row: Row) -> bytes:
    if row["place"]:
        return shelf.take(row["place"], row["size"])
    return shelf.unpack(row["body"], row["size"])


def source_facts(connection: Connection, ids: Collection[int]) -> dict[int, Row]:
    """Name, kind and profile of sources by id."""
    found = select(SourceRow.id, SourceRow.name, SourceRow.kind, SourceRow.profile, SourceRow.url)
    return {row["id"]: dict(row) for row in connection.execute(found.where(SourceRow.id.in_(list(ids)))).mappings()}


def robots(connection: Connection, host: str) -> Row | None:
    """What the host's robots.txt said when last asked."""
    row = connection.execute(select(*RobotsRow.__table__.columns).where(RobotsRow.host == host)).mappings().first()
    return dict(row) if row else None


def keep_robots(connection: Connection, host: str, rules: bytes, now: dt.datetime, *, read: bool) -> None:
    """Keeps the rules of a host; `read` says that they came from the host itself and not from its silence."""
    before = robots(connection, host)
    read_at = now if read else before["read_at"] if before else None
    upsert(
        connection, RobotsRow, [{"host": host, "rules": rules, "asked_at": now, "read_at": read_at}], conflict=["host"]
    )


def entry_of(row: Row) -> records.Entry:
    """The feed's own words about an entry row."""
    return records.from_json(row["item"], records.Entry)


def count_states(connection: Connection) -> dict[int, dict[str, int]]:
    """Source id -> state -> how many entries."""
    found = select(EntryRow.source_id, EntryRow.state, func.count()).group_by(EntryRow.source_id, EntryRow.state)
    counts: dict[int, dict[str, int]] = {}
    for source_id, state, n in connection.execute(found):
        counts.setdefault(source_id, {})[state] = n
    return counts


def _entry_row(source_id: int, new: NewEntry, now: dt.datetime) -> Row:
    item = records.to_json(new.entry)
    return {
        "source_id": source_id, "key_hash": key_hash(new.entry.key),
        "url": new.entry.url, "host": new.host, "item": item, "item_hash": hashlib.sha256(item).hexdigest(),
        "state": "waiting" if new.host else "quarantined", "reason": None if new.host else "no-link",
        "step": "fetch" if new.host else None, "due_at": now, "seen_at": now, "backfill": new.backfill,
        "lease_epoch": 0, "attempts": 0, "failures": 0, "gone_seen": 0,
    }  # fmt: skip


def _known(connection: Connection, source_id: int, hashes: list[str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for i in range(0, len(hashes), 500):
        found = select(EntryRow.key_hash, EntryRow.item_hash).where(
            EntryRow.source_id == source_id, EntryRow.key_hash.in_(hashes[i : i + 500])
        )
        known |= dict(connection.execute(found).all())
    return known


def _look_again(connection: Connection, source_id: int, row: Row, now: dt.datetime) -> None:
    changes: dict[str, Any] = {
        "item": row["item"],
        "item_hash": row["item_hash"],
        "url": row["url"],
        "host": row["host"],
        "reason": case((EntryRow.step == "extract", CHANGED), else_=EntryRow.reason),
    }
    found = (EntryRow.source_id == source_id, EntryRow.key_hash == row["key_hash"])
    connection.execute(update(EntryRow).where(*found).values(changes))
    waits = (EntryRow.step.is_(None)) | (EntryRow.step == "fetch")
    connection.execute(update(EntryRow).where(*found, waits).values(step="fetch", due_at=now))


def look_again(connection: Connection, now: dt.datetime) -> int:
    """Has every page of an active source that has a lane fetched again now. Returns how many."""
    waits = (
        EntryRow.host.is_not(None),
        EntryRow.state.in_(["stored", "duplicate"]),
        EntryRow.step.is_distinct_from("extract"),
    )
    hosts = connection.execute(select(EntryRow.host).where(*waits).distinct()).scalars()
    lanes.wake(connection, "host", [lanes.host_lane(str(host)) for host in hosts], now)
    return int(connection.execute(update(EntryRow).where(*waits).values(step="fetch", due_at=now)).rowcount)


def pages_since(connection: Connection, since: dt.datetime) -> int:
    """How many pages were fetched or pushed in after that instant."""
    return int(connection.execute(select(func.count()).where(PageRow.fetched_at > since)).scalar_one())
