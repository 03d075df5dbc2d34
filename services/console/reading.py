"""A URL and the door in; what stands there out: what a site offers to follow, or the record that a page would become.

Nothing is stored. `pages` answers `source test`, `offer` answers `source add`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import msgspec

from services.console import trouble
from services.console.tried import Tried, read, with_language
from services.ingest import discover, fetch, polling, profiles
from shared.errors import OperatorError, Rejected, Retryable
from shared.http import Door, Policy
from shared.records import Feed
from shared.sandbox import Sandbox
from shared.settings import Settings

__all__ = ["KINDS", "Chosen", "Tried", "door_of", "listing", "offer", "page", "profile", "read", "with_language"]

KINDS = ("auto", "feed", "listing", "sitemap", "folder")
_LOOK = Sandbox("services.ingest.discover:discover", cpu_s=5.0, memory_mb=1024, wall_s=20.0)
_READ = Sandbox("services.console.tried:read", cpu_s=10.0, memory_mb=2048, wall_s=30.0)
_MANY = 3  # offers shown that were not chosen


class Chosen(msgspec.Struct, frozen=True):
    """What `source add` will follow: its kind and address, why, how much it lists, and what else there was."""

    kind: str
    url: str
    reason: str
    entries: int
    title: str | None = None
    others: tuple[discover.Offer, ...] = ()


def door_of(given: Settings, allow_hosts: Sequence[str] = ()) -> Door:
    """The guarded door out, as the workers have it; `allow_hosts` are let through besides those of the settings."""
    most = int(given.fetch.max_mb * 1024 * 1024)
    agent = f"Briefwire/0.1 (+{given.fetch.contact})" if given.fetch.contact else "Briefwire/0.1"
    return Door(Policy(
        allow_hosts=frozenset((*given.fetch.allow_hosts, *allow_hosts)), user_agent=agent,
        deadline_s=given.fetch.deadline_s, max_raw=most, max_decoded=most,
    ))  # fmt: skip


def page(door: Door, url: str) -> fetch.Page:
    """The page at a URL. OperatorError where it cannot be fetched or nothing is there."""
    try:
        got = fetch.get(door, url)
    except (Retryable, Rejected) as error:
        raise _not_fetched(url, error) from None
    if isinstance(got, fetch.Page):
        return got
    if isinstance(got, fetch.Gone):
        raise OperatorError(f"{url} answered {got.status}: nothing is there.", "Check the address.", code=3)
    raise OperatorError(
        f"{url} answered 304 although nothing was asked conditionally.", "Tell the site's owner.", code=3
    )


def _not_fetched(url: str, error: Retryable | Rejected) -> OperatorError:
    told = trouble.told(error)
    assert told is not None  # both kinds are always told
    if error.reason in ("bad-url", "scheme-refused"):
        return told
    return OperatorError(f"{url} cannot be fetched: {told.what}", told.next_step, code=told.code)


def profile(folders: Sequence[str], name: str | None, url: str, today: dt.date) -> profiles.Profile | None:
    """The profile of that name, else the one whose hosts fit; OperatorError for an unknown name."""
    known = profiles.load([Path(folder) for folder in folders])
    if name is None:
        return known.for_url(url, today)
    found = known.named(name, today)
    if found is None:
        raise OperatorError(f"There is no profile named {name}.", f"Known are: {', '.join(known.names())}.")
    return found


# What a site offers


def offer(door: Door, url: str, kind: str, using: profiles.Profile | None) -> Chosen:
    """Looks at a URL and chooses what to follow there.

    Raises:
        OperatorError: it cannot be fetched, is not what `kind` says, or offers nothing to follow.
    """
    got = page(door, url)
    if kind != "auto":
        return _as_said(got, kind, using)
    found = _discovered(got)
    tried: list[discover.Offer] = []
    for one in found.offers:
        feed = _confirmed(door, got, one, using)
        if feed is not None:
            others = tuple(other for other in found.offers if other != one and not other.guess)[:_MANY]
            return Chosen(one.kind, one.url, one.reason, len(feed.entries), feed.title or one.title, others)
        tried.append(one)
    what = (
        "an HTML page without a feed, a sitemap or a list of articles" if found.page == "html" else "nothing to follow"
    )
    raise OperatorError(
        f"{url} is {what}; {len(tried)} likely addresses were tried.",
        "Give the feed's own address, or a section page that lists articles, with --kind listing.", code=1,
    )  # fmt: skip


def _discovered(got: fetch.Page) -> discover.Discovery:
    """What the page offers, read in a child process: it is a stranger's."""
    try:
        found: discover.Discovery = _LOOK.call(got.body, got.final_url, dict(got.headers))
    except Rejected as error:
        raise OperatorError(f"{got.requested_url} cannot be read: {error.detail or error.reason}.",
                            "Give the feed's own address with --kind feed.", code=1) from None  # fmt: skip
    return found


def careful(got: fetch.Page, using: profiles.Profile | None, given: Settings, source: str) -> Tried:
    """What the page would become, read in a child process. OperatorError where it goes beyond the child's limits."""
    try:
        tried: Tried = _READ.call(got, using, given.ingest.zone, given.enrich.languages, source)
    except Rejected as error:
        raise OperatorError(f"{got.requested_url} cannot be read: {error.detail or error.reason}.",
                            "The wire would keep its bytes in quarantine.", code=1) from None  # fmt: skip
    return tried


def _as_said(got: fetch.Page, kind: str, using: profiles.Profile | None) -> Chosen:
    try:
        feed = polling.parse(kind, got.body, got.final_url, got.content_type, using)
    except Rejected as error:
        raise _not_that(got, kind, error) from None
    reason = f"You said that it is a {kind}, and it lists {len(feed.entries)} entries."
    return Chosen(kind, got.final_url if got.permanent else got.requested_url, reason, len(feed.entries), feed.title)


def listing(door: Door, url: str, kind: str, using: profiles.Profile | None) -> Feed:
    """What a source lists now. OperatorError where it cannot be fetched, or is not what it was added as."""
    got = page(door, url)
    try:
        return polling.parse(kind, got.body, got.final_url, got.content_type, using)
    except Rejected as error:
        raise _not_that(got, kind, error) from None


def _not_that(got: fetch.Page, kind: str, error: Rejected) -> OperatorError:
    found = _discovered(got)
    what = "an HTML page" if found.page == "html" else f"a {found.page}" if found.page != "other" else "something else"
    best = next((one for one in found.offers if not one.guess), None)
    step = f"It offers {best.url} ({best.kind}): add that, or use --kind auto." if best else "Check the address."
    return OperatorError(
        f"{got.requested_url} is no {kind}: it is {what} ({error.detail or error.reason}).", step, code=1
    )


def _confirmed(door: Door, got: fetch.Page, one: discover.Offer, using: profiles.Profile | None) -> Feed | None:
    """What the offer lists, once it was looked at; None where it is not what it was offered as."""
    try:
        here = got if one.url == got.final_url else fetch.get(door, one.url)
        if not isinstance(here, fetch.Page):
            return None
        return polling.parse(one.kind, here.body, here.final_url, here.content_type, using)
    except (Rejected, Retryable):
        return None
