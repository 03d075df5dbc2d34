"""Taxonomies as operators added them, the models trained for them, and what those learn from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import Connection, case, exists, func, insert, select, update

from shared import records
from shared.models import ArticleRow, CategoryRow, ModelRow, RevisionRow, Row, TaxonomyRow
from shared.store.rows import upsert

LABELLED = ("publisher", "person")
"""By whom an article is filed so that a model may learn from it."""


def put(connection: Connection, scheme: str, title: str, terms: int, body: bytes, now: dt.datetime) -> None:
    """Keeps a taxonomy's file, in the place of the one of the same scheme."""
    row = {"scheme": scheme, "title": title, "terms": terms, "body": body, "changed_at": now}
    upsert(connection, TaxonomyRow, [row], conflict=["scheme"])


def known(connection: Connection) -> dict[str, dt.datetime]:
    """Scheme -> when its taxonomy was put in."""
    found = select(TaxonomyRow.scheme, TaxonomyRow.changed_at).order_by(TaxonomyRow.scheme)
    return dict(connection.execute(found).all())


def bodies(connection: Connection) -> dict[str, bytes]:
    """Scheme -> its taxonomy's file."""
    found = select(TaxonomyRow.scheme, TaxonomyRow.body).order_by(TaxonomyRow.scheme)
    return {scheme: bytes(body) for scheme, body in connection.execute(found)}


def newest_models(connection: Connection) -> dict[str, int]:
    """Scheme -> the id of its model in use."""
    found = select(ModelRow.scheme, func.max(ModelRow.id)).where(ModelRow.kept).group_by(ModelRow.scheme)
    return dict(connection.execute(found).all())


def model(connection: Connection, model_id: int) -> bytes:
    """A model's bytes."""
    return bytes(connection.execute(select(ModelRow.body).where(ModelRow.id == model_id)).scalar_one())


def add_training(
    connection: Connection, scheme: str, version: str, figures: str, body: bytes | None, note: str, now: dt.datetime
) -> None:
    """Writes down a training. With a body its model is in use from now on; without one, `note` says why it is not."""
    values = {"scheme": scheme, "trained_at": now, "version": version, "figures": figures, "body": body or b"",
              "kept": body is not None, "note": note}  # fmt: skip
    connection.execute(insert(ModelRow).values(values))
    if body is not None:
        # Bytes of models out of use are of no use; their figures stay.
        newest = select(func.max(ModelRow.id)).where(ModelRow.scheme == scheme, ModelRow.kept).scalar_subquery()
        old = update(ModelRow).where(ModelRow.scheme == scheme, ModelRow.id < newest)
        connection.execute(old.values(body=b""))


def trainings(connection: Connection, scheme: str, limit: int = 10) -> list[Row]:
    """The newest trainings of a scheme, newest first: when, with which figures, whether kept, and why."""
    columns = (ModelRow.id, ModelRow.trained_at, ModelRow.version, ModelRow.figures, ModelRow.kept, ModelRow.note,
               func.length(ModelRow.body).label("bytes"))  # fmt: skip
    found = select(*columns).where(ModelRow.scheme == scheme).order_by(ModelRow.id.desc()).limit(limit)
    return [dict(row) for row in connection.execute(found).mappings()]


def in_use(connection: Connection, scheme: str) -> Row | None:
    """The training whose model is in use."""
    columns = (
        ModelRow.id,
        ModelRow.trained_at,
        ModelRow.version,
        ModelRow.figures,
        func.length(ModelRow.body).label("bytes"),
    )
    found = select(*columns).where(ModelRow.scheme == scheme, ModelRow.kept).order_by(ModelRow.id.desc()).limit(1)
    row = connection.execute(found).mappings().first()
    return dict(row) if row else None


def counts(connection: Connection) -> dict[str, dict[str, int]]:
    """Scheme -> how many categories of articles are filed (by publishers or people), found by a model, or suggested."""
    how = case((CategoryRow.suggestion, "suggested"), (CategoryRow.method.in_(LABELLED), "filed"), else_="found")
    found = select(CategoryRow.scheme, how, func.count()).group_by(CategoryRow.scheme, how)
    told: dict[str, dict[str, int]] = {}
    for scheme, kind, n in connection.execute(found):
        told.setdefault(scheme, {})[kind] = n
    return told


def labels(connection: Connection, scheme: str) -> list[Row]:
    """The codes under which articles are filed, found or suggested, with how many of each and by whom, most filed first."""
    person = func.count(case((CategoryRow.method == "person", 1)))
    filed = func.count(case((CategoryRow.method.in_(LABELLED), 1)))
    found = (
        select(CategoryRow.code, func.max(CategoryRow.label).label("label"), filed.label("filed"), person.label("by_people"),
               func.count(case((CategoryRow.method == "model", 1))).label("by_model"),
               func.count(case((CategoryRow.suggestion, 1))).label("suggested"))
        .where(CategoryRow.scheme == scheme)
        .group_by(CategoryRow.code)
        .order_by(filed.desc(), CategoryRow.code)
    )  # fmt: skip
    return [dict(row) for row in connection.execute(found).mappings()]


def unfiled(connection: Connection, scheme: str, limit: int) -> list[str]:
    """The newest articles that nobody filed under the scheme."""
    filed = exists().where(
        CategoryRow.article_id == ArticleRow.id, CategoryRow.scheme == scheme, CategoryRow.method.in_(LABELLED)
    )
    found = select(ArticleRow.id).where(~filed).order_by(ArticleRow.first_seen_at.desc(), ArticleRow.id).limit(limit)
    return list(connection.execute(found).scalars())


def texts(connection: Connection, article_ids: Sequence[str]) -> dict[str, str]:
    """Article id -> headline and words of its newest revision."""
    found: dict[str, str] = {}
    for i in range(0, len(article_ids), 500):
        part = select(RevisionRow.article_id, RevisionRow.record).where(
            RevisionRow.article_id.in_(article_ids[i : i + 500])
        )
        for article_id, record in connection.execute(part.order_by(RevisionRow.revision)):
            article = records.from_json(record, records.Article)
            found[article_id] = f"{article.headline}\n{article.lead or ''}\n{records.body_text(article.blocks)}"
    return found
