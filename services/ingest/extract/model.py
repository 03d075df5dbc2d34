"""Rows of features in, probabilities out: gradient-boosted trees learnt by `benchmarks/train_extraction.py`, run in numpy.

A forest is evaluated for all pieces at once, without walking a tree: every inner node is compared with every piece, and each
comparison that fails strikes out the leaves to its left; what is left standing lowest is the leaf. `weights.npz` holds the trees
and the word weights.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
WEIGHTS = Path(__file__).with_name("weights.npz")
BATCH = 2048
"""Rows judged at once: bounds the memory that a page of a hundred thousand pieces takes."""
LEAVES = 16
"""The most leaves a tree may have: they are bits of a 16-bit number."""


class Forest(NamedTuple):
    """Trees laid end to end, each of LEAVES - 1 inner nodes (idle ones fill up) and LEAVES values from left to right."""

    feature: NDArray[np.int32]
    threshold: Floats
    mask: NDArray[np.uint16]
    leaves: Floats
    base: float

    def probability(self, rows: Floats) -> Floats:
        """For each row (pieces, features) the probability that the forest gives it."""
        parts = [self._some(rows[n : n + BATCH]) for n in range(0, len(rows), BATCH)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _some(self, rows: Floats) -> Floats:
        columns = np.ascontiguousarray(rows.T)
        struck = np.where(columns[self.feature] > self.threshold[:, None], self.mask[:, None], np.uint16(0xFFFF))
        standing = np.bitwise_and.reduce(struck.reshape(len(self.leaves), LEAVES - 1, -1), axis=1)
        leaf = _lowest_bit()[standing]
        score = np.take_along_axis(self.leaves, leaf, axis=1).sum(axis=0) + self.base
        likely: Floats = (1.0 / (1.0 + np.exp(-score))).astype(np.float32)
        return likely


class Lexicon(dict[str, float]):
    """The learnt weight of each word; `known` remembers what whole attribute values weighed."""

    def __init__(self, words: dict[str, float]) -> None:
        super().__init__(words)
        self.known: dict[str, float] = {}


class Weights(NamedTuple):
    """All that was learnt: the forests of both passes and of the standfirst, and the word weights."""

    first: Forest
    second: Forest
    standfirst: Forest
    names: Lexicon
    words: Lexicon


@cache
def _lowest_bit() -> NDArray[np.intp]:
    """For every 16-bit number the index of its lowest set bit."""
    numbers = np.arange(1 << LEAVES, dtype=np.int64)
    numbers[0] = 1
    lowest: NDArray[np.intp] = np.log2(numbers & -numbers).astype(np.intp)
    return lowest


@cache
def weights() -> Weights:
    """The shipped weights, read once a process."""
    with np.load(WEIGHTS, allow_pickle=False) as data:
        first, second, standfirst = (_forest(data, name) for name in ("first", "second", "standfirst"))
        return Weights(first, second, standfirst, _lexicon(data, "names"), _lexicon(data, "words"))


def _forest(data: Any, name: str) -> Forest:
    feature, threshold, mask, leaves = (data[f"{name}_{part}"] for part in Forest._fields[:-1])
    return Forest(feature, threshold, mask, leaves, float(data[f"{name}_base"]))


def _lexicon(data: Any, name: str) -> Lexicon:
    return Lexicon(dict(zip(data[f"{name}_keys"].tolist(), data[f"{name}_values"].tolist(), strict=True)))
