"""Pieces in, the links that a page prints as similar or related out, each with what the page shows of its target.

Such a block names itself: by its class, or by a heading of its own. The words are those of publishing systems and of plain
speech; a sentence that merely holds them is not a heading.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.ingest.extract import dates
from services.ingest.extract.blocks import Box, Cut, Piece
from services.ingest.extract.body import assemble
from services.ingest.extract.evidence import Evidence
from services.ingest.extract.images import images
from services.ingest.extract.names import related as related_name
from services.ingest.extract.names import tokens
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
    if not headed and not any(box.names and related_name(box.names) for box in found.boxes):
        return []
    spans = _spans(found)
    whole = sum(len(p.text) for p in found.pieces)
    kept: list[Printed] = []
    for box in found.boxes:
        first, last, size = spans[box.index]
        if not size or (kept and first < kept[-1].last) or size > whole * _MOST:
            continue
        if box.names and box.tag not in ("body", "html", "main") and related_name(box.names):
            heading = found.pieces[first]
            titled = heading.links == 0 and len(heading.text) < 60 and last - first > 1
            kept.append(Printed(box, heading.text if titled else None, first, last))
        elif last - first > 1 and first in headed:
            kept.append(_after(box, first, found))
    kept.extend(_headed(found, spans, kept, headed))
    return sorted(kept, key=lambda k: k.first)


def _spans(found: Cut) -> list[tuple[int, int, int]]:
    """For each box by its number: its first piece, the piece after its last, its characters (0 for an empty box)."""
    first = [len(found.pieces)] * len(found.boxes)
    last, size = [0] * len(found.boxes), [0] * len(found.boxes)
    for piece in found.pieces:
        at = piece.box.index
        first[at] = min(first[at], piece.index)
        last[at] = piece.index + 1
        size[at] += len(piece.text)
    for box in reversed(found.boxes):
        if box.parent is not None and size[box.index]:
            at, up = box.index, box.parent.index
            first[up], last[up], size[up] = min(first[up], first[at]), max(last[up], last[at]), size[up] + size[at]
    return list(zip(first, last, size, strict=True))


def _after(box: Box, first: int, found: Cut) -> Printed:
    last = first
    while last < len(found.pieces) and box in found.pieces[last].box.up():
        last += 1
    return Printed(box, found.pieces[first].text, first, last)


def _headed(found: Cut, spans: list[tuple[int, int, int]], kept: list[Printed], headed: set[int]) -> list[Printed]:
    """Blocks without a box of their own: a heading among the text, and all that follows it there."""
    more: list[Printed] = []
    for piece in (found.pieces[n] for n in sorted(headed)):
        if any(k.first <= piece.index < k.last for k in [*kept, *more]):
            continue
        holder = piece.box
        while holder.parent is not None and spans[holder.index][1] == piece.index + 1:
            holder = holder.parent
        last = _run(found, piece, spans[holder.index][1])
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


def read(printed: Sequence[Printed], found: Cut, evidence: Evidence, zone: str | None) -> list[Related]:
    """The entries of all related blocks, numbered through from 1."""
    entries: list[Related] = []
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
    date, body = None, list[Piece]()
    for piece in row[1:]:
        if date is None and len(piece.text) < 60 and not body and (date := dates.parse(piece.text, zone)):
            continue
        if piece.inline and set(tokens(piece.inline)) & {"credit", "caption"}:
            continue
        body.append(piece)
    made, starts = assemble(body, evidence)
    pictures = _pictures(row, found, evidence, body, starts)
    lead = next((block.text for block in made if isinstance(block, Paragraph)), None)
    return Snapshot(head.text, target, date, lead, tuple(made), pictures)


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
