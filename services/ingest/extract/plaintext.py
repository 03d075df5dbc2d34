"""A brief pushed in as plain text in, a Draft out.

    title
    <blank>
    Category status: [value]
    date
    <blank>
    paragraphs; lines that begin with "- " are items of one list, blank lines between them or not
    <blank>
    Similar articles
    <blank>
    title, date, "Image: credit" on lines of their own, then paragraphs

A label without a value on its own line has none: the line below is never taken for it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

from services.ingest.extract import dates
from services.ingest.extract.related import is_heading
from shared.errors import Rejected
from shared.records import (
    Block,
    CategoryStatus,
    Draft,
    Image,
    ListBlock,
    Moment,
    Origin,
    Paragraph,
    Related,
    Snapshot,
    Trend,
    Verdict,
)
from shared.text import fold

_STATUS = re.compile(r"(category status)\s*:\s*(.*)\Z", re.I)
_CREDIT = re.compile(r"(?:image|photo)\s*:\s*(.+)\Z", re.I)
_ITEM = re.compile(r"[-–•*]\s+(.+)\Z", re.S)
_TRENDS: dict[str, Trend] = {
    "improved": "improved", "unchanged": "unchanged", "worsened": "worsened",
    "the situation has gotten better": "improved", "the situation has not changed": "unchanged",
    "the situation got worse": "worsened",
}  # fmt: skip


def draft_text(text: str, fetched_at: dt.datetime, zone: str | None = None) -> Draft:
    """The brief as a Draft. `zone` (IANA) holds for a date without one. Rejected("empty-page") when there is no text."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    at = next((n for n, line in enumerate(lines) if len(line) < 60 and is_heading(line)), len(lines))
    host = _Part(lines[:at], zone)
    if not host.title:
        raise Rejected("empty-page", "The text holds no line.")
    blocks = tuple(host.blocks)
    related = _related(lines[at:], zone)
    origins = {name: Origin("plain text") for name in ("headline", "blocks")}
    verdict = Verdict() if blocks else Verdict("not-an-article", "no-text")
    return Draft(
        headline=host.title, lead=_lead(blocks), published=host.published, category_status=host.status, blocks=blocks,
        related=related, verdict=verdict, origins=origins, charset="utf-8", charset_evidence="plain text",
    )  # fmt: skip


class _Part:
    """Title, date, status, credit and blocks of one article within the text."""

    def __init__(self, lines: Sequence[str], zone: str | None) -> None:
        self.title = ""
        self.published: Moment | None = None
        self.status = CategoryStatus()
        self.credit: str | None = None
        self.blocks: list[Block] = []
        rest = iter([line.strip() for line in lines])
        for line in rest:
            if not line:
                continue
            if self.title and not self.blocks and self._head(line, zone):
                continue
            self._body(line)

    def _head(self, line: str, zone: str | None) -> bool:
        """A line between title and text: status, date or credit."""
        if match := _STATUS.match(line):
            self.status = _status(match[1], match[2].strip())
        elif self.published is None and len(line) < 60 and (moment := dates.parse(line, zone)):
            self.published = moment
        elif match := _CREDIT.match(line):
            self.credit = match[1]
        else:
            return False
        return True

    def _body(self, line: str) -> None:
        if not self.title:
            self.title = line
        elif match := _ITEM.match(line):
            last = self.blocks[-1] if self.blocks else None
            if isinstance(last, ListBlock):
                self.blocks[-1] = ListBlock(False, (*last.items, match[1]))
            else:
                self.blocks.append(ListBlock(False, (match[1],)))
        else:
            self.blocks.append(Paragraph(line))


def _status(label: str, raw: str) -> CategoryStatus:
    value = _TRENDS.get(fold(raw).lower().rstrip("."), "unknown")
    return CategoryStatus(value, label, raw or None, f"text {raw}" if raw else None)


def _lead(blocks: Sequence[Block]) -> str | None:
    return next((b.text for b in blocks if isinstance(b, Paragraph)), None)


def _related(lines: Sequence[str], zone: str | None) -> tuple[Related, ...]:
    if not lines:
        return ()
    part = _Part(lines[1:], zone)
    if not part.title:
        return ()
    images = (Image("", credit=part.credit),) if part.credit else ()
    snapshot = Snapshot(part.title, None, part.published, _lead(part.blocks), tuple(part.blocks), images)
    return (Related("publisher_similar", lines[0].strip(), 1, None, snapshot),)
