"""Evidence and pieces in, fields with their origins out: headline, authors, section, tags, language, URLs, site name.

Each field has its offers in order of trust, weighed against what the page prints; the first that holds wins, the others are
kept as what lost.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from services.ingest.extract.blocks import FOOTER, FORM, Cut, Piece
from services.ingest.extract.evidence import Evidence, texts, types
from services.ingest.extract.names import tokens
from shared.records import Losing, Origin
from shared.text import fold, shorten


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


class Vote(NamedTuple):
    """An offer and how much it counts."""

    offer: Offer
    weight: float


def title_offers(evidence: Evidence, found: Cut) -> list[Offer]:
    """Headline offers, the winner first. The data and the printed headings vote: what most of them say wins, because a search
    engine's title, a social network's and the printed one often differ and each is sometimes the odd one out."""
    site = site_name(evidence)[0] or ""
    stated = _stated_titles(evidence, site)
    votes = [*stated, *_printed_titles(found, [v.offer.value for v in stated], site), *_itemprop_title(evidence)]
    sums: dict[str, float] = {}
    for vote in votes:
        sums[_key(vote.offer.value)] = sums.get(_key(vote.offer.value), 0.0) + vote.weight
    votes.sort(key=lambda vote: -sums[_key(vote.offer.value)])
    offers = [vote.offer for vote in votes]
    shown = next((n for n, o in enumerate(offers) if o.rule == "h1" and fold(o.value) == fold(offers[0].value)), 0)
    return [*offers[shown : shown + 1], *offers[:shown], *offers[shown + 1 :]]


def _stated_titles(evidence: Evidence, site: str) -> list[Vote]:
    found = [("json-ld headline", t, 1.2) for t in texts(evidence.article.get("headline"), "@value")[:1]]
    for name, weight in (("og:title", 0.8), ("twitter:title", 0.1), ("dc.title", 0.1), ("parsely-title", 0.1)):
        if pair := evidence.first(name):
            found.append((f"meta {name}", pair[1], weight))
    if evidence.title:
        found.append(("title", evidence.title, 0.1))
    votes = [
        Vote(Offer(rule, _plain(html.unescape(t)) if rule.startswith("json") else _clean(t, site)), weight)
        for rule, t, weight in found
    ]
    return [vote for vote in votes if vote.offer.value]


def _printed_titles(found: Cut, stated: list[str], site: str) -> list[Vote]:
    """The printed heading that the data speak of, as a whole or in part; else the only first-level heading."""
    heads = [p.text for p in found.pieces if p.box.tag == "h1" or (p.box.parent and p.box.parent.tag == "h1")]
    heads = [h for h in heads if len(h) > 3]
    close = [h for h in heads if any(_alike(h, s) for s in stated)] or [h for h in heads if _part(h, stated, site)]
    if close:
        return [Vote(Offer("h1", close[0]), 1.0)]
    if len(heads) == 1 and not _same(heads[0], site):
        return [Vote(Offer("h1", heads[0]), 0.6)]
    known = Titles(stated)
    lower = [p for p in found.pieces if p.box.tag in ("h2", "h3") and len(p.text) < 300]
    lower = [p for p in lower if known.repeated(p.text)] or [p for p in lower if _part(p.text, stated, site)]
    return [Vote(Offer(p.box.tag, p.text), 0.8) for p in lower[:1]]


def _part(head: str, stated: list[str], site: str) -> bool:
    """Whether a heading begins or ends a stated title and is not the site's name."""
    key = _key(head)
    return (
        len(key) > 5 and not _same(head, site) and any(_key(s).startswith(key) or _key(s).endswith(key) for s in stated)
    )


def _itemprop_title(evidence: Evidence) -> list[Vote]:
    found = evidence.items.get("headline", [])[:1]
    return [Vote(Offer("itemprop headline", t), 0.5) for e in found if (t := " ".join("".join(e.itertext()).split()))]


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
        sizes = {len(t) for t in self.plain}
        self.sizes = {n for own in sizes for n in range(own - 4 - own // 10, own + 5 + own // 10)}

    def repeated(self, text: str) -> bool:
        """Whether the text is the headline, apart from case, quotes and punctuation."""
        return len(text) in self.sizes and _key(text) in self.keys


_BY = re.compile(
    r"^(?:by|von|par|por|di|door|от|автор|text|words by|written by|av|af|przez|autor(?:in)?|auteur|story by)\s*:?\s+",
    re.I,
)
_AND = re.compile(r"\s*(?:,|;|&|/|\||\band\b|\bund\b|\bet\b|\by\b|\be\b|\ben\b|\boch\b|\bog\b|\bи\b)\s*")
_SHORTHAND = re.compile(r"\s*\([^)]{1,6}\)\s*\Z")
_PARTICLES = frozenset(
    ("von", "van", "de", "der", "den", "del", "di", "da", "la", "le", "du", "dos", "el", "al", "bin", "ibn", "zu")
)
_BYLINE = frozenset(["author", "authors", "byline", "writer", "autor", "auteur", "autoren"])
_NO_NAME = re.compile(
    r"(https?:|www\.|@|\d{2}|\b(?:min|read|updated|published|share|follow|staff writer|reporter)\b)", re.I
)


def authors(evidence: Evidence, found: Cut) -> tuple[tuple[str, ...], Origin | None]:
    """The names and where they came from: JSON-LD, meta, itemprop, a link rel=author, a byline by its class."""
    offers: list[tuple[str, list[str]]] = [
        ("json-ld author", _names(_people(evidence))),
        ("meta author", _meta_authors(evidence)),
        ("itemprop author", _item_authors(evidence)),
        ("byline", _bylines(found)),
    ]
    house = _house(evidence)
    kept = [(rule, names) for rule, names in offers if names]
    # A house that signs with its own name gives way to what names a person.
    kept.sort(key=lambda offer: all(_key(name) in house for name in offer[1]) or not any(map(_personal, offer[1])))
    if not kept:
        return (), None
    lost = tuple(Losing(rule, ", ".join(names)) for rule, names in kept[1:] if names != kept[0][1])
    return tuple(kept[0][1]), Origin(kept[0][0], lost)


def _personal(name: str) -> bool:
    """Whether a name has the shape of a person's: two words or more, each with a capital, or no capitals in its script."""
    words = [w for w in name.split() if w.lower() not in _PARTICLES]
    return len(words) > 1 and all(w[0].isupper() or w[0].lower() == w[0].upper() for w in words)


def _people(evidence: Evidence) -> list[str]:
    """The authors of the JSON-LD article, references followed, given and family names joined."""
    value = evidence.article.get("author")
    found = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and not one.get("name") and "@id" in one:
            one = next((n for n in evidence.nodes if n.get("@id") == one["@id"] and n.get("name")), one)
        if isinstance(one, dict) and one.get("familyName") and not one.get("name"):
            one = f"{one.get('givenName') or ''} {one['familyName']}"
        found += texts(one, "name", "@value")
    return found


def _house(evidence: Evidence) -> set[str]:
    """The keys of the publisher's own names."""
    names = [*texts(evidence.article.get("publisher"), "name"), *(v for v in (site_name(evidence)[0],) if v)]
    names += [t for n in _organisations(evidence.article.get("author")) for t in texts(n, "name")]
    host = (urlsplit(evidence.url or "").hostname or "").removeprefix("www.")
    return {_key(name) for name in [*names, host, host.partition(".")[0]]} - {""}


def _organisations(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, dict) and "Organization" in types(v)]


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
        if len(piece.text) > 80 or piece.box.flags & (FORM | FOOTER):
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
        for part in _AND.split(text) if len(text.split()) > 3 or "," in text or ";" in text else [text]:
            name = _SHORTHAND.sub("", part).strip(" \t\u00a0.-–—·•:,")
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
