"""Text of a page in, a Draft out: calls every stage in order and decides nothing itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import islice
from typing import Any

from services.ingest.extract import blocks, body, choose, fields, moments, parse, related, verdict
from services.ingest.extract.charset import Decoded
from services.ingest.extract.evidence import Evidence, gather
from services.ingest.extract.images import embeds, images
from services.ingest.extract.model import Weights
from shared.records import Block, Draft, Image, Origin, Paragraph, Related, Removed
from shared.text import shorten

MAX_REMOVED = 40
"""So many left-out texts are kept with a record; a page of ten thousand teasers must not grow it without bound."""
MAX_SKIPPED = 10


def read(
    decoded: Decoded,
    url: str | None,
    fetched_at: dt.datetime,
    zone: str | None,
    learnt: Weights | None,
) -> Draft:
    """The engine's own reading of a page, without a profile. `zone` holds for dates that state none."""
    root, found = parse.page(decoded)
    microdata = b"itemprop" in decoded.utf8 if decoded.utf8 else "itemprop" in decoded.text
    evidence = gather(root, url, found.loose, microdata=microdata)
    offers = fields.title_offers(evidence, found)
    printed = related.find(found)
    choice = choose.choose(found, evidence, fields.Titles(o.value for o in offers), printed, learnt)
    headline, headline_origin = fields.settle(offers)
    made, pictures = content(found, choice.body, evidence, {block.box for block in printed})
    origins = {"headline": headline_origin, "blocks": Origin("engine")}
    values = _fields(evidence, found, fetched_at, zone, origins)
    lead, origins["lead"] = _lead(choice, made)
    return Draft(
        headline=headline,
        lead=lead,
        blocks=made,
        images=pictures,
        related=tuple(_related(printed, found, choice, evidence, zone)),
        removed=_removed(choice, found.skipped),
        verdict=verdict.judge(choice.body, found, evidence, headline, decoded),
        origins={name: origin for name, origin in origins.items() if origin},
        charset=decoded.charset,
        charset_evidence=decoded.evidence,
        **values,
    )


def _related(
    printed: Sequence[related.Printed], found: blocks.Cut, choice: choose.Choice, evidence: Evidence, zone: str | None
) -> list[Related]:
    """The entries of the blocks among the text, then of those below the article that show by their shape."""
    entries = related.read(printed, found, evidence, zone)
    for part, block in related.beyond(found, choice.body[-1].index) if choice.body else ():
        entries = related.read(block, part, evidence, zone, entries)
    return entries


def _lead(choice: choose.Choice, made: Sequence[Block]) -> tuple[str | None, Origin | None]:
    """The standfirst where the page prints one apart from the text, else the first paragraph."""
    if choice.dek:
        return "\n".join(piece.text for piece in choice.dek), Origin("standfirst")
    first = next((block.text for block in made if isinstance(block, Paragraph)), None)
    return first, Origin("first paragraph") if first else None


def content(
    found: blocks.Cut, chosen: Sequence[blocks.Piece], evidence: Evidence, barred: set[blocks.Box]
) -> tuple[tuple[Block, ...], tuple[Image, ...]]:
    """Typed blocks with the embeds among them, and the images placed between them."""
    made, starts = body.assemble(chosen, evidence)
    for at, embed in reversed(embeds(found, chosen, evidence, barred)):
        place = sum(start < at for start in starts)
        made.insert(place, embed)
        starts.insert(place, at)
    return tuple(made), tuple(images(found, chosen, starts, evidence, barred))


def _fields(
    evidence: Evidence, found: blocks.Cut, fetched_at: dt.datetime, zone: str | None, origins: dict[str, Origin | None]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    values["authors"], origins["authors"] = fields.authors(evidence, found)
    values["section"], origins["section"] = fields.section(evidence)
    values["tags"], origins["tags"] = fields.tags(evidence)
    values["language"], origins["language"] = fields.language(evidence)
    values["canonical_url"], origins["canonical_url"] = fields.canonical(evidence)
    values["site_name"], origins["site_name"] = fields.site_name(evidence)
    values["published"], origins["published"] = moments.published(evidence, found, fetched_at, zone)
    values["modified"], origins["modified"] = moments.modified(evidence, fetched_at, zone, found)
    return values


def _removed(choice: choose.Choice, skipped: Sequence[Any]) -> tuple[Removed, ...]:
    """What was left out: pieces with the reason, and of each part of the page far from any prose the beginning."""
    left = islice(choice.left, MAX_REMOVED)
    far = ((blocks.opening(element), f"far from text, {element.tag}") for element in skipped[:MAX_SKIPPED])
    pieces = (Removed(p.text if len(p.text) <= 200 else shorten(p.text), reason) for p, reason in left)
    return (*pieces, *(Removed(text, reason) for text, reason in far if text))


def all_of(part: blocks.Cut) -> list[blocks.Piece]:
    """All pieces of a part that a profile vouches for, without the captions and credits of its pictures."""
    return [piece for piece in part.pieces if not choose.caption(piece)]
