"""A host's lane, drained politely: one page after the other, a gap between them, the host's wishes obeyed.

claim the lane | fetch one page | commit its bytes, or its fate | wait the gap | ... | rest the lane
"""

from __future__ import annotations

import datetime as dt
import time

import msgspec

from services.ingest import fetch, manners, storing
from shared import clock, pages, queue
from shared.errors import Rejected
from shared.models import LaneRow, Row
from shared.queue import Failure, Work, attempt, begin, holding
from shared.store import articles, claims, events, intake, lanes

CFG = queue.SETTINGS
SLICE_S = 5.0  # a drain gives its thread back after this long; what is left is rung again
CALL_S = CFG.fetch.deadline_s + 5.0
TRIES = 10

_HOST_FAULTS = frozenset((
    "slow-down", "dns-failed", "dns-timeout", "connect-refused", "connect-timeout", "connect-failed",
    "connection-reset", "deadline", "tls-failed", "robots-unreachable", "bot-wall", "server-error",
))  # fmt: skip
"""Reasons that say something about the host, not about one page: its whole lane waits."""


def drain(key: str) -> None:
    """Fetches what is due on the lane, for a few seconds."""
    with begin() as work:
        lane = lanes.claim(work.connection, key, work.now, claims.LEASE_S + CALL_S)
    if lane is None:
        return
    with holding(LaneRow, [lane]):
        blocked = _fetch_some(lane)
        with begin() as work:
            left = lanes.rest(
                work.connection, lane, blocked_until=blocked, failures=lane["failures"] + 1 if blocked else 0
            )
            if left is not None and left <= work.now and blocked is None:
                work.ring("host.due", [key])


def _fetch_some(lane: Row) -> dt.datetime | None:
    """Fetches until nothing is due or the time is up. Returns until when the whole lane must wait."""
    until, blocked = time.monotonic() + SLICE_S, None
    while blocked is None and time.monotonic() < until:
        entry = _next(lane["key"])
        if entry is None:
            break
        got = attempt(page_of, entry)
        with begin() as work:
            blocked = settle(work, lane, entry, got)
        time.sleep(min(gap_s(entry["url"]), SLICE_S))
    return blocked


class Shelved(msgspec.Struct, frozen=True):
    """A page whose bytes stand on the page shelf already."""

    page: fetch.Page
    place: str


Got = fetch.Page | Shelved | fetch.NotModified | fetch.Gone


def page_of(entry: Row) -> Got:
    """The entry's page over the door. Raises Retryable or Rejected."""
    if entry["url"] is None:
        raise Rejected("no-link", "The entry has no link to a page.")
    if CFG.fetch.robots:
        decision = manners.ask(entry["url"])
        if not decision.allowed:
            raise Rejected("robots-disallowed", decision.why)
    got = fetch.get(queue.door(), entry["url"], etag=entry["etag"], last_modified=entry["last_modified"])
    if isinstance(got, fetch.Page) and CFG.store.pages:
        return Shelved(got, pages.shelve(CFG.store.pages, got.body))
    return got


def settle(work: Work, lane: Row, entry: Row, got: Got | Failure) -> dt.datetime | None:
    """Commits what a fetch came to. Returns until when the whole lane must wait, None where it may go on."""
    if not claims.renew(work.connection, LaneRow, lane, work.now, claims.LEASE_S + CALL_S):
        return work.now  # the lease went to somebody else, who will see this entry still due
    if not isinstance(got, fetch.Page | Shelved) and intake.changed_since(work.connection, entry):
        return None  # an answer about an older text; the entry is due again
    match got:
        case fetch.Page():
            _keep(work, entry, got, None)
        case Shelved(page=page, place=place):
            _keep(work, entry, page, place)
        case fetch.NotModified():
            _unchanged(work, entry)
        case fetch.Gone():
            _gone(work, entry, got.status)
        case Failure(later=True):
            return _later(work, lane, entry, got)
        case Failure():
            _never(work, entry, got.reason, got.detail)
    return None


def gap_s(url: str | None) -> float:
    """Seconds between two requests to the host: ours, or the longer gap that its robots.txt asks for."""
    asked = manners.gap_s(url) if url and CFG.fetch.robots else 0.0
    return max(CFG.fetch.gap_s, asked)


def _next(key: str) -> Row | None:
    with queue.store().read() as connection:
        found = intake.next_to_fetch(connection, key.removeprefix("host:"), clock.now(), 1)
    return found[0] if found else None


def _keep(work: Work, entry: Row, page: fetch.Page, place: str | None) -> None:
    kept = intake.NewPage(
        body=page.body,
        requested_url=page.requested_url,
        final_url=page.final_url,
        status=page.status,
        content_type=page.content_type,
        fetched_at=work.now,
        etag=page.etag,
        last_modified=page.last_modified,
        place=place,
    )
    intake.keep_page(work.connection, entry["id"], kept, seen=entry["item_hash"])
    work.ring("page.fetched", [entry["id"]])


def _unchanged(work: Work, entry: Row) -> None:
    revisit = storing.revisit_at(entry["seen_at"], work.now, CFG.fetch.revisit_pace)
    intake.finish_entry(work.connection, entry["id"], entry["state"], revisit_at=revisit)


def _gone(work: Work, entry: Row, status: int) -> None:
    """A first 404 or 410 may be a mishap of the site; a second one, some time later, is a withdrawal."""
    if entry["gone_seen"] == 0:
        again = work.now + dt.timedelta(seconds=CFG.fetch.gone_confirm_s)
        intake.put_off(work.connection, entry["id"], again, "gone", f"The page answered {status}; looking again to be sure.",
                       gone_seen=1)  # fmt: skip
        return
    intake.finish_entry(
        work.connection, entry["id"], "gone", reason="gone", detail=f"The page answered {status} twice."
    )
    if entry["article_id"] and articles.booked_entry(work.connection, entry["article_id"]) is None:
        withdraw(work, entry["article_id"], "gone")


def withdraw(work: Work, article_id: str, reason: str) -> None:
    """The article is withdrawn: straight into the event log, so that it overtakes what waits."""
    article = articles.locked(work.connection, article_id)
    if article is None or article["state"] == "withdrawn":
        return
    articles.set_article(work.connection, article_id, state="withdrawn", reason=reason, due_at=work.now)
    work.ring("article.ingested", [article_id])  # enrichment takes it out of others' links
    past = [e for e in events.of_article(work.connection, article_id) if e.kind == "article.withdrawn"]
    occurrence = sum(e.revision == article["revision"] for e in past)
    work.log(events.NewEvent("article.withdrawn", article_id, article["revision"], article["backfill"], occurrence))


def _later(work: Work, lane: Row, entry: Row, failure: Failure) -> dt.datetime | None:
    failures = entry["failures"] + 1
    if failures >= TRIES:
        _never(work, entry, failure.reason, failure.detail)
    else:
        wait_s = max(queue.backoff_s(failures, base_s=10.0, limit_s=6 * 3600.0), failure.after_s or 0.0)
        due_at = work.now + dt.timedelta(seconds=wait_s)
        intake.put_off(work.connection, entry["id"], due_at, failure.reason, failure.detail, failures=failures)
    if failure.reason not in _HOST_FAULTS:
        return None
    pause_s = max(queue.backoff_s(lane["failures"] + 1, base_s=2.0, limit_s=600.0), failure.after_s or 0.0)
    return work.now + dt.timedelta(seconds=pause_s)


def _never(work: Work, entry: Row, reason: str, detail: str) -> None:
    state = "quarantined" if entry["state"] == "waiting" else entry["state"]
    intake.finish_entry(work.connection, entry["id"], state, reason=reason, detail=detail)
