"""Evidence and pieces in, the moments of publication and change out, each with the rule that gave it and what lost.

Order of trust: JSON-LD, meta, itemprop, <time>, a printed date near the title, the address.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from services.ingest.extract import dates
from services.ingest.extract.blocks import FOOTER, FORM, NAV, Cut, opening
from services.ingest.extract.evidence import Evidence, texts
from services.ingest.extract.names import tokens
from shared.records import Losing, Moment, Origin

_PUBLISHED = ("article:published_time", "og:published_time", "article:published", "datepublished", "publishdate", "pubdate",
              "publication_date", "date", "dc.date", "dc.date.issued", "dcterms.created", "dcterms.date", "dc.date.created",
              "parsely-pub-date", "sailthru.date", "article.published", "cxenseparse:recs:publishtime", "publish-date",
              "published_time", "originalpublicationdate", "created", "last-modified-date")  # fmt: skip
_MODIFIED = ("article:modified_time", "og:updated_time", "lastmod", "dcterms.modified", "dc.date.modified", "article.updated",
             "last-modified", "revised", "datemodified")  # fmt: skip
_NAMED = frozenset(
    [
        "date",
        "time",
        "published",
        "publish",
        "pubdate",
        "posted",
        "submitted",
        "timestamp",
        "datum",
        "fecha",
        "datetime",
        "created",
        "meta",
        "byline",
        "dateline",
    ]
)
_PATH = re.compile(r"/((?:19|20)\d\d)[/-]?(\d\d)[/-]?(\d\d)(?!\d)")
_SHORT, _LINE, _OPENING = 80, 200, 40
"""Printed dates stand in a short piece, in a line that says what was done then, or open the text."""
_NEAR = (-6, 25)
"""So many pieces around the headline its date is looked for first: elsewhere stand today's date and those of teasers."""
_MOST_OFFERS, _MOST_TIMES, _MOST_FAR = 8, 12, 40
_MONTH_FIRST = frozenset(["en-us", "en-ph", "en-ca"])


def published(
    evidence: Evidence, found: Cut, fetched_at: dt.datetime, zone: str | None
) -> tuple[Moment | None, Origin | None]:
    """When the article first appeared, None when the page does not say."""
    judge = _Judge(evidence, fetched_at, zone)
    stated = judge.first(_published(evidence))
    return stated if stated[0] else judge.first(_shown(evidence, found))


def modified(
    evidence: Evidence, fetched_at: dt.datetime, zone: str | None, found: Cut | None = None
) -> tuple[Moment | None, Origin | None]:
    """When the article was last changed, as stated, else as printed beside a word such as "updated"."""
    judge = _Judge(evidence, fetched_at, zone)
    stated = judge.first(_modified(evidence))
    return stated if stated[0] else judge.first(_changed(evidence, found))


class _Judge:
    """Reads offers on one page: its zone, how it writes numbers, and when it was fetched."""

    def __init__(self, evidence: Evidence, fetched_at: dt.datetime, zone: str | None) -> None:
        self.zone, self.latest = zone, fetched_at + dt.timedelta(days=2)
        self.month_first = _locale(evidence) in _MONTH_FIRST

    def first(self, offers: Iterator[tuple[str, str]]) -> tuple[Moment | None, Origin | None]:
        """The first offer that is a date not after the fetch wins, unless a later one says the same more exactly; other
        instants are kept as lost."""
        read = list(islice(self._read(offers), _MOST_OFFERS))
        if not read:
            return None, None
        rule, won = next((o for o in read if _sharpens(o[1], read[0][1])), read[0])
        lost = [Losing(other, m.raw[:60]) for other, m in read if m.utc != won.utc or m.zone_source != won.zone_source]
        return won, Origin(rule, tuple(lost[:5]))

    def _read(self, offers: Iterator[tuple[str, str]]) -> Iterator[tuple[str, Moment]]:
        for rule, raw in offers:
            moment = dates.parse(raw, self.zone, month_first=self.month_first)
            if moment is not None and moment.at.year >= 1990 and moment.at <= self.latest:
                yield rule, moment


def _locale(evidence: Evidence) -> str:
    stated = evidence.language or (evidence.first("og:locale") or ("", ""))[1]
    return stated.lower().replace("_", "-")


def _sharpens(other: Moment, won: Moment) -> bool:
    """Whether one moment says what the other says and more: the zone of the same clock."""
    if won.zone_source == "stated" or other.zone_source != "stated" or other.precision == "day":
        return False
    return _local(other).replace(second=0) == _local(won).replace(second=0)


def _local(moment: Moment) -> dt.datetime:
    """What a clock showed where the moment was written."""
    return moment.at.astimezone(dates.tz(moment.zone)).replace(tzinfo=None, microsecond=0)


def _published(evidence: Evidence) -> Iterator[tuple[str, str]]:
    article = evidence.article
    for name in ("datePublished", "dateCreated", "uploadDate"):
        yield from (("json-ld " + name, t) for t in texts(article.get(name), "@value")[:1])
    yield from _meta(evidence, _PUBLISHED)
    yield from _items(evidence, ("datePublished", "dateCreated"))
    yield from _times(evidence, changed=False)


def _shown(evidence: Evidence, found: Cut) -> Iterator[tuple[str, str]]:
    """What the page prints as text, and its address."""
    yield from _printed(found, changed=False)
    if evidence.url and (match := _PATH.search(evidence.url)):
        yield "address", "-".join(match.groups())
    yield from _opening(found)
    yield from _far(found)


def _modified(evidence: Evidence) -> Iterator[tuple[str, str]]:
    yield from (("json-ld dateModified", t) for t in texts(evidence.article.get("dateModified"), "@value")[:1])
    yield from _meta(evidence, _MODIFIED)
    yield from _items(evidence, ("dateModified",))


def _changed(evidence: Evidence, found: Cut | None) -> Iterator[tuple[str, str]]:
    yield from _times(evidence, changed=True)
    if found is not None:
        yield from _printed(found, changed=True)


def _meta(evidence: Evidence, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if pair := evidence.first(name):
            yield "meta " + name, pair[1]


def _items(evidence: Evidence, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        for element in evidence.items.get(name, [])[:3]:
            yield "itemprop " + name, element.get("content") or element.get("datetime") or "".join(element.itertext())


def _times(evidence: Evidence, *, changed: bool) -> Iterator[tuple[str, str]]:
    times = evidence.times[:_MOST_TIMES]
    ranked = sorted(times, key=lambda e: not e.get("pubdate") and "publish" not in (e.get("class") or ""))
    for element in ranked:
        printed = "".join(element.itertext())
        names = element.get("class") or ""
        if bool(dates.CHANGED.search(printed) or dates.CHANGED.search(names)) is changed:
            yield "time", element.get("datetime") or printed


def _printed(found: Cut, *, changed: bool) -> Iterator[tuple[str, str]]:
    """Short pieces that are a date: those near the headline first, of these those whose class says so, in page order; then
    lines that say what was done then."""
    head = next((p.index for p in found.pieces if p.box.tag == "h1"), None)
    ranked = []
    for piece in found.pieces:
        text = piece.text
        if (
            5 < len(text) < _LINE
            and not piece.box.flags & (NAV | FOOTER | FORM)
            and dates.numbered(text)
            and bool(dates.CHANGED.search(text)) is changed
        ):
            named = not _NAMED.isdisjoint(tokens(piece.box.names)) or not _NAMED.isdisjoint(tokens(piece.inline))
            said = changed or bool(dates.SAID.search(text))
            if said or len(text) < (_SHORT if named else _OPENING):
                far = head is not None and not _NEAR[0] <= piece.index - head <= _NEAR[1]
                ranked.append((far, len(text) >= _SHORT, not named, piece.index, piece))
    for *_, piece in sorted(ranked, key=lambda row: row[:4]):
        yield " in ".join(("printed", *piece.box.names.split()[:1])), piece.text


def _far(found: Cut) -> Iterator[tuple[str, str]]:
    """What stands in short parts of the page that were not cut because no prose is near."""
    for element in found.skipped[:_MOST_FAR]:
        text = opening(element)
        if 5 < len(text) < _SHORT and dates.numbered(text) and not dates.CHANGED.search(text):
            yield f"far from text, {element.tag}", text


def _opening(found: Cut) -> Iterator[tuple[str, str]]:
    """A dateline: the date that the first prose begins with."""
    first = next((p.text for p in found.pieces if len(p.text) > _LINE // 2 and p.links * 2 < len(p.text)), "")
    if dates.numbered(first[:12]):
        yield "dateline", first[:_OPENING]
