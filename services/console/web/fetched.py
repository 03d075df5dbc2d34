"""The page that a revision was read from: for a frame beside the record, and as its source. Rows in, answers out.

The frame's document is sanitised in a sandbox of its own (`services.console.fetched`) and answered under a policy that allows
one inline style, named by its digest, and nothing else: no script, no picture, no form, no link that leads anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape

from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute

from services.console.fetched import Framed
from services.console.web import guard
from services.console.web.desk import STATIC, Desk
from services.console.web.guard import Call, Refused
from shared import records
from shared.errors import Rejected, Retryable
from shared.models import Row
from shared.store import desk as rows
from shared.store import intake

SHOWN = 60_000
"""Characters of a page's source that are shown: the desk's pages stay small."""


def framed(call: Call) -> Response:
    """The page as fetched, for the frame."""
    row, page = _kept(call)
    try:
        shown: Framed = call.desk.framer.call(page["body"], page["content_type"], row["record"])
    except Rejected as error:
        shown = Framed(f"<p>It cannot be shown: {escape(error.detail or error.reason)}</p>", "", False)
    cut = "<p class='note'>Only its beginning is shown.</p>" if shown.cut else ""
    theme = call.request.cookies.get("theme", "")
    style = _STYLE + shown.style
    document = (
        f"<!doctype html><html lang='en' data-theme='{theme if theme in guard.THEMES else ''}'><head><meta charset='utf-8'>"
        f"<title>The page as fetched</title><style>{style}</style></head><body>{cut}{shown.markup}</body></html>"
    )
    return HTMLResponse(document, headers=policy(style))


def policy(style: str) -> dict[str, str]:
    """The headers of a document from outside: it may have this style and nothing else, and only our own pages may frame it."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"
    return {"Content-Security-Policy": allowed, "X-Frame-Options": "SAMEORIGIN"}


def source(call: Call) -> Response:
    """The page as it came, as text, with the places marked where the record's values stand."""
    row, page = _kept(call)
    record = records.from_json(row["record"], records.Article)
    text = page["body"].decode("utf-8", "replace")
    pieces = list(marked(text[:SHOWN], record))
    return call.page("page.html", record=record, page=page, cut=len(text) > SHOWN, pieces=pieces)


def _kept(call: Call) -> tuple[Row, Row]:
    """A revision (the newest unless named) and the page that it was read from."""
    article_id, wanted = call.path("article_id"), call.number("revision")
    with call.desk.store.read() as connection:
        revisions = {row["revision"]: row for row in rows.revision_records(connection, article_id)}
        row = revisions.get(wanted or max(revisions, default=0))
        try:
            page = intake.pages(connection, [row["page_id"]]).get(row["page_id"]) if row and row["page_id"] else None
        except Retryable as error:  # the shelf of files does not answer
            raise Refused(503, error.detail) from None
    if row is None or page is None:
        raise guard.not_found("page kept for this revision")
    return row, page


def marked(text: str, record: records.Article) -> Iterator[tuple[str, str]]:
    """(text, field) pieces of a page: field names where a value of the record stands, else empty. Joined they are the text."""
    places = sorted(_places(text, record))
    done = 0
    for start, end, field in places:
        if start >= done:
            yield text[done:start], ""
            yield text[start:end], field
            done = end
    yield text[done:], ""


def _places(text: str, record: records.Article) -> Iterator[tuple[int, int, str]]:
    values = [("headline", record.headline), ("section", record.section or ""), ("lead", (record.lead or "")[:80])]
    values += [("author", name) for name in record.authors]
    values += [("published", record.published.raw)] if record.published else []
    values += [("body", records.block_text(block)[:60]) for block in record.blocks]
    for field, value in values:
        start, n = text.find(value) if len(value) > 2 else -1, 0
        while start >= 0 and n < 5:
            yield start, start + len(value), field
            start, n = text.find(value, start + len(value)), n + 1


_STYLE = (STATIC / "frame.css").read_text("utf-8")


def routes(desk: Desk) -> list[BaseRoute]:
    return [
        guard.get(desk, "/articles/{article_id}/page", source),
        guard.get(desk, "/articles/{article_id}/frame", framed),
    ]
