"""What an article is about: as its publisher asserts it, else as a model learnt it, else as words suggest it; a person's word wins.

    tools       the store -> Tools: the taxonomies and the models in use
    categories  an article and the tools -> its categories, with method, version, score and reasons
    ruled       those and what people said -> those that stand
    train       filed articles -> a Training;  keep: its model is used if it is better on held-back labels

Every taxonomy has a model of its own, and so have the publishers' sections (scheme "section"). It learns from articles that
publishers or people filed, in the background. Every tenth filed article is held back: no model ever learns from it, so two
models can be compared on it.
"""

from __future__ import annotations

import datetime as dt
import functools
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from services.enrich import categories as learnt
from services.enrich import taxonomy
from services.enrich.taxonomy import SECTIONS, Taxonomy
from shared import queue
from shared.errors import OperatorError, Rejected
from shared.records import Article, Category
from shared.store import articles, lanes, rulings, taxonomies

SCHEME = SECTIONS
MOST_UNFILED = 500  # texts without a category that help where a category has few
LEAST = 30  # filed articles before a first training
LEAST_HELD = 20  # held-back articles that are enough to compare two models on
SUGGESTED = 3  # suggestions an article and taxonomy
TELLING = 2  # words that must speak for a suggestion


class Tools(NamedTuple):
    """The taxonomies (the bundled Media Topics and those that operators added) and the model in use of each scheme."""

    taxonomies: tuple[Taxonomy, ...] = ()
    models: Mapping[str, learnt.Model] = {}

    @property
    def several(self) -> frozenset[str]:
        """Schemes of which an article may have more than one category."""
        return frozenset(one.scheme for one in self.taxonomies if one.several)


_made: tuple[object, Tools] = (None, Tools())


def tools(connection: Connection) -> Tools:
    """The taxonomies and models in use; read again only when there are others."""
    global _made
    mark = (taxonomies.known(connection), taxonomies.newest_models(connection))
    if _made[0] != mark:
        models = {scheme: _model(taxonomies.model(connection, found)) for scheme, found in mark[1].items()}
        _made = mark, Tools(tuple(known(connection).values()), models)
    return _made[1]


@functools.lru_cache(maxsize=8)
def _model(raw: bytes) -> learnt.Model:
    return learnt.Model.from_bytes(raw)


def known(connection: Connection) -> dict[str, Taxonomy]:
    """Scheme -> its taxonomy: those in the store, and the bundled one unless the settings leave it out."""
    own = {scheme: taxonomy.load(raw) for scheme, raw in taxonomies.bodies(connection).items()}
    bundled = {taxonomy.bundled().scheme: taxonomy.bundled()} if queue.SETTINGS.enrich.media_topics else {}
    return bundled | own


def categories(article: Article, text: str, with_: Tools) -> tuple[Category, ...]:
    """What publisher, models and words say, the section first; `text` is headline and body."""
    found = _section(article, text, with_.models.get(SCHEME))
    for one in with_.taxonomies:
        found += _filed(one, article, text, with_.models.get(one.scheme))
    return found


def _section(article: Article, text: str, model: learnt.Model | None) -> tuple[Category, ...]:
    if article.section:
        return (Category(SCHEME, article.section, article.section, "publisher", "1", 1.0),)
    found = model.predict(text) if model else None
    if found is None or found.label is None:
        return ()
    return (Category(SCHEME, found.label, found.label, "model", learnt.VERSION, round(found.score, 4), found.reasons),)


def _filed(of: Taxonomy, article: Article, text: str, model: learnt.Model | None) -> tuple[Category, ...]:
    """By the publisher's section where that means a term, else by the model, else suggestions."""
    meant = of.of_section(article.section) if article.section else None
    if meant is not None:
        return (_category(of, meant, "publisher", "1", 1.0, (str(article.section),)),)
    found = model.predict(text) if model else None
    term = of.term(found.label) if found and found.label else None
    if found is not None and term is not None:
        return (_category(of, term, "model", learnt.VERSION, found.score, found.reasons),)
    return tuple(
        msgspec.structs.replace(
            _category(of, hint, taxonomy.METHOD, taxonomy.VERSION, one.score, one.reasons), suggestion=True
        )
        for one in taxonomy.suggest(of, text, SUGGESTED)
        if one.telling >= TELLING and (hint := of.term(one.code)) is not None
    )


def _category(
    of: Taxonomy, term: taxonomy.Term, method: str, version: str, score: float, reasons: tuple[str, ...]
) -> Category:
    above = of.above(term.code)
    return Category(of.scheme, term.code, term.label, method, version, round(score, 4), reasons, above=above)


def by_person(connection: Connection, scheme: str, code: str) -> Category:
    """The category that a person means. OperatorError: there is no such taxonomy, or no such code in it."""
    if scheme == SCHEME:
        return Category(SCHEME, code, code, "person", "1", 1.0)
    found = known(connection)
    if scheme not in found:
        names = ", ".join([SCHEME, *found])
        raise OperatorError(
            f"There is no taxonomy {scheme[:60]}.", f"There are {names}; `briefwire taxonomy add FILE` adds one."
        )
    term = found[scheme].term(code)
    if term is None:
        raise OperatorError(
            f"The taxonomy {scheme} has no code {code[:60]}.", f"`briefwire taxonomy report {scheme}` lists them."
        )
    return _category(found[scheme], term, "person", "1", 1.0, ())


def ruled(found: Iterable[Category], said: Sequence[rulings.Ruling], several: frozenset[str]) -> tuple[Category, ...]:
    """What stands after people spoke: what they set, then what was found where they said nothing against it.

    Where a person set a category, nothing else of its scheme stands, but what a taxonomy with several still suggests.
    """
    words = [one for one in said if one.kind == "category"]
    mine = tuple(one.category for one in words if one.category is not None)
    spoken, taken = {one.scheme for one in mine}, {f"{one.scheme}:{one.code}" for one in mine}
    cleared = {one.key for one in words if one.category is None}

    def stands(one: Category) -> bool:
        if f"{one.scheme}:{one.code}" in cleared | taken or f"{one.scheme}:{rulings.ALL}" in cleared:
            return False
        return one.scheme not in spoken or (one.suggestion and one.scheme in several)

    return mine + tuple(one for one in found if stands(one))


# Training


class Training(NamedTuple):
    """One training: the model (None: there is none, `why` says so), and how it and the one in use do on held-back articles."""

    scheme: str
    model: learnt.Model | None
    why: str = ""
    held: int = 0
    right: float = 0.0
    right_before: float | None = None


def lane(scheme: str) -> str:
    """The lane on which a scheme's model is trained."""
    return f"train:{scheme}"


def wake(work: queue.Work, filed: Iterable[Category]) -> None:
    """More filed articles: their schemes' models are due for training some time later."""
    schemes = {one.scheme for one in filed if one.method in taxonomies.LABELLED and not one.suggestion}
    if schemes:
        pause = dt.timedelta(seconds=queue.SETTINGS.enrich.train_every_s)
        lanes.wake(work.connection, "train", map(lane, schemes), work.now + pause)


def train(connection: Connection, scheme: str = SCHEME, least: int = LEAST) -> Training:
    """A model of everything filed under the scheme, and how it compares."""
    filed = articles.labelled(connection, scheme)
    if len(filed) < least:
        return Training(scheme, None, f"{len(filed)} articles are filed, at least {least} are needed")
    texts = taxonomies.texts(connection, [article_id for article_id, _ in filed])
    examples = [(article_id, texts[article_id], label) for article_id, label in filed if article_id in texts]
    held = [(text, label) for article_id, text, label in examples if held_back(article_id)]
    usual = [(text, label) for article_id, text, label in examples if not held_back(article_id)]
    if len(held) < LEAST_HELD:
        usual, held = usual + held, []
    unfiled = taxonomies.texts(connection, taxonomies.unfiled(connection, scheme, MOST_UNFILED))
    try:
        model = learnt.train(usual, list(unfiled.values()))
    except Rejected as error:
        return Training(scheme, None, error.detail)
    before = tools(connection).models.get(scheme)
    return Training(scheme, model, "", len(held), _right(model, held), _right(before, held) if before else None)


def held_back(article_id: str) -> bool:
    """Whether the article is one of those that no model learns from."""
    return zlib.crc32(article_id.encode()) % 10 == 0


def _right(model: learnt.Model, held: Sequence[tuple[str, str]]) -> float:
    """Accuracy on held-back articles, abstentions answered too; on the model's own cross-validation where there are too few."""
    if not held:
        return model.figures.accuracy
    return sum(model.predict(text).best == label for text, label in held) / len(held)


def keep(work: queue.Work, training: Training) -> bool:
    """Writes the training down; its model is used from now on if it is better than the one in use. Returns whether it is."""
    verdict, note = judge(training)
    model = training.model
    figures = msgspec.json.encode(figures_of(training)).decode()
    taxonomies.add_training(work.connection, training.scheme, learnt.VERSION, figures,
                            model.to_bytes() if verdict and model else None, note, work.now)  # fmt: skip
    return verdict


def judge(training: Training) -> tuple[bool, str]:
    """Whether the model is to be used, and why, as a sentence."""
    if training.model is None:
        return False, training.why
    on = f"{training.held} held-back articles" if training.held else "cross-validation: too few are held back"
    if training.right_before is None:
        return True, f"the first model; {training.right:.1%} right on {on}"
    told = f"{training.right:.1%} right on {on}, the one in use {training.right_before:.1%}"
    return training.right > training.right_before, told


class Figures(msgspec.Struct, frozen=True):
    """What a training is kept or not kept by: the model's own cross-validation, and the comparison on held-back articles."""

    trained: learnt.Figures | None = None
    labels: int = 0
    threshold: float | None = None
    held: int = 0
    right: float | None = None
    right_before: float | None = None


def figures_of(training: Training) -> Figures:
    """The training's figures, as `report` prints them."""
    model = training.model
    if model is None:
        return Figures()
    return Figures(
        model.figures, len(model.labels), model.threshold, training.held, training.right, training.right_before
    )
