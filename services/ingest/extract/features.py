"""A cut page in, one row of numbers a piece out: what the learnt weights judge by.

Three kinds: what a piece is (length, links, punctuation, element, its own class words), where it stands (its boxes and how much
text each holds, what comes before and after), and what the page says (title, description, articleBody). `context` adds the first
judgement of the pieces around.
"""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.ingest.extract.blocks import QUOTE, Cut, Piece
from services.ingest.extract.evidence import Evidence, texts
from services.ingest.extract.fields import Titles
from services.ingest.extract.model import Lexicon
from services.ingest.extract.names import tokens

Floats = NDArray[np.float32]

_TAGS = {
    "p": 1, "li": 2, "h1": 3, "h2": 4, "h3": 5, "h4": 6, "h5": 6, "h6": 6, "td": 8, "th": 8, "blockquote": 9, "pre": 10,
    "figcaption": 11, "dt": 12, "dd": 12, "figure": 11, "button": 13, "label": 13, "footer": 14, "address": 14, "article": 7,
    "section": 7, "div": 7, "main": 7, "body": 15,
}  # fmt: skip
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[^\W\d_]{2,}")
_DATE = re.compile(r"\b\d{1,2}[.:/-]\d{2}\b|\b(?:19|20)\d\d\b")
_POST = re.compile(r"tweet|twitter|instagram|tiktok|bluesky|telegram", re.I)
_MARKUP = re.compile(r"<[^>]+>")
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " "})
_END = frozenset(".!?…。！？»”\"'")
_OPENING = frozenset("\"'“„«‘([¿¡—–-")
_STEPS = 3
NEAR = 6
"""Short links within so many pieces of prose may be items of an article's own list."""
_REMEMBERED = 50_000
SHORT = 120
"""Texts under so many characters are judged by their words too: labels, bylines, promotion lines."""
FLAG_BITS = 17


class Page:
    """A cut page as arrays. Of pieces: box, length, share of link text, signature (a number shared by pieces of the same element
    and class names). Of boxes: the parent. `active` numbers the pieces worth a judgement: all but short links far from prose."""

    def __init__(self, found: Cut) -> None:
        boxes, pieces = found.boxes, found.pieces
        self.found = found
        self.count = len(pieces)
        self.up = [box.parent.index if box.parent else 0 for box in boxes]
        self.parent = np.array(self.up, np.int64)
        self.at = np.array([p.box.index for p in pieces], np.int64)
        marks: dict[tuple[str, str], int] = {}
        self.signs = np.array([marks.setdefault((box.tag, box.names), len(marks)) for box in boxes], np.int64)[self.at]
        self.chars = np.array([len(p.text) for p in pieces], np.float64)
        self.links = np.array([p.links for p in pieces]) / self.chars
        self.prose = np.where((self.chars > 80) & (self.links < 0.3), self.chars, 0)
        self.tags = np.array([_TAGS.get(box.tag, 0) for box in boxes])[self.at]
        far = np.ones(self.count, bool)
        for place in np.flatnonzero(self.prose).tolist():
            far[max(0, place - NEAR) : place + NEAR + 1] = False
        self.active = np.flatnonzero(~far | (self.links <= 0.9) | (self.chars >= SHORT))

    def upwards(self, kinds: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """Sums of pieces by box, for each kind, with those of all boxes inside added: (kinds, boxes)."""
        rows, up = [np.bincount(self.at, kind, len(self.up)).tolist() for kind in kinds], self.up
        for row in rows:
            for index in range(len(row) - 1, 0, -1):
                if row[index]:
                    row[up[index]] += row[index]
        return np.array(rows)

    def within(self, home: int) -> NDArray[np.bool_]:
        """Which pieces stand in the box `home` or in a box inside it."""
        inside = [False] * len(self.up)
        inside[home] = True
        up = self.up
        for index in range(home + 1, len(up)):
            inside[index] = inside[up[index]]
        return np.array(inside)[self.at]


def plain(page: Page, evidence: Evidence, titles: Titles) -> Floats:
    """The features of the active pieces that need no learnt word weights: (active, features)."""
    active = page.active
    columns = [np.log1p(page.chars), page.links, page.tags, *_boxes(page), *_neighbours(page)]
    return np.hstack(
        [np.stack(columns, axis=1)[active], np.stack(_own(page, titles), axis=1), _close(page, evidence, titles)]
    ).astype(np.float32)


def lexical(page: Page, names: Lexicon, words: Lexicon) -> Floats:
    """What the class words of the active pieces and of their boxes weigh, and the words of short ones."""
    rows = []
    for piece in map(page.found.pieces.__getitem__, page.active.tolist()):
        inline = score(piece.inline, names) if piece.inline else 0.0
        rows.append((inline, word_score(piece.text, words) if len(piece.text) < SHORT else 0.0))
    carried = _carried(page.found, names)
    at = page.at[page.active]
    up = page.parent[at]
    weight = carried[:, 0]
    steps = np.stack([weight[up], weight[page.parent[up]], weight[page.parent[page.parent[up]]]], axis=1)
    return np.hstack([np.array(rows, np.float32).reshape(-1, 2), carried[at], steps])


def _own(page: Page, titles: Titles) -> list[NDArray[Any]]:
    """What each active piece is by itself, at a glance, column by column."""
    found, active = page.found, page.active
    pieces = [found.pieces[n] for n in active.tolist()]
    texts_ = [p.text for p in pieces]
    copies = Counter([p.text for p in found.pieces])
    first = next((p.index for p in found.pieces if titles.repeated(p.text)), -1)
    beside = Counter([picture.at for picture in found.pictures])
    flags = np.array([p.box.flags for p in pieces], np.int64)
    return [
        np.array([t.count(" ") for t in texts_]) + 1,
        np.array([p.box.depth for p in pieces]),
        np.array([t[-1] == ":" for t in texts_]),
        np.array([t[-1] in _END for t in texts_]),
        np.array([t[0].islower() for t in texts_]),
        np.array([t[0] in _OPENING for t in texts_]),
        np.array([copies[t] for t in texts_]) - 1,
        np.array([len(p.spans) for p in pieces]),
        np.array([beside.get(p.index, 0) for p in pieces]),
        np.array([beside.get(p.index + 1, 0) for p in pieces]),
        active,
        page.count - active,
        np.clip(active - first, -50, 50) if first >= 0 else np.full(len(active), -60),
        *(flags >> bit & 1 for bit in range(FLAG_BITS)),
    ]


def _close(page: Page, evidence: Evidence, titles: Titles) -> Floats:
    """What takes reading: (active, 13), zeros for short links."""
    said = _Said(evidence, titles)
    rows = np.zeros((len(page.active), 13), np.float32)
    for row, number in enumerate(page.active.tolist()):
        piece = page.found.pieces[number]
        if is_link(piece):
            continue
        text, size = piece.text, len(piece.text)
        short = size < SHORT
        rows[row] = (
            (text.count(",") + text.count("、") + text.count("，")) / size * 100,
            text.count(". ") + text.count("? ") + text.count("! ") + text.count("。"),
            len(_DIGIT.findall(text)) / size if short else -1.0,
            text.isupper() if short else -1.0,
            said.title_share(text) if size < 300 else 0.0,
            said.described(text),
            said.in_body(text),
            _strong(piece) if piece.spans else 0.0,
            ("|" in text or "©" in text or "@" in text) if short else 0.0,
            bool(_DATE.search(text)) if short else -1.0,
            _whole(text),
            _emphasis(piece) if piece.spans else 0.0,
            1 + bool(_POST.search(piece.box.names)) if piece.box.flags & QUOTE else 0.0,
        )
    return rows


def is_link(piece: Piece) -> bool:
    """Whether a piece is a short link and little else: navigation mostly, looked at less closely."""
    return piece.links * 10 > len(piece.text) * 9 and len(piece.text) < SHORT


def _whole(text: str) -> float:
    """1 for a text all in brackets, 2 for one that opens with a copyright sign, 3 for a label ("Note: ...")."""
    if text[0] in "([" and text[-1] in ")]":
        return 1.0
    if text[0] == "©":
        return 2.0
    return 3.0 if ":" in text[:20] else 0.0


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


def word_score(text: str, words: Lexicon) -> float:
    """The mean learnt weight of a short text's words."""
    found = words_of(text)
    return sum(words.get(w, 0.0) for w in found) / (len(found) + 1.0)


def words_of(text: str) -> list[str]:
    """The words of a text, lower case."""
    return _WORD.findall(text.lower())


class _Said:
    """What the page says in its data, ready to be compared with a piece."""

    def __init__(self, evidence: Evidence, titles: Titles) -> None:
        self.titles = titles
        self.words = set(words_of(titles.plain[0])) if titles.plain else set()
        stated = [pair[1] for name in ("og:description", "description") if (pair := evidence.first(name))]
        self.descriptions = [d.translate(_QUOTES).strip() for d in stated]
        body = max(texts(evidence.article.get("articleBody"), "@value"), key=len, default="")
        self.body = ""
        if len(body) > 200:
            self.body = " ".join(_MARKUP.sub(" ", html.unescape(body)).translate(_QUOTES).split())

    def title_share(self, text: str) -> float:
        """1.5 for the title itself, else the share of the title's words in the text."""
        if self.titles.repeated(text):
            return 1.5
        found = set(words_of(text)) if self.words else ()
        return len(self.words & set(found)) / max(len(self.words), len(found)) if found else 0.0

    def described(self, text: str) -> float:
        """Whether a text is the stated description (2) or begins like it (1)."""
        if not self.descriptions or len(text) < 30:
            return 0.0
        begin = text[:40].translate(_QUOTES)
        like = [d for d in self.descriptions if d[:40] == begin]
        return 2.0 if like and text.translate(_QUOTES) in like else float(bool(like))

    def in_body(self, text: str) -> float:
        """Whether the stated articleBody holds the text's ends: 0 to 1, -1 without an articleBody."""
        if not self.body:
            return -1.0
        if len(text) < 12:
            return 0.5
        begin, end = text[:40].translate(_QUOTES), text[-40:].translate(_QUOTES)
        return (0.5 if begin in self.body else 0.0) + (0.5 if end in self.body else 0.0)


def _boxes(page: Page) -> list[NDArray[Any]]:
    """How much text, links and prose a piece's box and the boxes around it hold, and where the page's prose lies."""
    kinds = (page.chars, page.chars * page.links, page.prose, np.ones(page.count))
    at = page.at
    direct = [np.bincount(at, kind)[at] for kind in (kinds[0], kinds[2], kinds[3])]
    sums = page.upwards(kinds)
    whole = np.maximum(sums[:, 0], 1)
    columns = [np.log1p(direct[0]), np.log1p(direct[1]), direct[2]]
    step = at
    for _ in range(_STEPS):
        step = page.parent[step]
        part = sums[:, step]
        columns += [np.log1p(part[0]), part[1] / np.maximum(part[0], 1), part[2] / whole[2], part[3]]
    return [*columns, *_home(page, sums, whole), *_dominant(page)]


def _home(page: Page, sums: NDArray[np.float64], whole: NDArray[np.float64]) -> list[NDArray[Any]]:
    """The smallest boxes that hold 40, 67 and 90 % of the prose: is the piece inside, and how much of the page are they?"""
    columns: list[NDArray[Any]] = []
    inside = sums[2] / whole[2]
    for share in (0.4, 0.67, 0.9):
        home = int(np.flatnonzero(inside >= min(share, float(inside.max())))[-1])
        columns += [page.within(home), np.full(page.count, sums[0, home] / whole[0])]
    return columns


def _dominant(page: Page) -> list[NDArray[Any]]:
    """How much of the page's prose shares the piece's signature and its box's parent, and where the piece lies in the span of
    the parent that holds most."""
    signs, holder, prose = page.signs, page.parent[page.at], page.prose
    whole = max(float(prose.sum()), 1.0)
    by_sign, by_holder = np.bincount(signs, prose), np.bincount(holder, prose)
    best = int(by_holder.argmax())
    members = np.flatnonzero((holder == best) & (prose > 0))
    first, last = (int(members[0]), int(members[-1])) if len(members) else (0, page.count)
    place = np.arange(page.count)
    return [
        by_sign[signs] / whole,
        by_holder[holder] / whole,
        signs == by_sign.argmax(),
        holder == best,
        np.clip(place - first, -30, 30),
        np.clip(place - last, -30, 30),
    ]


def _neighbours(page: Page) -> list[NDArray[Any]]:
    """Length, links and element of the pieces before and after, and whether they share the box's parent or signature."""
    size, parents, signs = np.log1p(page.chars), page.parent[page.at], page.signs
    place = np.arange(page.count)
    columns: list[NDArray[Any]] = []
    for shift in (-2, -1, 1, 2):
        moved = np.clip(place + shift, 0, page.count - 1)
        columns += [size[moved], page.links[moved], page.tags[moved], parents[moved] == parents, signs[moved] == signs]
    numbers = np.maximum(np.bincount(signs), 1)
    columns += [
        numbers[signs],
        (np.bincount(signs, size) / numbers)[signs],
        (np.bincount(signs, page.links) / numbers)[signs],
    ]
    return [*columns, np.full(page.count, math.log1p(page.count))]


def _carried(found: Cut, names: Lexicon) -> Floats:
    """Each box's own class weight, and the lowest, highest and fading sum on its way up: (boxes, 4)."""
    rows: list[tuple[float, float, float, float]] = []
    known = names.known
    for box in found.boxes:
        raw = box.names
        mine = known.get(raw)
        if mine is None:
            mine = score(raw, names)
        if box.parent is None or box.tag == "body":
            rows.append((mine, 0.0, 0.0, 0.0))
            continue
        _, low, high, faded = rows[box.parent.index]
        rows.append((mine, mine if mine < low else low, mine if mine > high else high, faded * 0.7 + mine))
    return np.array(rows, dtype=np.float32)


def context(page: Page, first: Floats) -> Floats:
    """The first judgement (of all pieces) around each active piece: its neighbours', its boxes', its likes', and what lies
    before and behind: (active, features)."""
    mass = page.chars * first
    padded = np.pad(first, 4, constant_values=-0.1)
    columns: list[NDArray[Any]] = [first, *(padded[4 + s : 4 + s + page.count] for s in (-4, -3, -2, -1, 1, 2, 3, 4))]
    columns += _shares(page, mass, first)
    total = max(float(mass.sum()), 1.0)
    before = np.cumsum(mass)
    columns += [before / total, 1 - (before - mass) / total, np.full(page.count, np.log1p(total))]
    columns += _distances(first, page.chars)
    return np.stack(columns, axis=1)[page.active].astype(np.float32)


def _shares(page: Page, mass: NDArray[np.float64], first: Floats) -> list[NDArray[Any]]:
    """Mean judgement and share of all mass in the box, three steps up, and among pieces of the same signature."""
    signs = page.signs
    sums = page.upwards((page.chars, mass, first, np.ones(page.count)))
    columns, step = [], page.at
    total = max(float(mass.sum()), 1.0)
    for _ in range(4):
        part = sums[:, step]
        columns += [part[1] / np.maximum(part[0], 1), part[1] / total, part[2] / part[3]]
        step = page.parent[step]
    columns += [(np.bincount(signs, mass) / np.maximum(np.bincount(signs, page.chars), 1))[signs]]
    columns += [(np.bincount(signs, first) / np.maximum(np.bincount(signs), 1))[signs]]
    return columns


def _distances(first: Floats, chars: NDArray[np.float64]) -> list[NDArray[Any]]:
    """Pieces and characters since the last likely piece, and until the next."""
    columns: list[NDArray[Any]] = []
    likely = (first > 0.5) & (chars > 60)
    place = np.arange(len(likely))
    for order in (slice(None), slice(None, None, -1)):
        marks, sizes = likely[order], np.cumsum(chars[order])
        spots = np.where(marks, place, -1)
        last = np.maximum.accumulate(np.concatenate([[-1], spots[:-1]]))
        gap = np.where(last >= 0, place - last, 99)
        text = np.where(last >= 0, sizes - sizes[np.maximum(last, 0)], 99_999)
        columns += [np.minimum(gap, 99)[order], np.log1p(text)[order]]
    return columns
