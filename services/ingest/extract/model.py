"""Rows of features in, probabilities out: gradient-boosted trees learnt by `benchmarks/train_extraction.py`, run in numpy.

A forest is evaluated for all pieces at once, without walking a tree: every inner node is compared with every piece, and each
comparison that holds strikes out the leaves to its left; what is left standing lowest is the leaf. `weights.npz` holds the trees
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
    """Trees of so many leaves from left to right and one inner node less (idle ones strike nothing). `feature`, `threshold` and
    `strikes` (the leaves, as bits, that are out when the feature is above the threshold): (nodes, trees); `leaves`: (trees,
    leaves)."""

    feature: NDArray[np.int32]
    threshold: Floats
    strikes: NDArray[np.uint16]
    leaves: Floats
    base: float

    def probability(self, columns: Floats) -> Floats:
        """For each column of (features, pieces) the probability that the forest gives it."""
        parts = [self._some(columns[:, n : n + BATCH]) for n in range(0, columns.shape[1], BATCH)]
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.float32), *parts])

    def _some(self, columns: Floats) -> Floats:
        trees, leaves = self.leaves.shape
        above = columns.take(self.feature.ravel(), axis=0) > self.threshold.reshape(-1, 1)
        struck = np.bitwise_or.reduce((above * self.strikes.reshape(-1, 1)).reshape(leaves - 1, trees, -1), axis=0)
        leaf = _lowest_clear_bit().take(struck) + np.arange(0, trees * leaves, leaves)[:, None]
        score = self.leaves.ravel().take(leaf).sum(axis=0) + self.base
        likely: Floats = (1.0 / (1.0 + np.exp(-score))).astype(np.float32)
        return likely


class Lexicon(dict[str, float]):
    """The learnt weight of each word; `known` remembers what whole attribute values weighed."""

    def __init__(self, words: dict[str, float]) -> None:
        super().__init__(words)
        self.known: dict[str, float] = {}


class Weights(NamedTuple):
    """All that was learnt: the forests of both passes and of the standfirst, and what words weigh: those of class names, of short
    texts, and of the beginnings of longer ones."""

    first: Forest
    second: Forest
    standfirst: Forest
    names: Lexicon
    words: Lexicon
    openings: Lexicon


@cache
def _lowest_clear_bit() -> NDArray[np.intp]:
    """For every 16-bit number the index of its lowest bit that is not set."""
    numbers = ~np.arange(1 << LEAVES, dtype=np.int64) & ((1 << LEAVES) - 1)
    numbers[-1] = 1
    lowest: NDArray[np.intp] = np.log2(numbers & -numbers).astype(np.intp)
    return lowest


@cache
def weights() -> Weights:
    """The shipped weights, read once a process."""
    with np.load(WEIGHTS, allow_pickle=False) as data:
        first, second, standfirst = (_forest(data, name) for name in ("first", "second", "standfirst"))
        return Weights(first, second, standfirst, *(_lexicon(data, name) for name in Weights._fields[3:]))


def _forest(data: Any, name: str) -> Forest:
    feature, threshold, strikes, leaves = (data[f"{name}_{part}"] for part in Forest._fields[:-1])
    return Forest(feature, threshold, strikes, leaves, float(data[f"{name}_base"]))


def _lexicon(data: Any, name: str) -> Lexicon:
    return Lexicon(dict(zip(data[f"{name}_keys"].tolist(), data[f"{name}_values"].tolist(), strict=True)))
