"""Readings of a section's status in, its series out: the present value, flips and streaks, as of any instant.

An article of a section says that the situation improved, stayed or worsened. The series is ordered by when the articles
were published, so the order in which they arrive makes no difference, and an old article never changes the present.
"unknown" says nothing: it is counted and neither flips nor ends a streak.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable
from typing import NamedTuple

from shared.records import Trend


class Observation(NamedTuple):
    """What one revision of one article says about its section. `at` is when the article was published, UTC-aware."""

    section: str
    at: dt.datetime
    article_id: str
    value: Trend
    revision: int = 1


class Flip(NamedTuple):
    """The value became another at this article."""

    at: dt.datetime
    article_id: str
    before: Trend
    after: Trend


class Streak(NamedTuple):
    """`length` readings in a row with the same value, from the first to the last of them."""

    value: Trend
    since: dt.datetime
    until: dt.datetime
    length: int


class Series(NamedTuple):
    """One section's history in the order of publication. `current` is unknown while nothing was read."""

    section: str | None
    readings: tuple[Observation, ...]
    flips: tuple[Flip, ...]
    streaks: tuple[Streak, ...]
    unknown: int

    @property
    def current(self) -> Trend:
        return self.readings[-1].value if self.readings else "unknown"

    @property
    def streak(self) -> Streak | None:
        """The streak that is running."""
        return self.streaks[-1] if self.streaks else None


class Change(NamedTuple):
    """The present value of a section became another: what a `section.status_changed` event says."""

    section: str
    before: Trend
    after: Trend
    at: dt.datetime
    article_id: str
    ended: Streak | None


def series(observations: Iterable[Observation], as_of: dt.datetime | None = None) -> Series:
    """The series of one section.

    Args:
        observations: in any order, of one section; of an article's revisions the highest counts.
        as_of: leave out what was published later.

    Raises:
        ValueError: the observations are of more than one section.
    """
    latest = _latest(observations)
    sections = {seen.section for seen in latest}
    if len(sections) > 1:
        raise ValueError(f"one series, several sections: {', '.join(sorted(sections))}")
    due = sorted((seen for seen in latest if as_of is None or seen.at <= as_of), key=_order)
    readings = tuple(seen for seen in due if seen.value != "unknown")
    return Series(
        next(iter(sections), None), readings, _flips(readings), _streaks(readings), unknown=len(due) - len(readings)
    )


def by_section(observations: Iterable[Observation], as_of: dt.datetime | None = None) -> dict[str, Series]:
    """A series a section; an article whose section was corrected counts in its last one only."""
    parted: dict[str, list[Observation]] = {}
    for seen in _latest(observations):
        parted.setdefault(seen.section, []).append(seen)
    return {section: series(parted[section], as_of) for section in sorted(parted)}


def change(before: Series, after: Series) -> Change | None:
    """What an arrival, a correction or a withdrawal changed at the present end of a section's series, or None.

    A reading that slips in earlier in the series changes flips and streaks of the past, never the present, hence None.
    """
    if before.current == after.current or not (before.readings or after.readings):
        return None
    last = (after.readings or before.readings)[-1]
    return Change(last.section, before.current, after.current, last.at, last.article_id, before.streak)


def _latest(observations: Iterable[Observation]) -> list[Observation]:
    """Of each article the observation of its highest revision."""
    best: dict[str, Observation] = {}
    for seen in observations:
        kept = best.get(seen.article_id)
        # Beyond the revision the whole value decides, so that two that claim the same revision do not race.
        if kept is None or (seen.revision, seen) > (kept.revision, kept):
            best[seen.article_id] = seen
    return list(best.values())


def _order(seen: Observation) -> tuple[dt.datetime, str]:
    return seen.at, seen.article_id


def _flips(readings: tuple[Observation, ...]) -> tuple[Flip, ...]:
    pairs = itertools.pairwise(readings)
    return tuple(Flip(b.at, b.article_id, a.value, b.value) for a, b in pairs if a.value != b.value)


def _streaks(readings: tuple[Observation, ...]) -> tuple[Streak, ...]:
    found: list[Streak] = []
    for seen in readings:
        if found and found[-1].value == seen.value:
            found[-1] = found[-1]._replace(until=seen.at, length=found[-1].length + 1)
        else:
            found.append(Streak(seen.value, seen.at, seen.at, 1))
    return tuple(found)
