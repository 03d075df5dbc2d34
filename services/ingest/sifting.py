"""Extracted pages, judged before they are stored: those that look unlike their source's others wait, and people are told.

One page that is odd waits alone, until the next ones tell: where they are usual it goes on, unless it is bad whatever they are
like. Where several are odd the whole source is held until its pages are usual again or somebody releases it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec

from services.ingest import drift
from services.ingest.normalise import Extracted
from shared.models import Row
from shared.queue import Failure, Work
from shared.records import to_json
from shared.store import drift as stored
from shared.store import installation

T = TypeVar("T")
Result = tuple[Extracted, T] | Failure
COUNTED = frozenset(("empty-body", "no-headline", "not-an-article"))
"""Failures that a changed layout brings about; a crash or a lost connection says nothing about it."""


class _Source:
    """One source's memory while a batch passes."""

    def __init__(self, row: Row) -> None:
        self.id: int = row["source_id"]
        self.state = drift.read(row["state"])
        self.held = row["held_at"] is not None
        self.alarm = self.ended = False
        self.goes: list[int] = []
        self.verdict = drift.Verdict()
        self.examples: list[Row] = []

    def judged(self, row: Row, found: Extracted) -> str | None:
        """Why a page has to wait; None where it may pass."""
        if found.shape is None:
            return None
        if row["held_page"] is not None and row["held_page"] == row["page_id"]:  # a person or the next pages sent it on
            self.state = drift.after(self.state, "usual", found.shape)
            return None
        verdict = drift.judge(self.state, found.shape)
        self._count(verdict.outcome, None if verdict.odd or self.held else found.shape, verdict)
        if not verdict.odd:
            return stored.AS_USUAL if self.held else None
        hears = not self.held and not verdict.sure
        self.state = drift.set_aside(self.state, row["id"], found.shape, hears=hears)
        self.examples.append(
            {"entry_id": row["id"], "url": row["url"], "headline": found.article.headline, "reasons": verdict.reasons}
        )
        return " ".join(verdict.reasons)

    def failed(self, row: Row, failure: Failure) -> None:
        """A page that gave no record at all."""
        if failure.reason in COUNTED:
            self._count("failed", None, None)
            self.examples.append(
                {"entry_id": row["id"], "url": row["url"], "headline": None, "reasons": (failure.detail,)}
            )

    def _count(self, outcome: drift.Outcome, shape: drift.Shape | None, verdict: drift.Verdict | None) -> None:
        self.state = drift.after(self.state, outcome, shape)
        if verdict is not None and verdict.weight > self.verdict.weight:
            self.verdict = verdict
        if self.held and drift.in_a_row(self.state) >= drift.AGAIN_USUAL:
            self.held, self.alarm, self.ended = False, False, True
        elif not self.held and drift.alarmed(self.state):
            self.held = self.alarm = True
            self.state = msgspec.structs.replace(self.state, alone=())  # they wait with the rest from now on
        elif not self.held:
            goes, self.state = drift.told(self.state)
            self.goes += goes


class Sifted(NamedTuple):
    """`waits`: entry id -> why it has to wait; `held`: ids of the sources that are held."""

    waits: dict[int, str]
    held: frozenset[int]


def sift(work: Work, results: Sequence[tuple[Row, Result[T]]], kinds: dict[int, str]) -> Sifted:
    """Judges a batch of claimed entries that are about to be stored; `kinds` are their sources'.

    What was pushed in, and a record without a shape, is not judged.
    """
    judged = [(row, result) for row, result in results if kinds.get(row["source_id"]) not in (None, "push")]
    if not judged:
        return Sifted({}, frozenset())
    rows = stored.load(work.connection, {row["source_id"] for row, _ in judged})
    sources = {source_id: _Source(row) for source_id, row in rows.items()}
    waits: dict[int, str] = {}
    for row, result in judged:
        source = sources[row["source_id"]]
        if isinstance(result, Failure):
            source.failed(row, result)
        elif why := source.judged(row, result[0]):
            waits[row["id"]] = why
    for source in sources.values():
        _let_go(work, source, waits)
        _keep(work, source)
    return Sifted(waits, frozenset(source.id for source in sources.values() if source.held))


def _let_go(work: Work, source: _Source, waits: dict[int, str]) -> None:
    """Sends on what was odd alone, and after a hold what looked as usual: those of this batch at once, earlier ones read again."""
    if source.ended and not source.held:
        source.goes += [entry_id for entry_id, why in waits.items() if why == stored.AS_USUAL]
        source.goes += stored.end(work.connection, source.id)
        name = stored.name_of(work.connection, source.id)
        why = f"Its last {drift.AGAIN_USUAL} pages look as usual; the hold ended by itself."
        installation.audit(work.connection, "briefwire", "source.drift", f"source {name}", why, work.now)
    earlier = [one for one in source.goes if waits.pop(one, None) is None]
    if earlier:
        work.ring("page.fetched", stored.send_on(work.connection, earlier, work.now))


def _keep(work: Work, source: _Source) -> None:
    stored.save(work.connection, source.id, to_json(source.state))
    if source.alarm:
        reasons = source.verdict.reasons or ("Pages give no record any more; before, they did.",)
        stored.hold(work.connection, source.id, reasons, source.examples, work.now)
        name = stored.name_of(work.connection, source.id)
        installation.audit(
            work.connection, "briefwire", "source.drift", f"source {name}", " ".join(reasons)[:500], work.now
        )
    elif source.held and source.examples:
        stored.add_examples(work.connection, source.id, source.examples)
