"""A taxonomy file in, its terms checked out; a text and a taxonomy in, suggestions out.

A taxonomy is JSON: {"scheme", "title", "source", "terms": [{"code", "label", "broader", "words"}]}. `words` are what speaks
for a term while nobody has filed articles under it yet. Suggestions are never more than that: a person confirms them.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
from collections import Counter
from typing import NamedTuple

import msgspec

from services.enrich.words import plain
from shared.errors import Rejected

BUNDLED = "iptc_media_topics.json"
METHOD, VERSION = "words", "1"

_STEM = 6
"""Letters of a word that count: "elections" speaks for what "election" speaks for."""


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One term; `broader` is the code of the term above it."""

    code: str
    label: str
    broader: str | None = None
    words: tuple[str, ...] = ()


class Taxonomy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A checked taxonomy: codes are unique, every broader code exists, no term stands above itself."""

    scheme: str
    terms: tuple[Term, ...]
    title: str = ""
    source: str = ""

    def top(self, code: str) -> str:
        """The code of the topmost term above this one (itself, where none is)."""
        above = {term.code: term.broader for term in self.terms}
        while (broader := above[code]) is not None:
            code = broader
        return code


class Suggestion(NamedTuple):
    """`score` is the share of the text's telling words that speak for the term; `reasons` are those words."""

    code: str
    label: str
    score: float
    reasons: tuple[str, ...]


def load(raw: bytes | str) -> Taxonomy:
    """The taxonomy of a file's content.

    Raises:
        Rejected: it is no taxonomy ("not-a-taxonomy"), empty ("empty-taxonomy"), a code stands twice ("duplicate-code"),
            a broader code is missing ("unknown-broader") or leads back to its own term ("cyclic-taxonomy").
    """
    try:
        found = msgspec.json.decode(raw, type=Taxonomy)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("not-a-taxonomy", str(error)) from None
    _check(found)
    return found


def suggest(taxonomy: Taxonomy, text: str, most: int = 3) -> tuple[Suggestion, ...]:
    """The terms that the text speaks for, strongest first; nothing where it speaks for none."""
    cues = _cues(taxonomy)
    heard: dict[str, dict[str, float]] = {}
    for word, times in Counter(plain(text)).items():
        codes = cues.get(word[:_STEM], ())
        for code in codes:
            # A word that speaks for several terms tells less about each.
            heard.setdefault(code, {})[word] = (1 + math.log(times)) / len(codes)
    labels = {term.code: term.label for term in taxonomy.terms}
    total = sum(sum(words.values()) for words in heard.values())
    ranked = sorted(heard, key=lambda code: (-sum(heard[code].values()), code))[:most]
    return tuple(
        Suggestion(code, labels[code], sum(heard[code].values()) / total, _strongest(heard[code])) for code in ranked
    )


@functools.cache
def bundled() -> Taxonomy:
    """IPTC Media Topics, top level and the level below, with words of ours."""
    return load(importlib.resources.files("services.enrich").joinpath("data", BUNDLED).read_bytes())


def _check(found: Taxonomy) -> None:
    if not found.terms:
        raise Rejected("empty-taxonomy", f"{found.scheme} has no terms")
    double = [code for code, n in Counter(term.code for term in found.terms).items() if n > 1]
    if double:
        raise Rejected("duplicate-code", f"{found.scheme} has these codes more than once: {', '.join(sorted(double))}")
    above = {term.code: term.broader for term in found.terms}
    for code, broader in above.items():
        if broader is not None and broader not in above:
            raise Rejected("unknown-broader", f"{code} stands below {broader}, which {found.scheme} does not have")
    for start in above:
        _climb(start, above, found.scheme)


def _climb(start: str, above: dict[str, str | None], scheme: str) -> None:
    """Walks up from a term; whoever passes as many terms as there are walks in a circle."""
    code: str | None = start
    for _ in range(len(above) + 1):
        if code is None:
            return
        code = above[code]
    raise Rejected("cyclic-taxonomy", f"in {scheme} the terms above {start} lead back to themselves")


@functools.lru_cache(maxsize=8)
def _cues(taxonomy: Taxonomy) -> dict[str, tuple[str, ...]]:
    """Beginning of a word -> the codes that it speaks for."""
    found: dict[str, set[str]] = {}
    for term in taxonomy.terms:
        for word in (*term.words, *plain(term.label)):
            if len(word) > 3 or word in term.words:
                found.setdefault(word.lower()[:_STEM], set()).add(term.code)
    return {stem: tuple(sorted(codes)) for stem, codes in found.items()}


def _strongest(heard: dict[str, float]) -> tuple[str, ...]:
    return tuple(sorted(heard, key=lambda word: (-heard[word], word))[:6])
