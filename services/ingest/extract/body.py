"""Chosen pieces in, typed blocks and images out, in page order.

Lists, tables, quotes and posts are put together again from the boxes that their pieces stand in; marks get their offsets here,
because only chosen text needs them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, groupby
from urllib.parse import urlsplit

from services.ingest.extract import blocks as b
from services.ingest.extract.blocks import Box, Piece
from services.ingest.extract.evidence import Evidence
from shared.records import Block, Code, Embed, Heading, ListBlock, Mark, Nested, Paragraph, Quote, Table

_POST = re.compile(r"(twitter|tweet|instagram|tiktok|bluesky|mastodon|threads|telegram|facebook|reddit)[\w-]*", re.I)
_LAYOUT_CELL = 400
"""Characters: a table whose cells hold more on average is there for layout and its cells are paragraphs."""


def assemble(pieces: Sequence[Piece], evidence: Evidence) -> tuple[list[Block], list[int]]:
    """The blocks of the chosen pieces, and for each block the index of its first piece on the page."""
    found: list[Block] = []
    starts: list[int] = []
    for holder, group in groupby(pieces, key=_Holders(pieces).of):
        members = list(group)
        made = _made(holder, members, evidence)
        found.extend(made)
        starts.extend([members[0].index] * len(made) if holder else [p.index for p in members])
    return found, starts


class _Holders:
    """Which list, table, quote or code box a piece belongs to, if that box is one in earnest and not layout."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        inside: dict[Box, list[Piece]] = {}
        for piece in pieces:
            if piece.box.flags & (b.LIST | b.TABLE | b.QUOTE | b.CODE):
                for box in piece.box.up():
                    if box.tag in _MAKERS:
                        inside.setdefault(box, []).append(piece)
        self.real = {box for box, members in inside.items() if _in_earnest(box, members)}

    def of(self, piece: Piece) -> Box | None:
        """The outermost box that holds the piece, None for text that stands alone."""
        if not self.real:
            return None
        return next((box for box in reversed(piece.box.up()) if box in self.real), None)


def _in_earnest(box: Box, members: list[Piece]) -> bool:
    if box.tag in ("ul", "ol"):
        items: dict[Box | None, int] = {}
        for piece in members:
            item = _item(piece, box)
            items[item] = items.get(item, 0) + (1 if not _deeper(piece, box) else 0)
        return not any(_is_heading(p) for p in members) and max(items.values()) <= 3 and None not in items
    if box.tag == "table":
        cells = {c for p in members if (c := _above(p.box, ("td", "th")))}
        rows = {r for p in members if (r := _above(p.box, ("tr",)))}
        size = sum(len(p.text) for p in members) / max(1, len(cells))
        return len(rows) > 1 and len(cells) > len(rows) and size < _LAYOUT_CELL and not any(map(_is_heading, members))
    return True


def _is_heading(piece: Piece) -> bool:
    return bool(piece.box.flags & b.HEADING)


_LEVELS = ("h1", "h2", "h3", "h4", "h5", "h6")


def _above(box: Box, tags: Iterable[str]) -> Box | None:
    at: Box | None = box
    while at is not None:
        if at.tag in tags:
            return at
        at = at.parent
    return None


def _made(holder: Box | None, members: list[Piece], evidence: Evidence) -> list[Block]:
    if holder is None:
        return [_plain(piece, evidence) for piece in members]
    return [_MAKERS[holder.tag](holder, members, evidence)]


def _plain(piece: Piece, evidence: Evidence) -> Block:
    heading = _above(piece.box, _LEVELS) if piece.box.flags & b.HEADING else None
    text, marks = marked(piece, evidence)
    if heading:
        return Heading(text, int(heading.tag[1]), tuple(m for m in marks if m.end - m.start < len(text) or m.href))
    return Paragraph(text, marks)


def _quote(box: Box, members: list[Piece], evidence: Evidence) -> Block:
    text, marks = _joined(members, evidence, "\n\n")
    if _POST.search(box.names):
        links = [href for p in members for _, _, kind, href in p.spans if kind == "link" and href]
        stated = box.element.get("cite") or box.element.get("data-instgrm-permalink")
        url = evidence.absolute(stated or next(reversed(links), None))
        if url:
            return Embed(url, urlsplit(url).hostname, text)
    return Quote(text, box.element.get("cite"), marks)


def _code(box: Box, members: list[Piece], evidence: Evidence) -> Block:
    return Code("\n".join("".join(p.parts).replace(b.BREAK_SIGN, "\n").strip("\n") for p in members))


def _list(box: Box, members: list[Piece], evidence: Evidence) -> ListBlock:
    """A list and the lists within its items."""
    own: dict[Box | None, list[Piece]] = {}
    inner: dict[Box | None, dict[Box, list[Piece]]] = {}
    for piece in members:
        item = _item(piece, box)
        own.setdefault(item, [])
        if deeper := _deeper(piece, box):
            inner.setdefault(item, {}).setdefault(deeper, []).append(piece)
        else:
            own[item].append(piece)
    texts = [_joined(pieces, evidence, "\n") for pieces in own.values()]
    nested = [
        Nested(number, _list(deeper, pieces, evidence))
        for number, item in enumerate(own)
        for deeper, pieces in inner.get(item, {}).items()
    ]
    marks = tuple(marks for _, marks in texts)
    return ListBlock(box.tag == "ol", tuple(t for t, _ in texts), marks if any(marks) else (), tuple(nested))


def _item(piece: Piece, holder: Box) -> Box | None:
    """The <li> of `holder` that the piece stands in."""
    item, at = None, piece.box
    while at is not holder:
        if at.tag == "li":
            item = at
        if at.parent is None:
            break
        at = at.parent
    return item


def _deeper(piece: Piece, holder: Box) -> Box | None:
    """The outermost list below `holder` that the piece stands in."""
    found, at = None, piece.box
    while at is not holder and at.parent is not None:
        if at.tag in ("ul", "ol"):
            found = at
        at = at.parent
    return found


def _table(box: Box, members: list[Piece], evidence: Evidence) -> Block:
    rows: dict[Box, dict[Box, list[str]]] = {}
    caption = []
    for piece in members:
        row, cell = _above(piece.box, ("tr",)), _above(piece.box, ("td", "th"))
        if row is None or cell is None:
            caption.append(piece.text)
        else:
            rows.setdefault(row, {}).setdefault(cell, []).append(piece.text)
    table = [_row(row, cells) for row, cells in rows.items()]
    header = 0
    for cells in rows.values():
        if not all(cell.tag == "th" for cell in cells):
            break
        header += 1
    return Table(tuple(table), header, " ".join(caption) or None)


def _row(row: Box, cells: dict[Box, list[str]]) -> tuple[str, ...]:
    """All cells of the row, the empty ones too, so that columns stay aligned."""
    texts = {cell.element: "\n".join(parts) for cell, parts in cells.items()}
    found = [texts.get(cell, "") for cell in row.element.iterchildren("td", "th")]
    return tuple(found or texts.values())


def _joined(pieces: Sequence[Piece], evidence: Evidence, between: str) -> tuple[str, tuple[Mark, ...]]:
    if len(pieces) == 1:
        return marked(pieces[0], evidence)
    text, marks = "", list[Mark]()
    for piece in pieces:
        own, spans = marked(piece, evidence)
        start = len(text) + len(between) if text else 0
        text = f"{text}{between}{own}" if text else own
        marks.extend(Mark(m.start + start, m.end + start, m.kind, m.href) for m in spans)
    return text, tuple(marks)


def marked(piece: Piece, evidence: Evidence) -> tuple[str, tuple[Mark, ...]]:
    """A piece's text and its marks over it, in order of their start."""
    if not piece.spans:
        return piece.text, ()
    borders = [0, *accumulate(map(len, piece.parts))]
    place = _places(piece.text, "".join(piece.parts))
    marks = {
        mark
        for start, end, kind, href in piece.spans
        if (mark := _mark(piece.text, place(borders[start]), place(borders[end]), kind, evidence.absolute(href)))
    }
    return piece.text, tuple(sorted(marks, key=lambda m: (m.start, -m.end, m.kind)))


def _places(text: str, raw: str) -> Callable[[int], int]:
    """Where a place in the text as the source has it lies in the text as shown."""
    lead, size = len(raw) - len(raw.lstrip()), len(text)
    if raw.strip() == text:
        return lambda at: min(max(0, at - lead), size)
    ends, saved = [0], [0]
    for match in b.SHRINKING.finditer(raw):
        ends.append(match.end())
        saved.append(saved[-1] + match.end() - match.start() - 1)
    shrunk = b.SHRINKING.sub(b.shrunk, raw)
    lead = len(shrunk) - len(shrunk.lstrip())
    return lambda at: min(max(0, at - saved[bisect_left(ends, at + 1) - 1] - lead), size)


def _mark(text: str, start: int, end: int, kind: str, href: str | None) -> Mark | None:
    """The mark without white space at its ends; None for nothing marked and for links that lead nowhere."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start >= end or (kind == "link" and href is None):
        return None
    return Mark(start, end, kind, href)


_MAKERS = {"ul": _list, "ol": _list, "table": _table, "blockquote": _quote, "pre": _code}


def plain_text(found: Iterable[Block]) -> str:
    """The text of blocks, one paragraph, item or row a line, blocks parted by blank lines."""
    return "\n\n".join(filter(None, map(_text, found)))


def _text(block: Block) -> str:
    if isinstance(block, ListBlock):
        inner = {n.item: [] for n in block.nested}  # type: dict[int, list[str]]
        for n in block.nested:
            inner[n.item].append(_text(n.list))
        return "\n".join("\n".join([item, *inner.get(number, [])]) for number, item in enumerate(block.items))
    if isinstance(block, Table):
        return "\n".join(["\t".join(row) for row in block.rows] + ([block.caption] if block.caption else []))
    return block.text or ""
