"""Published word vectors in, `services/enrich/data/senses.msgpack` out: the table that `services.enrich.senses` reads.

    python -m benchmarks.train_senses VECTORS.txt [--words N]

VECTORS.txt holds a word and 50 numbers a line, the commonest word first: the layout of GloVe, whose vectors over Wikipedia
and Gigaword (glove.6B.50d.txt) are in the public domain (PDDL 1.0). Kept are the commonest words of letters alone. From
each vector the mean is taken off; then it is scaled down the commoner its word is, and rounded to bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import numpy as np

from services.enrich.senses import DIMS, Table

OUT = Path(__file__).parent.parent / "services/enrich/data/senses.msgpack"
_COMMON = 3e-4
"""A word with this share of all running words counts half."""
_ZIPF = 12.0
"""The word of rank r is about every (12 r)th running word."""
_CUT = 99.95
"""Percentile of the numbers' sizes that fills a byte; the few beyond are cut, so that the rest keep their detail."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--words", type=int, default=24_000)
    args = parser.parse_args()
    table = build(args.vectors, args.words)
    OUT.write_bytes(msgspec.msgpack.encode(table))
    print(f"{len(table.words.split())} words, {OUT.stat().st_size:,} bytes")


def build(path: Path, most: int) -> Table:
    """The table of the `most` commonest words of letters."""
    words: list[str] = []
    vectors: list[list[float]] = []
    ranks: list[int] = []
    with path.open(encoding="utf-8") as lines:
        for rank, line in enumerate(lines, 1):
            word, *numbers = line.rstrip("\n").split(" ")
            if word.isalpha() and len(numbers) == DIMS:
                words.append(word)
                vectors.append([float(number) for number in numbers])
                ranks.append(rank)
            if len(words) == most:
                break
    share = 1.0 / (_ZIPF * np.array(ranks))
    values = np.array(vectors)
    values -= np.average(values, axis=0, weights=np.minimum(share, 1e-4))
    values *= (_COMMON / (_COMMON + share))[:, None]
    top = float(np.percentile(np.abs(values), _CUT))
    scaled = np.rint(np.clip(127 * values / top, -127, 127)).astype("i1")
    return Table(" ".join(words), scaled.tobytes())


if __name__ == "__main__":
    main()
