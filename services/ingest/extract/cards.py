"""Pieces in, runs of same-shaped cards out: what a page prints below its article under a short heading, told by its form.

A card is a box that holds one headline that is a link, and perhaps a picture, a date and a line or two. Three of one shape in a row,
right below a heading, after the prose, are links to other articles whatever their classes say. Headings over what is merely new or
much read are told apart: that is no relation to this article.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from services.ingest.extract.blocks import ARTICLE, ASIDE, FOOTER, FORM, HEADER, NAV, Box, Cut, Piece

_PROSE, _BEFORE = 80, 2
"""A paragraph is longer than this; so many stand before what can be below the text."""
_FEWEST, _WIDEST, _LONGEST = 3, 500, 250
"""Cards in a run; characters of a card; characters of its longest line."""
_WINDOW, _GLANCE = 60, 15
_HEADINGS = frozenset(["h2", "h3", "h4", "h5", "h6"])
_UNRELATED = re.compile(
    r"share|latest|newest|most (?:read|popular|viewed|shared|commented)|popular|trending|top (?:stories|news|\d+)|breaking|live now|"
    r"headlines|recent (?:posts|articles|news|stories|comments)|editor.?s.? (?:picks?|choice)|in the news|videos?|"
    r"podcasts?|weather|sponsored|"
    r"promoted|partner|advertis|neueste|aktuelle|meist|beliebt|anzeige|les plus|derni[eè]r|à la une|populaires?|lo más|últim|más leíd|"
    r"pi[uù] lett|ultim|mais lid|meest|laatste|nieuwste|mest l|senaste|siste|seneste|luetuimmat|najnowsze|najczęściej|popularne|"
    r"последн|популярн|сейчас|новости дня|лента|главн|останн|популярн|апошн|son dakika|en çok|الأكثر|أحدث|آخر|最新|人気|热门|인기", re.I
)  # fmt: skip


_RELATED = re.compile(
    r"relat|similar|\bmore (?:on|about|from)\b|see also|\bread\b|further|you (?:may|might)|recommend|dig deeper|background|"
    r"verwandt|ähnlich|"
    r"\bthema\b|auch interessant|weitere|passend|lesen sie|lire|similaire|li[ée]s\b|même sujet|sur le sujet|relacion|también|"
    r"sobre el tema|leg[gi]|correlat|approfond|leia|veja|sobre o tema|lees|gerelateerd|läs |les |læs |relatert|lue myös|aiheesta|czytaj|"
    r"powiąza|podobne|související|přečt|čítajte|súvisia|по теме|также|ещё|похож|схож|читай|також|за темою|таксама|падобн|ilgili|benzer|"
    r"σχετικ|διαβάστε|ذات صلة|اقرأ|إقرأ|关联|相关|関連|あわせて|관련|संबंधित|terkait|baca|liên quan|เกี่ยวข้อง|קשור", re.I
)  # fmt: skip
"""Stems of what such headings say: enough together with the form, by themselves nothing."""
_SHORTEST, _SHORTEST_IDEOGRAPHIC = 20, 10
"""A headline has so many characters in the mean; topics, places and buttons have fewer."""


class Row(NamedTuple):
    """Cards below one heading: the box that holds them, the heading's number, the piece after the last card."""

    box: Box
    heading: int
    last: int


def rows(found: Cut, before: int = _BEFORE) -> Iterator[Row]:
    """The runs of cards below the text, each with its heading, in page order; `before`: so many paragraphs stand above."""
    pieces, prose, done = found.pieces, 0, 0
    for at, piece in enumerate(pieces[:-_FEWEST]):
        if len(piece.text) > _PROSE:
            prose += piece.links * 5 < len(piece.text)
        elif prose >= before and at >= done and _heads(piece) and (row := _below(found, at)):
            done = row.last
            yield row


def announced(text: str) -> bool:
    """Whether a short text speaks of related articles, at least when cards stand below it."""
    text = text.replace("\u00a0", " ")
    return 3 < len(text) < 60 and _RELATED.search(text) is not None and not _UNRELATED.search(text)


def unrelated(text: str) -> bool:
    """Whether a heading speaks of what is new, much read or paid for."""
    return _UNRELATED.search(text) is not None


def _heads(piece: Piece) -> bool:
    return (
        piece.box.tag in _HEADINGS
        and not piece.links
        and 3 < len(piece.text) < 60
        and not piece.box.flags & (NAV | HEADER | FOOTER | FORM)
        and not _UNRELATED.search(piece.text)
    )


def _below(found: Cut, heading: int) -> Row | None:
    """The run right below a heading, if what stands there has the form of one."""
    pieces = found.pieces
    glance = [_leads(piece) for piece in pieces[heading + 1 : heading + 1 + _GLANCE]]
    if not any(glance[:3]) or sum(glance) < _FEWEST:
        return None
    box: Box | None = pieces[heading + 1].box
    while box is not None and box.parent is not None and box.parent.tag not in ("body", "html"):
        if box.first != heading + 1:
            return None
        run = _run(found, box)
        if len(run) >= _FEWEST and _of_headlines(found, run) and _belongs(pieces[heading], box):
            last = run[-1].last
            bare = all(map(_leads, pieces[heading + 1 : last]))
            return Row(box.parent, heading, last) if not bare or _ends_the_text(found, heading, last) else None
        box = box.parent
    return None


def _of_headlines(found: Cut, run: Sequence[Box]) -> bool:
    heads = [max((p.text for p in found.pieces[card.first : card.last] if _leads(p)), key=len) for card in run]
    least = _SHORTEST_IDEOGRAPHIC if any("\u3000" < c < "\ud7b0" for c in heads[0]) else _SHORTEST
    return sum(map(len, heads)) >= least * len(heads)


def _belongs(heading: Piece, card: Box) -> bool:
    """Whether the heading speaks of a relation, or heading and cards stand in the article's own element."""
    inside = heading.box.flags & card.flags & ARTICLE and not card.flags & ASIDE
    return bool(inside or _RELATED.search(heading.text))


def _run(found: Cut, box: Box) -> list[Box]:
    """The box and the next ones beside it, as long as they are cards of its shape; boxes without text do not count."""
    run: list[Box] = []
    for other in islice(found.boxes, box.index, None):
        if other.depth < box.depth:
            break
        if other.parent is box.parent and other.first < other.last:
            if _shape(other) != _shape(box) or not _card(found.pieces[other.first : other.last]):
                break
            run.append(other)
    return run


def _shape(box: Box) -> tuple[str, str]:
    return box.tag, box.names.partition(" ")[0]


def _card(pieces: Sequence[Piece]) -> bool:
    """Whether a box holds one linked headline and little else."""
    others = [piece for piece in pieces if not _leads(piece)]
    leading = [piece for piece in pieces if _leads(piece) and len(piece.text) > 12]
    size = sum(len(piece.text) for piece in pieces)
    return 0 < len(leading) <= 2 and size < _WIDEST and all(len(piece.text) < _LONGEST for piece in others)


def _leads(piece: Piece) -> bool:
    return piece.links * 2 > len(piece.text)


def _ends_the_text(found: Cut, heading: int, last: int) -> bool:
    """Whether no more prose of the article stands behind: bare links between its paragraphs are its own list."""
    holders = {p.box.parent for p in found.pieces[:heading] if len(p.text) > _PROSE}
    article = found.pieces[heading].box.flags & ARTICLE
    return not any(
        len(p.text) > _PROSE and not _leads(p) and (p.box.parent in holders or p.box.flags & article)
        for p in found.pieces[last : last + _WINDOW]
    )
