"""Text in, its language with evidence out: py3langid restricted to the languages the installation is configured for.

The model (a few MB) is loaded at the first call and kept. What the publisher states is a hint: it decides only where
the text itself does not.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from typing import Any, NamedTuple

from shared.text import fold

_SAMPLE = 2000
"""Code points looked at: more adds time and no accuracy."""
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_ENOUGH_LETTERS = 4
_SURE = 0.80
"""Below this the publisher's word, where there is one among the allowed languages, counts more than the model's."""
_ANSWER = 0.2
"""Below this, and without a hint, there is no answer."""


class Language(NamedTuple):
    """`code` is ISO 639-1 or None; `confidence` 0 to 1; `evidence` one sentence for a person."""

    code: str | None
    confidence: float
    evidence: str


def detect(text: str, allowed: tuple[str, ...] | None = None, hint: str | None = None) -> Language:
    """The language of the text.

    Args:
        text: any text; only its first 2,000 code points are read.
        allowed: ISO 639-1 codes to choose from; None for all that the model knows. Codes the model lacks are left out.
        hint: what the publisher states ("be-BY"), used where the text is too short or the model is not sure.
    """
    stated = _stated(hint, allowed)
    sample = _letters(text[:_SAMPLE])
    if len(sample) < _ENOUGH_LETTERS + 2:
        return _by_hint(stated, "too little text")
    known = known_languages()
    usable = tuple(sorted(set(allowed) & known)) if allowed else tuple(sorted(known))
    if not usable:
        return _by_hint(stated, "none of the configured languages is known to the model")
    code, score = _identifier(usable).classify(sample)
    return _weigh(str(code), float(score), stated, len(usable))


def known_languages() -> frozenset[str]:
    """The ISO 639-1 codes that can be told apart."""
    return frozenset(_identifier(None).labels)


def _weigh(code: str, score: float, stated: str | None, choices: int) -> Language:
    if stated == code:
        return Language(code, score, f"the text, {score:.2f} among {choices} languages; the publisher says the same")
    if score < _SURE and stated is not None:
        return Language(stated, 1 - score, f"stated by the publisher; the text is unclear ({code} {score:.2f})")
    if score < _ANSWER:
        return Language(None, score, f"unclear: {code} is likeliest with {score:.2f} among {choices} languages")
    against = f"; the publisher says {stated}" if stated else ""
    return Language(code, score, f"the text, {score:.2f} among {choices} languages{against}")


def _letters(text: str) -> str:
    """Only the words, in lower case, a space around each: digits, marks and capitals only mislead.

    Of a text in two scripts the words of the main one: a quotation in the other must not outvote it.
    """
    found = _WORD.findall(fold(text).lower())
    scripts = [_script(word[0]) for word in found]
    if len(set(scripts)) > 1:
        letters = Counter[str]()
        for word, script in zip(found, scripts, strict=True):
            letters[script] += len(word)
        main = max(sorted(letters), key=letters.__getitem__)
        found = [word for word, script in zip(found, scripts, strict=True) if script == main]
    return f" {' '.join(found)} "


@functools.lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """LATIN, CYRILLIC, GREEK ... as Unicode names the letter."""
    return unicodedata.name(letter, "?").split(" ", 1)[0]


def _by_hint(stated: str | None, why: str) -> Language:
    if stated is None:
        return Language(None, 0.0, why)
    return Language(stated, 0.5, f"stated by the publisher; {why}")


def _stated(hint: str | None, allowed: tuple[str, ...] | None) -> str | None:
    """The primary subtag of the hint, where it is a language that may be chosen."""
    if not hint:
        return None
    code = hint.replace("_", "-").split("-")[0].strip().lower()
    plausible = 2 <= len(code) <= 3 and code.isascii() and code.isalpha()
    return code if plausible and (not allowed or code in allowed) else None


@functools.lru_cache(maxsize=8)
def _identifier(languages: tuple[str, ...] | None) -> Any:
    # Imported here: a process that never detects a language should not pay for the model.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    if languages is None:
        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    full = _identifier(None)
    narrow = LanguageIdentifier.__new__(LanguageIdentifier)
    for slot in LanguageIdentifier.__slots__:
        # The automaton is shared: each set of languages costs only its own columns.
        setattr(narrow, slot, getattr(full, slot))
    narrow.set_languages(languages)
    return narrow
