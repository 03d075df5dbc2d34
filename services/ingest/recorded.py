"""An article that its publisher states field by field (JSON, as pushed in) in; a Draft out. What is stated is believed.

    {"headline": ..., "text" or "html": the body, "lead"?, "authors"?, "published"?, "modified"?, "section"?, "tags"?,
     "language"?, "site_name"?, "url"?, "id"?}

Dates are ISO 8601; one without a zone is read in the installation's.
"""

from __future__ import annotations

import datetime as dt
import html

import msgspec

from services.ingest.extract import PageInput, draft, draft_text
from services.ingest.extract.dates import parse
from services.ingest.profiles import Profile, Rule
from shared.errors import Rejected
from shared.records import Draft, Moment, Origin, Verdict, from_json

CONTENT_TYPE = "application/vnd.briefwire.record+json"
_RULE = "stated in the pushed record"
_WHOLE = Profile(
    "record", "A pushed record", (), None, dt.date.min, {"headline": Rule("h1"), "body": Rule("body > article")}
)


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The fields of a pushed article; `text` holds paragraphs parted by blank lines, `html` a fragment."""

    headline: str
    text: str | None = None
    html: str | None = None
    lead: str | None = None
    authors: tuple[str, ...] = ()
    published: str | None = None
    modified: str | None = None
    section: str | None = None
    tags: tuple[str, ...] = ()
    language: str | None = None
    site_name: str | None = None
    url: str | None = None
    id: str | None = None


def read(body: bytes) -> Record:
    """The record of a push.

    Raises:
        Rejected: "bad-json" with the field at fault; "no-headline"; "bad-date".
    """
    try:
        record = from_json(body, Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a ValidationError is a DecodeError
        raise Rejected("bad-json", f"{error}.") from None
    if not record.headline.strip():
        raise Rejected("no-headline", "The headline is empty.")
    if (record.text is None) == (record.html is None):
        raise Rejected("bad-json", "Give the body as text or as html.")
    for name in ("published", "modified"):
        _moment(name, getattr(record, name), None)
    return record


def draft_record(body: bytes, fetched_at: dt.datetime, zone: str | None) -> Draft:
    """The stated article as a Draft. Rejected as for `read`, and where the html cannot be read."""
    record = read(body)
    found = _from_html(record, fetched_at) if record.html is not None else _from_text(record, fetched_at, zone)
    stated = {
        "headline": " ".join(record.headline.split()), "lead": record.lead or found.lead, "authors": record.authors,
        "published": _moment("published", record.published, zone) or found.published, "tags": record.tags,
        "modified": _moment("modified", record.modified, zone), "section": record.section, "language": record.language,
        "site_name": record.site_name, "source_item_id": record.id, "canonical_url": record.url,
    }  # fmt: skip
    origins = found.origins | {name: Origin(_RULE) for name, value in stated.items() if value}
    verdict = Verdict() if found.blocks else Verdict("not-an-article", "no-text")
    return msgspec.structs.replace(found, **stated, origins=origins, verdict=verdict, removed=(), missed=())


def _from_text(record: Record, fetched_at: dt.datetime, zone: str | None) -> Draft:
    return draft_text(f"{' '.join(record.headline.split())}\n\n{record.text}", fetched_at, zone)


def _from_html(record: Record, fetched_at: dt.datetime) -> Draft:
    """By the engine, with a profile that takes all of the fragment: nothing of a stated body is judged away."""
    title = html.escape(record.headline)
    page = f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1><article>{record.html}</article></body></html>"
    given = PageInput(page.encode("utf-8", "replace"), record.url, "text/html; charset=utf-8", fetched_at)
    return msgspec.structs.replace(draft(given, _WHOLE), published=None)


def _moment(name: str, raw: str | None, zone: str | None) -> Moment | None:
    if raw is None:
        return None
    found = parse(raw, zone)
    if found is None:
        raise Rejected("bad-date", f"{name}: {raw[:60]!r} is no date; write it as 2026-05-04T12:00:00+02:00.")
    return found
