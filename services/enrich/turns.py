"""Articles that arrived, changed or went in; what that turned in their sections' status out, as events.

The series of a section is ordered by publication (`services.enrich.status`), so the order of arrival makes no difference, and
what is old never changes the present. An event is carried by the article that says the present value.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import cast

from services.enrich import status
from shared import queue, records
from shared.models import Row
from shared.records import Article, SectionChange, Trend
from shared.store import events, statuses

KIND = events.SECTION
AHEAD = dt.timedelta(days=1)  # a date may be printed in a zone that we can only assume; further ahead is not yet

Before = dict[statuses.Place, Trend]
"""The present of sections before something happened."""


def observe(work: queue.Work, arrived: Sequence[tuple[Row, Article]], gone: Sequence[str]) -> Before:
    """Keeps what these articles say of their sections now. Returns the present of every section touched, as it was before."""
    connection = work.connection
    seen = [
        {"article_id": article.id, "source_id": row["source_id"], "section": article.section,
         "at": article.published.at, "value": article.category_status.value}
        for row, article in arrived
        if article.section and article.published
    ]  # fmt: skip
    ids = [article.id for _, article in arrived] + list(gone)
    touched = statuses.places(connection, ids) | {(one["source_id"], one["section"]) for one in seen}
    before = {place: _present(work, place) for place in sorted(touched)}
    statuses.observe(connection, seen, set(ids) - {one["article_id"] for one in seen})
    return before


def tell(work: queue.Work, before: Before) -> None:
    """Logs an event for every section whose present is another than before."""
    turned = [(place, was) for place, was in before.items() if _present(work, place) != was]
    if not turned:
        return
    names = statuses.source_names(work.connection, {source for (source, _), _ in turned})
    for place, was in turned:
        _tell(work, place, was, names[place[0]])


def _tell(work: queue.Work, place: statuses.Place, was: Trend, source: str) -> None:
    found = series(statuses.readings(work.connection, place, work.now + AHEAD, known=True))
    if not found.readings:
        return  # nothing is known any more: no article is left to carry that
    last = found.readings[-1]
    carrier = statuses.carriers(work.connection, [last.article_id]).get(last.article_id)
    if carrier is None:
        return
    told = events.occurrences(work.connection, KIND, [last.article_id]).get(last.article_id, 0)
    ended = found.streaks[-2] if len(found.streaks) > 1 and found.streaks[-2].value == was else None
    change = SectionChange(source, place[1], was, found.current, last.at.isoformat(), streak(ended))
    work.log(events.NewEvent(KIND, last.article_id, carrier["enriched_revision"], carrier["backfill"], told,
                             records.to_json(change).decode()))  # fmt: skip


def series(rows: Sequence[Row]) -> status.Series:
    """The series of one section's observations, as the store has them."""
    return status.series(status.Observation(row["section"], row["at"], row["article_id"], row["value"]) for row in rows)


def streak(found: status.Streak | None) -> records.Streak | None:
    """A streak as it goes out."""
    return found and records.Streak(found.value, found.since.isoformat(), found.until.isoformat(), found.length)


def _present(work: queue.Work, place: statuses.Place) -> Trend:
    return cast(Trend, statuses.newest(work.connection, place, work.now + AHEAD))
