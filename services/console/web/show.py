"""Values in, texts for people out: ages, counts, rates, sizes, instants. Pure; the templates' filters."""

from __future__ import annotations

import datetime as dt
import urllib.parse
from collections.abc import Callable
from typing import Any

NOTHING = "–"


def age(seconds: float | None) -> str:
    """A duration in one unit: "0.4 s", "12 s", "3 min", "5 h", "2 d"; a dash for None."""
    if seconds is None:
        return NOTHING
    if seconds < 0.0005:
        return "0 s"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, size, unit in ((10, 1, "s"), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}" if limit == 10 else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def count(n: float | None) -> str:
    """A whole number with thin spaces between thousands."""
    return NOTHING if n is None else f"{int(n):,}".replace(",", "\u202f")


def rate(per_second: float | None) -> str:
    """A rate a second, with as many digits as mean something."""
    if per_second is None:
        return NOTHING
    if per_second == 0:
        return "0"
    return f"{per_second:.2f}" if per_second < 1 else f"{per_second:.1f}" if per_second < 100 else count(per_second)


def share(part: float, whole: float) -> str:
    """A share in per cent, never rounded up to 100."""
    if not whole:
        return NOTHING
    percent = 100 * part / whole
    return "100 %" if part >= whole else f"{min(percent, 99.9):.1f} %"


def size(n: int | None) -> str:
    """Bytes in kB or MB."""
    if n is None:
        return NOTHING
    return f"{n} B" if n < 1000 else f"{n / 1000:.1f} kB" if n < 1_000_000 else f"{n / 1_000_000:.1f} MB"


def moment(at: dt.datetime | None) -> str:
    """An instant in UTC to the second."""
    return NOTHING if at is None else f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def clock(at: dt.datetime | None) -> str:
    """The time of day in UTC to the millisecond."""
    return NOTHING if at is None else f"{at.astimezone(dt.UTC):%H:%M:%S.%f}"[:-3]


def iso(at: dt.datetime) -> str:
    """For the datetime attribute."""
    return at.astimezone(dt.UTC).isoformat()


def since(at: dt.datetime | None, now: dt.datetime) -> str:
    """How long ago, or how far ahead: "3 min ago", "in 12 s"."""
    if at is None:
        return NOTHING
    seconds = (now - at).total_seconds()
    return f"{age(seconds)} ago" if seconds >= 0 else f"in {age(-seconds)}"


def web_link(url: str | None) -> str | None:
    """The URL where a browser may follow it: http and https only."""
    return url if url and url.partition(":")[0].lower() in ("http", "https") else None


def short(text: str | None, most: int = 120) -> str:
    """The beginning of a long text."""
    if not text:
        return NOTHING
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def part(text: str) -> str:
    """A text as one part of a path."""
    return urllib.parse.quote(str(text), safe="")


FILTERS: dict[str, Callable[..., Any]] = {
    "age": age, "count_": count, "rate": rate, "share": share, "size": size, "moment": moment, "clock": clock, "iso": iso,
    "since": since, "web_link": web_link, "short": short, "part": part,
}  # fmt: skip
