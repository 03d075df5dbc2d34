"""Articles, their immutable revisions, and what we worked out about them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, case, delete, func, insert, or_, select, update

from shared import records
from shared.models import ArticleRow, CategoryRow, EntryRow, LinkRow, RevisionRow, Row
from shared.store import claims
from shared.store.rows import insert_ignore, update_many, upsert


def find(connection: Connection, identity: str, *, lock: bool = False) -> Row | None:
    """The article with this identity; locked until the transaction ends where asked."""
    found = select(*ArticleRow.__table__.columns).where(ArticleRow.identity == identity)
    row = connection.execute(found.with_for_update() if lock else found).mappings().first()
    return dict(row) if row else None


def locked(connection: Connection, article_id: str) -> Row | None:
    """The article, locked until the transaction ends."""
    found = select(*ArticleRow.__table__.columns).where(ArticleRow.id == article_id).with_for_update()
    row = connection.execute(found).mappings().first()
    return dict(row) if row else None


def booked_entry(connection: Connection, article_id: str) -> int | None:
    """The id of the entry that the article is booked under in its source's ledger."""
    found = select(EntryRow.id).where(EntryRow.article_id == article_id, EntryRow.state == "stored").limit(1)
    return connection.execute(found).scalar()


def get(connection: Connection, article_id: str) -> Row | None:
    found = select(*ArticleRow.__table__.columns).where(ArticleRow.id == article_id)
    row = connection.execute(found).mappings().first()
    return dict(row) if row else None


class New(msgspec.Struct, frozen=True):
    """An article never seen: its first revision, its natural key, and where it was found."""

    article: records.Article
    identity: str
    source_id: int
    entry_id: int
    page_id: int | None


def create(connection: Connection, article: records.Article, identity: str, source_id: int, entry_id: int, page_id: int | None,
           now: dt.datetime) -> bool:  # fmt: skip
    """A new article with its first revision, waiting for enrichment. False: somebody stored it in the meantime."""
    return bool(create_many(connection, [New(article, identity, source_id, entry_id, page_id)], now))


def create_many(connection: Connection, new: Sequence[New], now: dt.datetime) -> set[str]:
    """Stores articles with their first revisions, waiting for enrichment.

    Returns the ids of those stored; the others were stored by somebody else in the meantime. An identity may be in a
    batch once.
    """
    rows = [
        _present(one.article) | {
            "id": one.article.id, "identity": one.identity, "source_id": one.source_id, "revision": 1,
            "enriched_revision": 0, "first_seen_at": now, "backfill": one.article.backfill, "due_at": now, "again": False,
            "lease_epoch": 0, "attempts": 0, "state": "usable",
        }
        for one in new
    ]  # fmt: skip
    insert_ignore(connection, ArticleRow, rows, conflict=["identity"])
    revisions_ = [_revision_row(one.article, "new", one.entry_id, one.page_id, now) for one in new]
    insert_ignore(connection, RevisionRow, revisions_, conflict=["article_id", "revision"])
    owners = select(RevisionRow.article_id, RevisionRow.entry_id).where(
        RevisionRow.article_id.in_([one.article.id for one in new]), RevisionRow.revision == 1
    )
    by_id = {one.article.id: one.entry_id for one in new}
    return {article_id for article_id, entry_id in connection.execute(owners) if by_id[article_id] == entry_id}


def known_identities(connection: Connection, identities: Collection[str]) -> set[str]:
    """Those of the identities that have an article."""
    found = select(ArticleRow.identity).where(ArticleRow.identity.in_(list(identities)))
    return set(connection.execute(found).scalars())


def revise(connection: Connection, known: Row, article: records.Article, kind: str, entry_id: int, page_id: int | None,
           now: dt.datetime) -> records.Article:  # fmt: skip
    """Adds the next revision of a known article (locked by the caller), waiting for enrichment. Returns it as stored."""
    revised = msgspec.structs.replace(
        article, id=known["id"], revision=known["revision"] + 1, backfill=known["backfill"]
    )
    changes = _present(revised) | {"revision": revised.revision, "due_at": now, "state": revised.state}
    connection.execute(update(ArticleRow).where(ArticleRow.id == known["id"]).values(changes))
    connection.execute(insert(RevisionRow).values(_revision_row(revised, kind, entry_id, page_id, now)))
    return revised


def due_articles(connection: Connection, now: dt.datetime, limit: int) -> list[Row]:
    """Articles that wait for enrichment and that nobody holds: id and attempts, longest waiting first."""
    found = select(ArticleRow.id, ArticleRow.attempts).where(claims.due(ArticleRow, now)).order_by(ArticleRow.due_at)
    return [dict(row) for row in connection.execute(found.limit(limit)).mappings()]


def claim_articles(connection: Connection, ids: Collection[str], now: dt.datetime) -> list[Row]:
    """Takes articles to enrich; the claim is on the article, so its revisions pass in order."""
    return claims.claim(connection, ArticleRow, ids, now)


def give_up(connection: Connection, row: Row, reason: str, now: dt.datetime) -> None:
    """Ends a claim without a result; a revision that arrived meanwhile is due all the same."""
    due_at = case((ArticleRow.revision > row["revision"], now), else_=None)
    claims.settle(connection, ArticleRow, row, due_at=due_at, reason=reason)


def to_enrich(connection: Connection, rows: Sequence[Row]) -> dict[str, list[records.Article]]:
    """Article id -> its revisions not enriched yet, oldest first; of one to be enriched again, the newest as well."""
    waiting: dict[str, list[records.Article]] = {row["id"]: [] for row in rows}
    done = {row["id"]: row["enriched_revision"] - (1 if row["again"] else 0) for row in rows}
    found = select(RevisionRow.article_id, RevisionRow.revision, RevisionRow.record).where(
        RevisionRow.article_id.in_(list(done)), RevisionRow.revision > min(done.values(), default=0)
    )
    for article_id, revision, record in connection.execute(found.order_by(RevisionRow.revision)):
        if revision > done[article_id]:
            waiting[article_id].append(records.from_json(record, records.Article))
    return waiting


def revision(
    connection: Connection, article_id: str, number: int | None = None
) -> tuple[records.Article, records.Annotations] | None:
    """One revision (the newest unless named) with its annotations."""
    found = select(RevisionRow.record, RevisionRow.annotations).where(RevisionRow.article_id == article_id)
    found = (
        found.where(RevisionRow.revision == number) if number else found.order_by(RevisionRow.revision.desc()).limit(1)
    )
    row = connection.execute(found).first()
    return (records.from_json(row.record, records.Article), _annotations(row.annotations)) if row else None


def revisions(
    connection: Connection, keys: Collection[tuple[str, int]]
) -> dict[tuple[str, int], tuple[bytes, bytes | None]]:
    """(article id, revision) -> the record and its annotations, both as stored JSON."""
    ids = sorted({article_id for article_id, _ in keys})
    found = select(RevisionRow.article_id, RevisionRow.revision, RevisionRow.record, RevisionRow.annotations)
    wanted = set(keys)
    rows = connection.execute(found.where(RevisionRow.article_id.in_(ids)))
    return {(a, n): (record, notes) for a, n, record, notes in rows if (a, n) in wanted}


def history(connection: Connection, article_id: str) -> list[Row]:
    """Every revision's number, kind and time, oldest first."""
    columns = (RevisionRow.revision, RevisionRow.kind, RevisionRow.at, RevisionRow.content_hash, RevisionRow.page_id)
    found = select(*columns).where(RevisionRow.article_id == article_id).order_by(RevisionRow.revision)
    return [dict(row) for row in connection.execute(found).mappings()]


def annotate(connection: Connection, done: Sequence[tuple[records.Article, records.Annotations]]) -> None:
    """Keeps what we worked out about revisions: beside the record, and the language in it, which ingest left open."""
    rows = [
        {"article_id": article.id, "revision": article.revision, "annotations": records.to_json(notes),
         "record": records.to_json(article)}
        for article, notes in done
    ]  # fmt: skip
    update_many(connection, RevisionRow, rows, key=["article_id", "revision"])


def set_categories(connection: Connection, filed: Mapping[str, Iterable[records.Category]]) -> None:
    """Replaces the categories of articles."""
    connection.execute(delete(CategoryRow).where(CategoryRow.article_id.in_(list(filed))))
    rows = [
        {name: getattr(c, name) for name in _CATEGORY}
        | {"article_id": article_id, "reasons": json.dumps(c.reasons, ensure_ascii=False)}
        for article_id, categories in filed.items()
        for c in categories
    ]
    insert_ignore(connection, CategoryRow, rows, conflict=["article_id", "scheme", "code"])


_CATEGORY = tuple(
    column.name for column in CategoryRow.__table__.columns if column.name not in ("article_id", "reasons")
)


def categories_of(connection: Connection, article_id: str) -> list[records.Category]:
    """The article's categories, a person's first."""
    found = (
        select(*CategoryRow.__table__.columns).where(CategoryRow.article_id == article_id).order_by(CategoryRow.method)
    )
    return [_category(dict(row)) for row in connection.execute(found).mappings()]


def labelled(connection: Connection, scheme: str, limit: int = 20_000) -> list[tuple[str, str]]:
    """(article id, code) of what publishers or people filed under the scheme, what people said first, then by id."""
    found = select(CategoryRow.article_id, CategoryRow.code).where(
        CategoryRow.scheme == scheme, CategoryRow.method.in_(["publisher", "person"]), CategoryRow.suggestion.is_(False)
    )
    by = (CategoryRow.method, CategoryRow.article_id, CategoryRow.code)  # "person" comes before "publisher"
    return [(a, code) for a, code in connection.execute(found.order_by(*by).limit(limit))]


def draw(connection: Connection, own: Collection[str], links: Sequence[tuple[str, records.Similar]]) -> set[str]:
    """Makes (holder, link) all the links that start or end at `own`; one that says what it said keeps its date.

    Returns the others that hold, or held, a link to one of them: whoever may embed one.
    """
    names = list(own)
    columns = (LinkRow.article_id, LinkRow.other_id, LinkRow.relation, LinkRow.as_of)
    found = select(*columns).where(or_(LinkRow.article_id.in_(names), LinkRow.other_id.in_(names)))
    known = {(holder, other): (relation, at) for holder, other, relation, at in connection.execute(found)}
    rows = {(holder, link.article_id): _link_row(holder, link) for holder, link in links}
    for pair, row in rows.items():
        relation, at = known.get(pair, ("", None))
        row["as_of"] = at if relation == row["relation"] else row["as_of"]
    stale = [{"holder": holder, "target": target} for holder, target in sorted(known.keys() - rows.keys())]
    if stale:
        gone = (LinkRow.article_id == bindparam("holder"), LinkRow.other_id == bindparam("target"))
        connection.execute(delete(LinkRow.__table__).where(*gone), stale)  # type: ignore[arg-type]  # a Table, typed as any FromClause
    upsert(connection, LinkRow, [rows[pair] for pair in sorted(rows)], conflict=["article_id", "other_id"])
    return {holder for holder, _ in known.keys() | rows.keys()} - set(own)


def _link_row(holder: str, link: records.Similar) -> Row:
    return {
        "article_id": holder, "other_id": link.article_id, "relation": link.relation, "score": link.score,
        "method": link.method, "version": link.version, "as_of": dt.datetime.fromisoformat(link.as_of),
        "reasons": json.dumps(link.reasons, ensure_ascii=False),
    }  # fmt: skip


def links_of(connection: Connection, article_id: str) -> list[Row]:
    """The article's links with the other article's headline, state and URL, strongest first."""
    return links(connection, [article_id]).get(article_id, [])


def links(connection: Connection, article_ids: Collection[str]) -> dict[str, list[Row]]:
    """Article id -> its links with the other articles' headline, URL, state, hold and embargo, strongest first."""
    columns = (ArticleRow.headline, ArticleRow.url, ArticleRow.state, ArticleRow.held, ArticleRow.embargo_until)
    found = (
        select(*LinkRow.__table__.columns, *columns)
        .join(ArticleRow, ArticleRow.id == LinkRow.other_id)
        .where(LinkRow.article_id.in_(list(article_ids)))
        .order_by(LinkRow.score.desc(), LinkRow.other_id)
    )
    held: dict[str, list[Row]] = {}
    for row in connection.execute(found).mappings():
        held.setdefault(row["article_id"], []).append(dict(row) | {"reasons": json.loads(row["reasons"])})
    return held


def outlines(connection: Connection, ids: Iterable[str]) -> dict[str, Row]:
    """Article id -> id, headline, URL, state, hold and embargo, whether it is back-fill, how far it is enriched, and `dated`:
    when it was published, else first seen."""
    dated = func.coalesce(ArticleRow.published_at, ArticleRow.first_seen_at, type_=ArticleRow.first_seen_at.type)
    columns = (ArticleRow.id, ArticleRow.headline, ArticleRow.url, ArticleRow.state, ArticleRow.held, ArticleRow.embargo_until,
               ArticleRow.backfill, ArticleRow.enriched_revision, dated.label("dated"))  # fmt: skip
    found = select(*columns).where(ArticleRow.id.in_(list(ids)))
    return {row["id"]: dict(row) for row in connection.execute(found).mappings()}


def kinds(connection: Connection, ids: Iterable[str]) -> dict[tuple[str, int], str]:
    """(article id, revision) -> the revision's kind."""
    found = select(RevisionRow.article_id, RevisionRow.revision, RevisionRow.kind)
    return {(a, n): kind for a, n, kind in connection.execute(found.where(RevisionRow.article_id.in_(list(ids))))}


def made_at(connection: Connection, ids: Iterable[str]) -> dict[tuple[str, int], dt.datetime]:
    """(article id, revision) -> when the revision was stored."""
    found = select(RevisionRow.article_id, RevisionRow.revision, RevisionRow.at)
    return {(a, n): at for a, n, at in connection.execute(found.where(RevisionRow.article_id.in_(list(ids))))}


def unlink(connection: Connection, article_id: str) -> list[str]:
    """Removes every link from and to an article. Returns the articles that linked to it."""
    holders = list(connection.execute(select(LinkRow.article_id).where(LinkRow.other_id == article_id)).scalars())
    connection.execute(delete(LinkRow).where((LinkRow.other_id == article_id) | (LinkRow.article_id == article_id)))
    return holders


def notes(connection: Connection, ids: Collection[str]) -> dict[str, records.Annotations]:
    """Article id -> what is worked out about its newest enriched revision."""
    return {article_id: _annotations(raw) for article_id, _, raw in connection.execute(_newest_notes(ids))}


def rewrite(
    connection: Connection, ids: Collection[str], change: Callable[[str, records.Annotations], records.Annotations]
) -> set[str]:
    """Puts what `change` makes of them in the place of the annotations of newest enriched revisions. Returns whose changed."""
    rows = []
    for article_id, number, raw in connection.execute(_newest_notes(ids)).all():
        held = _annotations(raw)
        new = change(article_id, held)
        if new != held:
            rows.append({"article_id": article_id, "revision": number, "annotations": records.to_json(new)})
    update_many(connection, RevisionRow, rows, key=["article_id", "revision"])
    return {row["article_id"] for row in rows}


def _newest_notes(ids: Collection[str]) -> Any:
    return (
        select(RevisionRow.article_id, RevisionRow.revision, RevisionRow.annotations)
        .join(ArticleRow, ArticleRow.id == RevisionRow.article_id)
        .where(RevisionRow.article_id.in_(list(ids)), RevisionRow.revision == ArticleRow.enriched_revision)
    )


def set_article(connection: Connection, article_id: str, **values: Any) -> None:
    """Changes an article outside a claim."""
    connection.execute(update(ArticleRow).where(ArticleRow.id == article_id).values(values))


def newest(connection: Connection, limit: int, *, state: str | None = None) -> list[Row]:
    """The newest articles by first sight."""
    found = select(*ArticleRow.__table__.columns).order_by(ArticleRow.first_seen_at.desc(), ArticleRow.id).limit(limit)
    found = found.where(ArticleRow.state == state) if state else found
    return [dict(row) for row in connection.execute(found).mappings()]


def _revision_row(article: records.Article, kind: str, entry_id: int, page_id: int | None, now: dt.datetime) -> Row:
    return {
        "article_id": article.id, "revision": article.revision, "kind": kind, "record": records.to_json(article),
        "annotations": None, "content_hash": article.content_hash, "page_id": page_id, "entry_id": entry_id, "at": now,
    }  # fmt: skip


def _present(article: records.Article) -> Row:
    return {
        "url": article.url, "source_item_id": article.source_item_id, "content_hash": article.content_hash,
        "headline": article.headline, "language": article.language, "section": article.section,
        "published_at": article.published.at if article.published else None,
    }  # fmt: skip


def _annotations(raw: bytes | None) -> records.Annotations:
    return records.from_json(raw, records.Annotations) if raw else records.Annotations()


def _category(row: Row) -> records.Category:
    row.pop("article_id")
    return msgspec.convert(row | {"reasons": json.loads(row["reasons"])}, records.Category)
