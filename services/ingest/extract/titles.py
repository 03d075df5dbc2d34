"""Evidence and pieces in, offers for the headline out, the winner first; and what tells a piece that repeats it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from services.ingest.extract.blocks import Cut, Piece
from services.ingest.extract.evidence import Evidence, texts
from services.ingest.extract.offers import Offer, house, letters, untagged
from shared.text import fold

_PARTS = re.compile(
    r"\s+[|·•»«›‹–—-]\s+|\s*\|\s*|(?<![\s»])»(?=\S)|\s+::\s+|(?<=[\u3001-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60])[-_—|]+"
)
"""What stands between a title and the name of its site, or between a kicker and a headline."""
_KICKER = re.compile(r"\s*:\s+")
_SPACED = re.compile(r"\s:\s")
_BORDERS = "|»«›‹–—-_·•:"
_CUT_OFF = re.compile(r"\s*(?:\.\.\.|…)\Z")
WORDS = re.compile(r"\w+")
STATED = {"json-ld headline": 1.4, "meta og:title": 0.7, "meta twitter:title": 0.1, "meta dc.title": 0.1,
          "meta parsely-title": 0.1, "title": 0.1}  # fmt: skip
"""How much each statement of the title counts; what the page prints counts PRINTED where the statements agree with it."""
PRINTED, PRINTED_ALONE, PRINTED_LOWER, ITEMPROP = 0.9, 0.9, 0.8, 0.5


class Vote(NamedTuple):
    """An offer and how much it counts."""

    offer: Offer
    weight: float


def title_offers(evidence: Evidence, found: Cut) -> list[Offer]:
    """Headline offers, the winner first. The data and the printed headings vote: what most of them say wins, because a search
    engine's title, a social network's and the printed one often differ and each is sometimes the odd one out."""
    houses = house(evidence)
    stated = _stated_titles(evidence, houses)
    known = [v.offer.value for v in stated]
    votes = [*stated, *_printed_titles(found, known, evidence, houses), *_itemprop_title(evidence)]
    keys = _merged([letters(vote.offer.value) for vote in votes], [vote.offer.value for vote in votes])
    sums: dict[str, float] = {}
    for vote, key in zip(votes, keys, strict=True):
        sums[key] = sums.get(key, 0.0) + vote.weight
    order = sorted(range(len(votes)), key=lambda n: (-sums[keys[n]], _cut_off(votes[n].offer.value)))
    offers = [votes[n].offer for n in order]
    shown = _printed_as(offers)
    return [*offers[shown : shown + 1], *offers[:shown], *offers[shown + 1 :]]


def _printed_as(offers: list[Offer]) -> int:
    """The number of the heading that prints the winning title, be it with other quotes; also with other dashes, unless the
    publisher's own data are among the winners. 0 where there is none."""
    top = offers[0].value if offers else ""
    stated = any(o.rule.startswith("json-ld") and letters(o.value) == letters(top) for o in offers)
    same = _folded if stated else _worded
    return next((n for n, o in enumerate(offers) if o.rule == "h1" and same(o.value, top)), 0)


def _merged(keys: list[str], values: list[str]) -> list[str]:
    """The keys, a title that was cut off with an ellipsis counted for the whole one."""
    for n, value in enumerate(values):
        if _cut_off(value) and len(keys[n]) > 12:
            keys[n] = next(
                (k for k, v in zip(keys, values, strict=True) if k.startswith(keys[n]) and not _cut_off(v)), keys[n]
            )
    return keys


def _cut_off(title: str) -> bool:
    return bool(_CUT_OFF.search(title))


def _folded(one: str, other: str) -> bool:
    return fold(one) == fold(other)


def _worded(one: str, other: str) -> bool:
    """Whether two titles are the same words, whatever stands between them."""
    return letters(one) == letters(other) and WORDS.findall(fold(one)) == WORDS.findall(fold(other))


def _stated_titles(evidence: Evidence, houses: set[str]) -> list[Vote]:
    found = [("json-ld headline", t) for t in texts(evidence.article.get("headline"), "@value")[:1]]
    for name in ("og:title", "twitter:title", "dc.title", "parsely-title"):
        if pair := evidence.first(name):
            found.append((f"meta {name}", pair[1]))
    if evidence.title:
        found.append(("title", evidence.title))
    votes = [
        Vote(Offer(rule, untagged(html.unescape(t)) if rule.startswith("json") else _clean(t, houses)), STATED[rule])
        for rule, t in found
    ]
    return [vote for vote in votes if vote.offer.value]


def _printed_titles(found: Cut, stated: list[str], evidence: Evidence, houses: set[str]) -> list[Vote]:
    """The printed heading that the data speak of, as a whole or in part; else the only first-level heading. The site's own
    name, which many sites print as one, is none."""
    heads = [p for p in found.pieces if p.box.tag == "h1" or (p.box.parent and p.box.parent.tag == "h1")]
    heads = [p for p in heads if len(p.text) > 3 and not _logo(p, houses, evidence)]
    close = [p for p in heads if any(_alike(p.text, s) for s in stated)] or [
        p for p in heads if _part(p.text, stated, houses)
    ]
    if close:
        return [Vote(Offer("h1", _headline_of(close[0], stated)), PRINTED)]
    if len(heads) == 1:
        return [Vote(Offer("h1", heads[0].text), PRINTED_ALONE)]
    known = Titles(stated)
    lower = [p for p in found.pieces if p.box.tag in ("h2", "h3") and len(p.text) < 300]
    lower = [p for p in lower if known.repeated(p.text)] or [p for p in lower if _part(p.text, stated, houses)]
    return [Vote(Offer(p.box.tag, p.text), PRINTED_LOWER) for p in lower[:1]]


def _logo(piece: Piece, houses: set[str], evidence: Evidence) -> bool:
    """Whether a heading is the site's name: it says so, leads home, or is what the page's title ends with."""
    key = letters(piece.text)
    if key in houses:
        return True
    link = next((href for _, _, kind, href in piece.spans if kind == "link"), None)
    if link is not None and piece.links * 2 > len(piece.text) and _home(evidence.absolute(link)):
        return True
    title = evidence.title or ""
    return any(letters(title[m.end() :]) == key for parts in (_PARTS, _SPACED) for m in parts.finditer(title))


def _home(url: str | None) -> bool:
    """Whether an address is a site's front page."""
    parts = urlsplit(url or "")
    return bool(url) and not parts.query and parts.path.strip("/") in ("", "index.html", "index.php", "home")


def _headline_of(piece: Piece, stated: list[str]) -> str:
    """A heading without the kicker that stands before the headline in the same element, where the data state the headline
    without it."""
    text, keys = piece.text, {letters(title) for title in stated}
    if letters(text) in keys:
        return text
    for start in [m.end() for m in _PARTS.finditer(text)] + [m.end() for m in _KICKER.finditer(text)]:
        if letters(text[start:]) in keys:
            return text[start:].strip()
    return text


def _part(head: str, stated: list[str], houses: set[str]) -> bool:
    """Whether a heading begins or ends a stated title and is not the site's name."""
    key = letters(head)
    return (
        len(key) > 5
        and key not in houses
        and any(other.startswith(key) or other.endswith(key) for other in map(letters, stated))
    )


def _itemprop_title(evidence: Evidence) -> list[Vote]:
    found = evidence.items.get("headline", [])[:1]
    return [
        Vote(Offer("itemprop headline", t), ITEMPROP) for e in found if (t := " ".join("".join(e.itertext()).split()))
    ]


def _clean(title: str, houses: set[str]) -> str:
    """A title without the site's name at either end, and without what stands beyond the name."""
    title = untagged(title)
    cuts = list(_PARTS.finditer(title))
    if not cuts:
        return title
    starts, ends = [0, *(m.end() for m in cuts)], [*(m.start() for m in cuts), len(title)]
    named = [n for n, (start, end) in enumerate(zip(starts, ends, strict=True)) if letters(title[start:end]) in houses]
    if named and named[0]:
        return title[: ends[named[0] - 1]].strip()
    if named:
        return title[starts[1] :].strip()
    last = title[starts[-1] :]
    if len(last) <= len(title) // 3 and len(last.split()) <= 4 and cuts[-1][0].strip() in _BORDERS:
        return title[: ends[-2]].strip()
    return title


def _alike(one: str, other: str) -> bool:
    """Whether two titles share most of their words."""
    a, b = set(WORDS.findall(fold(one).lower())), set(WORDS.findall(fold(other).lower()))
    return bool(a and b) and len(a & b) * 2 > max(len(a), len(b))


class Titles:
    """All offers for the headline, to tell a piece that merely repeats it. Folding is dear, so length decides first."""

    def __init__(self, titles: Iterable[str]) -> None:
        self.plain = tuple(titles)
        self.keys = {letters(t) for t in self.plain} - {""}
        sizes = {len(t) for t in self.plain}
        self.sizes = {n for own in sizes for n in range(own - 4 - own // 10, own + 5 + own // 10)}

    def repeated(self, text: str) -> bool:
        """Whether the text is the headline, apart from case, quotes and punctuation."""
        return len(text) in self.sizes and letters(text) in self.keys
