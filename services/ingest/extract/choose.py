"""Pieces in, the article's own out, and for everything else the reason why it stayed out.

Two passes of learnt weights: the first judges each piece by itself, the second again with the first judgement of everything around
it. Then what belongs together votes together (a table, a quotation), and what can never be text of the article (captions, buttons,
the headline once more, a printed block of similar articles) is taken out by rule.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from services.ingest.extract import blocks as b
from services.ingest.extract import features, fields, model
from services.ingest.extract.blocks import Box, Cut, Piece
from services.ingest.extract.evidence import Evidence
from services.ingest.extract.names import tokens
from services.ingest.extract.related import Printed

Floats = NDArray[np.float32]

IDLE = 0.02
"""What the first pass holds less likely is not looked at again: four pieces in five of a page."""
LIKELY = 0.47
STANDFIRST = 0.5
FAR = 0.85
"""What a piece outside the article's own box must reach."""
SURE_LINK = 0.9
BETWEEN = 0.3
"""What is enough for a piece between two chosen ones, and for a heading above one."""
_CAPTIONS = frozenset("caption captions figcaption credit credits".split())
_COMMENTS = frozenset("comment comments respond disqus commentlist".split())
_CELL = 150
_HEADINGS = frozenset(("h2", "h3", "h4", "h5", "h6"))
_PROSE = 60
_REASONS = (
    (b.NAV, "navigation"), (b.FOOTER, "footer"), (b.ASIDE, "aside"), (b.FORM, "form"), (b.HEADER, "header"),
    (b.HIDDEN, "hidden"),
)  # fmt: skip


class Choice:
    """The body's pieces in page order, the standfirst when the page prints one apart, and what was left out with reasons."""

    def __init__(self, body: list[Piece], dek: list[Piece], left: list[tuple[Piece, str]]) -> None:
        self.body, self.dek, self.left = body, dek, left


def choose(
    found: Cut,
    evidence: Evidence,
    titles: fields.Titles,
    printed: Sequence[Printed],
    learnt: model.Weights | None = None,
) -> Choice:
    """The pieces of the article itself, by the shipped weights unless others are given."""
    if not found.pieces:
        return Choice([], [], [])
    related = {n for block in printed for n in range(block.first, block.last)}
    never = {p.index: reason for p in found.pieces if (reason := _never(p, titles, related))}
    likely, dek = judge(found, evidence, titles, learnt or model.weights())
    chosen = settled(found, likely, never)
    standing = standfirst(found, chosen, dek, never)
    body = [p for p in found.pieces if chosen[p.index] and p.index not in standing]
    kept = {p.index for p in body} | standing
    left = [(p, never.get(p.index) or _why(p)) for p in found.pieces if p.index not in kept]
    return Choice(body, [p for p in found.pieces if p.index in standing], left)


def judge(found: Cut, evidence: Evidence, titles: fields.Titles, learnt: model.Weights) -> tuple[Floats, Floats]:
    """For each piece the probability that it is body, and that it is the standfirst."""
    rows = features.table(found, evidence, titles, learnt.names, learnt.words)
    first = learnt.first.probability(rows)
    likely, dek = first.copy(), np.zeros_like(first)
    open_ = np.flatnonzero(first > IDLE)
    rows = np.hstack([rows[open_], features.context(found, first, rows)[open_]])
    likely[open_] = learnt.second.probability(rows)
    dek[open_] = learnt.standfirst.probability(rows)
    return likely, dek


def settled(found: Cut, likely: Floats, never: Collection[int]) -> NDArray[np.bool_]:
    """Which pieces are body, from what the weights hold likely of each: what belongs together is settled together."""
    kind = Kinds(found)
    likely = kind.together(likely)
    likely[list(never)] = 0.0
    likely[kind.outside(likely) & (likely < FAR)] = 0.0
    body = likely > LIKELY
    inner = np.zeros(len(body), bool)
    inner[1:-1] = body[:-2] & body[2:]
    gaps = inner & (kind.links < 0.5) & (likely > BETWEEN)
    leads = np.append(body[1:], False) & kind.heading & (likely > BETWEEN)
    return body | gaps | leads


class Kinds:
    """What the settling asks of pieces, as arrays over them."""

    def __init__(self, found: Cut) -> None:
        self.found = found
        pieces = found.pieces
        self.chars = np.array([len(p.text) for p in pieces], np.float32)
        self.links = np.array([p.links for p in pieces], np.float32) / self.chars
        self.heading = np.array([p.box.tag in _HEADINGS for p in pieces], bool)
        self.at = np.array([p.box.index for p in pieces], np.int64)
        self.parent = np.array([box.parent.index if box.parent else 0 for box in found.boxes], np.int64)

    def together(self, likely: Floats) -> Floats:
        """Tables and quotations take the mean judgement of their pieces, longer ones counting more; items of one list and
        paragraphs of one kind in one place come half-way and a third; a paragraph that is one link has to be sure."""
        likely = likely.copy()
        for members, share in self._groups():
            weight = np.sqrt(self.chars[members])
            likely[members] += share * (float((likely[members] * weight).sum() / weight.sum()) - likely[members])
        likely[(self.links > 0.9) & ~self._items & (likely < SURE_LINK)] *= 0.5
        return likely

    def _groups(self) -> list[tuple[list[int], float]]:
        whole: dict[Box, list[int]] = {}
        lists: dict[Box, list[int]] = {}
        alike: dict[tuple[Box | None, str, str], list[int]] = {}
        self._items = np.zeros(len(self.chars), bool)
        for piece in self.found.pieces:
            box, n = piece.box, piece.index
            if box.flags & (b.QUOTE | b.TABLE):
                whole.setdefault(next(x for x in reversed(box.up()) if x.tag in ("table", "blockquote")), []).append(n)
            if box.flags & b.LIST:
                self._items[n] = box.tag == "li" or (box.parent is not None and box.parent.tag == "li")
                holder = next((x for x in box.up() if x.tag in ("ul", "ol")), None)
                if holder is not None:
                    lists.setdefault(holder, []).append(n)
            if len(piece.text) > _PROSE and piece.links * 2 < len(piece.text):
                alike.setdefault((box.parent, box.tag, box.names), []).append(n)
        tables = [(m, 1.0) for box, m in whole.items() if box.tag == "blockquote" or self.chars[m].mean() < _CELL]
        return [*tables, *((m, 0.5) for m in lists.values()), *((m, 0.3) for m in alike.values() if len(m) > 2)]

    def outside(self, likely: Floats) -> NDArray[np.bool_]:
        """Whether a piece stands outside the box that gains most: likely text counts for a box, unlikely text against it."""
        gain = np.bincount(self.at, (likely - 0.3) * np.sqrt(self.chars), minlength=len(self.parent)).tolist()
        up = self.parent.tolist()
        for index in range(len(gain) - 1, 0, -1):
            gain[up[index]] += gain[index]
        most = max(gain)
        home = max(index for index, value in enumerate(gain) if value >= most - 1e-9)
        inside = [False] * len(gain)
        inside[home] = True
        for index in range(home + 1, len(gain)):
            inside[index] = inside[up[index]]
        return ~np.array(inside)[self.at]


def standfirst(found: Cut, body: NDArray[np.bool_], dek: Floats, never: Collection[int]) -> set[int]:
    """The pieces of a standfirst: likely ones before the first prose of the body."""
    prose = (p.index for p in found.pieces if body[p.index] and len(p.text) > _PROSE and dek[p.index] <= STANDFIRST)
    first = next(prose, 0)
    return {n for n in range(first) if dek[n] > STANDFIRST and n not in never}


def _never(piece: Piece, titles: fields.Titles, related: set[int]) -> str | None:
    """The rule by which a piece cannot be text of the article, if one holds."""
    return "related" if piece.index in related else impossible(piece, titles)


def impossible(piece: Piece, titles: fields.Titles) -> str | None:
    """The rule by which a piece can be no text of any article, if one holds."""
    if caption(piece):
        return "caption"
    if piece.box.flags & b.BUTTON:
        return "button"
    if titles.repeated(piece.text):
        return "title"
    return None if any(map(str.isalnum, piece.text)) else "no-letters"


def caption(piece: Piece) -> bool:
    """Whether a piece belongs to a picture: by its element or by its class."""
    if piece.box.flags & b.CAPTION:
        return True
    return not _CAPTIONS.isdisjoint(tokens(piece.inline)) or not _CAPTIONS.isdisjoint(tokens(piece.box.names))


def _why(piece: Piece) -> str:
    """A reason for what the weights left out, as exact as the page allows."""
    if any(not _COMMENTS.isdisjoint(tokens(box.names)) for box in piece.box.up()):
        return "comment"
    reason = next((name for flag, name in _REASONS if piece.box.flags & flag), None)
    return reason or ("links" if piece.links * 2 > len(piece.text) else "weights")
