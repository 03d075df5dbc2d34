"""Evidence in, fields with their origins out: section, tags, language, canonical URL, site name; headline and authors have modules
of their own.

Each field has its offers in order of trust, weighed against what the page prints; the first that holds wins, the others are
kept as what lost.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from services.ingest.extract.authors import authors
from services.ingest.extract.blocks import Piece
from services.ingest.extract.evidence import Evidence, texts
from services.ingest.extract.offers import Offer, same, settle, site_name
from services.ingest.extract.titles import Titles, title_offers
from shared.records import Origin

__all__ = [
    "Offer",
    "Titles",
    "authors",
    "canonical",
    "language",
    "section",
    "settle",
    "site_name",
    "standfirst",
    "tags",
    "title_offers",
]


def section(evidence: Evidence) -> tuple[str | None, Origin | None]:
    """The section that the page itself names in its data; never guessed from the address."""
    offers = [Offer("json-ld articleSection", t) for t in texts(evidence.article.get("articleSection"), "name")[:1]]
    for name in ("article:section", "section", "parsely-section", "cxenseparse:section", "dc.subject.section"):
        if pair := evidence.first(name):
            offers.append(Offer(f"meta {name}", pair[1]))
    offers += [
        Offer("itemprop articleSection", e.xpath("string()").strip())
        for e in evidence.items.get("articleSection", [])[:1]
    ]
    return settle(offers)


def tags(evidence: Evidence) -> tuple[tuple[str, ...], Origin | None]:
    """Keywords as the page states them."""
    for rule, raw in (
        ("json-ld keywords", texts(evidence.article.get("keywords"), "name", "@value")),
        ("meta article:tag", evidence.meta.get("article:tag", [])),
        ("meta keywords", evidence.meta.get("keywords", []) + evidence.meta.get("news_keywords", [])),
    ):
        found: dict[str, str] = {}
        for text in raw:
            for part in re.split(r"[,;]", text):
                if part.strip():
                    found.setdefault(part.strip().lower(), part.strip())
        if found:
            return tuple(found.values())[:40], Origin(rule)
    return (), None


_LANGUAGE = re.compile(r"[a-zA-Z]{2,3}(?:[-_][a-zA-Z0-9]{2,8})*\Z")


def language(evidence: Evidence) -> tuple[str | None, Origin | None]:
    """The language the page states, as a lower-case primary tag."""
    offers = [Offer("html lang", evidence.language or "")]
    offers += [
        Offer("json-ld inLanguage", t) for t in texts(evidence.article.get("inLanguage"), "alternateName", "name")[:1]
    ]
    for name in ("content-language", "og:locale", "dc.language", "language"):
        if pair := evidence.first(name):
            offers.append(Offer(f"meta {name}", pair[1]))
    return settle([Offer(o.rule, re.split("[-_]", o.value)[0].lower()) for o in offers if _LANGUAGE.match(o.value)])


def canonical(evidence: Evidence) -> tuple[str | None, Origin | None]:
    """rel=canonical, og:url, the JSON-LD url, else the address it was fetched from; a bare home page is no article's."""
    offers = [Offer("link canonical", evidence.links.get("canonical", ""))]
    if pair := evidence.first("og:url"):
        offers.append(Offer("meta og:url", pair[1]))
    offers += [Offer("json-ld url", t) for t in texts(evidence.article.get("url"), "@id")[:1]]
    offers = [Offer(o.rule, evidence.absolute(o.value) or "") for o in offers]
    offers = [o for o in offers if o.value and urlsplit(o.value).path.strip("/")] or offers
    return settle([*offers, Offer("fetched", evidence.url or "")])


def standfirst(piece: Piece, evidence: Evidence) -> bool:
    """Whether a piece is the page's own description of the article."""
    stated = evidence.first("og:description", "description", "twitter:description")
    return bool(stated) and len(piece.text) > 30 and same(piece.text, stated[1])  # type: ignore[index]
