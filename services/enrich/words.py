"""Text in, words out: the one way the enrichment cuts text, so that all its parts count the same words.

A word is a run of letters, folded and in lower case, without a possessive 's; a number keeps its decimal and
thousands marks. Each knows whether it was printed with a capital and whether it opens a sentence.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from shared.text import fold

LIMIT = 200_000
"""Code points of a text that are read. Longer ones (books, dumps) are judged by their beginning."""

_TOKEN = re.compile(r"(\d+(?:[.,]\d+)*)|([^\W\d_]+)((?:'[^\W\d_]+)?)|([.!?…:;\n])|(\S)")
_BREAKS = frozenset(".!?…\n:;")
_LINES = re.compile(r"\s*\n\s*")


class Word(NamedTuple):
    """One word: `norm` for counting, `printed` as in the text, `capital`, `opens` (first of a sentence or a line)."""

    norm: str
    printed: str
    capital: bool
    opens: bool
    number: bool
    joined: bool
    """Only white space stands between this word and the one before."""


def clean(text: str) -> str:
    """The text folded line by line, so that line ends keep ending sentences; at most LIMIT code points are read."""
    return "\n".join(line for line in map(fold, _LINES.split(text[:LIMIT])) if line)


def words(text: str) -> list[Word]:
    """The words of the text in order. Text is folded first; folding it before changes nothing."""
    found: list[Word] = []
    opens, joined = True, False
    for number, word, _, _, other in _TOKEN.findall(clean(text) + "\n"):
        if word:
            found.append(Word(word.lower(), word, word[0].isupper(), opens, False, joined))
            opens, joined = False, True
        elif number:
            found.append(Word(number, number, False, opens, True, joined))
            opens, joined = False, True
        else:
            joined = False
            # A quotation mark or bracket at the start of a sentence does not use the start up.
            opens = opens or not other
    return found


def plain(text: str) -> list[str]:
    """Only the counted forms, in order: letters and numbers in lower case."""
    return [number or word for number, word in _PLAIN.findall(clean(text).lower())]


_PLAIN = re.compile(r"(\d+(?:[.,]\d+)*)|([^\W\d_]+)(?:'[^\W\d_]+)?")
