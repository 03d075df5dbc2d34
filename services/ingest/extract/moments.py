"""Evidence and pieces in, the moments of publication and change out, each with the rule that gave it and what lost.

Order of trust: JSON-LD, meta, itemprop, <time>, a printed date near the title, the address.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence

from services.ingest.extract import dates
from services.ingest.extract.blocks import Cut
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
_CHANGED = re.compile(r"\b(updated?|modified|aktualisiert|actualizado|mis à jour|обновлен|aggiornato|bijgewerkt)", re.I)
_PATH = re.compile(r"/((?:19|20)\d\d)[/-]?(\d\d)[/-]?(\d\d)(?!\d)")


def published(
    evidence: Evidence, found: Cut, fetched_at: dt.datetime, zone: str | None
) -> tuple[Moment | None, Origin | None]:
    """When the article first appeared, None when the page does not say."""
    stated = _first(_published(evidence), fetched_at, zone)
    return stated if stated[0] else _first(_shown(evidence, found), fetched_at, zone)


def modified(evidence: Evidence, fetched_at: dt.datetime, zone: str | None) -> tuple[Moment | None, Origin | None]:
    """When the article was last changed, as stated."""
    return _first(_modified(evidence), fetched_at, zone)


def _first(
    offers: Iterator[tuple[str, str]], fetched_at: dt.datetime, zone: str | None
) -> tuple[Moment | None, Origin | None]:
    """The first offer that is a date not after the fetch wins; offers of other days are kept as lost."""
    won: tuple[str, Moment] | None = None
    lost: list[Losing] = []
    for rule, raw in offers:
        moment = dates.parse(raw, zone)
        if moment is None or not _sane(moment, fetched_at):
            continue
        if won is None:
            won = rule, moment
        elif moment.utc != won[1].utc and len(lost) < 5:
            lost.append(Losing(rule, moment.raw[:60]))
    return (won[1], Origin(won[0], tuple(lost))) if won else (None, None)


def _sane(moment: Moment, fetched_at: dt.datetime) -> bool:
    return moment.at.year >= 1990 and moment.at <= fetched_at + dt.timedelta(days=2)


def _published(evidence: Evidence) -> Iterator[tuple[str, str]]:
    article = evidence.article
    for key in ("datePublished", "dateCreated", "uploadDate"):
        yield from (("json-ld " + key, t) for t in texts(article.get(key), "@value")[:1])
    yield from _meta(evidence, _PUBLISHED)
    yield from _items(evidence, ("datePublished", "dateCreated"))
    yield from _times(evidence)


def _shown(evidence: Evidence, found: Cut) -> Iterator[tuple[str, str]]:
    """What the page prints as text, and its address."""
    yield from _printed(found)
    if evidence.url and (match := _PATH.search(evidence.url)):
        yield "address", "-".join(match.groups())


def _modified(evidence: Evidence) -> Iterator[tuple[str, str]]:
    yield from (("json-ld dateModified", t) for t in texts(evidence.article.get("dateModified"), "@value")[:1])
    yield from _meta(evidence, _MODIFIED)
    yield from _items(evidence, ("dateModified",))


def _meta(evidence: Evidence, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if pair := evidence.first(name):
            yield "meta " + name, pair[1]


def _items(evidence: Evidence, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        for element in evidence.items.get(name, [])[:3]:
            yield "itemprop " + name, element.get("content") or element.get("datetime") or element.xpath("string()")


def _times(evidence: Evidence) -> Iterator[tuple[str, str]]:
    ranked = sorted(evidence.times[:20], key=lambda e: not e.get("pubdate") and "publish" not in (e.get("class") or ""))
    for element in ranked:
        printed = element.xpath("string()")
        if not _CHANGED.search(printed):
            yield "time", element.get("datetime") or printed


def _printed(found: Cut) -> Iterator[tuple[str, str]]:
    """Short pieces that are a date: those whose class says so first, in page order."""
    short = [p for p in found.pieces if 5 < len(p.text) < 80 and any(c.isdigit() for c in p.text)]
    for named in (True, False):
        for piece in short:
            names = set(tokens(piece.box.names)) | set(tokens(piece.inline))
            if bool(names & _NAMED) is named and not _CHANGED.search(piece.text) and (named or len(piece.text) < 40):
                yield "printed" + (" in " + piece.box.names.split()[0] if named and piece.box.names else ""), piece.text
