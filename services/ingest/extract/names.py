"""Class and id attributes in, words out: split at camel case and punctuation, state and theme words dropped."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_STATE = re.compile(r"(?<!\S)(?:(?:(?:has|is|no|not|with|js)-|has_|is_|theme|layout)\S*|\S{61,})", re.I)
"""Names that say how a box looks or feels at present; overlong ones are generated."""


@lru_cache(maxsize=20_000)
def tokens(names: str) -> tuple[str, ...]:
    """The telling words of an attribute value, lower case, each once, at most 24."""
    if not names:
        return ()
    found = dict.fromkeys([w.lower() for w in _WORD.findall(_STATE.sub("", names)) if len(w) > 1])
    return tuple(found)[:24]


_RELATED = frozenset(
    [
        "similar",
        "related",
        "recommended",
        "recommendations",
        "recommend",
        "seealso",
        "readmore",
        "readnext",
        "morefrom",
        "outbrain",
        "taboola",
    ]
)


_HINT = re.compile("similar|related|recommend|seealso|readmore|readnext|morefrom|outbrain|taboola", re.I)
"""Every word of the set holds one of these: most names are told without being split."""


@lru_cache(maxsize=20_000)
def related(names: str) -> bool:
    """Whether a box names itself a block of related articles."""
    return _HINT.search(names) is not None and not _RELATED.isdisjoint(tokens(names))


_WALL = frozenset(("paywall", "paywalled", "piano", "regwall", "premium", "subscriber", "metered"))


_WALL_HINT = re.compile("paywall|piano|regwall|premium|subscriber|metered", re.I)


@lru_cache(maxsize=20_000)
def walled_off(names: str) -> bool:
    """Whether a box names itself a wall before the text."""
    return _WALL_HINT.search(names) is not None and not _WALL.isdisjoint(tokens(names))


_COMMENTS = frozenset(("comment", "comments", "respond", "disqus", "commentlist"))


@lru_cache(maxsize=20_000)
def commentary(names: str) -> bool:
    """Whether a box names itself readers' comments."""
    return not _COMMENTS.isdisjoint(tokens(names))
