"""Labelled texts in, a section model out; a text and the model in, a section out, or an abstention.

    train     examples (text, label), perhaps texts without a label -> Model: one matrix, a threshold, figures
    predict   text, Model -> Prediction with the terms that spoke for it; no label below the threshold

The model is linear over TF-IDF weights: logistic regression plus complement naive Bayes, which is the stronger of the
two while examples are few, added up into one matrix. Where a label has few examples, texts without a label are taken in as
soft examples. Predicting needs only this module and numpy; scikit-learn is imported while training.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from services.enrich.words import plain
from shared.errors import Rejected

METHOD, VERSION = "linear", "1"
LEAST = 2
"""Examples a label needs to be learnt at all."""

Matrix = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


class Options(msgspec.Struct, frozen=True):
    """How to train. `kept_accuracy` is what the threshold aims at for the texts that are not abstained on."""

    kept_accuracy: float = 0.95
    strength: float = 5.0
    bayes: float = 3.0
    smoothing: float = 0.3
    folds: int = 5
    few: int = 30
    """A label with fewer examples than this makes texts without a label count."""
    rounds: int = 6
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
        rows, values = self._vector(text)
        if not len(rows):
            return Prediction(None, 0.0, (), None)
        parts = self._weights[rows].astype(np.float32) * values[:, None]
        chances = _softmax(self.stored.heat * (parts.sum(axis=0) + self._bias))
        best = int(chances.argmax())
        score = float(chances[best])
        label = self.labels[best] if score >= self.threshold else None
        return Prediction(label, score, self._reasons(rows, parts, best), self.labels[best])

    def _vector(self, text: str) -> tuple[npt.NDArray[np.int64], Floats]:
        """Rows of the known terms and their weights: a unit vector."""
        counts = Counter(plain(text))
        pairs = [(self._row[term], 1.0 + math.log(n)) for term, n in counts.items() if term in self._row]
        rows = np.array([row for row, _ in pairs], dtype=np.int64)
        values = np.array([value for _, value in pairs], dtype=np.float32)
        if len(rows):
            values *= self._rarity[rows]
            values /= np.linalg.norm(values)
        return rows, values

    def _reasons(self, rows: npt.NDArray[np.int64], parts: Floats, best: int) -> tuple[str, ...]:
        """The terms that spoke most for the label against the mean of the others."""
        favour = parts[:, best] - parts.mean(axis=1)
        order = np.argsort(-favour, kind="stable")[:6]
        return tuple(self.stored.terms[int(rows[i])] for i in order if favour[i] > 0)


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
    logits = _held_back(data, options, seed)
    heat = _heat(logits, data.labels)
    chances = _softmax(heat * logits)
    threshold, figures = _threshold(chances, data, options, left_out)
    weights, bias = _fit(data, np.arange(len(kept)), options)
    return Model(
        Stored(
            version=VERSION,
            labels=tuple(names),
            terms=tuple(data.terms),
            rarity=data.rarity.astype("<f4").tobytes(),
            weights=weights.astype("<f2").tobytes(),
            bias=tuple(float(b) for b in bias),
            heat=heat,
            threshold=threshold,
            figures=figures,
        )
    )


class _Data(NamedTuple):
    """The texts as a sparse matrix: labelled rows first, then those without a label."""

    matrix: Any
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
        return cls(_sparse(counts, terms, rarity), labels, len(names), terms, rarity)


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


def _fit(data: _Data, chosen: npt.NDArray[np.int64], options: Options) -> tuple[Matrix, Matrix]:
    """Weights (terms x labels) and bias learnt from the chosen labelled rows and all rows without a label."""
    known = data.matrix[chosen]
    certain = np.eye(data.classes)[data.labels[chosen]]
    extra = data.matrix[len(data.labels) :]
    if not extra.shape[0]:
        return _fit_once(known, certain, certain.sum(axis=1), options)
    weights, bias = _bayes(known, certain, options), np.zeros(data.classes)
    for _ in range(options.rounds):
        guess = _softmax(options.bayes * _centred(extra @ weights) * _SHARP)
        weights = _bayes(_stack(known, extra), np.vstack([certain, options.soft * guess]), options)
    guess = _softmax(options.bayes * _centred(extra @ weights) * _SHARP)
    trust = np.concatenate([np.ones(len(chosen)), options.soft * guess.max(axis=1)])
    hard = np.vstack([certain, np.eye(data.classes)[guess.argmax(axis=1)]])
    weights, bias = _fit_once(_stack(known, extra), hard, trust, options)
    return weights, bias


_SHARP = 2.0
"""Naive Bayes over unit vectors is timid; its guesses are sharpened before they count as soft examples."""


def _fit_once(matrix: Any, classes: Matrix, trust: Matrix, options: Options) -> tuple[Matrix, Matrix]:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # publishes no types

    fitted = LogisticRegression(C=options.strength, tol=1e-3, max_iter=200)
    # One thread: on a busy machine the threads of the linear algebra library wait for each other longer than they work.
    with threadpool_limits(limits=1):
        fitted.fit(matrix, classes.argmax(axis=1), sample_weight=trust)
    coefficients, bias = fitted.coef_, fitted.intercept_
    if len(coefficients) == 1:
        # Two labels: scikit-learn keeps one row, for the second of them.
        coefficients, bias = np.vstack([-coefficients, coefficients]) / 2, np.concatenate([-bias, bias]) / 2
    bayes = _bayes(matrix, classes * trust[:, None], options)
    return coefficients.T + options.bayes * (bayes - bayes.mean(axis=1, keepdims=True)), bias


def _bayes(matrix: Any, chances: Matrix, options: Options) -> Matrix:
    """Complement naive Bayes: how rare each term is in the other labels (terms x labels)."""
    sums = np.asarray(matrix.T @ chances)
    others = sums.sum(axis=1, keepdims=True) - sums + options.smoothing
    return np.asarray(-np.log(others / others.sum(axis=0, keepdims=True)))


def _stack(upper: Any, lower: Any) -> Any:
    from scipy.sparse import vstack

    return vstack([upper, lower]).tocsr()


def _centred(scores: Matrix) -> Matrix:
    return np.asarray(scores - scores.mean(axis=1, keepdims=True))


def _held_back(data: _Data, options: Options, seed: int) -> Matrix:
    """The scores of every example from a model that has not seen it."""
    folds = _folds(data.labels, min(options.folds, int(np.bincount(data.labels).min())), seed)
    logits = np.zeros((len(data.labels), data.classes))
    for number in range(int(folds.max()) + 1):
        weights, bias = _fit(data, np.flatnonzero(folds != number), options)
        held = np.flatnonzero(folds == number)
        logits[held] = data.matrix[held] @ weights + bias
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
    rows = np.arange(len(labels))
    losses = [-np.log(_softmax(step * logits)[rows, labels] + 1e-12).mean() for step in steps]
    return float(steps[int(np.argmin(losses))])


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
