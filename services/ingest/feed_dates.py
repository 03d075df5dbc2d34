"""A date as feeds, sitemaps and section pages print it in, an instant out: ISO 8601 in UTC with +00:00, or None.

Read are RFC 3339 and its looser cousins, RFC 822 with numeric zones or the zone names of Europe and North America, Unix
seconds, and dates with month names in English, Belarusian, Russian or Ukrainian. A date without a zone is taken as UTC:
feeds carry no better hint, and the article's own page is asked afterwards.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

_LIMIT: Final = 80
"""Longer strings are prose, not dates."""

_FIRST_YEAR: Final = 1900
"""Systems without a date print the year 1; the press archives put online start about here."""

_HOURS: Final = {
    "UT": 0, "UTC": 0, "GMT": 0, "Z": 0, "WET": 0,
    "BST": 1, "CET": 1, "MEZ": 1, "WEST": 1,
    "CEST": 2, "MESZ": 2, "EET": 2, "SAST": 2,
    "EEST": 3, "MSK": 3, "TRT": 3, "MSD": 4,
    "EDT": -4, "EST": -5, "CDT": -5, "CST": -6, "MDT": -6, "MST": -7, "PDT": -7, "PST": -8,
}  # fmt: skip
"""Zone names to hours east. feedparser reads the names it does not know as UTC, which is three hours off in Moscow."""

_STEMS: Final = (
    ("jan", "янв", "студ", "січ"), ("feb", "фев", "лют"), ("mar", "мар", "сак", "бер"), ("apr", "апр", "крас", "кві"),
    ("may", "май", "мая", "траў", "трав"), ("jun", "июн", "чэрв", "черв"), ("jul", "июл", "ліп", "лип"),
    ("aug", "авг", "жні", "серп"), ("sep", "сен", "вер"), ("oct", "окт", "кастр", "жовт"),
    ("nov", "ноя", "ліст", "лист"),
    ("dec", "дек", "снеж", "груд"),
)  # fmt: skip
_BY_STEM: Final = {stem: number for number, stems in enumerate(_STEMS, 1) for stem in stems}
_BY_STEM_LONGEST_FIRST: Final = sorted(_BY_STEM, key=len, reverse=True)

_CLOCK = r"(?:[,\sT]*(?:at|в|у|о)?\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?)?"
_ZONE = r"\s*(?P<zone>[A-Za-z]{1,5}(?=$|[+-])|)(?P<offset>[+-]\d{1,2}(?::?\d{2})?)?(?:\s*\([^)]*\))?"
_WEEKDAY = r"(?:[^\W\d]{2,12}\.?,?\s+)?"
_SHAPES: Final = tuple(
    re.compile(head + _CLOCK + _ZONE + r"$", re.IGNORECASE)
    for head in (
        r"(?P<year>\d{4})-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?",
        r"(?P<year>\d{4})/(?P<month>\d{1,2})/(?P<day>\d{1,2})",
        r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})(?:\s*г(?:ода|\.)?)?",
        _WEEKDAY + r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[\s-]+(?P<name>[^\W\d]{3,12})\.?,?[\s-]+"
        r"(?P<year>\d{4}|\d{2})(?:\s*[гр]\.)?",
        _WEEKDAY + r"(?P<name>[^\W\d]{3,12})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
        r"(?P<year>(?:19|20)\d{2})",
    )
)
_EPOCH = re.compile(r"\d{10}$")


def utc(raw: str | None) -> str | None:
    """The instant of a printed date as ISO 8601 in UTC ("2017-10-02T08:49:00+00:00"), None where it is not
    understood.
    """
    flat = " ".join((raw or "").split())
    if not flat or len(flat) > _LIMIT:
        return None
    try:
        if _EPOCH.match(flat):
            return dt.datetime.fromtimestamp(int(flat), dt.UTC).isoformat()
        return _shaped(flat)
    except (ValueError, OverflowError):  # the 31st of February, a month 13, the year 0
        return None


def _shaped(flat: str) -> str | None:
    found = next((match for shape in _SHAPES if (match := shape.match(flat))), None)
    if found is None:
        return None
    parts = found.groupdict()
    month = _month(parts["name"]) if parts.get("name") else int(parts.get("month") or 1)
    hours = _shift(parts["zone"], parts["offset"])
    if month is None or hours is None:
        return None
    clock = int(parts["hour"] or 0), int(parts["minute"] or 0), min(int(parts["second"] or 0), 59)
    local = dt.datetime(_year(parts["year"]), month, int(parts.get("day") or 1), *clock, tzinfo=dt.UTC)
    return (local - hours).isoformat()


def _year(digits: str) -> int:
    """RFC 822 wrote years with two digits; 70 and later are the last century's."""
    year = int(digits)
    if len(digits) == 2:
        year += 1900 if year >= 70 else 2000
    if year < _FIRST_YEAR:
        raise ValueError(digits)
    return year


def _month(name: str) -> int | None:
    lowered = name.lower()
    return next((_BY_STEM[stem] for stem in _BY_STEM_LONGEST_FIRST if lowered.startswith(stem)), None)


def _shift(zone: str, offset: str | None) -> dt.timedelta | None:
    """How far local time is ahead of UTC; None for a zone name we do not know."""
    if offset:
        sign = -1 if offset[0] == "-" else 1
        digits = offset[1:].replace(":", "")
        hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
        return sign * dt.timedelta(hours=int(hours), minutes=int(minutes))
    known = _HOURS.get(zone.upper()) if zone else 0
    return None if known is None else dt.timedelta(hours=known)
