"""Texts in, `services/enrich/data/common_words.json` out: in how many of 1,000 articles each common word occurs.

    python -m benchmarks.train_common_words BENCH_FOLDER

Counts words over the English texts of the benchmark folder and over the sentences of its language file; only words
above a floor are kept, so that the file says how common a word is and nothing about any text.
"""

from __future__ import annotations

import json
import lzma
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.enrich.words import plain

OUT = Path(__file__).parent.parent / "services/enrich/data/common_words.json"
ENGLISH_MILLE, OTHER_SENTENCES = 6, 4
"""The floors: 6 in 1,000 English articles; 4 of the sentences in another language."""
SENTENCES_TO_ARTICLE = 4.0
"""An article holds many sentences: a word in one of 100 sentences stands in about four of 100 short articles."""


def main(folder: Path) -> None:
    """Count and write."""
    tables = {"en": _shares(_english(folder), ENGLISH_MILLE)}
    sentences: dict[str, list[str]] = {}
    for row in _rows(folder / "enrich/languages.jsonl.xz"):
        sentences.setdefault(row["language"], []).append(row["text"])
    for code, texts in sorted(sentences.items()):
        if code != "en":
            tables[code] = _from_sentences(texts)
    OUT.write_text(json.dumps(tables, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n")
    print({code: len(table) for code, table in tables.items()})


def _english(folder: Path) -> Iterator[str]:
    for row in _rows(folder / "enrich/wire_reuters.jsonl.xz"):
        yield f"{row['title']}\n{row['body']}"
    for row in _rows(folder / "enrich/sections_ag.jsonl.xz"):
        yield f"{row['title']}\n{row['lead']}"
    for name in ("enrich/sections_bbc.jsonl.xz",):
        # Longer and more general copy counts four times: it is nearer to what a site prints than wire briefs are.
        for row in _rows(folder / name):
            yield from [row["text"]] * 4


def _shares(texts: Iterable[str], floor: int) -> dict[str, int]:
    counts: Counter[str] = Counter()
    total = 0
    for text in texts:
        counts.update(word for word in set(plain(text)) if word.isalpha())
        total += 1
    shares = {word: round(1000 * count / total) for word, count in counts.items()}
    return {word: mille for word, mille in shares.items() if mille >= floor}


def _from_sentences(texts: list[str]) -> dict[str, int]:
    counts = Counter(word for text in texts for word in set(plain(text)) if word.isalpha())
    scale = 1000 * SENTENCES_TO_ARTICLE / len(texts)
    return {word: min(round(scale * n), 950) for word, n in counts.items() if n >= OTHER_SENTENCES}


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
