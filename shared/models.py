"""The tables (SQLAlchemy 2, typed). One metadata for SQLite and PostgreSQL; queries live in `shared.store`.

Every row that a worker works on carries a lease: owner, epoch, until. A claim raises `lease_epoch` and `attempts`; a result
commits only where the epoch is still the claimer's.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Instant(TypeDecorator[dt.datetime]):
    """UTC-aware datetimes on both stores; SQLite keeps them as sortable text."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        utc = value.astimezone(dt.UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


BigKey = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only in an INTEGER PRIMARY KEY

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {dt.datetime: Instant(), bytes: LargeBinary(), str: Text(), float: Float()}  # noqa: RUF012 - declared so by SQLAlchemy


class Leased:
    """Columns of a row that one worker at a time holds."""

    lease_owner: Mapped[str | None] = mapped_column(String(120))
    lease_epoch: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    lease_until: Mapped[dt.datetime | None]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")


def _held(table: str) -> Index:
    """Finds the rows whose owner died without reading the others."""
    return Index(f"ix_{table}_lease_owner", "lease_owner", sqlite_where=text("lease_owner IS NOT NULL"),
                 postgresql_where=text("lease_owner IS NOT NULL"))  # fmt: skip


class MetaRow(Base):
    """Facts of the installation: its id, its salt."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[str]


class LaneRow(Leased, Base):
    """A queue that one worker drains: "host:example.org", "endpoint:7", "plan".

    `due_at` says when there is work (None: none), `blocked_until` when the other side may be spoken to again.
    """

    __tablename__ = "lane"
    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    due_at: Mapped[dt.datetime | None]
    blocked_until: Mapped[dt.datetime | None]
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    breaker: Mapped[str | None]
    bucket: Mapped[str | None]  # what is left of the endpoint's rate, as services.publish.policy.Bucket
    slow_s: Mapped[float] = mapped_column(default=0.0, server_default="0")  # gap of a host that answered 429
    paused: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    __table_args__ = (Index("ix_lane_kind_due_at", "kind", "due_at"), _held("lane"))


class SourceRow(Leased, Base):
    """A site we watch. `seen` is the left side of its book: raised by the poll, never summed from entries."""

    __tablename__ = "source"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    url: Mapped[str]
    kind: Mapped[str] = mapped_column(String(20))  # feed | listing | sitemap | push
    state: Mapped[str] = mapped_column(String(20), default="active")  # active | paused | stopped | removed
    profile: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[dt.datetime]
    due_at: Mapped[dt.datetime | None]
    seen: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]
    first_polled_at: Mapped[dt.datetime | None]
    polled_at: Mapped[dt.datetime | None]
    ok_at: Mapped[dt.datetime | None]
    new_at: Mapped[dt.datetime | None]
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    last_error: Mapped[str | None]
    rhythm: Mapped[str | None]  # JSON of services.ingest.schedule's state
    __table_args__ = (Index("ix_source_state_due_at", "state", "due_at"), _held("source"))


class EntryRow(Leased, Base):
    """One item of a source. `state` is its place in the book, `step` what it waits for (fetch, extract, nothing)."""

    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"))
    key_hash: Mapped[str] = mapped_column(String(64))
    url: Mapped[str | None]
    host: Mapped[str | None] = mapped_column(String(290))
    item: Mapped[bytes]  # JSON of records.Entry, as last seen
    item_hash: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))  # waiting | stored | duplicate | quarantined | gone
    step: Mapped[str | None] = mapped_column(String(10))  # fetch | extract
    due_at: Mapped[dt.datetime | None]
    seen_at: Mapped[dt.datetime]
    backfill: Mapped[bool]
    reason: Mapped[str | None] = mapped_column(String(60))
    detail: Mapped[str | None]
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    gone_seen: Mapped[int] = mapped_column(default=0, server_default="0")
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]
    mark: Mapped[str | None] = mapped_column(String(60))  # of a watched file: changes when the file does
    page_id: Mapped[int | None] = mapped_column(BigInteger)
    held_page: Mapped[int | None] = mapped_column(BigInteger)  # the page that drift held
    soft_gone: Mapped[int] = mapped_column(default=0, server_default="0")  # soft 404s in a row
    article_id: Mapped[str | None] = mapped_column(String(24), index=True)
    __table_args__ = (
        UniqueConstraint("source_id", "key_hash"),
        Index("ix_entry_host_due_at", "host", "due_at", sqlite_where=text("step = 'fetch'"),
              postgresql_where=text("step = 'fetch'")),
        Index("ix_entry_due_at", "due_at", sqlite_where=text("step = 'extract'"),
              postgresql_where=text("step = 'extract'")),
        Index("ix_entry_source_id_state", "source_id", "state"),
        _held("entry"),
    )  # fmt: skip


class PageRow(Base):
    """The bytes as fetched or pushed in, zstd-compressed: new rules can be tried over history."""

    __tablename__ = "page"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    entry_id: Mapped[int] = mapped_column(BigInteger, index=True)
    requested_url: Mapped[str | None]
    final_url: Mapped[str | None]
    status: Mapped[int]
    content_type: Mapped[str | None]
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int]
    body: Mapped[bytes | None]
    place: Mapped[str | None]  # on a shelf of files, where the operator set one
    fetched_at: Mapped[dt.datetime]
    directives: Mapped[str | None]  # what it asks of robots: "noarchive nofollow noindex", parted by spaces


class DriftRow(Base):
    """What a source's records usually look like, and since when the source is held because they do not any more."""

    __tablename__ = "drift"
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    state: Mapped[bytes]  # JSON of services.ingest.drift.State
    held_at: Mapped[dt.datetime | None] = mapped_column(index=True)
    why: Mapped[str | None]  # sentences parted by line ends
    examples: Mapped[str | None]  # JSON list of {entry_id, url, headline, reasons}


class BackfillRow(Base):
    """A file of pages or addresses from the past that is being taken in: `position` is how far, so that it goes on from there.

    `digest` is the file's own (of its size and both ends); units are bytes of a WARC file, lines of a list.
    """

    __tablename__ = "backfill"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"))
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(String(64))
    position: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    total: Mapped[int] = mapped_column(BigInteger)
    taken: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    known: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    left_out: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    started_at: Mapped[dt.datetime]
    ended_at: Mapped[dt.datetime | None]
    __table_args__ = (UniqueConstraint("source_id", "digest"),)


class RobotsRow(Base):
    """What a host's robots.txt said, when it was last asked, and when it could last be read."""

    __tablename__ = "robots"
    host: Mapped[str] = mapped_column(String(290), primary_key=True)
    rules: Mapped[bytes]  # JSON of services.ingest.robots.Rules
    asked_at: Mapped[dt.datetime]
    read_at: Mapped[dt.datetime | None]


WORDS = """to_tsvector('simple', translate(left(article.headline, 500) || ' ' || coalesce(left(article.url, 500), ''),
 '-./:;@_&+<>~?=#«»“”„‘’–—…', repeat(' ', 30)))"""
"""On PostgreSQL: an article's words, as they are indexed and asked for."""


class ArticleRow(Leased, Base):
    """The present of one article. Its past is in `revision`. The claim of enrichment is on this row, so revisions pass in order."""

    __tablename__ = "article"
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"))
    identity: Mapped[str] = mapped_column(
        String(64), unique=True
    )  # digest of canonical URL, or of source + headline + date
    url: Mapped[str | None]
    source_item_id: Mapped[str | None]
    state: Mapped[str] = mapped_column(String(20), default="usable")  # usable | withdrawn
    held: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    embargo_until: Mapped[dt.datetime | None]
    revision: Mapped[int]
    enriched_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    content_hash: Mapped[str] = mapped_column(String(64), index=True)
    headline: Mapped[str]
    language: Mapped[str | None] = mapped_column(String(12))
    section: Mapped[str | None]
    published_at: Mapped[dt.datetime | None] = mapped_column(index=True)
    first_seen_at: Mapped[dt.datetime]
    backfill: Mapped[bool]
    story_id: Mapped[str | None] = mapped_column(String(24), index=True)
    due_at: Mapped[dt.datetime | None]
    again: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # enrich the newest revision anew
    reason: Mapped[str | None] = mapped_column(String(60))
    __table_args__ = (
        Index("ix_article_due_at", "due_at", sqlite_where=text("due_at IS NOT NULL"),
              postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_article_words", text(WORDS), postgresql_using="gin").ddl_if(dialect="postgresql"),
        _held("article"),
    )  # fmt: skip


class RevisionRow(Base):
    """One immutable revision: the record as JSON, and our annotations beside it once enriched."""

    __tablename__ = "revision"
    article_id: Mapped[str] = mapped_column(ForeignKey("article.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))  # new | update | correction | withdrawal
    record: Mapped[bytes]
    annotations: Mapped[bytes | None]
    content_hash: Mapped[str] = mapped_column(String(64))
    page_id: Mapped[int | None] = mapped_column(BigInteger)
    entry_id: Mapped[int | None] = mapped_column(BigInteger)
    at: Mapped[dt.datetime]


class DocRow(Base):
    """An article as the search for similar ones knows it: a small number for the postings, and its profile.

    `day` counts from 1970-01-01 (of publication, else of arrival); `profile` is `services.enrich.similarity.to_bytes`.
    """

    __tablename__ = "doc"
    doc: Mapped[int] = mapped_column(BigKey, primary_key=True)
    article_id: Mapped[str] = mapped_column(String(24), unique=True)
    day: Mapped[int] = mapped_column(index=True)
    profile: Mapped[bytes]


class TermRow(Base):
    """In how many articles a term (its hash) occurs. Term 0 counts the articles, and its row lets one writer link at a time."""

    __tablename__ = "term"
    term: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = ({"sqlite_with_rowid": False},)


class SigRow(Base):
    """A posting: this salient term stands in that document."""

    __tablename__ = "sig"
    term: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True)
    doc: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    weight: Mapped[float]
    __table_args__ = ({"sqlite_with_rowid": False},)


class FpRow(Base):
    """A fingerprint: this shingle hash is among the document's smallest."""

    __tablename__ = "fp"
    hash: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True)
    doc: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    __table_args__ = ({"sqlite_with_rowid": False},)


class LinkRow(Base):
    """A computed link between two articles, drawn at `as_of`."""

    __tablename__ = "link"
    article_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    other_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    relation: Mapped[str] = mapped_column(String(20))
    score: Mapped[float]
    method: Mapped[str] = mapped_column(String(40))
    version: Mapped[str] = mapped_column(String(40))
    as_of: Mapped[dt.datetime]
    reasons: Mapped[str]  # JSON list
    __table_args__ = (Index("ix_link_other_id", "other_id"),)


class StoryRow(Base):
    """A cluster of articles about one happening. Merged stories point to the one that goes on."""

    __tablename__ = "story"
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    created_at: Mapped[dt.datetime]
    size: Mapped[int]
    merged_into: Mapped[str | None] = mapped_column(String(24))


class CategoryRow(Base):
    """A category of an article: by the publisher, a model, or a person (whose word wins)."""

    __tablename__ = "category"
    article_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    scheme: Mapped[str] = mapped_column(String(60), primary_key=True)
    code: Mapped[str] = mapped_column(String(120), primary_key=True)
    label: Mapped[str]
    method: Mapped[str] = mapped_column(String(20))
    version: Mapped[str] = mapped_column(String(40))
    score: Mapped[float]
    reasons: Mapped[str]  # JSON list
    suggestion: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    __table_args__ = (Index("ix_category_scheme_code", "scheme", "code"),)


class RulingRow(Base):
    """A person's word on an article, kept through every re-run.

    kind `category`: key "scheme:code" (or "scheme:*"), verdict `set` or `cleared`; kind `story`: verdict the story's id;
    kind `link`: key the other article's id, verdict `dropped`. Who said it and why stands in the audit.
    """

    __tablename__ = "ruling"
    article_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    verdict: Mapped[str] = mapped_column(String(40))
    category: Mapped[str] = mapped_column(default="", server_default="")  # JSON of records.Category, where one is set
    at: Mapped[dt.datetime]
    __table_args__ = (Index("ix_ruling_kind_verdict", "kind", "verdict"),)


class TaxonomyRow(Base):
    """A taxonomy that an operator added: its file, checked."""

    __tablename__ = "taxonomy"
    scheme: Mapped[str] = mapped_column(String(60), primary_key=True)
    title: Mapped[str]
    terms: Mapped[int]
    body: Mapped[bytes]  # JSON of services.enrich.taxonomy.Taxonomy
    changed_at: Mapped[dt.datetime]


class ModelRow(Base):
    """One training: its figures on held-back labels and, where it was kept, the model's bytes. `note` says why or why not."""

    __tablename__ = "model"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    scheme: Mapped[str] = mapped_column(String(60), index=True)
    trained_at: Mapped[dt.datetime]
    version: Mapped[str] = mapped_column(String(40))
    figures: Mapped[str]
    body: Mapped[bytes]
    kept: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    note: Mapped[str] = mapped_column(default="", server_default="")


class StatusRow(Base):
    """One observation of a section's status, by one article."""

    __tablename__ = "status"
    article_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    source_id: Mapped[int] = mapped_column(BigInteger)
    section: Mapped[str]
    at: Mapped[dt.datetime]
    value: Mapped[str] = mapped_column(String(12))
    __table_args__ = (
        Index("ix_status_source_id_section_at", "source_id", "section", "at"),
        Index("ix_status_known", "source_id", "section", "at", "article_id", sqlite_where=text("value <> 'unknown'"),
              postgresql_where=text("value <> 'unknown'")),
    )  # fmt: skip


class EventHeadRow(Base):
    """The one row that numbers events. Raised as the last statement before COMMIT, so numbers commit in order, gap-free."""

    __tablename__ = "event_head"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)
    epoch: Mapped[int] = mapped_column(BigInteger)
    planned: Mapped[int] = mapped_column(BigInteger)


class EventRow(Base):
    """What happened to an article, for partners. `occurrence` tells repeated events of one revision apart.

    An event about a section is carried by the article that made it so; `detail` is what it says.
    """

    __tablename__ = "event"
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(40))
    article_id: Mapped[str] = mapped_column(String(24))
    revision: Mapped[int]
    occurrence: Mapped[int] = mapped_column(default=0, server_default="0")
    backfill: Mapped[bool]
    at: Mapped[dt.datetime]
    detail: Mapped[str | None]  # JSON of records.SectionChange
    __table_args__ = (UniqueConstraint("article_id", "revision", "kind", "occurrence"),)


class EventPastRow(Base):
    """How many events of a kind that may repeat were logged for an article and are forgotten by now (`store.retention`)."""

    __tablename__ = "event_past"
    article_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    n: Mapped[int]


class PartnerRow(Base):
    __tablename__ = "partner"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    state: Mapped[str] = mapped_column(String(20), default="active")  # active | removed
    created_at: Mapped[dt.datetime]


class EndpointRow(Base):
    """Where a partner takes delivery. `joined_n`, `backfilled` and `filtered` are counters of its book; `position` its cursor.

    At most `per_minute` attempts a minute (None: no limit). `layout` names files of a storage target (None: the usual one).
    Brief JSON of more than `link_above` bytes carries a link in place of the record (None: never).
    While `history_since` is set, articles from then on are still to be planned: from events above `history_at` to `history_to`.
    """

    __tablename__ = "endpoint"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    partner_id: Mapped[int] = mapped_column(ForeignKey("partner.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))  # webhook | storage
    url: Mapped[str]
    format: Mapped[str] = mapped_column(String(20), default="brief")
    secrets: Mapped[str]  # encrypted JSON list, newest first
    state: Mapped[str] = mapped_column(String(20), default="active")  # active | paused | disabled | removed
    reason: Mapped[str | None]
    created_at: Mapped[dt.datetime]
    joined_n: Mapped[int] = mapped_column(BigInteger)
    backfilled: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    filtered: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    position: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    concurrency: Mapped[int] = mapped_column(default=4, server_default="4")
    chain: Mapped[str] = mapped_column(String(64), default="", server_default="")  # digest of the newest attempt
    chain_from: Mapped[str] = mapped_column(String(64), default="", server_default="")  # of the last one forgotten
    per_minute: Mapped[int | None]
    layout: Mapped[str | None]
    link_above: Mapped[int | None]
    history_since: Mapped[dt.datetime | None]
    history_at: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    history_to: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class SubscriptionRow(Base):
    """What an endpoint wants. `filter` is the operator's, `narrow` the partner's own: both must match.

    With `follow` the endpoint gets all later revisions of what it got once, whatever the filters say of them.
    """

    __tablename__ = "subscription"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("endpoint.id"), index=True)
    filter: Mapped[str] = mapped_column(default="")
    backfill: Mapped[bool] = mapped_column(default=False)
    coalesce: Mapped[bool] = mapped_column(default=False)
    relinked: Mapped[bool] = mapped_column(default=False)
    status_changes: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    narrow: Mapped[str] = mapped_column(default="", server_default="")
    follow: Mapped[bool] = mapped_column(default=True, server_default=text("true"))


class DeliveryRow(Base):
    """One event for one endpoint. `begun` counts attempts started, `attempts` those with a known outcome."""

    __tablename__ = "delivery"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("endpoint.id"))
    event_number: Mapped[int] = mapped_column(BigInteger)
    article_id: Mapped[str] = mapped_column(String(24))
    revision: Mapped[int]
    kind: Mapped[str] = mapped_column(String(40))
    occurrence: Mapped[int] = mapped_column(default=0)
    webhook_id: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))  # held | due | delivered | superseded | quarantined
    position: Mapped[int | None] = mapped_column(BigInteger)
    due_at: Mapped[dt.datetime | None]
    begun: Mapped[int] = mapped_column(default=0, server_default="0")
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    reason: Mapped[str | None] = mapped_column(String(60))
    delivered_at: Mapped[dt.datetime | None]
    omitted: Mapped[str | None]  # fields of the record that the format could not hold, parted by spaces
    wanted_by: Mapped[str | None]  # subscriptions whose filter matched, as " 3 7 "; their feeds are made of it
    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_number"),
        UniqueConstraint("endpoint_id", "position"),
        Index("ix_delivery_endpoint_id_due_at", "endpoint_id", "due_at", "position", sqlite_where=text("state = 'due'"),
              postgresql_where=text("state = 'due'")),
        Index("ix_delivery_withdrawals", "endpoint_id", "due_at", sqlite_where=text("state = 'due' AND kind = 'article.withdrawn'"),
              postgresql_where=text("state = 'due' AND kind = 'article.withdrawn'")),
        Index("ix_delivery_in_line", "endpoint_id", "article_id", "position", sqlite_where=text("state = 'due'"),
              postgresql_where=text("state = 'due'")),
        Index("ix_delivery_endpoint_id_article_id", "endpoint_id", "article_id"),
        Index("ix_delivery_endpoint_id_state", "endpoint_id", "state"),
        Index("ix_delivery_article_id", "article_id"),
    )  # fmt: skip


class AttemptRow(Base):
    """What one try to deliver met. Appended, never changed; `chain` hashes it together with the endpoint's previous one."""

    __tablename__ = "attempt"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    delivery_id: Mapped[int] = mapped_column(BigInteger, index=True)
    endpoint_id: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int]
    at: Mapped[dt.datetime]
    duration_ms: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(20))  # delivered | retry | dead | disabled | late
    status: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(String(60))
    response: Mapped[str | None]
    chain: Mapped[str] = mapped_column(String(64))
    __table_args__ = (Index("ix_attempt_endpoint_id_at", "endpoint_id", "at"),)


class HeartbeatRow(Base):
    """A worker's sign of life: written with its claims, so a worker that no longer consumes goes silent."""

    __tablename__ = "heartbeat"
    worker: Mapped[str] = mapped_column(String(120), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    at: Mapped[dt.datetime]
    size: Mapped[int | None]  # threads or processes of its pool


class AuditRow(Base):
    """Who did what to what, and why."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    at: Mapped[dt.datetime]
    who: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(60))
    target: Mapped[str]
    reason: Mapped[str] = mapped_column(default="")


class AccountRow(Base):
    """A person at the desk. `invite_hash` is the digest of a one-time link with which they choose a password."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)
    role: Mapped[str] = mapped_column(String(20))  # viewer | operator | admin
    state: Mapped[str] = mapped_column(String(20), default="active")  # active | disabled
    password: Mapped[str | None]  # argon2id, with its parameters
    invite_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    invite_until: Mapped[dt.datetime | None]
    created_at: Mapped[dt.datetime]
    seen_at: Mapped[dt.datetime | None]


class SessionRow(Base):
    """A browser signed in. Only the digest of its cookie is kept; `csrf` stands in every form of the session."""

    __tablename__ = "session"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[dt.datetime]
    seen_at: Mapped[dt.datetime]
    until: Mapped[dt.datetime]


class TokenRow(Base):
    """A program's way in: the digest of its token, and what it may do with it."""

    __tablename__ = "token"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str]  # space-separated: read, operate, push
    created_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[dt.datetime]
    until: Mapped[dt.datetime | None]
    used_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]


class KeyRow(Base):
    """A key that lets a program in: to push into a source, or to pull what an endpoint gets. Only its digest is kept.

    A `sign` key is a Standard Webhooks secret that signs pushes: `sealed` holds it, encrypted, since signatures are computed.
    """

    __tablename__ = "access_key"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))  # push | sign | pull
    owner_id: Mapped[int] = mapped_column(BigInteger)  # the source's id, or the endpoint's
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    sealed: Mapped[str | None]
    created_at: Mapped[dt.datetime]
    revoked_at: Mapped[dt.datetime | None]
    __table_args__ = (Index("ix_access_key_kind_owner_id", "kind", "owner_id"),)


class PortalSessionRow(Base):
    """A partner's browser, signed in with a pull key; it ends with the key. Only the digest of its cookie is kept."""

    __tablename__ = "portal_session"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[int] = mapped_column(ForeignKey("access_key.id"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[dt.datetime]
    until: Mapped[dt.datetime]


class PushRow(Base):
    """One accepted push: what it was called, what it held, and the entry that it became."""

    __tablename__ = "push"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"))
    name_hash: Mapped[str] = mapped_column(String(64))  # of its Idempotency-Key, webhook-id, or content
    body_hash: Mapped[str] = mapped_column(String(64))
    entry_id: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[dt.datetime]
    __table_args__ = (UniqueConstraint("source_id", "name_hash"),)


class FeedStateRow(Base):
    """What a feed last held (a digest), and since when: its Last-Modified. `subscription_id` 0 is the endpoint's whole feed."""

    __tablename__ = "feed_state"
    endpoint_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    subscription_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, server_default="0")
    digest: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[dt.datetime]


class HubRow(Leased, Base):
    """A subscriber of our WebSub hub: one topic (a feed's address) and one callback.

    What the subscriber asked for last stands in `wanted` until it is verified. A verified subscription delivers through the
    endpoint `endpoint_id`; `parent_id` is the endpoint whose feed the topic is, `subscription_id` the one of its subscriptions
    whose own feed it is (None: the whole feed).
    """

    __tablename__ = "hub"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    pair_hash: Mapped[str] = mapped_column(String(64), unique=True)  # of topic and callback
    topic: Mapped[str]
    callback: Mapped[str]
    format: Mapped[str] = mapped_column(String(20))
    parent_id: Mapped[int] = mapped_column(BigInteger)
    subscription_id: Mapped[int | None] = mapped_column(BigInteger)
    endpoint_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    wanted: Mapped[str | None] = mapped_column(String(12))  # subscribe | unsubscribe
    wanted_s: Mapped[int] = mapped_column(default=0)
    wanted_secrets: Mapped[str]
    expires_at: Mapped[dt.datetime | None]
    due_at: Mapped[dt.datetime | None] = mapped_column(index=True)
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    reason: Mapped[str | None]
    __table_args__ = (_held("hub"),)


class WebsubRow(Leased, Base):
    """Our subscription at another's hub, for a source. `token` makes its callback's address; `due_at` is when to ask (again)."""

    __tablename__ = "websub"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), unique=True)
    hub: Mapped[str]
    topic: Mapped[str]
    token: Mapped[str] = mapped_column(String(60), unique=True)
    secret: Mapped[str]  # encrypted
    state: Mapped[str] = mapped_column(String(20))  # wanted | pending | active | denied
    expires_at: Mapped[dt.datetime | None]
    due_at: Mapped[dt.datetime | None] = mapped_column(index=True)
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    reason: Mapped[str | None]
    pushed_at: Mapped[dt.datetime | None]
    __table_args__ = (_held("websub"),)


class SwitchRow(Base):
    """What people switched off: a stage ("deliver"), or all of them for a drain ("drain"). A row that is not there: on."""

    __tablename__ = "switch"
    key: Mapped[str] = mapped_column(String(40), primary_key=True)
    at: Mapped[dt.datetime]
    who: Mapped[str] = mapped_column(String(100))
    reason: Mapped[str] = mapped_column(default="", server_default="")


class PoolRow(Base):
    """How many threads or processes each worker of a kind is to have; without a row what the settings say."""

    __tablename__ = "pool"
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    size: Mapped[int]
    at: Mapped[dt.datetime]
    who: Mapped[str] = mapped_column(String(100))


class AlertRow(Base):
    """A trouble that alerts are about, from its beginning to its end, and whether people were told of either."""

    __tablename__ = "alert"
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    text: Mapped[str]
    href: Mapped[str]
    began_at: Mapped[dt.datetime]
    seen_at: Mapped[dt.datetime]
    ended_at: Mapped[dt.datetime | None]
    told_at: Mapped[dt.datetime | None]  # of its beginning
    end_told_at: Mapped[dt.datetime | None]


class NoticeRow(Leased, Base):
    """One message to people: what began and what ended, by one channel. It stays until it was sent or given up."""

    __tablename__ = "notice"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    channel: Mapped[str] = mapped_column(String(20))  # email | webhook
    body: Mapped[bytes]  # JSON of services.console.alerts.Notice
    made_at: Mapped[dt.datetime]
    due_at: Mapped[dt.datetime | None] = mapped_column(index=True)
    sent_at: Mapped[dt.datetime | None]
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    error: Mapped[str | None]
    __table_args__ = (_held("notice"),)


Index("ix_article_first_seen_at", ArticleRow.first_seen_at)  # the desk lists articles by first sight
Index("ix_article_held", ArticleRow.first_seen_at, sqlite_where=text("held = 1"), postgresql_where=text("held"))
Index("ix_article_withdrawn", ArticleRow.first_seen_at, sqlite_where=text("state = 'withdrawn'"),
      postgresql_where=text("state = 'withdrawn'"))  # fmt: skip
Index("ix_article_stuck", ArticleRow.source_id, ArticleRow.reason,
      sqlite_where=text("due_at IS NULL AND enriched_revision < revision AND reason IS NOT NULL"),
      postgresql_where=text("due_at IS NULL AND enriched_revision < revision AND reason IS NOT NULL"))  # fmt: skip
Index("ix_entry_quarantined", EntryRow.source_id, EntryRow.reason, sqlite_where=text("state = 'quarantined'"),
      postgresql_where=text("state = 'quarantined'"))  # fmt: skip
Index("ix_delivery_quarantined", DeliveryRow.endpoint_id, DeliveryRow.reason, sqlite_where=text("state = 'quarantined'"),
      postgresql_where=text("state = 'quarantined'"))  # fmt: skip
Index("ix_article_embargo_until", ArticleRow.embargo_until, sqlite_where=text("embargo_until IS NOT NULL"),
      postgresql_where=text("embargo_until IS NOT NULL"))  # fmt: skip

# The words of headlines and addresses, for the search of articles (`shared.store.search`). The store keeps them, so that no
# writer can forget to: a full-text table with triggers on SQLite, an index on PostgreSQL (in ArticleRow's arguments).
for _statement in (
    """CREATE VIRTUAL TABLE article_words USING fts5(article_id, headline, url, prefix='2 3',
    tokenize="unicode61 remove_diacritics 2")""",
    """CREATE TRIGGER article_words_new AFTER INSERT ON article BEGIN
    INSERT INTO article_words(article_id, headline, url) VALUES (new.id, new.headline, new.url); END""",
    """CREATE TRIGGER article_words_changed AFTER UPDATE OF headline, url ON article
    WHEN old.headline IS NOT new.headline OR old.url IS NOT new.url BEGIN
    UPDATE article_words SET headline = new.headline, url = new.url WHERE rowid IN
    (SELECT rowid FROM article_words WHERE article_words MATCH 'article_id : "' || old.id || '"'); END""",
    """CREATE TRIGGER article_words_gone AFTER DELETE ON article BEGIN
    DELETE FROM article_words WHERE rowid IN
    (SELECT rowid FROM article_words WHERE article_words MATCH 'article_id : "' || old.id || '"'); END""",
):
    _made: Any = DDL(_statement)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    event.listen(ArticleRow.__table__, "after_create", _made.execute_if(dialect="sqlite"))


Row = dict[str, Any]
