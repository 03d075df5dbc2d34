"""Evidence and pieces in, the names of who wrote the article out, with the rule that gave them and what lost.

Order of trust: JSON-LD, meta, microdata, a line that says whose it is by its class, by its words ("By Ann Example") or by a link
to a person's page. A house that signs with its own name gives way to whatever names a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from services.ingest.extract.blocks import ASIDE, FOOTER, FORM, NAV, Box, Cut, Piece
from services.ingest.extract.evidence import Evidence, texts
from services.ingest.extract.names import commentary, tokens
from services.ingest.extract.offers import house, letters, untagged
from shared.records import Losing, Origin

_BY = re.compile(
    r"^(?:(?:(?:words|text|story|written|reported|reporting) by|"
    r"by|von|par|por|от|автор|autor(?:in|en|a|es)?|auteurs?|author)(?:\s*:\s*|\s+)|"
    r"(?:text|tekst|texto?|redaktion|redazione|words)\s*:\s*)",
    re.I,
)
_PRINTED_BY = re.compile(
    r"^(?:di|door|від|аўтар|av|af|przez|napisał[a]?|a cura di|skriven av|skrevet av|yazan)(?:\s*:\s*|\s+)", re.I
)
"""Words for "by" that are also the beginning of names: read so in a printed line only."""
_BEGINS = frozenset("abdnprstvwyоав")
"""The first letters of all of these words."""
_AND = re.compile(r"\s*(?:\band\b|\bund\b|\bet\b|\by\b|\be\b|\ben\b|\boch\b|\bog\b|\bи\b|\bі\b|\bve\b|&)\s*")
_COMMA = re.compile(r"\s*(?:[,;|•·]|\s[/–—-]\s|\s{3,})\s*")
_SHORTHAND = re.compile(r"\s*\([^)]{1,6}\)\s*\Z")
_PARTICLES = frozenset(
    (
        "von",
        "van",
        "de",
        "der",
        "den",
        "del",
        "di",
        "da",
        "la",
        "le",
        "du",
        "dos",
        "el",
        "al",
        "bin",
        "ibn",
        "zu",
        "ten",
        "af",
    )
)
_BYLINE = frozenset(["author", "authors", "byline", "writer", "autor", "auteur", "autoren", "autores", "signature"])
_PATH = re.compile(
    r"/(?:authors?|autor(?:in|en|es)?|auteurs?|people|person|staff|journalists?|journalistes?|profiles?|redakteure?|contributors?|"
    r"columnists?|writers?|reporters?|by|redaktion|skribenter?|forfatter|avtor|yazar(?:lar)?|autorzy|firme)/[^/?#]+", re.I
)  # fmt: skip
_NO_NAME = re.compile(r"https?:|www\.|@")
_NO_PRINTED_NAME = re.compile(
    r"\d|https?:|www\.|@|[!?…]|\b(?:min|read|updated|published|share|follow|subscribe|comments?|more|mehr|photo|foto|image|bild)\b", re.I
)  # fmt: skip
_PLACES = frozenset(["twitter", "facebook", "instagram", "linkedin", "email", "mail", "rss", "x", "whatsapp", "telegram", "youtube",
                     "tiktok", "threads", "bluesky", "mastodon", "home", "admin", "administrator", "webmaster"])  # fmt: skip
"""What stands beside a name and is none: networks, and accounts of publishing systems."""
_META = (
    "author",
    "article:author",
    "parsely-author",
    "sailthru.author",
    "dc.creator",
    "byl",
    "dcterms.creator",
    "articleauthor",
)
_LONGEST_LINE = 80
_MANY = 20


def authors(evidence: Evidence, found: Cut) -> tuple[tuple[str, ...], Origin | None]:
    """The names and where they came from."""
    houses = house(evidence)
    offers = [(rule, names) for rule, names in _offers(evidence, found) if names]
    offers.sort(key=lambda offer: all(letters(n) in houses for n in offer[1]) or not any(map(personal, offer[1])))
    if not offers:
        return (), None
    rule, won = offers[0]
    lost = tuple(Losing(rule, ", ".join(names)) for rule, names in offers[1:] if names != won)
    return tuple(won), Origin(rule, lost)


def _offers(evidence: Evidence, found: Cut) -> Iterator[tuple[str, list[str]]]:
    yield "json-ld author", stated(_people(evidence))
    yield "meta author", next((n for name in _META if (n := stated(evidence.meta.get(name, [])))), [])
    yield "itemprop author", stated(_items(evidence))
    yield from _printed(evidence, found)


def personal(name: str) -> bool:
    """Whether a name has the shape of a person's: two words or more, each with a capital, or no capitals in its script."""
    words = [w for w in name.split() if w.lower() not in _PARTICLES]
    return len(words) > 1 and all(w[0].isupper() or w[0].lower() == w[0].upper() for w in words)


def _people(evidence: Evidence) -> list[str]:
    """The authors of the JSON-LD article, references followed, given and family names joined."""
    value = evidence.article.get("author") or evidence.article.get("creator")
    found: list[str] = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and not one.get("name") and "@id" in one:
            one = next((n for n in evidence.nodes if n.get("@id") == one["@id"] and n.get("name")), one)
        if isinstance(one, dict) and one.get("familyName") and not one.get("name"):
            one = f"{one.get('givenName') or ''} {one['familyName']}"
        found += texts(one, "name", "@value")
    return found


def _items(evidence: Evidence) -> list[str]:
    found = []
    for element in evidence.items.get("author", [])[:8]:
        inner = element.find(".//*[@itemprop='name']")
        one: Any = element if inner is None else inner
        found.append(" ".join("".join(one.itertext()).split()) or one.get("content") or "")
    return found


def _printed(evidence: Evidence, found: Cut) -> Iterator[tuple[str, list[str]]]:
    """Names in short lines of the page: by the line's class, its first word, the link it holds. Each rule's first."""
    rules: dict[str, list[str]] = {}
    for piece in found.pieces:
        if len(piece.text) > _LONGEST_LINE or len(piece.text) < 4 or piece.box.flags & (FORM | FOOTER | NAV | ASIDE):
            continue
        for rule in _signs(piece):
            if rule not in rules and (names := _of_line(piece, rule)) and not _beside(piece):
                rules[rule] = names
    for rule in ("byline", "printed byline", "author link"):
        yield rule, rules.get(rule, [])


def _signs(piece: Piece) -> Iterator[str]:
    if not _BYLINE.isdisjoint(tokens(piece.box.names)) or not _BYLINE.isdisjoint(tokens(piece.inline)):
        yield "byline"
    if piece.text[0].lower() in _BEGINS and (_BY.match(piece.text) or _PRINTED_BY.match(piece.text)):
        yield "printed byline"
    if piece.spans and any(href and _PATH.search(href) for _, _, kind, href in piece.spans if kind == "link"):
        yield "author link"


def _of_line(piece: Piece, rule: str) -> list[str]:
    """The names in a line. What only its words or its link tell must have the shape of a person's name."""
    if rule == "author link":
        return [name for name in printed(_linked(piece)) if personal(name)]
    names = printed([piece.text])
    return names if rule == "byline" or (names and all(map(personal, names))) else []


def _linked(piece: Piece) -> Iterator[str]:
    for start, end, kind, href in piece.spans:
        if kind == "link" and href and _PATH.search(href):
            yield " ".join("".join(piece.parts[start:end]).split())


def _beside(piece: Piece) -> bool:
    """Whether a line stands in readers' comments or in a teaser for another article."""
    box: Box | None = piece.box
    articles = 0
    while box is not None:
        if box.names and commentary(box.names):
            return True
        articles += box.tag == "article"
        box = box.parent
    return articles > 1


def stated(raw: Iterable[str]) -> list[str]:
    """Single names out of what data state: "A and B" gives A and B where both are persons."""
    return _distinct(name for text in raw for name in _split(untagged(text)) if not _NO_NAME.search(name))


def printed(raw: Iterable[str]) -> list[str]:
    """Single names out of printed lines, without "By" and what else stands beside a name."""
    names = (name for text in raw for name in _split(_PRINTED_BY.sub("", text.strip())))
    return _distinct(n for n in names if not _NO_PRINTED_NAME.search(n) and n[0].lower() + n[1:] != n)


def _split(text: str) -> Iterator[str]:
    text = _BY.sub("", text.strip())
    for part in _COMMA.split(text):
        both = _AND.split(part)
        for name in both if all(map(personal, both)) else [part]:
            if name := _SHORTHAND.sub("", name).strip(" \t\u00a0.-–—·•:,"):
                yield name


def _distinct(names: Iterable[str]) -> list[str]:
    found: dict[str, str] = {}
    for name in names:
        if 2 < len(name) < 60 and len(name.split()) <= 6 and letters(name) not in _PLACES:
            found.setdefault(letters(name), name)
    return list(found.values())[:_MANY]
