"""Pieces in, the article's own out, and for everything else the reason why it stayed out."""

from __future__ import annotations

from collections.abc import Sequence

from services.ingest.extract import blocks as b
from services.ingest.extract import fields
from services.ingest.extract.blocks import Box, Cut, Piece
from services.ingest.extract.evidence import Evidence
from services.ingest.extract.names import tokens
from services.ingest.extract.related import Printed

_COMMENTS = frozenset(["comment", "comments", "respond", "disqus", "commentlist"])
_NEVER = frozenset(
    ["comment", "comments", "share", "sharing", "social", "nav", "menu", "footer", "sidebar", "related", "newsletter", "subscribe", "promo", "advert", "caption", "credit", "byline", "breadcrumb", "breadcrumbs", "tags", "cookie", "consent", "submitted", "label", "copyright"]
)


class Choice:
    """The body's pieces in page order, the standfirst when the page prints one apart, and what was left out with reasons."""

    def __init__(self, body: list[Piece], dek: Piece | None, left: list[tuple[Piece, str]]) -> None:
        self.body, self.dek, self.left = body, dek, left


def choose(found: Cut, evidence: Evidence, titles: Sequence[str], printed: Sequence[Printed]) -> Choice:
    """The pieces of the article itself."""
    barred = {n for block in printed for n in range(block.first, block.last)}
    home = _container(found, barred)
    body, left = [], []
    for piece in found.pieces:
        reason = _reason(piece, home, barred, titles)
        if reason:
            left.append((piece, reason))
        else:
            body.append(piece)
    return Choice(body, None, left)


def _reason(piece: Piece, home: Box | None, barred: set[int], titles: Sequence[str]) -> str | None:
    if piece.index in barred:
        return "related"
    if fields.is_title(piece.text, titles):
        return "title"
    ups = piece.box.up()
    if any(_COMMENTS & set(tokens(box.names)) for box in ups):
        return "comment"
    if home not in ups:
        return "outside"
    inner = ups[: ups.index(home)]
    if piece.box.flags & (b.NAV | b.ASIDE | b.FOOTER | b.CAPTION | b.FORM | b.BUTTON):
        return "navigation"
    if any(_NEVER & set(tokens(box.names)) for box in inner) or _NEVER & set(tokens(piece.inline)):
        return "boilerplate"
    if piece.links > len(piece.text) * 0.6 and len(piece.text) < 200:
        return "links"
    return None


def _container(found: Cut, barred: set[int]) -> Box | None:
    mass: dict[Box, float] = {}
    for piece in found.pieces:
        if piece.index in barred or piece.links * 3 > len(piece.text) or len(piece.text) < 40:
            continue
        weight, box = float(len(piece.text)), piece.box
        for _ in range(4):
            mass[box] = mass.get(box, 0.0) + weight
            if box.parent is None:
                break
            box, weight = box.parent, weight * 0.6
    return max(mass, key=lambda k: mass[k], default=None)


_CAPTIONS = frozenset(["caption", "captions", "figcaption", "credit", "credits", "legend", "cutline"])


def caption(piece: Piece) -> bool:
    """Whether a piece belongs to a picture: by its element or by its class."""
    return bool(piece.box.flags & b.CAPTION or _CAPTIONS & (set(tokens(piece.inline)) | set(tokens(piece.box.names))))
