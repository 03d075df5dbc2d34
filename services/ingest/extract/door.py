"""A fetched page in, a Draft out: the door of the engine. What no stage foresaw becomes a reason code here."""

from __future__ import annotations

import datetime as dt

import msgspec
from lxml import etree

from services.ingest.extract import engine, parse, profiled
from services.ingest.extract.charset import decode
from services.ingest.extract.model import Weights
from services.ingest.profiles import Profile
from shared.errors import Rejected
from shared.records import Draft
from shared.text import shorten


class PageInput(msgspec.Struct, frozen=True):
    """A page as fetched: its bytes, its final URL, the Content-Type header, and when."""

    content: bytes
    url: str | None
    content_type: str | None
    fetched_at: dt.datetime


def draft(page: PageInput, profile: Profile | None = None, learnt: Weights | None = None) -> Draft:
    """What the page says, judged by the shipped weights unless others are given.

    Rejected, and nothing else, for what cannot be read; a page that is no article has a verdict.
    """
    try:
        return _draft(page, profile, learnt)
    except Rejected:
        raise
    except (etree.LxmlError, RecursionError, MemoryError, ValueError, OverflowError, KeyError, IndexError) as error:
        # A hostile page must not stop a worker: what no stage foresaw is quarantined with its bytes.
        raise Rejected("extract-failed", f"{type(error).__name__}: {shorten(str(error))}") from error


def _draft(page: PageInput, profile: Profile | None, learnt: Weights | None) -> Draft:
    if len(page.content) > parse.MAX_BYTES:
        raise Rejected("page-too-large", f"{len(page.content):,} bytes; the limit is {parse.MAX_BYTES:,}.")
    decoded = decode(page.content, page.content_type)
    zone = profile.zone if profile else None
    found = engine.read(decoded, page.url, page.fetched_at, zone, learnt)
    return profiled.apply(profile, found, decoded.text, page.url, page.fetched_at) if profile else found
