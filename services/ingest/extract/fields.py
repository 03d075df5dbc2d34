"""Evidence and pieces in, fields with their origins out: headline, authors, section, tags, language, URLs, site name.

Each field has its offers in order of trust, weighed against what the page prints; the first that holds wins, the others are
kept as what lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from services.ingest.extract.blocks import Cut, Piece
from services.ingest.extract.evidence import Evidence, texts
from services.ingest.extract.names import tokens
from shared.records import Losing, Origin
from shared.text import fold, shorten

V = TypeVar("V")


class Offer(NamedTuple):
    """A value for a field and the rule that gives it."""

    rule: str
    value: str


def settle(offers: Sequence[Offer]) -> tuple[str | None, Origin | None]:
    """The first offer wins; every other value that differs is kept as lost."""
    offers = [o for o in offers if o.value]
    if not offers:
        return None, None
    won = offers[0]
    lost = tuple(Losing(o.rule, shorten(o.value)) for o in offers[1:] if o.value != won.value)
    return won.value, Origin(won.rule, lost)


_PARTS = re.compile(r"\s+[|·•»–—-]\s+|\s*[|»]\s*|:\s+|\s+::\s+")


def title_offers(evidence: Evidence, found: Cut) -> list[Offer]:
    """Headline offers, most trusted first."""
    site = site_name(evidence)[0] or ""
    stated = _stated_titles(evidence, site)
    heads = [p for p in found.pieces if p.box.tag == "h1" or (p.box.parent and p.box.parent.tag == "h1")]
    printed = [Offer("h1", p.text) for p in heads if len(p.text) > 3]
    alike = [o for o in printed if any(_alike(o.value, s.value) for s in stated)]
    if alike:
        return [alike[0], *stated]
    item = _itemprop_title(evidence)
    known = Titles(s.value for s in stated)
    close = [Offer(p.box.tag, p.text) for p in found.pieces if p.box.tag in ("h2", "h3") and known.repeated(p.text)]
    lone = printed if len(printed) == 1 and not _same(printed[0].value, site) else []
    return [*item, *close[:1], *stated[:1], *lone, *stated[1:], *printed]


def _stated_titles(evidence: Evidence, site: str) -> list[Offer]:
    offers = [Offer("json-ld headline", _clean(t, site)) for t in texts(evidence.article.get("headline"), "@value")[:1]]
    for name in ("og:title", "twitter:title", "dc.title", "title", "parsely-title", "sailthru.title"):
        if pair := evidence.first(name):
            offers.append(Offer(f"meta {name}", _clean(pair[1], site)))
    if evidence.title:
        offers.append(Offer("title", _clean(evidence.title, site)))
    return offers


def _itemprop_title(evidence: Evidence) -> list[Offer]:
    found = evidence.items.get("headline", [])[:1]
    return [Offer("itemprop headline", t) for e in found if (t := " ".join("".join(e.itertext()).split()))]


def _clean(title: str, site: str) -> str:
    """A title without the site's name at either end."""
    title = _plain(title)
    cuts = [m for m in _PARTS.finditer(title) if m[0].strip() != ":"]
    if not cuts:
        return title
    first, last = title[: cuts[0].start()], title[cuts[-1].end() :]
    if site and _same(last, site):
        return title[: cuts[-1].start()].strip()
    if site and _same(first, site):
        return title[cuts[0].end() :].strip()
    if len(last) <= len(title) // 3 and len(last.split()) <= 4 and cuts[-1][0].strip() in "|»–—-·•":
        return title[: cuts[-1].start()].strip()
    return title


def _plain(text: str) -> str:
    return " ".join(re.sub(r"</?[a-z]+[^>]*>", "", text).split())


def _key(text: str) -> str:
    return re.sub(r"\W+", "", fold(text).lower())


def _same(one: str, other: str) -> bool:
    return bool(one) and _key(one) == _key(other)


def _alike(one: str, other: str) -> bool:
    """Whether two titles share most of their words."""
    a, b = set(re.findall(r"\w+", fold(one).lower())), set(re.findall(r"\w+", fold(other).lower()))
    return bool(a and b) and len(a & b) * 2 > max(len(a), len(b))


class Titles:
    """All offers for the headline, to tell a piece that merely repeats it. Folding is dear, so length decides first."""

    def __init__(self, titles: Iterable[str]) -> None:
        self.plain = tuple(titles)
        self.keys = {_key(t) for t in self.plain} - {""}
        self.sizes = sorted({len(t) for t in self.plain})

    def repeated(self, text: str) -> bool:
        """Whether the text is the headline, apart from case, quotes and punctuation."""
        size = len(text)
        return any(abs(size - own) <= 4 + own // 10 for own in self.sizes) and _key(text) in self.keys


_BY = re.compile(
    r"^(?:by|von|par|por|di|door|от|автор|text|words by|written by|av|af|przez|autor(?:in)?|auteur|story by)\s*:?\s+",
    re.I,
)
_AND = re.compile(r"\s*(?:,|;|&|/|\||\band\b|\bund\b|\bet\b|\by\b|\be\b|\ben\b|\boch\b|\bog\b|\bи\b)\s*")
_BYLINE = frozenset(["author", "authors", "byline", "writer", "autor", "auteur", "autoren"])
_NO_NAME = re.compile(
    r"(https?:|www\.|@|\d{2}|\b(?:min|read|updated|published|share|follow|staff writer|reporter)\b)", re.I
)


def authors(evidence: Evidence, found: Cut) -> tuple[tuple[str, ...], Origin | None]:
    """The names and where they came from: JSON-LD, meta, itemprop, a link rel=author, a byline by its class."""
    offers: list[tuple[str, list[str]]] = [
        ("json-ld author", _names(texts(evidence.article.get("author"), "name", "@value"))),
        ("meta author", _meta_authors(evidence)),
        ("itemprop author", _item_authors(evidence)),
        ("byline", _bylines(found)),
    ]
    kept = [(rule, names) for rule, names in offers if names]
    if not kept:
        return (), None
    lost = tuple(Losing(rule, ", ".join(names)) for rule, names in kept[1:] if names != kept[0][1])
    return tuple(kept[0][1]), Origin(kept[0][0], lost)


def _meta_authors(evidence: Evidence) -> list[str]:
    for name in (
        "author",
        "article:author",
        "parsely-author",
        "sailthru.author",
        "dc.creator",
        "byl",
        "dcterms.creator",
    ):
        names = _names(evidence.meta.get(name, []))
        if names:
            return names
    return []


def _item_authors(evidence: Evidence) -> list[str]:
    found = []
    for element in evidence.items.get("author", [])[:8]:
        inner = element.find(".//*[@itemprop='name']")
        text = (inner if inner is not None else element).xpath("string()") or element.get("content") or ""
        found.append(text)
    return _names(found)


def _bylines(found: Cut) -> list[str]:
    for piece in found.pieces:
        if len(piece.text) > 80:
            continue
        names = set(tokens(piece.box.names)) | set(tokens(piece.inline))
        if names & _BYLINE:
            kept = _names([piece.text])
            if kept:
                return kept
    return []


def _names(raw: Iterable[str]) -> list[str]:
    """Single names out of bylines: "By A and B" gives A and B."""
    found: dict[str, str] = {}
    for text in raw:
        text = _BY.sub("", _plain(text))
        for part in _AND.split(text) if len(text.split()) > 3 or "," in text else [text]:
            name = part.strip(" \t\u00a0.-–—·•:,")
            if 2 < len(name) < 60 and len(name.split()) <= 6 and not _NO_NAME.search(name):
                found.setdefault(_key(name), name)
    return list(found.values())[:20]


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


def site_name(evidence: Evidence) -> tuple[str | None, Origin | None]:
    """og:site_name, the JSON-LD publisher, application-name."""
    offers = []
    for name in ("og:site_name", "application-name", "twitter:app:name:iphone"):
        if pair := evidence.first(name):
            offers.append(Offer(f"meta {name}", pair[1]))
    publisher = texts(evidence.article.get("publisher"), "name")
    offers[1:1] = [Offer("json-ld publisher", t) for t in publisher[:1]]
    return settle(offers)


def standfirst(piece: Piece, evidence: Evidence) -> bool:
    """Whether a piece is the page's own description of the article."""
    stated = evidence.first("og:description", "description", "twitter:description")
    return bool(stated) and len(piece.text) > 30 and _same(piece.text, stated[1])  # type: ignore[index]
