"""Real texts in, any number of seeded variations out: a stream of news for measuring cost against size.

The first articles are the real ones in their order; then each is a new mixture: most sentences of one text, some of
another, its names and numbers exchanged for others of the same set, so that vocabulary and lengths stay real while texts
differ. The same seed gives the same stream.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

EPOCH = dt.date(1970, 1, 1)
_MONTHS = {f"{number:%b}".upper(): number.month for number in (dt.date(2000, month, 1) for month in range(1, 13))}
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b")
_NUMBER = re.compile(r"\d+")


class Story(NamedTuple):
    """One article of a stream; `day` counts from 1970-01-01."""

    key: str
    day: int
    headline: str
    text: str


def from_wire(rows: Sequence[dict[str, str]]) -> list[Story]:
    """Rows of the wire layout (id, date such as 26-FEB-1987 15:01:01.79, title, body)."""
    return [Story(str(row["id"]), _day(row["date"]), row["title"], row["body"]) for row in rows]


def stream(real: Sequence[Story], count: int, seed: int = 1, a_day: int = 600) -> Iterator[Story]:
    """`count` articles: the real ones, then variations, `a_day` of them a day after the last real day."""
    yield from real[:count]
    random_ = random.Random(seed)
    names = sorted({name for one in real for name in _NAME.findall(one.text)})
    sentences = [_SENTENCE.split(one.text) for one in real]
    last = max(one.day for one in real)
    for number in range(len(real), count):
        yield _varied(number, last + 1 + (number - len(real)) // a_day, real, sentences, names, random_)


def _varied(
    number: int, day: int, real: Sequence[Story], sentences: Sequence[list[str]], names: list[str], rnd: random.Random
) -> Story:
    first, second = rnd.randrange(len(real)), rnd.randrange(len(real))
    kept = [line for line in sentences[first] if rnd.random() < 0.8] + sentences[second][: rnd.randrange(3)]
    swap = {name: rnd.choice(names) for name in set(_NAME.findall(real[first].text))}
    shift = rnd.randrange(1, 90)
    text = " ".join(kept)
    text = _NAME.sub(lambda found: swap.get(found.group(), found.group()), text)
    text = _NUMBER.sub(lambda found: str(int(found.group()) + shift), text)
    headline = f"{real[first].headline} {rnd.choice(names)}"
    return Story(f"v{number}", day, headline, text or headline)


def _day(printed: str) -> int:
    day, month, year = printed.split()[0].split("-")
    return (dt.date(int(year), _MONTHS[month], int(day)) - EPOCH).days
