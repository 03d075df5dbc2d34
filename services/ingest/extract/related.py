"""Pieces in, the links that a page prints as similar or related out, each with what the page shows of its target.

Such a block names itself: by its class, or by a heading of its own; else its form tells it (`cards`). The words are those of
publishing systems and of plain speech; a sentence that merely holds them is not a heading.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, islice
from typing import Any

from services.ingest.extract import blocks as b
from services.ingest.extract import dates
from services.ingest.extract.blocks import Box, Cut, Piece
from services.ingest.extract.body import assemble
from services.ingest.extract.cards import announced, rows, unrelated
from services.ingest.extract.evidence import Evidence
from services.ingest.extract.images import images
from services.ingest.extract.names import commentary, tokens
from services.ingest.extract.names import related as related_name
from shared.records import Image, Paragraph, Related, Snapshot
from shared.text import fold

_HEADING = re.compile(
    r"(?:(?:similar|related|recommended|further) (?:articles|stories|news|posts|content|reading|briefs|links|topics|coverage)|"
    r"read (?:also|more|next)|see also|more on this(?: topic| story)?|you may also like|more stories|"
    r"ähnliche (?:artikel|beiträge)|verwandte (?:artikel|themen|beiträge)|mehr zum thema|lesen sie auch|"
    r"articles (?:similaires|liés)|à lire aussi|sur le même sujet|artículos relacionados|noticias relacionadas|"
    r"articoli correlati|leggi anche|artigos relacionados|leia (?:também|mais)|lees ook|gerelateerde artikelen|"
    r"powiązane artykuły|czytaj także|читайте также|похожие (?:статьи|материалы|новости)|по теме|схожие материалы|"
    r"падобныя (?:артыкулы|матэрыялы)|чытайце таксама|читайте також|схожі (?:статті|матеріали)|läs (?:också|mer)|les også|læs også)"
    r"\W*",
    re.I,
)
_MOST = 0.75
_SHORTEST = 12
_HEADLINE, _TEASER, _CARDS = 20, 400, 3
"""Characters of a link that is a headline, of the longest teaser; cards that make a row."""
_LOOKED_AT = 3
_APART = b.NAV | b.FOOTER | b.FORM | b.HIDDEN | b.HEADER
_NEVER_CARDS = frozenset(("nav", "footer", "header", "form"))
_BEGINS = frozenset(
    [
        "si",
        "re",
        "fu",
        "se",
        "mo",
        "yo",
        "äh",
        "ve",
        "me",
        "le",
        "ar",
        "à",
        "su",
        "no",
        "ch",
        "чи",
        "чы",
        "по",
        "сх",
        "па",
        "lä",
        "læ",
        "pp",
        "ge",
        "lee",
        "cz",
        "po",
        "lei",
    ]
)


class Printed:
    """One block of related links: its box, its heading, the first piece that belongs to it and the one after its last."""

    def __init__(self, box: Box, heading: str | None, first: int, last: int) -> None:
        self.box, self.heading, self.first, self.last = box, heading, first, last


def is_heading(text: str) -> bool:
    """Whether the whole text is a heading such as "Similar articles"."""
    if not 4 < len(text) < 60 or text[:2].lower() not in _BEGINS:
        return False
    return bool(_HEADING.fullmatch(text) or ("\u00a0" in text and _HEADING.fullmatch(fold(text))))


def find(found: Cut) -> list[Printed]:
    """The related blocks of a page, outermost only, in page order."""
    headed = {p.index for p in found.pieces if not p.links and is_heading(p.text)}
    named = [box for box in found.boxes if box.names and related_name(box.names)]
    shaped = list(rows(found))
    if not headed and not named and not shaped:
        return []
    sizes = [0, *accumulate(len(p.text) for p in found.pieces)]
    kept: list[Printed] = []
    calling = {box.index for box in named if box.tag not in ("body", "html", "main")}
    for box in found.boxes:
        first, last = box.first, box.last
        size = sizes[last] - sizes[first]
        if not size or (kept and first < kept[-1].last) or size > sizes[-1] * _MOST:
            continue
        if box.index in calling:
            heading = found.pieces[first]
            titled = heading.links == 0 and len(heading.text) < 60 and last - first > 1
            kept.append(Printed(box, heading.text if titled else None, first, last))
        elif last - first > 1 and first in headed:
            kept.append(Printed(box, found.pieces[first].text, first, last))
    kept.extend(_headed(found, kept, headed))
    for row in shaped:
        if not any(k.first < row.last and row.heading < k.last for k in kept):
            kept.append(Printed(row.box, found.pieces[row.heading].text, row.heading, row.last))
    return sorted(kept, key=lambda k: k.first)


def _headed(found: Cut, kept: list[Printed], headed: set[int]) -> list[Printed]:
    """Blocks without a box of their own: a heading among the text, and all that follows it there."""
    more: list[Printed] = []
    for piece in (found.pieces[n] for n in sorted(headed)):
        if any(k.first <= piece.index < k.last for k in [*kept, *more]):
            continue
        holder = piece.box
        while holder.parent is not None and holder.last == piece.index + 1:
            holder = holder.parent
        last = _run(found, piece, holder.last)
        if last > piece.index + 1:
            more.append(Printed(holder, piece.text, piece.index, last))
    return more


def _run(found: Cut, heading: Piece, end: int) -> int:
    """A heading in mid-text claims the links after it, and prose only where it is the first thing after."""
    at = heading.index + 1
    while at < end and (
        found.pieces[at].links * 2 > len(found.pieces[at].text) or dates.read(found.pieces[at].text[:40])
    ):
        at += 1
    return at


def beyond(found: Cut, last: int) -> list[tuple[Cut, list[Printed]]]:
    """Blocks printed below the article, piece `last`, in its own article or main element or announced, but too far from any prose
    to have been cut: told by their shape, as cards. Each comes with a cut of its own."""
    below = (
        element
        for element, (at, box) in zip(found.skipped, found.places, strict=True)
        if at > last and not box.flags & _APART and element.tag not in _NEVER_CARDS and _promising(element, box)
    )
    looked_at = [element for element in islice(below, _LOOKED_AT) if next(element.iter("a"), None) is not None]
    parts = [b.cut(element, whole=True) for element in looked_at]
    return [(part, whole(part)) for part in parts if cards(part)]


def _promising(element: Any, box: Box) -> bool:
    """Whether a part stands in the article's own element, unless its heading says what else it is; elsewhere it has to be
    announced as related."""
    first = next(b.spoken(element), "").strip()
    return not unrelated(first) if box.flags & (b.ARTICLE | b.MAIN) else announced(first)


def cards(part: Cut) -> bool:
    """Whether a part of a page is a row of cards: links of the length of a headline, most of them in boxes of one shape, each in
    a box of its own, without prose, a form or comments between."""
    heads = [p for p in part.pieces if p.links * 2 > len(p.text) and len(p.text) >= _HEADLINE]
    if len({p.text for p in heads}) < _CARDS or any(len(p.text) > _TEASER for p in part.pieces):
        return False
    if any(box.flags & b.FORM or (box.names and commentary(box.names)) for box in part.boxes):
        return False
    shapes = Counter((p.box.tag, p.box.names, p.box.depth) for p in heads)
    shape, number = shapes.most_common(1)[0]
    alike = {p.box.index for p in heads if (p.box.tag, p.box.names, p.box.depth) == shape}
    words = sum(len(p.text) for p in heads)
    return len(alike) >= _CARDS and number * 3 >= len(heads) * 2 and words * 3 > sum(len(p.text) for p in part.pieces)


def read(
    printed: Sequence[Printed], found: Cut, evidence: Evidence, zone: str | None, before: Sequence[Related] = ()
) -> list[Related]:
    """The entries of all related blocks, numbered through from 1, behind those read `before`."""
    entries: list[Related] = list(before)
    for block in printed:
        pieces = [p for p in found.pieces[block.first : block.last] if p.text != block.heading]
        for row in _rows(pieces):
            head = next(p for p in row if p.links * 2 > len(p.text))
            target = evidence.absolute(
                next((h for _, _, kind, h in head.spans if kind == "link" and h), None) or _outer(head)
            )
            relation = "publisher_similar" if _similar(block) else "publisher_related"
            snapshot = _snapshot(head, row, found, evidence, target, zone)
            entries.append(Related(relation, block.heading, len(entries) + 1, target, snapshot))  # type: ignore[arg-type]
    return entries


def _similar(block: Printed) -> bool:
    words = fold(block.heading or "").lower()
    return "similar" in tokens(block.box.names) or any(
        w in words for w in ("similar", "ähnlich", "similaires", "похож", "схож", "падобн")
    )


def _outer(piece: Piece) -> str | None:
    box: Box | None = piece.box
    while box is not None:
        parent = box.element.getparent()
        if parent is not None and parent.tag == "a":
            return str(parent.get("href") or "")
        box = box.parent
    return None


def _rows(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The pieces of each entry: a new one begins at every link that is a headline of its own."""
    rows: list[list[Piece]] = []
    for piece in pieces:
        if piece.links * 2 > len(piece.text) and len(piece.text) > 12:
            rows.append([piece])
        elif rows:
            rows[-1].append(piece)
    return rows


def _snapshot(
    head: Piece, row: Sequence[Piece], found: Cut, evidence: Evidence, target: str | None, zone: str | None
) -> Snapshot:
    headline, beside = _headline(head)
    date, body = dates.parse(beside, zone) if beside else None, list[Piece]()
    for piece in row[1:]:
        if date is None and len(piece.text) < 60 and not body and (date := dates.parse(piece.text, zone)):
            continue
        if piece.inline and set(tokens(piece.inline)) & {"credit", "caption"}:
            continue
        body.append(piece)
    made, starts = assemble(body, evidence)
    pictures = _pictures(row, found, evidence, body, starts)
    lead = next((block.text for block in made if isinstance(block, Paragraph)), None)
    return Snapshot(headline, target, date, lead, tuple(made), pictures)


def _headline(head: Piece) -> tuple[str, str]:
    """The text of an entry's link, and what stands beside it in the same line."""
    if head.links * 10 > len(head.text) * 9:
        return head.text, ""
    parts = ["".join(head.parts[start:end]) for start, end, kind, _ in head.spans if kind == "link"]
    headline = b.squeeze(max(parts, key=len, default=""))
    return (headline, head.text.replace(headline, " ", 1).strip()) if len(headline) > _SHORTEST else (head.text, "")


def _pictures(
    row: Sequence[Piece], found: Cut, evidence: Evidence, body: Sequence[Piece], starts: Sequence[int]
) -> tuple[Image, ...]:
    """The images of one entry."""
    first, last = row[0].index, row[-1].index + 1
    inside = Cut()
    inside.boxes, inside.pieces = found.boxes, found.pieces
    inside.pictures = [p for p in found.pictures if first <= p.at <= last]
    return tuple(images(inside, body, starts, evidence, set())) if body else ()


def whole(part: Cut) -> list[Printed]:
    """A part of a page that a profile names as its related block: heading first, if it has one."""
    if not part.pieces:
        return []
    first = part.pieces[0]
    titled = first.links == 0 and len(first.text) < 60 and len(part.pieces) > 1
    return [
        Printed(
            first.box.up()[-3] if first.box.depth > 1 else first.box,
            first.text if titled else None,
            0,
            len(part.pieces),
        )
    ]
