"""A taxonomy file in, its terms checked out; a text and a taxonomy in, suggestions out.

A taxonomy is JSON: {"scheme", "title", "source", "several", "terms": [{"code", "label", "broader", "words", "sections"}]}.
`words` are what speaks for a term while nobody has filed articles under it yet; `sections` are publishers' own sections that
mean the term: articles printed under them count as filed. `several` says that an article may have more than one term.
Suggestions are never more than that: a person confirms them.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
import re
from collections import Counter
from typing import NamedTuple

import msgspec

from services.enrich.words import plain
from shared.errors import Rejected
from shared.text import fold

BUNDLED = "iptc_media_topics.json"
METHOD, VERSION = "words", "1"

SECTIONS = "section"
"""The scheme of the publishers' own sections: no file, its codes are what they print."""

_SCHEME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_CODE = re.compile(r"[^\s:*]{1,120}")
_STEM = 6
"""Letters of a word that count: "elections" speaks for what "election" speaks for."""


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One term; `broader` is the code of the term above it."""

    code: str
    label: str
    broader: str | None = None
    words: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()


class Taxonomy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A checked taxonomy: codes are unique, every broader code exists, no term stands above itself."""

    scheme: str
    terms: tuple[Term, ...]
    title: str = ""
    source: str = ""
    several: bool = False

    def term(self, code: str) -> Term | None:
        """The term with this code."""
        return self._by_code.get(code)

    def above(self, code: str) -> tuple[str, ...]:
        """The codes above this one, nearest first."""
        found: list[str] = []
        term = self.term(code)
        while term is not None and term.broader is not None:
            found.append(term.broader)
            term = self.term(term.broader)
        return tuple(found)

    def of_section(self, section: str) -> Term | None:
        """The term that a publisher's section means."""
        return self._by_section.get(fold(section).casefold())

    def top(self, code: str) -> str:
        """The code of the topmost term above this one (itself, where none is)."""
        return (code, *self.above(code))[-1]

    @functools.cached_property
    def _by_code(self) -> dict[str, Term]:
        return {term.code: term for term in self.terms}

    @functools.cached_property
    def _by_section(self) -> dict[str, Term]:
        return {fold(section).casefold(): term for term in self.terms for section in term.sections}

    @functools.cached_property
    def cues(self) -> dict[str, tuple[str, ...]]:
        """Beginning of a word -> the codes that it speaks for."""
        found: dict[str, set[str]] = {}
        for term in self.terms:
            for word in (*term.words, *plain(term.label)):
                if len(word) > 3 or word in term.words:
                    found.setdefault(word.lower()[:_STEM], set()).add(term.code)
        return {stem: tuple(sorted(codes)) for stem, codes in found.items()}


class Suggestion(NamedTuple):
    """`score` is the share of the text's telling words that speak for the term; `reasons` are those words."""

    code: str
    label: str
    score: float
    reasons: tuple[str, ...]

    @property
    def telling(self) -> int:
        """How many different words speak for it, forms of one word counted once."""
        return len({word[:_STEM] for word in self.reasons})


def load(raw: bytes | str) -> Taxonomy:
    """The taxonomy of a file's content.

    Raises:
        Rejected: it is no taxonomy ("not-a-taxonomy"), empty ("empty-taxonomy"), a code stands twice ("duplicate-code"),
            a broader code is missing ("unknown-broader") or leads back to its own term ("cyclic-taxonomy"), there is but one
            term to tell apart ("one-label"), or a name cannot be used ("bad-scheme", "bad-code").
    """
    try:
        found = msgspec.json.decode(raw, type=Taxonomy)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("not-a-taxonomy", str(error)) from None
    _check(found)
    return found


def suggest(taxonomy: Taxonomy, text: str, most: int = 3) -> tuple[Suggestion, ...]:
    """The terms that the text speaks for, strongest first; nothing where it speaks for none."""
    heard: dict[str, dict[str, float]] = {}
    for word, times in Counter(plain(text)).items():
        codes = taxonomy.cues.get(word[:_STEM], ())
        for code in codes:
            # A word that speaks for several terms tells less about each.
            heard.setdefault(code, {})[word] = (1 + math.log(times)) / len(codes)
    total = sum(sum(words.values()) for words in heard.values())
    ranked = sorted(heard, key=lambda code: (-sum(heard[code].values()), code))[:most]
    found = [(term, heard[term.code]) for code in ranked if (term := taxonomy.term(code)) is not None]
    return tuple(
        Suggestion(term.code, term.label, sum(said.values()) / total, _strongest(said)) for term, said in found
    )


@functools.cache
def bundled() -> Taxonomy:
    """IPTC Media Topics, top level and the level below, with words of ours."""
    return load(importlib.resources.files("services.enrich").joinpath("data", BUNDLED).read_bytes())


def _check(found: Taxonomy) -> None:
    if not _SCHEME.fullmatch(found.scheme) or found.scheme == SECTIONS:
        raise Rejected("bad-scheme", f"{found.scheme[:60]!r} cannot name a taxonomy: small letters, digits, - and _, "
                       f"and not {SECTIONS!r}, which are the publishers' own")  # fmt: skip
    if not found.terms:
        raise Rejected("empty-taxonomy", f"{found.scheme} has no terms")
    bad = [term.code for term in found.terms if not _CODE.fullmatch(term.code) or not term.label.strip()]
    if bad:
        raise Rejected("bad-code", f"{found.scheme} has terms without a label, or with codes that are empty, have spaces or "
                       f"are longer than 120 characters: {', '.join(map(repr, bad))[:200]}")  # fmt: skip
    double = [code for code, n in Counter(term.code for term in found.terms).items() if n > 1]
    if double:
        raise Rejected("duplicate-code", f"{found.scheme} has these codes more than once: {', '.join(sorted(double))}")
    above = {term.code: term.broader for term in found.terms}
    for code, broader in above.items():
        if broader is not None and broader not in above:
            raise Rejected("unknown-broader", f"{code} stands below {broader}, which {found.scheme} does not have")
    for start in above:
        _climb(start, above, found.scheme)
    if len(found.terms) == 1:
        raise Rejected(
            "one-label", f"{found.scheme} has one term only, {found.terms[0].label!r}: nothing to tell apart"
        )


def _climb(start: str, above: dict[str, str | None], scheme: str) -> None:
    """Walks up from a term; whoever passes as many terms as there are walks in a circle."""
    code: str | None = start
    for _ in range(len(above) + 1):
        if code is None:
            return
        code = above[code]
    raise Rejected("cyclic-taxonomy", f"in {scheme} the terms above {start} lead back to themselves")


def _strongest(heard: dict[str, float]) -> tuple[str, ...]:
    return tuple(sorted(heard, key=lambda word: (-heard[word], word))[:6])
