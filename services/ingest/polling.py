"""One poll of one source: bytes over the door, entries out, and when to come again. No database here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from services.ingest import directives, fetch, listings, schedule, sitemaps, websub
from services.ingest.profiles import Profile
from shared import records, urls
from shared.errors import Rejected
from shared.http import Door
from shared.models import Row
from shared.sandbox import Sandbox
from shared.store.intake import NewEntry

_FEEDS = Sandbox("services.ingest.feeds:parse", cpu_s=5.0, memory_mb=1024, wall_s=20.0)
_SITEMAPS = Sandbox("services.ingest.sitemaps:parse", cpu_s=5.0, memory_mb=1024, wall_s=20.0)


class Read(msgspec.Struct, frozen=True):
    """What a poll brought. `feed` is None where nothing changed since last time; `hub` is the WebSub hub it names, and the topic."""

    feed: records.Feed | None
    outcome: schedule.Outcome
    etag: str | None = None
    last_modified: str | None = None
    hub: tuple[str, str] | None = None


def read(door: Door, source: Row, profile: Profile | None, *, obey: Sequence[str] = ()) -> Read:
    """Fetches and parses a source. `obey` names what a section page may ask of robots: with nofollow its links are not followed.

    Raises:
        Retryable, Rejected: it could not be fetched, or is not what it was added as.
    """
    got = fetch.get(door, source["url"], etag=source["etag"], last_modified=source["last_modified"])
    match got:
        case fetch.NotModified():
            return Read(
                None,
                schedule.Outcome(kind="unchanged", max_age_s=got.max_age_s, moved_to=_moved(source, got)),
                source["etag"],
                source["last_modified"],
            )
        case fetch.Gone(status=410):
            return Read(None, schedule.Outcome(kind="gone"))
        case fetch.Gone(status=status):
            raise Rejected("not-found", f"{source['url']} answered {status}; check the address.")
        case fetch.Page():
            asked = directives.read(got.headers, got.body, got.fetched_at) if source["kind"] == "listing" else ()
            if "nofollow" in asked and "nofollow" in obey:
                raise Rejected("nofollow", f"{source['url']} asks robots to follow none of its links (nofollow).")
            feed = parse(source["kind"], got.body, got.final_url, got.content_type, profile)
            if feed.kind == "sitemap-index":
                feed = _through_index(door, feed)
            outcome = schedule.Outcome(
                kind="read", ttl_s=feed.ttl_s, max_age_s=got.max_age_s, moved_to=_moved(source, got)
            )
            hub = websub.offered(feed, got.body, got.final_url, got.headers)
            return Read(feed, outcome, got.etag, got.last_modified, hub)


def _moved(source: Row, got: fetch.Page | fetch.NotModified) -> str | None:
    """Where a permanent redirect led, whether or not anything changed there."""
    return got.final_url if got.permanent and got.final_url != source["url"] else None


def _through_index(door: Door, index: records.Feed) -> records.Feed:
    """The entries of those sitemaps of an index that are worth reading at a poll."""
    entries: list[records.Entry] = []
    for url in sitemaps.worth_reading(index):
        got = fetch.get(door, url)
        if isinstance(got, fetch.Page):
            entries += parse("sitemap", got.body, got.final_url, got.content_type, None).entries
    return msgspec.structs.replace(index, entries=tuple(entries))


def parse(kind: str, body: bytes, url: str, content_type: str | None, profile: Profile | None) -> records.Feed:
    """Bytes of a source of that kind as entries; feeds are parsed in a child with a CPU limit."""
    if kind == "listing":
        selector: Any = getattr(profile, "listing", None)
        return listings.parse(body, url, link_selector=selector, content_type=content_type)
    box = _SITEMAPS if kind == "sitemap" else _FEEDS
    feed: records.Feed = box.call(body, url) if kind == "sitemap" else box.call(body, url, content_type)
    return feed


def new_entries(feed: records.Feed, *, first_poll: bool, now: dt.datetime, backfill_days: float) -> list[NewEntry]:
    """The feed's entries with their lanes; those without a usable link are kept too, with no lane."""
    return [
        NewEntry(entry, host_of(entry.url), schedule.backfill(entry, first_poll, now, backfill_days)) for entry in feed.entries
    ]  # fmt: skip


def host_of(url: str | None) -> str | None:
    """The key of the host's lane; None where the URL leads nowhere that we could ask."""
    try:
        return urls.host_key(url) if url else None
    except Rejected:
        return None
