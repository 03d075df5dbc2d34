"""Labelled texts in, a section model out; a text and the model in, a section out, or an abstention.

    train     examples (text, label), perhaps texts without a label -> Model: one matrix, a threshold, figures
    predict   text, Model -> Prediction with the terms that spoke for it; no label below the threshold

The model is linear over TF-IDF weights and over what the words mean (`senses`): logistic regression, to which complement
naive Bayes over the words alone is added. Where a label has few examples, texts without a label are taken in as soft
examples. Predicting needs only numpy; scikit-learn is imported while training.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from services.enrich import senses
from services.enrich.words import plain
from shared.errors import Rejected

METHOD, VERSION = "linear", "2"
LEAST = 2
"""Examples a label needs to be learnt at all."""

Matrix = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


class Mixture(msgspec.Struct, frozen=True):
    """What naive Bayes counts against the regression, and the meaning of a text against its words."""

    bayes: float
    sense: float


class Options(msgspec.Struct, frozen=True):
    """How to train. `kept_accuracy` is what the threshold aims at for the texts that are not abstained on."""

    kept_accuracy: float = 0.95
    strength: float = 5.0
    mixtures: tuple[Mixture, ...] = (Mixture(2.0, 0.5), Mixture(3.0, 0.15))
    """Tried in turn; the one with the least loss on held-back labels is kept. Short texts need their meaning, long ones do not."""
    smoothing: float = 0.3
    folds: int = 5
    few: int = 30
    """A label with fewer examples than this makes texts without a label count."""
    rounds: int = 2
    soft: float = 1.0
    """What a text without a label counts against one with."""
    most_terms: int = 60_000


USUAL = Options()


class Figures(msgspec.Struct, frozen=True):
    """What held-back labels say: accuracy over all, share not abstained on, accuracy of those."""

    examples: int
    unlabelled: int
    accuracy: float
    coverage: float
    kept_accuracy: float
    left_out: dict[str, int] = {}
    """Labels with too few examples, with their counts."""


class Prediction(NamedTuple):
    """`label` is None when the model abstains; `best` is what it would have said. `score` is a probability."""

    label: str | None
    score: float
    reasons: tuple[str, ...]
    best: str | None


class Stored(msgspec.Struct, frozen=True):
    """A model as bytes in the store."""

    version: str
    labels: tuple[str, ...]
    terms: tuple[str, ...]
    rarity: bytes
    weights: bytes
    senses: bytes
    bias: tuple[float, ...]
    heat: float
    threshold: float
    figures: Figures


class Model:
    """A trained model, ready to predict. Immutable; safe to share between threads."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self._row = {term: row for row, term in enumerate(stored.terms)}
        self._rarity = np.frombuffer(stored.rarity, dtype="<f4")
        self._weights = np.frombuffer(stored.weights, dtype="<f2").reshape(len(stored.terms), len(stored.labels))
        self._senses = np.frombuffer(stored.senses, dtype="<f4").reshape(senses.DIMS, len(stored.labels))
        self._bias = np.asarray(stored.bias, dtype=np.float32)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.stored.labels

    @property
    def figures(self) -> Figures:
        return self.stored.figures

    @property
    def threshold(self) -> float:
        return self.stored.threshold

    def to_bytes(self) -> bytes:
        """The model for the store; `from_bytes` reads it."""
        return msgspec.msgpack.encode(self.stored)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Model:
        """Raises msgspec.DecodeError for anything that `to_bytes` did not make."""
        return cls(msgspec.msgpack.decode(raw, type=Stored))

    def predict(self, text: str) -> Prediction:
        """The section of a text, or an abstention. A text without a single known term is an abstention with score 0."""
        counts = Counter(plain(text))
        places, rows, values = self._vector(counts)
        meant = senses.spoken(counts)
        if not len(rows) and not meant.places:
            return Prediction(None, 0.0, (), None)
        parts = np.zeros((len(counts), len(self.labels)), dtype=np.float32)
        parts[places] = self._weights[rows].astype(np.float32) * values[:, None]
        parts[meant.places] += meant.parts @ self._senses
        chances = _softmax(self.stored.heat * (parts.sum(axis=0) + self._bias))
        best = int(chances.argmax())
        score = float(chances[best])
        label = self.labels[best] if score >= self.threshold else None
        return Prediction(label, score, _reasons(list(counts), parts, best), self.labels[best])

    def _vector(self, counts: Counter[str]) -> tuple[list[int], npt.NDArray[np.int64], Floats]:
        """The known terms: their places among the counts, their rows, and their weights, a unit vector."""
        known = [
            (place, self._row[term], math.log(n)) for place, (term, n) in enumerate(counts.items()) if term in self._row
        ]
        rows = np.array([row for _, row, _ in known], dtype=np.int64)
        values = (1.0 + np.array([worth for _, _, worth in known], dtype=np.float32)) * self._rarity[rows]
        return [place for place, _, _ in known], rows, values / (np.linalg.norm(values) or 1.0)


def _reasons(words: list[str], parts: Floats, best: int) -> tuple[str, ...]:
    """The words that spoke most for the label against the mean of the others, by themselves and by what they mean."""
    favour = parts[:, best] - parts.mean(axis=1)
    order = np.argsort(-favour, kind="stable")[:6]
    return tuple(words[i] for i in order.tolist() if favour[i] > 0)


def train(
    examples: Sequence[tuple[str, str]], unlabelled: Sequence[str] = (), options: Options = USUAL, *, seed: int = 0
) -> Model:
    """A model of the examples.

    Args:
        examples: (text, label); labels with fewer than two examples are left out and named in the figures.
        unlabelled: further texts of the same sources; used only where a label has few examples.
        seed: decides the folds of the held-back check; the same input and seed give the same model.

    Raises:
        Rejected: fewer than two labels have two examples each ("one-label", "too-few-examples").
    """
    kept, left_out = _usable(examples)
    names = sorted({label for _, label in kept})
    data = _Data.of(kept, names, list(unlabelled), options)
    tried = [_try(data, mixture, options, seed) for mixture in _worth_trying(data, options)]
    best = min(tried, key=lambda one: one.loss)
    threshold, figures = _threshold(_softmax(best.heat * best.logits), data, options, left_out)
    fitted = _fit(data, np.arange(len(kept)), best.mixture, options)
    return Model(
        Stored(
            version=VERSION,
            labels=tuple(names),
            terms=tuple(data.terms),
            rarity=data.rarity.astype("<f4").tobytes(),
            weights=fitted.weights.astype("<f2").tobytes(),
            senses=(best.mixture.sense * fitted.senses).astype("<f4").tobytes(),
            bias=tuple(float(b) for b in fitted.bias),
            heat=best.heat,
            threshold=threshold,
            figures=figures,
        )
    )


class _Data(NamedTuple):
    """The texts as matrices, of their words and of what they mean: labelled rows first, then those without a label."""

    matrix: Any
    meant: Matrix
    labels: npt.NDArray[np.int64]
    classes: int
    terms: list[str]
    rarity: Matrix

    @classmethod
    def of(cls, kept: list[tuple[str, str]], names: list[str], unlabelled: list[str], options: Options) -> _Data:
        place = {name: number for number, name in enumerate(names)}
        labels = np.array([place[label] for _, label in kept], dtype=np.int64)
        if min(np.bincount(labels)) >= options.few:
            unlabelled = []
        counts = [Counter(plain(text)) for text in [text for text, _ in kept] + unlabelled]
        terms, rarity = _vocabulary(counts, options.most_terms)
        meant = np.stack([senses.of(found) for found in counts]).astype(np.float64)
        return cls(_sparse(counts, terms, rarity), meant, labels, len(names), terms, rarity)

    def rows(self, chosen: Any) -> _Rows:
        return _Rows(self.matrix[chosen], self.meant[chosen])


class _Rows(NamedTuple):
    """Some of the texts."""

    matrix: Any
    meant: Matrix

    def with_(self, others: _Rows) -> _Rows:
        from scipy.sparse import vstack

        return _Rows(vstack([self.matrix, others.matrix]).tocsr(), np.vstack([self.meant, others.meant]))


class _Fitted(NamedTuple):
    """Weights (terms x labels), what meanings weigh (DIMS x labels) and bias."""

    weights: Matrix
    senses: Matrix
    bias: Matrix
    sense: float

    def scores(self, rows: _Rows) -> Matrix:
        return np.asarray(rows.matrix @ self.weights + self.sense * rows.meant @ self.senses + self.bias)


def _usable(examples: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """The examples of labels with enough of them, and the labels left out."""
    counts = Counter(label for _, label in examples)
    left_out = {label: n for label, n in sorted(counts.items()) if n < LEAST}
    kept = [(text, label) for text, label in examples if label not in left_out]
    if len(counts) == 1:
        raise Rejected(
            "one-label", f"all {len(examples)} examples are labelled {next(iter(counts))!r}: nothing to tell apart"
        )
    if len(counts) - len(left_out) < 2:
        raise Rejected("too-few-examples", f"at least two labels need {LEAST} examples each; given: {dict(counts)}")
    return kept, left_out


def _vocabulary(counts: list[Counter[str]], most: int) -> tuple[list[str], Matrix]:
    """The terms kept, most frequent first where there are too many, and their inverse document frequency."""
    frequency = Counter(term for found in counts for term in found)
    floor = 2 if len(counts) > 2000 else 1
    kept = sorted((t for t, n in frequency.items() if n >= floor), key=lambda t: (-frequency[t], t))[:most]
    seen = np.array([frequency[term] for term in kept], dtype=np.float64)
    return kept, np.log((1 + len(counts)) / (1 + seen)) + 1.0


def _sparse(counts: list[Counter[str]], terms: list[str], rarity: Matrix) -> Any:
    from scipy.sparse import csr_matrix

    column = {term: number for number, term in enumerate(terms)}
    rows, columns, values = [], [], []
    for number, found in enumerate(counts):
        pairs = [(column[t], (1.0 + math.log(n)) * rarity[column[t]]) for t, n in found.items() if t in column]
        norm = math.sqrt(sum(value * value for _, value in pairs)) or 1.0
        rows += [number] * len(pairs)
        columns += [c for c, _ in pairs]
        values += [value / norm for _, value in pairs]
    return csr_matrix((values, (rows, columns)), shape=(len(counts), len(terms)))


def _fit(data: _Data, chosen: npt.NDArray[np.int64], mixture: Mixture, options: Options) -> _Fitted:
    """What the chosen labelled rows and all rows without a label teach."""
    known = data.rows(chosen)
    certain = np.eye(data.classes)[data.labels[chosen]]
    fitted = _fit_once(known, certain, certain.sum(axis=1), mixture, options)
    extra = data.rows(slice(len(data.labels), None))
    if not extra.matrix.shape[0]:
        return fitted
    both = known.with_(extra)
    for _ in range(options.rounds):
        guess = _softmax(_SHARP * fitted.scores(extra))
        trust = np.concatenate([np.ones(len(chosen)), options.soft * guess.max(axis=1)])
        hard = np.vstack([certain, np.eye(data.classes)[guess.argmax(axis=1)]])
        fitted = _fit_once(both, hard, trust, mixture, options)
    return fitted


_SHARP = 2.0
"""Scores over unit vectors are timid; they are sharpened before they count as guesses."""


def _fit_once(rows: _Rows, classes: Matrix, trust: Matrix, mixture: Mixture, options: Options) -> _Fitted:
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # publishes no types

    both = hstack([rows.matrix, csr_matrix(mixture.sense * rows.meant)]).tocsr()
    fitted = LogisticRegression(C=options.strength, tol=1e-3, max_iter=200)
    # One thread: on a busy machine the threads of the linear algebra library wait for each other longer than they work.
    with threadpool_limits(limits=1):
        fitted.fit(both, classes.argmax(axis=1), sample_weight=trust)
    coefficients, bias = fitted.coef_, fitted.intercept_
    if len(coefficients) == 1:
        # Two labels: scikit-learn keeps one row, for the second of them.
        coefficients, bias = np.vstack([-coefficients, coefficients]) / 2, np.concatenate([-bias, bias]) / 2
    bayes = _bayes(rows.matrix, classes * trust[:, None], options)
    words = rows.matrix.shape[1]
    weights = coefficients[:, :words].T + mixture.bayes * (bayes - bayes.mean(axis=1, keepdims=True))
    return _Fitted(weights, coefficients[:, words:].T, bias, mixture.sense)


def _bayes(matrix: Any, chances: Matrix, options: Options) -> Matrix:
    """Complement naive Bayes: how rare each term is in the other labels (terms x labels)."""
    sums = np.asarray(matrix.T @ chances)
    others = sums.sum(axis=1, keepdims=True) - sums + options.smoothing
    return np.asarray(-np.log(others / others.sum(axis=0, keepdims=True)))


class _Tried(NamedTuple):
    """A mixture with its scores on held-back examples, the factor that makes them honest, and the loss that is left."""

    mixture: Mixture
    logits: Matrix
    heat: float
    loss: float


def _worth_trying(data: _Data, options: Options) -> tuple[Mixture, ...]:
    """With few labels held-back figures are too coarse to choose by: then the first."""
    return options.mixtures if np.bincount(data.labels).min() >= options.few else options.mixtures[:1]


def _try(data: _Data, mixture: Mixture, options: Options, seed: int) -> _Tried:
    logits = _held_back(data, mixture, options, seed)
    heat = _heat(logits, data.labels)
    return _Tried(mixture, logits, heat, _loss(heat * logits, data.labels))


def _held_back(data: _Data, mixture: Mixture, options: Options, seed: int) -> Matrix:
    """The scores of every example from a model that has not seen it."""
    folds = _folds(data.labels, min(options.folds, int(np.bincount(data.labels).min())), seed)
    logits = np.zeros((len(data.labels), data.classes))
    for number in range(int(folds.max()) + 1):
        held = np.flatnonzero(folds == number)
        logits[held] = _fit(data, np.flatnonzero(folds != number), mixture, options).scores(data.rows(held))
    return logits


def _folds(labels: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """A fold number for every example, each label spread evenly."""
    random = np.random.default_rng(seed)
    folds = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        folds[rows] = np.arange(len(rows)) % count
    return folds


def _heat(logits: Matrix, labels: npt.NDArray[np.int64]) -> float:
    """The factor that makes the scores honest probabilities on held-back examples."""
    steps = np.geomspace(0.2, 4.0, 30)
    return float(min(steps, key=lambda step: _loss(step * logits, labels)))


def _loss(scores: Matrix, labels: npt.NDArray[np.int64]) -> float:
    """Mean log loss."""
    return float(-np.log(_softmax(scores)[np.arange(len(labels)), labels] + 1e-12).mean())


def _threshold(chances: Matrix, data: _Data, options: Options, left_out: dict[str, int]) -> tuple[float, Figures]:
    """The lowest probability from which held-back answers reach the wanted accuracy; 0.99 when none does.

    Where all answers together reach it, one half will do: nothing was seen that speaks for abstaining more often.
    """
    sure = chances.max(axis=1)
    right = chances.argmax(axis=1) == data.labels
    order = np.argsort(-sure, kind="stable")
    running = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(running >= options.kept_accuracy)
    threshold = float(sure[order[good[-1]]]) if len(good) else 0.99
    if len(good) and good[-1] == len(order) - 1:
        threshold = min(threshold, 0.5)
    kept = sure >= threshold
    return threshold, Figures(
        examples=len(data.labels),
        unlabelled=data.matrix.shape[0] - len(data.labels),
        accuracy=float(right.mean()),
        coverage=float(kept.mean()),
        kept_accuracy=float(right[kept].mean()) if kept.any() else 0.0,
        left_out=left_out,
    )


def _softmax(scores: Any) -> Any:
    top = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return top / top.sum(axis=-1, keepdims=True)
