"""The record: one news article as the wire knows it, and the values it is made of.

All are frozen. `to_json` and `from_json` are the one wire and storage form. Text is verbatim: no-break spaces and mixed
quotes stay as printed; normalise only for hashing and search (`shared.text`).
"""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any, Literal, TypeVar

import msgspec

ZoneSource = Literal["stated", "configured", "assumed"]
Precision = Literal["second", "minute", "hour", "day", "month", "year"]
Trend = Literal["improved", "unchanged", "worsened", "unknown"]
State = Literal["usable", "held", "withdrawn"]

T = TypeVar("T")


class Moment(msgspec.Struct, frozen=True):
    """A printed date and what it means.

    `raw` is as printed; `utc` ISO 8601 with +00:00; `zone` an IANA name or an offset such as "+02:00"; `zone_source`
    says whether the page stated the zone, a profile configured it, or we assumed it.
    """

    raw: str
    utc: str
    zone: str
    zone_source: ZoneSource
    precision: Precision

    @property
    def at(self) -> dt.datetime:
        """The instant, UTC-aware."""
        return dt.datetime.fromisoformat(self.utc)


class CategoryStatus(msgspec.Struct, frozen=True):
    """How the situation in the article's section moved: read from an icon or a sentence. unknown is not unchanged."""

    value: Trend = "unknown"
    label: str | None = None
    raw: str | None = None
    evidence: str | None = None


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Inline markup over text[start:end] (code points). kind: strong, em, link, code, sub, sup, strike, underline."""

    start: int
    end: int
    kind: str
    href: str | None = None


class Paragraph(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="paragraph"):
    text: str
    marks: tuple[Mark, ...] = ()


class Heading(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="heading"):
    text: str
    level: int = 2
    marks: tuple[Mark, ...] = ()


class Nested(msgspec.Struct, frozen=True):
    """A list inside item number `item` (from 0) of the list that holds it."""

    item: int
    list: ListBlock


class ListBlock(msgspec.Struct, frozen=True, tag_field="kind", tag="list"):
    """`items` are the items' own texts; `marks[i]` the marks of item i (empty, or one entry an item)."""

    ordered: bool
    items: tuple[str, ...]
    marks: tuple[tuple[Mark, ...], ...] = ()
    nested: tuple[Nested, ...] = ()


class Quote(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="quote"):
    """A block quotation; paragraphs within it are parted by a blank line."""

    text: str
    cite: str | None = None
    marks: tuple[Mark, ...] = ()


class Code(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="code"):
    text: str


class Table(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="table"):
    """Rows of cell texts; `header` counts the leading header rows."""

    rows: tuple[tuple[str, ...], ...]
    header: int = 0
    caption: str | None = None


class Embed(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="embed"):
    """A post, video or map shown in place: its URL, its provider's host, and its text where the page prints one."""

    url: str
    provider: str | None = None
    text: str | None = None


Block = Paragraph | Heading | ListBlock | Quote | Code | Table | Embed


class Image(msgspec.Struct, frozen=True):
    """`position` is the number of the block that it stands before (len(blocks): after the last)."""

    url: str
    alt: str | None = None
    caption: str | None = None
    credit: str | None = None
    rights: str | None = None
    position: int = 0


class Snapshot(msgspec.Struct, frozen=True):
    """Another article as far as this page printed it. Never overwrites that article's own record."""

    headline: str
    url: str | None = None
    published: Moment | None = None
    lead: str | None = None
    blocks: tuple[Block, ...] = ()
    images: tuple[Image, ...] = ()


class Related(msgspec.Struct, frozen=True):
    """A link the publisher printed as related; not our own similarity. `position` counts from 1.

    `target_id` is the id that the target's own page has, or will have when it arrives.
    """

    relation: Literal["publisher_similar", "publisher_related"]
    heading: str | None
    position: int
    target: str | None
    snapshot: Snapshot | None = None
    target_id: str | None = None


class Removed(msgspec.Struct, frozen=True):
    """Text left out of the record, shortened to 200 characters, and the rule that left it out."""

    text: str
    reason: str


class Losing(msgspec.Struct, frozen=True):
    """A value that another rule offered for a field and that did not win."""

    rule: str
    value: str


class Origin(msgspec.Struct, frozen=True):
    """Where a field's value came from: the rule that gave it ("json-ld headline", "profile css h1.title"), what lost."""

    rule: str
    lost: tuple[Losing, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """What kind of page this is. kind article goes on; anything else is quarantined under `reason`."""

    kind: Literal["article", "not-an-article"] = "article"
    reason: str | None = None
    access: Literal["free", "metered", "blocked"] = "free"
    access_reason: str | None = None


class Draft(msgspec.Struct, frozen=True):
    """What one page says: the content of a record before it has an identity. URLs are absolute where the page's is known."""

    headline: str | None
    lead: str | None = None
    authors: tuple[str, ...] = ()
    published: Moment | None = None
    modified: Moment | None = None
    section: str | None = None
    category_status: CategoryStatus = CategoryStatus()
    tags: tuple[str, ...] = ()
    language: str | None = None
    canonical_url: str | None = None
    site_name: str | None = None
    source_item_id: str | None = None
    blocks: tuple[Block, ...] = ()
    images: tuple[Image, ...] = ()
    related: tuple[Related, ...] = ()
    removed: tuple[Removed, ...] = ()
    verdict: Verdict = Verdict()
    origins: dict[str, Origin] = {}
    missed: tuple[str, ...] = ()
    """Profile fields whose selectors found nothing on this page: the drift signal."""
    charset: str | None = None
    charset_evidence: str | None = None


class Article(msgspec.Struct, frozen=True):
    """One revision of one article: what partners get. Annotations (ours) stand apart, in `Annotations`.

    `url` is the canonical URL. `content_hash` covers the article's own normalised text, never its "Similar articles".
    """

    id: str
    source: str
    source_item_id: str | None
    url: str | None
    requested_url: str | None
    final_url: str | None
    revision: int
    state: State
    content_hash: str
    headline: str
    language: str | None
    language_evidence: str | None
    authors: tuple[str, ...]
    published: Moment | None
    modified: Moment | None
    section: str | None
    category_status: CategoryStatus
    lead: str | None
    blocks: tuple[Block, ...]
    images: tuple[Image, ...]
    tags: tuple[str, ...]
    related: tuple[Related, ...]
    site_name: str | None = None
    access: str = "free"
    backfill: bool = False
    removed: tuple[Removed, ...] = ()
    origins: dict[str, Origin] = {}


class Category(msgspec.Struct, frozen=True):
    """A category of ours. `method` is publisher, model, words or person; `reasons` are the terms that spoke for it.

    `above` are the codes above it in its taxonomy, nearest first. A `suggestion` waits for a person to confirm it.
    """

    scheme: str
    code: str
    label: str
    method: str
    version: str
    score: float
    reasons: tuple[str, ...] = ()
    suggestion: bool = False
    above: tuple[str, ...] = ()


class Name(msgspec.Struct, frozen=True):
    """A name as the article prints it most often, and how often; `kind` is null where nothing in the text tells."""

    text: str
    kind: Literal["person", "organisation", "place"] | None
    times: int


class Similar(msgspec.Struct, frozen=True):
    """A computed link to another article. `as_of` is when it was drawn; reasons are shared names, terms and numbers."""

    article_id: str
    headline: str
    url: str | None
    relation: Literal["duplicate", "same_story", "related"]
    score: float
    method: str
    version: str
    as_of: str
    reasons: tuple[str, ...] = ()


class Annotations(msgspec.Struct, frozen=True):
    """What we worked out about one revision; never mixed with what the publisher asserts."""

    categories: tuple[Category, ...] = ()
    story: str | None = None
    similar: tuple[Similar, ...] = ()
    names: tuple[Name, ...] = ()


class Streak(msgspec.Struct, frozen=True):
    """`length` readings in a row with one value, published from `since` to `until` (ISO 8601, UTC)."""

    value: Trend
    since: str
    until: str
    length: int


class SectionChange(msgspec.Struct, frozen=True):
    """The present status of a source's section became another.

    `at` is when the article that says so was published (ISO 8601, UTC); `ended` is the streak that it ended.
    """

    source: str
    section: str
    before: Trend
    after: Trend
    at: str
    ended: Streak | None = None


class Entry(msgspec.Struct, frozen=True):
    """One item of a feed, sitemap or section page. `key` is its identity within the source (guid, else URL)."""

    key: str
    url: str | None
    title: str | None = None
    summary: str | None = None
    authors: tuple[str, ...] = ()
    published_raw: str | None = None
    published_utc: str | None = None
    updated_raw: str | None = None
    updated_utc: str | None = None
    categories: tuple[str, ...] = ()


class Feed(msgspec.Struct, frozen=True):
    """A parsed feed or listing. `ttl_s` is its own wish; hub and self are for WebSub."""

    kind: str
    title: str | None
    language: str | None
    entries: tuple[Entry, ...]
    ttl_s: float | None = None
    hub: str | None = None
    self_url: str | None = None
    next_url: str | None = None


def block_text(block: Block) -> str:
    """The words of one block: items, rows and nested lists on lines of their own."""
    match block:
        case ListBlock():
            inner: dict[int, list[str]] = {}
            for nested in block.nested:
                inner.setdefault(nested.item, []).append(block_text(nested.list))
            return "\n".join("\n".join([item, *inner.get(i, [])]) for i, item in enumerate(block.items))
        case Table():
            return "\n".join(" ".join(row) for row in block.rows)
        case Embed():
            return block.text or ""
        case _:
            return block.text


def body_text(blocks: tuple[Block, ...]) -> str:
    """The words of a body, blocks parted by blank lines."""
    return "\n\n".join(map(block_text, blocks))


def to_json(value: Any) -> bytes:
    """A record as compact UTF-8 JSON, keys in the order of the fields."""
    return msgspec.json.encode(value)


def from_json(raw: bytes | str, kind: type[T]) -> T:
    """The record of that type; msgspec.ValidationError names the path of a wrong field."""
    reader: msgspec.json.Decoder[T] = _decoders.get(kind) or decoder(kind)
    return reader.decode(raw)


_decoders: dict[type, Any] = {}
_building = threading.Lock()


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The one decoder of a type, for all threads.

    msgspec learns a type at its first use, and crashes the process when two threads come first together: hence the lock,
    and the call at import for the types that every thread meets.
    """
    with _building:
        if kind not in _decoders:
            _decoders[kind] = msgspec.json.Decoder(kind)
        found: msgspec.json.Decoder[T] = _decoders[kind]
        return found


def to_plain(value: Any) -> Any:
    """A record as dicts, lists and strings."""
    return msgspec.to_builtins(value)


for _kind in (Article, Annotations, Category, Draft, Entry, Feed, SectionChange):
    decoder(_kind)
