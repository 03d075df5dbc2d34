"""Text in, normalised text out: for hashing, search and comparison, never for what partners read."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_SPACE = re.compile(r"\s+")
_QUOTES = str.maketrans(
    {"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "\u00ad": None}
)


def fold(text: str) -> str:
    """NFKC, straight quotes, single spaces, no soft hyphens; case kept. Folding twice changes nothing."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).translate(_QUOTES)).strip()


def digest(*parts: str) -> str:
    """SHA-256 over the folded parts, as 64 hexadecimal digits; the border between parts counts."""
    joined = "\x1f".join(fold(part) for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()


def shorten(text: str, limit: int = 200) -> str:
    """At most `limit` code points on one line, an ellipsis where something was cut."""
    flat = _SPACE.sub(" ", text).strip()
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
