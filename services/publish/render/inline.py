"""Marked text in, a flat series of steps out: open a mark, print words, close a mark; always properly nested.

Marks come from pages and may overlap, repeat, reach past the end or nest links in links; the steps never do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

from shared.records import Mark

TAGS = {"strong": "strong", "em": "em", "code": "code", "sub": "sub", "sup": "sup", "strike": "s", "underline": "u"}
"""The HTML element of each kind of mark but links; other kinds print their words and no more."""

_BREAK = re.compile(r"\n[ \t]*\n\s*")


class Step(NamedTuple):
    """`words` are set for text steps, `mark` for the others. A mark cut by another opens and closes more than once."""

    kind: Literal["open", "text", "close"]
    mark: Mark | None = None
    words: str = ""


def steps(text: str, marks: tuple[Mark, ...]) -> Iterator[Step]:
    """The steps that print `text` with its marks, links outermost where marks start together."""
    kept = sound(text, marks)
    edges = sorted({0, len(text), *(mark.start for mark in kept), *(mark.end for mark in kept)})
    stack: list[Mark] = []
    begun = 0
    for start, end in pairwise(edges):
        wanted = [mark for mark in stack if mark.end > start]
        while begun < len(kept) and kept[begun].start <= start:
            wanted.append(kept[begun])
            begun += 1
        common = 0
        while common < min(len(stack), len(wanted)) and stack[common] == wanted[common]:
            common += 1
        yield from (Step("close", mark) for mark in reversed(stack[common:]))
        yield from (Step("open", mark) for mark in wanted[common:])
        yield Step("text", words=text[start:end])
        stack = wanted
    yield from (Step("close", mark) for mark in reversed(stack))


def sound(text: str, marks: tuple[Mark, ...]) -> list[Mark]:
    """The marks within the text, clipped and in order; those of a kind that overlap are joined, links cut apart."""
    clipped = {Mark(max(mark.start, 0), min(mark.end, len(text)), mark.kind, mark.href) for mark in marks}
    last: dict[str, int] = {}  # of each kind the place in `kept` of the one that reaches furthest so far
    kept: list[Mark] = []
    for mark in sorted((mark for mark in clipped if mark.start < mark.end), key=_order):
        before = kept[last[mark.kind]] if mark.kind in last else None
        if before is None or mark.start >= before.end:
            last[mark.kind] = len(kept)
            kept.append(mark)
        elif mark.end > before.end and mark.kind != "link":
            kept[last[mark.kind]] = Mark(before.start, mark.end, mark.kind)
        elif mark.end > before.end:
            last[mark.kind] = len(kept)
            kept.append(Mark(before.end, mark.end, mark.kind, mark.href))
    return sorted(kept, key=_order)


def _order(mark: Mark) -> tuple[int, bool, int, str, str]:
    return mark.start, mark.kind != "link", -mark.end, mark.kind, mark.href or ""


def paragraphs(text: str, marks: tuple[Mark, ...]) -> list[tuple[str, tuple[Mark, ...]]]:
    """The text cut at blank lines, each piece with its share of the marks."""
    pieces, start = [], 0
    for found in [*_BREAK.finditer(text), None]:
        end = found.start() if found else len(text)
        pieces.append((text[start:end], _shifted(marks, start, end)))
        start = found.end() if found else end
    return pieces


def _shifted(marks: tuple[Mark, ...], start: int, end: int) -> tuple[Mark, ...]:
    return tuple(
        Mark(max(mark.start, start) - start, min(mark.end, end) - start, mark.kind, mark.href)
        for mark in marks
        if mark.start < end and start < mark.end
    )
