"""Pieces in, the article's own out, and for everything else the reason why it stayed out.

Two passes of learnt weights: the first judges each piece by itself, the second again with the first judgement of everything around
it. Then what belongs together votes together (a table, a quotation), and what can never be text of the article (captions, buttons,
the headline once more, a printed block of similar articles) is taken out by rule.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from services.ingest.extract import blocks as b
from services.ingest.extract import dates, features, fields, model
from services.ingest.extract.blocks import Box, Cut, Piece
from services.ingest.extract.evidence import Evidence
from services.ingest.extract.names import commentary, tokens
from services.ingest.extract.related import Printed

Floats = NDArray[np.float32]

IDLE = 0.05
"""What the first pass holds less likely is not looked at again."""
LIKELY = 0.55
STANDFIRST = 0.5
CLEAR = 0.8
"""A standfirst is likelier one than body, or clearly one: the first paragraph of a text is often printed in the same way."""
FAR = 0.85
"""What a piece outside the article's own box must reach."""
SURE_LINK = 0.9
BETWEEN = 0.3
"""What is enough for a piece between two chosen ones, and for a heading above one."""
_CAPTIONS = frozenset(["caption", "captions", "figcaption", "credit", "credits"])
_RULE = re.compile(r"(?:[_*~•#—–-]\s*){3,}\Z")
"""Signs in a row, printed to part a text."""
_CELL = 150
_WHOLE_TEXT = 600
_REFRAIN = 3
_H2, _H6 = 4, 6
_PROSE = 60
_REASONS = (
    (b.NAV, "navigation"), (b.FOOTER, "footer"), (b.ASIDE, "aside"), (b.FORM, "form"), (b.HEADER, "header"),
    (b.HIDDEN, "hidden"),
)  # fmt: skip
_REASON_BITS = b.NAV | b.FOOTER | b.ASIDE | b.FORM | b.HEADER | b.HIDDEN


class Choice:
    """The body's pieces in page order, the standfirst when the page prints one apart, and what was left out with reasons."""

    def __init__(self, body: list[Piece], dek: list[Piece], left: Iterable[tuple[Piece, str]]) -> None:
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
    page = features.Page(found, titles)
    likely, dek = judge(page, evidence, learnt or model.weights())
    related = {n for block in printed for n in range(block.first, block.last)}
    looked = [found.pieces[n] for n in np.flatnonzero(likely > IDLE).tolist()]
    never = {p.index: reason for p in looked if (reason := _never(p, titles, related))}
    dek = np.where((dek > likely) | (dek > CLEAR), dek, 0.0).astype(np.float32)
    chosen = settled(page, likely, never)
    standing = standfirst(found, chosen, dek, never)
    for n in np.flatnonzero(chosen).tolist():
        if page.chars[n] > _PROSE:
            break
        chosen[n] = n in standing or not dates.only(found.pieces[n].text)
    body = [found.pieces[n] for n in np.flatnonzero(chosen).tolist() if n not in standing]
    twice = copies(body)
    body = [piece for piece in body if piece.index not in twice]
    never |= dict.fromkeys(twice, "copy")
    chosen[list(twice)] = False
    chosen[list(standing)] = True
    left = (
        (p, never.get(p.index) or _never(p, titles, related) or _why(p))
        for p in map(found.pieces.__getitem__, np.flatnonzero(~chosen).tolist())
    )
    return Choice(body, [found.pieces[n] for n in sorted(standing)], left)


def judge(page: features.Page, evidence: Evidence, learnt: model.Weights) -> tuple[Floats, Floats]:
    """For each piece the probability that it is body, and that it is the standfirst."""
    active = page.active
    likely, dek = np.zeros(page.count, np.float32), np.zeros(page.count, np.float32)
    if not len(active):
        return likely, dek
    standing = features.plain(page, learnt.names)
    likely[active] = learnt.first.probability(standing)
    open_ = likely[active] > IDLE
    numbers = active[open_]
    if not len(numbers):
        return likely, dek
    wide = features.wide(page, standing[:, open_], likely, numbers, evidence, learnt)
    likely[numbers] = learnt.second.probability(wide)
    early = numbers < _first_sure(page, likely)
    dek[numbers[early]] = learnt.standfirst.probability(wide[:, early])
    return likely, dek


def _first_sure(page: features.Page, likely: Floats) -> int:
    """Behind the third sure paragraph no standfirst is looked for."""
    sure = np.flatnonzero((likely > LIKELY) & (page.chars > _PROSE))
    return int(sure[2]) if len(sure) > 2 else page.count


def settled(page: features.Page, likely: Floats, never: Collection[int]) -> NDArray[np.bool_]:
    """Which pieces are body, from what the weights hold likely of each: what belongs together is settled together."""
    likely = together(page, likely)
    likely[list(never)] = 0.0
    likely[outside(page, likely) & (likely < FAR)] = 0.0
    body = likely > LIKELY
    inner = np.zeros(len(body), bool)
    inner[1:-1] = body[:-2] & body[2:]
    heading = (page.tags >= _H2) & (page.tags <= _H6)
    gaps = inner & (page.links < 0.5) & (likely > BETWEEN)
    leads = np.append(body[1:], False) & heading & (likely > BETWEEN)
    return body | gaps | leads


def together(page: features.Page, likely: Floats) -> Floats:
    """Tables and quotations take the mean judgement of their pieces, longer ones counting more; items of one list and
    paragraphs of one kind in one place come half-way and a third; a paragraph that is one link has to be sure."""
    likely = likely.copy()
    items = np.zeros(len(likely), bool)
    for members, share in _groups(page, likely, items):
        weight = np.sqrt(page.chars[members])
        likely[members] += share * (float((likely[members] * weight).sum() / weight.sum()) - likely[members])
    likely[(page.links > 0.9) & ~items & (likely < SURE_LINK)] *= 0.5
    return likely


def _groups(page: features.Page, likely: Floats, items: NDArray[np.bool_]) -> list[tuple[list[int], float]]:
    """What votes together, and how far each comes to the mean. Marks the items of lists."""
    whole: dict[Box, list[int]] = {}
    lists: dict[Box, list[int]] = {}
    alike: dict[tuple[Box | None, str, str], list[int]] = {}
    for n in page.active.tolist():
        piece = page.found.pieces[n]
        box = piece.box
        if box.flags & (b.QUOTE | b.TABLE):
            whole.setdefault(next(x for x in reversed(box.up()) if x.tag in ("table", "blockquote")), []).append(n)
        if box.flags & b.LIST:
            items[n] = box.tag == "li" or (box.parent is not None and box.parent.tag == "li")
            holder = next((x for x in box.up() if x.tag in ("ul", "ol")), None)
            if holder is not None:
                lists.setdefault(holder, []).append(n)
        if likely[n] > IDLE and len(piece.text) > _PROSE and piece.links * 2 < len(piece.text):
            alike.setdefault((box.parent, box.tag, box.names), []).append(n)
    tables = [(m, 1.0) for box, m in whole.items() if box.tag == "blockquote" or page.chars[m].mean() < _CELL]
    voting = [(m, 0.5) for m in lists.values() if likely[m].max() > IDLE]
    return [*tables, *voting, *((m, 0.3) for m in alike.values() if len(m) > 2)]


def outside(page: features.Page, likely: Floats) -> NDArray[np.bool_]:
    """Whether a piece stands outside the box that gains most: likely text counts for a box, unlikely text against it."""
    gain = page.by_box((likely - 0.3) * np.sqrt(page.chars))
    return ~page.within(int(np.flatnonzero(gain >= gain.max() - 1e-9)[-1]))


def standfirst(found: Cut, body: NDArray[np.bool_], dek: Floats, never: Collection[int]) -> set[int]:
    """The pieces of a standfirst: likely ones before the first prose of the body."""
    prose = (p.index for p in found.pieces if body[p.index] and len(p.text) > _PROSE and dek[p.index] <= STANDFIRST)
    first = next(prose, 0)
    return {n for n in range(first) if dek[n] > STANDFIRST and n not in never}


def copies(body: Sequence[Piece]) -> set[int]:
    """Text that the page carries again, for scripts or for print: three paragraphs or more printed a second time (a refrain is
    the author's), long pieces printed twice, and long pieces that mostly hold other pieces' text."""
    known: set[str] = set()
    again: dict[str, list[int]] = {}
    for piece in body:
        if len(piece.text) > _PROSE:
            if piece.text in known:
                again.setdefault(piece.text, []).append(piece.index)
            known.add(piece.text)
    twice = {n for text, places in again.items() if len(again) >= _REFRAIN or len(text) > _WHOLE_TEXT for n in places}
    for piece in body:
        if len(piece.text) > _WHOLE_TEXT:
            inside = sum(len(text) for text in known if len(text) < len(piece.text) and text in piece.text)
            twice |= {piece.index} if inside * 2 > len(piece.text) else set()
    return twice


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
    return None if any(map(str.isalnum, piece.text)) or _RULE.match(piece.text) else "no-letters"


def caption(piece: Piece) -> bool:
    """Whether a piece belongs to a picture: by its element or by its class."""
    if piece.box.flags & b.CAPTION:
        return True
    return not _CAPTIONS.isdisjoint(tokens(piece.inline)) or not _CAPTIONS.isdisjoint(tokens(piece.box.names))


def _why(piece: Piece) -> str:
    """A reason for what the weights left out, as exact as the page allows."""
    box: Box | None = piece.box
    while box is not None:
        if box.names and commentary(box.names):
            return "comment"
        box = box.parent
    if flags := piece.box.flags & _REASON_BITS:
        return next(name for flag, name in _REASONS if flags & flag)
    return "links" if piece.links * 2 > len(piece.text) else "weights"
