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

import numpy as np
from numpy.typing import NDArray

from services.ingest.extract.blocks import Cut, Piece
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
_REMEMBERED = 50_000
SHORT = 120
"""Texts under so many characters are judged by their words too: labels, bylines, promotion lines."""
FLAG_BITS = 17


def table(found: Cut, evidence: Evidence, titles: Titles, names: Lexicon, words: Lexicon) -> Floats:
    """The features of every piece: (pieces, features). `names` and `words` are the learnt weights of class words and of
    words in short pieces."""
    return np.hstack([plain(found, evidence, titles), lexical(found, names, words)])


def plain(found: Cut, evidence: Evidence, titles: Titles) -> Floats:
    """The features that need no learnt word weights."""
    own = np.array(_own(found, evidence, titles), dtype=np.float32)
    return np.hstack([own, _boxes(found, own), _neighbours(found.pieces, own)])


def lexical(found: Cut, names: Lexicon, words: Lexicon) -> Floats:
    """What the class words of a piece and of its boxes weigh, and the words of short pieces."""
    pieces = found.pieces
    rows = [
        [score(p.inline, names) if p.inline else 0.0, word_score(p.text, words) if len(p.text) < SHORT else 0.0]
        for p in pieces
    ]
    parent = np.fromiter((box.parent.index if box.parent else 0 for box in found.boxes), np.int64, len(found.boxes))
    at = np.fromiter((p.box.index for p in pieces), np.int64, len(pieces))
    weight, lowest, highest, carried = _carried(found, names)
    up = parent[at]
    columns = [
        weight[at],
        lowest[at],
        highest[at],
        carried[at],
        weight[up],
        weight[parent[up]],
        weight[parent[parent[up]]],
    ]
    return np.hstack([np.array(rows, dtype=np.float32), np.stack(columns, axis=1)])


def _own(found: Cut, evidence: Evidence, titles: Titles) -> list[list[float]]:
    pieces = found.pieces
    said = _Said(evidence, titles)
    copies = Counter([p.text for p in pieces])
    first = next((p.index for p in pieces if titles.repeated(p.text)), -1)
    beside = Counter([picture.at for picture in found.pictures])
    rows = []
    for piece in pieces:
        text, box = piece.text, piece.box
        size = len(text)
        short = size < SHORT
        begin = text[0]
        rows.append(
            [
                math.log1p(size),
                text.count(" ") + 1.0,
                piece.links / size,
                text[-1] in _END,
                text[-1] == ":",
                (text.count(",") + text.count("、") + text.count("，")) / size * 100,
                text.count(". ") + text.count("? ") + text.count("! ") + text.count("。"),
                begin.islower(),
                begin in _OPENING,
                len(_DIGIT.findall(text)) / size if short else -1.0,
                text.isupper() if short else -1.0,
                _TAGS.get(box.tag, 0),
                box.depth,
                copies[text] - 1.0,
                said.title_share(text) if size < 300 else 0.0,
                said.described(text),
                said.in_body(text),
                len(piece.spans),
                _strong(piece),
                "|" in text or "©" in text or "@" in text if short else 0.0,
                text.count("\n"),
                bool(_DATE.search(text)) if short else -1.0,
                _whole(text),
                _emphasis(piece),
                beside.get(piece.index, 0),
                beside.get(piece.index + 1, 0),
                (box.flags >> 9 & 1) * (1 + bool(_POST.search(box.names))),
                piece.index,
                len(pieces) - piece.index,
                min(max(piece.index - first, -50), 50) if first >= 0 else -60.0,
                *[float(box.flags >> bit & 1) for bit in range(FLAG_BITS)],
            ]
        )
    return rows


SIZE, LINKS, TAG = 0, 2, 11


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


def _boxes(found: Cut, own: Floats) -> Floats:
    """For each piece its boxes: class weights on the way up, and how much text, links and paragraphs each step holds."""
    boxes, pieces = found.boxes, found.pieces
    count = len(boxes)
    parent = np.fromiter((box.parent.index if box.parent else 0 for box in boxes), np.int64, count)
    at = np.fromiter((p.box.index for p in pieces), np.int64, len(pieces))
    chars = np.expm1(own[:, SIZE])
    prose = np.where((chars > 80) & (own[:, LINKS] < 0.3), chars, 0)
    sums = np.zeros((4, count))
    np.add.at(sums, (slice(None), at), np.stack([chars, chars * own[:, LINKS], prose, np.ones(len(pieces))]))
    direct = sums[:, at].copy()
    _upwards(sums, parent)
    columns = [np.log1p(direct[0]), direct[3], np.log1p(direct[2])]
    whole = np.maximum(sums[:, 0], 1)
    step = at
    for _ in range(_STEPS):
        step = parent[step]
        part = sums[:, step]
        columns += [np.log1p(part[0]), part[1] / np.maximum(part[0], 1), part[2] / whole[2], part[3]]
    columns += _home(sums, parent, at, whole)
    columns += _dominant(found, prose, parent, at)
    return np.stack(columns, axis=1).astype(np.float32)


def _carried(found: Cut, names: Lexicon) -> tuple[Floats, Floats, Floats, Floats]:
    """Each box's own class weight, and the lowest, highest and fading sum on its way up."""
    own, low, high, sums = [], [], [], []
    for box in found.boxes:
        mine = score(box.names, names) if box.names else 0.0
        own.append(mine)
        if box.parent is None or box.tag == "body":
            low.append(0.0)
            high.append(0.0)
            sums.append(0.0)
            continue
        up = box.parent.index
        low.append(min(low[up], mine))
        high.append(max(high[up], mine))
        sums.append(sums[up] * 0.7 + mine)
    return tuple(np.array(c, dtype=np.float32) for c in (own, low, high, sums))  # type: ignore[return-value]


def _upwards(sums: NDArray[np.float64], parent: NDArray[np.int64]) -> None:
    """Adds every box's sums to those above it; parents stand before their children."""
    rows = sums.T.tolist()
    up = parent.tolist()
    for index in range(len(rows) - 1, 0, -1):
        mine, above = rows[index], rows[up[index]]
        above[0] += mine[0]
        above[1] += mine[1]
        above[2] += mine[2]
        above[3] += mine[3]
    sums[:] = np.array(rows).T


def _home(
    sums: NDArray[np.float64], parent: NDArray[np.int64], at: NDArray[np.int64], whole: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """The smallest box with over two thirds of the prose, and the one with the most direct prose: is the piece inside?"""
    columns = []
    inside = sums[2] / max(whole[2], 1.0)
    for share in (0.4, 0.67, 0.9):
        home = int(np.flatnonzero(inside >= min(share, inside.max()))[-1]) if len(inside) else 0
        within = np.zeros(len(parent))
        within[home] = 1
        up = parent.tolist()
        for index in range(home + 1, len(parent)):
            within[index] = within[up[index]]
        columns += [within[at], np.full(len(at), sums[0, home] / max(whole[0], 1.0))]
    return columns


def _dominant(
    found: Cut, prose: NDArray[np.float64], parent: NDArray[np.int64], at: NDArray[np.int64]
) -> list[NDArray[np.float64]]:
    """How much of the page's prose shares the piece's signature and its box's parent, and where the piece lies in the span of
    the parent that holds most."""
    signs = _signs(found.pieces)
    holder = parent[at]
    whole = max(float(prose.sum()), 1.0)
    by_sign, by_holder = np.bincount(signs, prose), np.bincount(holder, prose)
    best = int(by_holder.argmax())
    members = np.flatnonzero((holder == best) & (prose > 0))
    first, last = (int(members[0]), int(members[-1])) if len(members) else (0, len(at))
    place = np.arange(len(at))
    return [
        by_sign[signs] / whole,
        by_holder[holder] / whole,
        (signs == by_sign.argmax()).astype(np.float64),
        (holder == best).astype(np.float64),
        np.clip(place - first, -30, 30),
        np.clip(place - last, -30, 30),
    ]


def _signs(pieces: Sequence[Piece]) -> NDArray[np.int64]:
    """A number for each piece's signature: its element and class names."""
    marks: dict[tuple[str, str], int] = {}
    return np.array([marks.setdefault((p.box.tag, p.box.names), len(marks)) for p in pieces], np.int64)


def _neighbours(pieces: Sequence[Piece], own: Floats) -> Floats:
    """Length, links and element of the pieces before and after, and whether they share the box's parent or signature."""
    count = len(pieces)
    parents = np.array([p.box.parent.index if p.box.parent else -1 for p in pieces])
    signs = _signs(pieces)
    columns = []
    for shift in (-2, -1, 1, 2):
        moved = np.clip(np.arange(count) + shift, 0, max(count - 1, 0))
        columns += [
            own[moved, SIZE],
            own[moved, LINKS],
            own[moved, TAG],
            parents[moved] == parents,
            signs[moved] == signs,
        ]
    if count:
        numbers = np.bincount(signs)
        columns += [numbers[signs], (np.bincount(signs, own[:, SIZE]) / numbers)[signs]]
        columns += [(np.bincount(signs, own[:, LINKS]) / numbers)[signs], np.full(count, math.log1p(count))]
    return np.stack(columns, axis=1).astype(np.float32) if count else np.zeros((0, 24), np.float32)


def context(found: Cut, first: Floats, own: Floats) -> Floats:
    """The first judgement around each piece: its neighbours', its boxes', its likes', and what lies before and behind."""
    pieces = found.pieces
    count = len(pieces)
    chars = np.expm1(own[:, SIZE].astype(np.float64))
    mass = chars * first
    columns = [first]
    for shift in (-4, -3, -2, -1, 1, 2, 3, 4):
        moved = np.arange(count) + shift
        columns.append(np.where((moved >= 0) & (moved < count), first[np.clip(moved, 0, count - 1)], -0.1))
    columns += _shares(found, chars, mass, first)
    total = max(float(mass.sum()), 1.0)
    before = np.cumsum(mass)
    columns += [before / total, 1 - (before - mass) / total, np.full(count, np.log1p(total))]
    columns += _distances(first, chars)
    return np.stack(columns, axis=1).astype(np.float32)


def _shares(
    found: Cut, chars: NDArray[np.float64], mass: NDArray[np.float64], first: Floats
) -> list[NDArray[np.float64]]:
    """Mean judgement and share of all mass in the box, three steps up, and among pieces of the same signature."""
    boxes, pieces = found.boxes, found.pieces
    parent = np.fromiter((box.parent.index if box.parent else 0 for box in boxes), np.int64, len(boxes))
    at = np.fromiter((p.box.index for p in pieces), np.int64, len(pieces))
    sums = np.zeros((4, len(boxes)))
    np.add.at(sums, (slice(None), at), np.stack([chars, mass, np.asarray(first, np.float64), np.ones(len(pieces))]))
    _upwards(sums, parent)
    columns, step = [], at
    total = max(float(mass.sum()), 1.0)
    for _ in range(4):
        part = sums[:, step]
        columns += [part[1] / np.maximum(part[0], 1), part[1] / total, part[2] / part[3]]
        step = parent[step]
    signs = _signs(pieces)
    columns += [(np.bincount(signs, mass) / np.maximum(np.bincount(signs, chars), 1))[signs]]
    columns += [(np.bincount(signs, first) / np.bincount(signs))[signs]]
    return columns


def _distances(first: Floats, chars: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Pieces and characters since the last likely piece, and until the next."""
    columns = []
    likely = (first > 0.5) & (chars > 60)
    for order in (slice(None), slice(None, None, -1)):
        marks, sizes = likely[order], np.cumsum(chars[order])
        spots = np.where(marks, np.arange(len(marks)), -1)
        last = np.maximum.accumulate(np.concatenate([[-1], spots[:-1]])) if len(marks) else spots
        gap = np.where(last >= 0, np.arange(len(marks)) - last, 99)
        text = np.where(last >= 0, sizes - sizes[np.maximum(last, 0)], 99_999)
        columns += [np.minimum(gap, 99)[order], np.log1p(text)[order]]
    return columns
