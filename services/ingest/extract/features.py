"""A cut page in, one column of numbers a piece out: what the learnt weights judge by.

Three kinds: what a piece is (length, links, punctuation, element, its own words and class words), where it stands (its boxes and
how much text each holds, what comes before and after), and what the page says (title, description, articleBody). `context` adds
the first judgement of the pieces around. Everything comes as matrices of (features, pieces), made by few calls over all pieces:
the pieces of a box have numbers in a row, so a box's sums are differences of running totals.
"""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from services.ingest.extract.blocks import FLAG_BITS, QUOTE, Cut, Piece
from services.ingest.extract.evidence import Evidence, texts
from services.ingest.extract.fields import Titles
from services.ingest.extract.model import Lexicon, Weights
from services.ingest.extract.names import tokens

Floats = NDArray[np.float32]
Numbers = NDArray[Any]

_TAGS = {
    "p": 1, "li": 2, "h1": 3, "h2": 4, "h3": 5, "h4": 6, "h5": 6, "h6": 6, "td": 8, "th": 8, "blockquote": 9, "pre": 10,
    "figcaption": 11, "dt": 12, "dd": 12, "figure": 11, "button": 13, "label": 13, "footer": 14, "address": 14, "article": 7,
    "section": 7, "div": 7, "main": 7, "body": 15,
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]{2,}")
_WORD_OR_END = re.compile(r"[^\W\d_]{2,}|\x00")
_DIGIT = re.compile(r"\d")
_DATE = re.compile(r"\b\d{1,2}[.:/-]\d{2}\b|\b(?:19|20)\d\d\b")
_POST = re.compile(r"tweet|twitter|instagram|tiktok|bluesky|telegram", re.I)
_MARKUP = re.compile(r"<[^>]+>")
_END = frozenset(".!?…。！？»”\"'")
_OPENING = frozenset("\"'“„«‘([¿¡—–-")
_STEPS = 3
NEAR = 6
"""Short links within so many pieces of prose may be items of an article's own list."""
_REMEMBERED = 50_000
SHORT = 120
"""Texts under so many characters are judged by all their words: labels, bylines, promotion lines."""
HEAD = 60
"""Of longer texts so many characters at the beginning are."""
_BITS = np.arange(FLAG_BITS, dtype=np.int64)[:, None]
_SHIFTS = np.array([-2, -1, 1, 2])[:, None]
_NEAR_SHIFTS = np.array([-4, -3, -2, -1, 1, 2, 3, 4])[:, None] + 4


class Page:
    """A cut page as arrays. Of pieces: box, length, share of link text, signature (a number shared by pieces of the same element
    and class names). `steps` names each piece's box and the three around it: (4, pieces). `active` numbers the pieces worth a
    judgement: all but short links far from prose."""

    def __init__(self, found: Cut, titles: Titles) -> None:
        boxes, pieces = found.boxes, found.pieces
        self.found, self.titles, self.count = found, titles, len(pieces)
        marks: dict[tuple[str, str], int] = {}
        flat: list[int] = []
        for p in pieces:
            box = p.box
            sign = marks.setdefault((box.tag, box.names), len(marks))
            flat += (box.index, len(p.text), p.links, _TAGS.get(box.tag, 0), box.flags, box.depth, sign, len(p.spans))
        whole = np.fromiter(flat, np.int64, len(flat)).reshape(-1, 8).T
        self.at, sizes, links, self.tags, self.flags, self.depth, self.signs, self.spans = whole
        self.parent = np.array([box.parent.index if box.parent else 0 for box in boxes], np.int64)
        self.first, self.last = np.array([(box.first, box.last) for box in boxes], np.int64).T
        self.place = np.arange(self.count)
        self.chars = sizes.astype(np.float64)
        self.size = np.log1p(self.chars)
        self.links = links / self.chars
        solid = (sizes > 80) & (self.links < 0.3)
        self.prose = np.where(solid, self.chars, 0)
        totals = np.concatenate([[0], np.cumsum(solid)])
        near = totals[np.minimum(self.place + NEAR + 1, self.count)] - totals[np.maximum(self.place - NEAR, 0)]
        self.active = np.flatnonzero((near > 0) | (self.links <= 0.9) | (sizes >= SHORT))
        self.repeated = [n for n, p in enumerate(pieces) if len(p.text) in titles.sizes and titles.repeated(p.text)]
        up = self.parent[self.at]
        self.steps = np.array([self.at, up, above := self.parent[up], self.parent[above]])

    def inside(self, kinds: Numbers) -> Numbers:
        """Running totals of some kinds (kinds, pieces) as sums over what the boxes of `steps` hold: (kinds, 4, pieces)."""
        totals = np.zeros((len(kinds), self.count + 1))
        np.cumsum(kinds, axis=1, out=totals[:, 1:])
        found: Numbers = totals[:, self.last[self.steps]] - totals[:, self.first[self.steps]]
        return found

    def by_box(self, kind: Numbers) -> Numbers:
        """The sum over each box's pieces, those of inner boxes included: (boxes,)."""
        totals = np.concatenate([[0.0], np.cumsum(kind)])
        found: Numbers = totals[self.last] - totals[self.first]
        return found

    def within(self, home: int) -> NDArray[np.bool_]:
        """Which pieces stand in the box `home` or in a box inside it."""
        inside: NDArray[np.bool_] = (self.place >= self.first[home]) & (self.place < self.last[home])
        return inside


def plain(page: Page, names: Lexicon) -> Floats:
    """What shows without reading: (features, active)."""
    active, count, repeated = page.active, page.count, page.repeated
    title = np.clip(page.place - repeated[0], -50, 50) if repeated else np.full(count, -60)
    beside = np.bincount([p.at for p in page.found.pictures], minlength=count + 2) if page.found.pictures else None
    after, before = (beside[:count], beside[1 : count + 1]) if beside is not None else np.zeros((2, count))
    parts = [
        np.array([page.size, page.links, page.tags, page.depth, page.spans, page.place, count - page.place, title, after, before]),
        page.flags >> _BITS & 1, _boxes(page), _neighbours(page),
    ]  # fmt: skip
    return np.concatenate([*(part[:, active] for part in parts), _carried(page, names)]).astype(np.float32)


def _boxes(page: Page) -> Numbers:
    """How much text, links and prose a piece's box and the boxes around it hold, and where the page's prose lies."""
    at, chars, prose = page.at, page.chars, page.prose
    direct = np.array([np.bincount(at, chars)[at], np.bincount(at, prose)[at], np.bincount(at)[at]])
    direct[:2] = np.log1p(direct[:2])
    size, links, solid, number = page.inside(np.array([chars, chars * page.links, prose, np.ones(page.count)]))[:, 1:]
    whole = max(float(prose.sum()), 1.0)
    return np.concatenate(
        [direct, np.log1p(size), links / np.maximum(size, 1), solid / whole, number, _home(page, whole), _dominant(page, whole)]
    )  # fmt: skip


def _home(page: Page, whole: float) -> Numbers:
    """The smallest boxes that hold 40, 67 and 90 % of the prose: is the piece inside, and how much of the page are they?"""
    inside = page.by_box(page.prose) / whole
    top = float(inside.max())
    columns: list[Numbers] = []
    for share in (0.4, 0.67, 0.9):
        home = int(np.flatnonzero(inside >= min(share, top))[-1])
        part = page.chars[page.first[home] : page.last[home]].sum() / page.chars.sum()
        columns += [page.within(home), np.full(page.count, part)]
    return np.array(columns)


def _dominant(page: Page, whole: float) -> Numbers:
    """How much of the page's prose shares the piece's signature and its box's parent, and where the piece lies in the span of
    the parent that holds most."""
    signs, holder, prose = page.signs, page.steps[1], page.prose
    by_sign, by_holder = np.bincount(signs, prose), np.bincount(holder, prose)
    best = int(by_holder.argmax())
    members = np.flatnonzero((holder == best) & (prose > 0))
    first, last = (int(members[0]), int(members[-1])) if len(members) else (0, page.count)
    return np.array([
        by_sign[signs] / whole, by_holder[holder] / whole, signs == by_sign.argmax(), holder == best,
        np.clip(page.place - first, -30, 30), np.clip(page.place - last, -30, 30),
    ])  # fmt: skip


def _neighbours(page: Page) -> Numbers:
    """Length, links and element of the pieces before and after, whether they share the box's parent or signature, and what is
    common to all pieces of the signature."""
    signs, parents = page.signs, page.steps[1]
    moved = np.clip(page.place + _SHIFTS, 0, page.count - 1)
    numbers = np.maximum(np.bincount(signs), 1)
    alike = np.array([numbers, np.bincount(signs, page.size) / numbers, np.bincount(signs, page.links) / numbers])
    return np.concatenate([
        page.size[moved], page.links[moved], page.tags[moved], parents[moved] == parents, signs[moved] == signs, alike[:, signs],
        np.full((1, page.count), math.log1p(page.count)),
    ])  # fmt: skip


def wide(
    page: Page, standing: Floats, first: Floats, numbers: NDArray[np.int64], evidence: Evidence, learnt: Weights
) -> Floats:
    """All features of the pieces of these numbers: what shows (`standing`, theirs already), what their texts say, and the first
    judgement (of all pieces) around them: (features, numbers)."""
    read = close(page, numbers, evidence, learnt.names, learnt.words, learnt.openings)
    return np.concatenate([standing, read, context(page, first, numbers)])


# What takes reading.


def close(
    page: Page, numbers: NDArray[np.int64], evidence: Evidence, names: Lexicon, words: Lexicon, openings: Lexicon
) -> Floats:
    """What the texts of the pieces of these numbers say: (features, numbers)."""
    pieces = [page.found.pieces[n] for n in numbers.tolist()]
    said = _Said(evidence, page.titles)
    copies = Counter([p.text for p in page.found.pieces])
    flat: list[float] = []
    for piece in pieces:
        text = piece.text
        flat.append(copies[text])
        flat.append(score(piece.inline, names) if piece.inline else 0.0)
        flat += _texture(text)
        flat += said.of(text)
        flat += (_strong(piece), _emphasis(piece), said.leaving(piece)) if piece.spans else _UNMARKED
        flat.append(1 + bool(_POST.search(piece.box.names)) if piece.box.flags & QUOTE else 0.0)
    found = np.fromiter(flat, np.float32, len(flat)).reshape(len(pieces), -1).T
    body = page.prose[numbers] > 0
    share = found[_IN_BODY][body].mean() if said.body and body.any() else -1.0
    return np.concatenate([
        found, _worded([p.text for p in pieces], said.words, words, openings), np.full((1, len(pieces)), share, np.float32),
        np.isin(numbers, page.repeated)[None],
    ])  # fmt: skip


_UNMARKED = (0.0, 0.0, 0.0)
_IN_BODY = 14
"""The row of `_Said.in_body` among what is counted of a piece."""


def _texture(text: str) -> tuple[float, ...]:
    """How a text begins and ends, its punctuation and signs: 12 numbers."""
    size, begin, end = len(text), text[0], text[-1]
    short = size < SHORT
    whole = 1.0 if begin in "([" and end in ")]" else 2.0 if begin == "©" else 3.0 if ":" in text[:20] else 0.0
    return (
        end == ":",
        end in _END,
        begin.islower(),
        begin in _OPENING,
        text.count(" ") + 1,
        (text.count(",") + text.count("、") + text.count("，")) / size * 100,
        text.count(". ") + text.count("? ") + text.count("! ") + text.count("。"),
        whole,
        len(_DIGIT.findall(text)) / size if short else -1.0,
        text.isupper() if short else -1.0,
        bool(_DATE.search(text)) if short else -1.0,
        short and ("|" in text or "©" in text or "@" in text),
    )


def _worded(texts_: list[str], title: set[str], words: Lexicon, openings: Lexicon) -> Floats:
    """Of each text the mean, lowest and highest weight of its words and the share of the title's words among them, of a longer
    one those of its beginning: (4, texts)."""
    found = np.zeros((4, len(texts_)), np.float32)
    short = [n for n, text in enumerate(texts_) if len(text) < SHORT]
    long = [n for n, text in enumerate(texts_) if len(text) >= SHORT]
    if short:
        found[:, short] = _weighed([texts_[n] for n in short], title, words)
    if long:
        found[:, long] = _weighed([texts_[n][:HEAD] for n in long], title, openings)
    return found


def _weighed(texts_: list[str], title: set[str], words: Lexicon) -> Floats:
    """The four numbers of `_worded`, for all texts in one go: they are read as one, parted by a sign that no page holds."""
    found = _WORD_OR_END.findall("\x00".join(texts_).lower() + "\x00")
    ends = [n for n, word in enumerate(found) if word == "\x00"]
    starts = [0, *(n + 1 for n in ends[:-1])]
    weights = np.array([words.get(word, 0.0) for word in found], np.float32)
    numbers = np.array(ends) - starts
    common = np.add.reduceat(np.array([word in title for word in found], np.float32), starts)
    mean = np.add.reduceat(weights, starts) / (numbers + 1)
    low, high = np.minimum.reduceat(weights, starts), np.maximum.reduceat(weights, starts)
    stacked: Floats = np.array([mean, low, high, common / np.maximum(numbers, len(title) or 1)])
    return stacked


def telling(text: str) -> tuple[str, list[str]]:
    """Which weights a text's words have ("words" or "openings") and which words of it are weighed: of a longer one its first."""
    short = len(text) < SHORT
    return "words" if short else "openings", _WORD.findall((text if short else text[:HEAD]).lower())


def _emphasis(piece: Piece) -> float:
    """Whether the whole text is in italics."""
    return float(any(kind == "em" and s == 0 and e >= len(piece.parts) - 1 for s, e, kind, _ in piece.spans))


def _strong(piece: Piece) -> float:
    """The share of the text that is bold, links aside."""
    parts = piece.parts
    bold = sum(sum(map(len, parts[s:e])) for s, e, kind, _ in piece.spans if kind == "strong")
    return min(1.0, bold / len(piece.text))


def score(raw: str, names: Lexicon) -> float:
    """The learnt weight of an attribute's words: the strongest for and the strongest against, added up."""
    known = names.known.get(raw)
    if known is None:
        found = [w for t in tokens(raw) for w in _weights(t, names)]
        known = max(found, default=0.0) + min(found, default=0.0)
        if len(names.known) < _REMEMBERED:
            names.known[raw] = known
    return known


def _weights(word: str, names: Lexicon) -> list[float]:
    """A word's weight, or for an unknown one those of the two known words it is written together from ("postinfo")."""
    known = names.get(word)
    if known is not None:
        return [known]
    for cut in range(len(word) - 3, 2, -1):
        if word[:cut] in names and word[cut:] in names:
            return [names[word[:cut]], names[word[cut:]]]
    return []


def _even(text: str) -> str:
    """Quotes of one kind, no no-break spaces."""
    if text.isascii():
        return text
    return text.replace("‘", "'").replace("’", "'").replace("“", '"').replace("”", '"').replace("\u00a0", " ")


class _Said:
    """What the page says in its data, ready to be compared with a piece."""

    def __init__(self, evidence: Evidence, titles: Titles) -> None:
        self.words = set(_WORD.findall(titles.plain[0].lower())) if titles.plain else set[str]()
        stated = [pair[1] for name in ("og:description", "description") if (pair := evidence.first(name))]
        self.descriptions = [_even(d).strip() for d in stated]
        self.begins = [d[:40] for d in self.descriptions]
        self.host = (urlsplit(evidence.url or "").hostname or "").removeprefix("www.")
        body = max(texts(evidence.article.get("articleBody"), "@value"), key=len, default="")
        self.body = ""
        if len(body) > 200:
            body = html.unescape(body) if "&" in body else body
            self.body = " ".join(_even(_MARKUP.sub(" ", body) if "<" in body else body).split())

    def of(self, text: str) -> tuple[float, float]:
        """Whether the stated articleBody holds the text's ends (0 to 1, -1 without an articleBody), and whether the text is the
        stated description (2) or begins like it (1)."""
        if text.isascii():
            begin, end = text[:40], text[-40:]
        else:
            begin, end = _even(text[:40]), _even(text[-40:])
        held = -1.0
        if self.body:
            held = 0.5 if len(text) < 12 else (begin in self.body) * 0.5 + (end in self.body) * 0.5
        if begin not in self.begins or len(text) <= 30:
            return held, 0.0
        return held, 2.0 if _even(text) in self.descriptions else 1.0

    def leaving(self, piece: Piece) -> float:
        """Whether the piece's links lead to other sites: 2 all of them, 1 some, 0 none, -1 where the own site is not known."""
        if not self.host:
            return -1.0
        links = [href for _, _, kind, href in piece.spans if kind == "link" and href]
        away = sum(href.startswith(("http", "//")) and self.host not in href[:60] for href in links)
        return 0.0 if not away else 2.0 if away == len(links) else 1.0


def _carried(page: Page, names: Lexicon) -> Floats:
    """Class weights of each active piece's box, of the three around it, and the lowest, highest and fading sum on its way up:
    (7, active)."""
    known, boxes = names.known, page.found.boxes
    weights = [known[box.names] if box.names in known else score(box.names, names) for box in boxes]
    low, high, faded = [0.0] * len(boxes), [0.0] * len(boxes), [0.0] * len(boxes)
    for number, mine in enumerate(weights):
        box = boxes[number]
        if box.parent is not None and box.tag != "body":
            up = box.parent.index
            low[number] = mine if mine < low[up] else low[up]
            high[number] = mine if mine > high[up] else high[up]
            faded[number] = faded[up] * 0.7 + mine
    own = np.array(weights, np.float32)
    steps = page.steps[:, page.active]
    table = np.array([low, high, faded], np.float32)
    return np.concatenate([own[steps], table[:, steps[0]]])


# What the first judgement says of the pieces around.


def context(page: Page, first: Floats, numbers: NDArray[np.int64]) -> Floats:
    """The first judgement (of all pieces) around each piece of these numbers: its neighbours', its boxes', its likes', and what
    lies before and behind: (features, numbers)."""
    mass = page.chars * first
    padded = np.full(page.count + 8, -0.1)
    padded[4:-4] = first
    total = max(float(mass.sum()), 1.0)
    before = np.cumsum(mass)
    parts = [
        np.array([first, before / total, 1 - (before - mass) / total, np.full(page.count, np.log1p(total))]),
        padded[page.place + _NEAR_SHIFTS], _shares(page, mass, first, total), _distances(page, first),
    ]  # fmt: skip
    return np.concatenate([part[:, numbers] for part in parts]).astype(np.float32)


def _shares(page: Page, mass: Numbers, first: Floats, total: float) -> Numbers:
    """Mean judgement and share of all mass in the box, three steps up, and among pieces of the same signature."""
    signs = page.signs
    size, own, sure, number = page.inside(np.array([page.chars, mass, first, np.ones(page.count)]))
    alike = np.array([
        np.bincount(signs, mass) / np.maximum(np.bincount(signs, page.chars), 1),
        np.bincount(signs, first) / np.maximum(np.bincount(signs), 1),
    ])  # fmt: skip
    return np.concatenate([own / np.maximum(size, 1), own / total, sure / number, alike[:, signs]])


def _distances(page: Page, first: Floats) -> Numbers:
    """Pieces and characters since the last likely piece, and until the next."""
    count, likely = page.count, (first > 0.5) & (page.chars > 60)
    totals = np.concatenate([[0.0], np.cumsum(page.chars)])
    spots = np.where(likely, page.place, -1)
    last = np.concatenate([[-1], np.maximum.accumulate(spots)[:-1]])
    spots = np.where(likely, page.place, count)
    following = np.concatenate([np.minimum.accumulate(spots[::-1])[::-1][1:], [count]])
    since = np.where(last >= 0, totals[page.place + 1] - totals[last + 1], 99_999)
    until = np.where(following < count, totals[np.minimum(following, count)] - totals[page.place], 99_999)
    gaps = np.where(last >= 0, page.place - last, 99), np.where(following < count, following - page.place, 99)
    return np.array([np.minimum(gaps[0], 99), np.minimum(gaps[1], 99), np.log1p(since), np.log1p(until)])
