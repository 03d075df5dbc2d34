"""A source, or the address of a page, in; what it lists now and the record that a page of it would become, out. Nothing is stored.

The pages are fetched over the guarded door that the workers use, and read in a sandbox.
"""

from __future__ import annotations

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console import reading
from services.console.tried import Tried
from services.console.web import guard
from services.console.web.desk import Desk
from services.console.web.guard import Call
from services.console.web.reading import Field, body_of, fields_of
from services.ingest import fetch, profiles
from shared.errors import OperatorError, Rejected
from shared.models import Row
from shared.records import Entry
from shared.store import desk as rows

LISTED = 12
UNLISTED = ("push",)
"""Kinds of sources that list nothing: pages come to us."""


class Trial(msgspec.Struct, frozen=True):
    """What a test brought: the page as it came, what it became (None: it could not be read, `problem` says why)."""

    page: fetch.Page
    tried: Tried | None
    problem: str = ""

    @property
    def fields(self) -> list[Field]:
        return fields_of(self.tried.article) if self.tried and self.tried.article else []


def form(call: Call) -> Response:
    """Where a test begins."""
    return call.page("test.html", source=_source(call), url="", entries=[], listed=None, trial=None, problem="")


def run(call: Call) -> Response:
    """Tests the page named, else what the source lists and the newest page of that."""
    source, url = _source(call), call.form.get("url", "").strip()[:2000]
    entries: tuple[Entry, ...] = ()
    listed, trial, problem, status = None, None, "", 200
    try:
        using = reading.profile(
            call.desk.settings.ingest.profiles, source["profile"], source["url"], call.desk.now().date()
        )
        if not url and source["kind"] not in UNLISTED:
            entries = reading.listing(call.desk.door, source["url"], source["kind"], using).entries
            listed, url = len(entries), next((e.url for e in entries if e.url), "")
        elif not url:
            raise OperatorError(
                "Nothing can be asked for: pages are pushed to this source.", "Give the address of a page."
            )
        trial = _try(call, source, url, using) if url else None
    except OperatorError as error:
        problem, status = f"{error.what} {error.next_step}", 422
    return call.page("test.html", status, source=source, url=url, entries=entries[:LISTED], listed=listed, trial=trial, problem=problem,
                     body=body_of(trial.tried.article) if trial and trial.tried and trial.tried.article else [])  # fmt: skip


def _try(call: Call, source: Row, url: str, using: profiles.Profile | None) -> Trial:
    page = reading.page(call.desk.door, url)
    settings = call.desk.settings
    try:
        found = call.desk.reader.call(page, using, settings.ingest.zone, settings.enrich.languages, source["name"])
    except Rejected as error:
        return Trial(page, None, f"{error.detail or error.reason} ({error.reason})")
    return Trial(page, found)


def _source(call: Call) -> Row:
    with call.desk.store.read() as connection:
        row = rows.source(connection, int(call.path("source_id")))
    if row is None:
        raise guard.not_found("such source")
    return row


def routes(desk: Desk) -> list[BaseRoute]:
    return [
        guard.get(desk, "/sources/{source_id:int}/test", form, "operator"),
        guard.post(desk, "/sources/{source_id:int}/test", run, "operator"),
    ]
