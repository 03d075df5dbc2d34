"""Words in, what a text is about out: a short vector, near to those of texts that mean the like in other words.

    of       words with their counts (cut by `words.plain`) -> a unit vector of DIMS numbers; zeros where no word is known
    spoken   each known word with its part of that vector

The table (`data/senses.msgpack`, made by `benchmarks.train_senses`) holds the commonest English words, rarer ones weighing more.
It lets a section be learnt from a handful of short briefs: words never seen in training still speak for what they mean.
Words of other languages are not in it; their texts are judged by their own words alone.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

DIMS = 50

Floats = npt.NDArray[np.float32]


class Table(msgspec.Struct, frozen=True):
    """The file: words a space apart, DIMS signed bytes each, in the order of the words."""

    words: str
    vectors: bytes


class Spoken(NamedTuple):
    """Which of the words are known (places in the order given), and their parts, which add up to a unit vector."""

    places: list[int]
    parts: Floats
    """Known words x DIMS."""


def of(counts: Mapping[str, int]) -> Floats:
    """The vector of a text, from its words with their counts."""
    found = spoken(counts)
    return np.asarray(found.parts.sum(axis=0), dtype=np.float32)


def spoken(counts: Mapping[str, int]) -> Spoken:
    """What each known word adds to the vector of the text."""
    rows, vectors = _table()
    known = [(place, rows[word], math.log(count)) for place, (word, count) in enumerate(counts.items()) if word in rows]
    damped = 1.0 + np.array([worth for _, _, worth in known], dtype=np.float32)
    parts = vectors[[row for _, row, _ in known]].astype(np.float32) * damped[:, None]
    length = np.float32(np.linalg.norm(parts.sum(axis=0)) or 1.0)
    return Spoken([place for place, _, _ in known], np.asarray(parts / length, dtype=np.float32))


@functools.cache
def _table() -> tuple[dict[str, int], npt.NDArray[np.int8]]:
    raw = importlib.resources.files("services.enrich").joinpath("data", "senses.msgpack").read_bytes()
    table = msgspec.msgpack.decode(raw, type=Table)
    words = table.words.split(" ")
    return {word: row for row, word in enumerate(words)}, np.frombuffer(table.vectors, "i1").reshape(len(words), DIMS)
