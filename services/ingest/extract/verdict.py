"""Page and chosen text in, verdict out: is this an article, and may everyone read it."""

from __future__ import annotations

import re
from typing import Literal

from services.ingest.extract.blocks import Cut, Piece
from services.ingest.extract.evidence import Evidence, types
from services.ingest.extract.names import walled_off
from shared.records import Verdict

_LISTING = re.compile(r"(CollectionPage|SearchResultsPage|ItemList\b|ProfilePage|ContactPage|AboutPage)")
_ERROR = re.compile(
    r"\b(404|403|410|not found|page not found|access denied|nicht gefunden|introuvable|no encontrad[ao])\b", re.I
)
_CHALLENGE = re.compile(
    r"(cf-challenge|cf_chl_|challenge-platform|captcha-delivery|px-captcha|Just a moment\.\.\.|Attention Required!)"
)
Access = Literal["free", "metered", "blocked"]
_SHORT = 140
_BRIEF = 500


def judge(chosen: list[Piece], found: Cut, evidence: Evidence, headline: str | None, text: str) -> Verdict:
    """Reasons: challenge-page, soft-404, no-text, listing-page, link-page; access: paywalled-markup, not-free-json-ld."""
    size = sum(len(p.text) for p in chosen)
    access, why = _access(found, evidence)
    reason = _not_article(chosen, found, evidence, headline, text, size)
    if reason:
        return Verdict("not-an-article", reason, access, why)
    return Verdict("article", None, access, why)


def _not_article(
    chosen: list[Piece], found: Cut, evidence: Evidence, headline: str | None, text: str, size: int
) -> str | None:
    if size < _BRIEF and _CHALLENGE.search(text[:20_000]):
        return "challenge-page"
    if size < _BRIEF and _ERROR.search(f"{evidence.title or ''} {headline or ''}"):
        return "soft-404"
    if not chosen or size == 0:
        return "no-text"
    stated = bool(evidence.article.get("datePublished")) or "article:published_time" in evidence.meta
    if size < _BRIEF and not stated and any(_LISTING.search(types(node)) for node in evidence.nodes):
        return "listing-page"
    links = sum(p.links for p in chosen)
    if links > size * 0.6 and not stated:
        return "link-page"
    if size < _SHORT and not stated and _headlines(found) >= 2:
        return "listing-page"
    return None


def _headlines(found: Cut) -> int:
    """How many headings are links as a whole: a page of teasers has several."""
    return sum(p.box.tag in ("h2", "h3", "h4") and p.links * 10 > len(p.text) * 9 for p in found.pieces)


def _access(found: Cut, evidence: Evidence) -> tuple[Access, str | None]:
    free = str(evidence.article.get("isAccessibleForFree", "")).lower()
    walled = any(box.names and walled_off(box.names) for box in found.boxes)
    if free in ("false", "no", "0"):
        return ("blocked", "not-free-json-ld") if walled else ("metered", "not-free-json-ld")
    tier = evidence.first("article:content_tier")
    if tier and tier[1].lower() in ("locked", "metered"):
        return ("blocked" if tier[1].lower() == "locked" else "metered"), "content-tier"
    if walled and free not in ("true", "yes", "1"):
        return "metered", "paywalled-markup"
    return "free", None
