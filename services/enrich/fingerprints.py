"""Text in, fingerprints out: what tells whether two articles are the same text, cut, edited or re-published.

A shingle is three words in a row, hashed to 63 bits. `bottom` keeps the smallest hashes: two texts that share much of
their wording share some of those, so a table of (hash, article) finds the candidates; `containment` then decides on all
shingles.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from services.enrich.words import plain

SIZE = 3
MOST = 4096
"""Shingles kept of a text. Of a longer one those with the smallest hashes: still an even sample of it."""

Hashes = npt.NDArray[np.int64]

_A, _B = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_LOWER = np.int64(31)
_C, _SHIFT, _TOP = np.uint64(0x165667B19E3779F9), np.uint64(29), np.uint64(1)


def shingles(text: str) -> Hashes:
    """The distinct hashes of all runs of three words, sorted, 63 bits each.

    A text of fewer than three words is one shingle, an empty one has none.

    Case, punctuation, white space and quotation marks make no difference.
    """
    return of_words(plain(text))


def of_words(found: list[str]) -> Hashes:
    """The same, of words already cut."""
    if not found:
        return np.empty(0, dtype=np.int64)
    single = np.fromiter(map(word_hash, found), dtype=np.uint64, count=len(found))
    if len(single) < SIZE:
        single = np.concatenate([single, np.zeros(SIZE - len(single), dtype=np.uint64)])
    runs = (single[:-2] * _A) ^ ((single[1:-1] * _B) + (single[2:] * _C))
    mixed = (runs ^ (runs >> _SHIFT)) * _A
    mixed = (mixed ^ (mixed >> _SHIFT)) >> _TOP
    return np.unique(mixed)[:MOST].astype(np.int64)


@functools.lru_cache(maxsize=50_000)
def word_hash(word: str) -> int:
    """64 bits of a word: the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@functools.lru_cache(maxsize=50_000)
def term_hash(term: str) -> int:
    """32 bits of a term, never 0: its key in profiles and postings."""
    return (word_hash(term) >> 32) or 1


def bottom(text_or_hashes: str | Hashes, k: int = 32) -> tuple[int, ...]:
    """The k smallest hashes, ascending: the article's rows in the fingerprint table."""
    hashes = shingles(text_or_hashes) if isinstance(text_or_hashes, str) else text_or_hashes
    return tuple(hashes[:k].tolist())


def common(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Where the values that stand in both of two ascending arrays are in each of them."""
    if not len(a) or not len(b):
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    spots = np.minimum(np.searchsorted(a, b), len(a) - 1)
    there = np.flatnonzero(a[spots] == b)
    return spots[there], there


def shared(a: Hashes, b: Hashes) -> int:
    """How many shingles stand in both."""
    return len(common(a, b)[0])


def containment(a: Hashes, b: Hashes) -> float:
    """The share of the shorter text's shingles that stand in the longer one: 0 to 1, symmetric; 0 for an empty text."""
    shorter = min(len(a), len(b))
    if shorter == 0:
        return 0.0
    if len(a) >= MOST or len(b) >= MOST:
        a, b = _same_range(a, b)
        shorter = min(len(a), len(b)) or 1
    return shared(a, b) / shorter


def _same_range(a: Hashes, b: Hashes) -> tuple[Hashes, Hashes]:
    """Both cut to the hash values that both were sampled over."""
    top = min(int(side[-1]) for side in (a, b) if len(side) >= MOST)
    return a[a <= top], b[b <= top]


def pack(hashes: Hashes) -> bytes:
    """The hashes as bytes for the store, four each: their upper 32 bits, still sorted."""
    return (hashes >> _LOWER).astype("<u4").tobytes()


def unpack(raw: bytes) -> Hashes:
    """The 32-bit hashes that `pack` made; ValueError where the length fits none."""
    if len(raw) % 4:
        raise ValueError(f"{len(raw)} bytes are no row of 4-byte hashes")
    return np.frombuffer(raw, dtype="<u4").astype(np.int64)
