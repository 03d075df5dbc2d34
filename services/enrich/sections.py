"""Sections: what the publisher asserts is kept as asserted; where it asserts nothing, a model trained from the filed answers.

The model learns from articles that publishers or people filed, in the background, and is kept only if it is no worse than
the one before on held-back labels.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable

import msgspec
from sqlalchemy import Connection

from services.enrich import categories as learnt
from shared import queue
from shared.errors import Rejected
from shared.records import Article, Category
from shared.store import articles, lanes, taxonomies

SCHEME = "section"
LANE = f"train:{SCHEME}"
PAUSE = dt.timedelta(minutes=10)  # between two trainings
MOST_UNFILED = 500  # texts without a section that help where a section has few
LEAST = 30  # filed articles before a first training

Guess = Callable[[str], learnt.Prediction]

_cached: tuple[int, learnt.Model] | None = None


def categories(article: Article, text: str, guess: Guess | None) -> tuple[Category, ...]:
    """The publisher's own section, else the model's, else nothing."""
    if article.section:
        return (Category(SCHEME, article.section, article.section, "publisher", "1", 1.0),)
    if guess is None:
        return ()
    found = guess(f"{article.headline}\n{text}")
    if found.label is None:
        return ()
    return (Category(SCHEME, found.label, found.label, "model", learnt.VERSION, round(found.score, 4), found.reasons),)


def predictor(connection: Connection) -> Guess | None:
    """The newest model's, read once a process and model; None while nothing has been learnt."""
    global _cached
    newest = taxonomies.newest_model(connection, SCHEME)
    if newest is None:
        return None
    if _cached is None or _cached[0] != newest:
        _cached = newest, learnt.Model.from_bytes(taxonomies.model(connection, newest))
    return _cached[1].predict


def wake(work: queue.Work, found: Iterable[Category]) -> None:
    """More filed articles: the model is due for training some time later."""
    if any(category.method == "publisher" for category in found):
        lanes.wake(work.connection, "train", [LANE], work.now + PAUSE)


def train(connection: Connection) -> tuple[learnt.Model, int] | None:
    """A model of everything filed, and the articles it learnt from; None while there is too little to learn from."""
    filed = articles.labelled(connection, SCHEME)
    if len(filed) < LEAST:
        return None
    texts = taxonomies.texts(connection, [article_id for article_id, _ in filed])
    examples = [(texts[article_id], label) for article_id, label in filed if article_id in texts]
    unfiled = taxonomies.texts(connection, taxonomies.unfiled(connection, SCHEME, MOST_UNFILED))
    try:
        return learnt.train(examples, list(unfiled.values())), len(examples)
    except Rejected:
        return None


def keep(work: queue.Work, model: learnt.Model) -> bool:
    """Stores the model if it is no worse on held-back labels than the one in use. Returns whether it was."""
    before = taxonomies.newest_figures(work.connection, SCHEME)
    accuracy = model.figures.accuracy
    if before is not None and accuracy < msgspec.json.decode(before, type=learnt.Figures).accuracy:
        return False
    figures = msgspec.json.encode(model.figures).decode()
    taxonomies.add_model(work.connection, SCHEME, learnt.VERSION, figures, model.to_bytes(), work.now)
    return True
