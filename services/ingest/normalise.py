"""A Draft and where it was found in; an Article out: identity, content hash, the source's item id."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from services.ingest import recorded, twins
from services.ingest.drift import Shape, shape_of
from services.ingest.extract import PageInput, draft, draft_text
from services.ingest.profiles import Profile
from shared import text, urls
from shared.errors import Rejected
from shared.records import Article, Draft, Entry, Related, Verdict, block_text, from_json, to_json, to_plain

LONGEST_SECTION, LONGEST_LANGUAGE = 100, 12
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_ESCAPED = re.compile(
    rb"\\(?:u00|b|f)|\xef\xbf[\xbe\xbf]"
)  # how JSON writes most of them; text about JSON may look the same
_LEADING_NUMBER = re.compile(r"(\d+) at \S+\Z")  # Drupal's guid: "9544 at http://site"


class Finding(msgspec.Struct, frozen=True):
    """Where a draft was found: the source's name, the feed's entry, the URL asked for and the one that answered."""

    source: str
    entry: Entry
    requested_url: str | None = None
    final_url: str | None = None
    backfill: bool = False


class Extracted(msgspec.Struct, frozen=True):
    """An article and the natural key it is stored under; what a profile missed on its page."""

    article: Article
    identity: str
    missed: tuple[str, ...] = ()
    shape: Shape | None = None
    """What the record looks like among its source's others; None: nothing to judge."""


def extract(body: bytes, content_type: str | None, fetched_at: dt.datetime, finding: Finding, profile: Profile | None,
            zone: str) -> Extracted:  # fmt: skip
    """Bytes as fetched or pushed in, to an article and its natural key.

    Raises:
        Rejected: not an article, no headline, empty body, undecodable.
    """
    kind = content_type.partition(";")[0].strip() if content_type else ""
    if kind == "text/plain":
        found = draft_text(body.decode("utf-8", "strict"), fetched_at, zone)
    elif kind == recorded.CONTENT_TYPE:
        found = recorded.draft_record(body, fetched_at, zone)
    else:
        page = PageInput(body, finding.final_url or finding.requested_url, content_type, fetched_at)
        found = draft(page, profile)
        if found.verdict.reason == "static-page":  # the profile knows nothing here; the page may say itself what it is
            found = msgspec.structs.replace(found, verdict=_plain_verdict(page, found.verdict))
    if found.verdict.kind != "article":
        raise Rejected("not-an-article", found.verdict.reason or "The page does not look like an article.")
    made = article(_own_language(_fit(found), finding, body), finding)
    printed = made.published.raw if made.published else ""
    shape = shape_of(made, found.missed, finding.entry, body)
    return Extracted(made, identity_of(made.url, finding.source, made.headline, printed), found.missed, shape)


def _fit(page: Draft) -> Draft:
    """Without what no store or no format can hold: control characters, which JSON-LD and pushed records may state, and a section
    or a language that is none for its length."""
    try:
        suspect = _ESCAPED.search(to_json(page)) is not None
    except UnicodeEncodeError:  # half a surrogate pair
        suspect = True
    if suspect:
        page = from_json(to_json(_printable(to_plain(page))), Draft)
    section = page.section if page.section and len(page.section) <= LONGEST_SECTION else None
    language = page.language if page.language and len(page.language) <= LONGEST_LANGUAGE else None
    return msgspec.structs.replace(page, section=section, language=language)


def _printable(value: Any) -> Any:
    match value:
        case str():
            return _UNFIT.sub("", value)
        case dict():
            return {key: _printable(one) for key, one in value.items()}
        case list() | tuple():
            return [_printable(one) for one in value]
    return value


def _own_language(page: Draft, finding: Finding, body: bytes) -> Draft:
    """Without a canonical address that is another language's: a translation is an article of its own."""
    url = finding.final_url or finding.requested_url
    if not url or not page.canonical_url or not twins.translation(url, page.canonical_url, twins.languages(body, url)):
        return page
    return msgspec.structs.replace(page, canonical_url=url)


def _plain_verdict(page: PageInput, known: Verdict) -> Verdict:
    plain = draft(page).verdict
    return known if plain.kind == "article" else plain


def article(page: Draft, finding: Finding) -> Article:
    """The first revision of the record; the store raises `revision` where the article is known already.

    Raises:
        Rejected: no headline, or neither body nor lead: nothing a partner could print.
    """
    if not page.headline:
        raise Rejected("no-headline", "No rule found a headline on this page.")
    if not page.blocks and not page.lead:
        raise Rejected("empty-body", "No rule found a body on this page.")
    url = address(page, finding)
    published = page.published
    identity = identity_of(url, finding.source, page.headline, published.raw if published else "")
    return Article(
        id=article_id(identity),
        source=finding.source,
        source_item_id=page.source_item_id or item_id(finding.entry),
        url=url,
        requested_url=finding.requested_url,
        final_url=finding.final_url,
        revision=1,
        state="usable",
        content_hash=content_hash(page),
        headline=page.headline,
        language=page.language,
        language_evidence=None,
        authors=page.authors,
        published=published,
        modified=page.modified,
        section=page.section,
        category_status=page.category_status,
        lead=page.lead,
        blocks=page.blocks,
        images=page.images,
        tags=page.tags,
        related=tuple(_with_target(related, finding.source) for related in page.related),
        site_name=page.site_name,
        access=page.verdict.access,
        backfill=finding.backfill,
        removed=page.removed,
        origins=page.origins,
    )


def address(page: Draft, finding: Finding) -> str | None:
    """The article's URL: the page's canonical one where it points to the page's own host, else the one that answered.

    A page may not claim another host's article as its own.
    """
    final = finding.final_url or finding.requested_url
    if final is None:
        return page.canonical_url or finding.entry.url
    if (
        page.canonical_url
        and twins.same_site(_host(page.canonical_url), _host(final))
        and _path(page.canonical_url) not in ("", "/")
    ):
        return page.canonical_url
    return final


def identity_of(url: str | None, source: str, headline: str, printed_date: str) -> str:
    """The natural key of an article: its normalised URL; without one, its source, headline and printed date."""
    if url is not None:
        return text.digest("url", _without_scheme(urls.canonical(twins.whole(url))))
    return text.digest("text", source, headline, printed_date)


def article_id(identity: str) -> str:
    """The id that follows from an identity: the same in every installation, whoever saw the article first."""
    return f"art_{int(identity[:16], 16) >> 1:016x}"


def item_id(entry: Entry) -> str | None:
    """The source's own id of an item: the number of a "9544 at http://site" guid, else the guid.

    None where it is the URL, or a key of our own for what was pushed in without one.
    """
    found = _LEADING_NUMBER.match(entry.key)
    if found:
        return found.group(1)
    return None if urls.is_web(entry.key) or entry.key.startswith("push:") else entry.key


def content_hash(page: Draft) -> str:
    """Digest of the article's own words: headline, lead, body, section and status; not its printed similar articles."""
    status = page.category_status.value
    return text.digest(page.headline or "", page.lead or "", *map(block_text, page.blocks), page.section or "", status)


def _with_target(related: Related, source: str) -> Related:
    if related.target is None or not urls.is_web(related.target):
        return related
    identity = identity_of(related.target, source, "", "")
    return msgspec.structs.replace(related, target_id=article_id(identity))


def _without_scheme(url: str) -> str:
    return url.partition("://")[2].removeprefix("www.")


def _host(url: str) -> str:
    return (urlsplit(url).netloc or "").lower().removeprefix("www.")


def _path(url: str) -> str:
    return urlsplit(url).path
