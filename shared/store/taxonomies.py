"""Section models and what they learn from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import Connection, exists, insert, select

from shared import records
from shared.models import ArticleRow, CategoryRow, ModelRow, RevisionRow


def newest_model(connection: Connection, scheme: str) -> int | None:
    """The id of the scheme's model in use."""
    found = select(ModelRow.id).where(ModelRow.scheme == scheme).order_by(ModelRow.id.desc()).limit(1)
    return connection.execute(found).scalar()


def model(connection: Connection, model_id: int) -> bytes:
    """A model's bytes."""
    return bytes(connection.execute(select(ModelRow.body).where(ModelRow.id == model_id)).scalar_one())


def newest_figures(connection: Connection, scheme: str) -> str | None:
    """What held-back labels said of the model in use, as JSON."""
    found = select(ModelRow.figures).where(ModelRow.scheme == scheme).order_by(ModelRow.id.desc()).limit(1)
    return connection.execute(found).scalar()


def add_model(connection: Connection, scheme: str, version: str, figures: str, body: bytes, now: dt.datetime) -> None:
    """Puts a model into use."""
    values = {"scheme": scheme, "trained_at": now, "version": version, "figures": figures, "body": body}
    connection.execute(insert(ModelRow).values(values))


def unfiled(connection: Connection, scheme: str, limit: int) -> list[str]:
    """The newest articles that nobody filed under the scheme."""
    filed = exists().where(
        CategoryRow.article_id == ArticleRow.id,
        CategoryRow.scheme == scheme,
        CategoryRow.method.in_(["publisher", "person"]),
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
