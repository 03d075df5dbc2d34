"""Published briefs and a moment's front page, in; the markup and the feed that a news site would serve, out.

The markup has what makes such sites hard to read by machine: a status that is only an icon, a date without a zone, a
credit that looks like a host name, share bars, a cookie bar, a newsletter form, and another brief printed below.
"""

from __future__ import annotations

import datetime as dt
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import format_datetime
from functools import cache
from html import escape
from zoneinfo import ZoneInfo

import jinja2

from services.console.demo.content import SECTIONS, Brief

SITE = "Kelmora Monitor"
ZONE = "Europe/Tallinn"
TRENDS = {"improved": "trend-better", "unchanged": "trend-steady", "worsened": "trend-worse"}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True)
class Item:
    """A brief that is out: when it was published and last changed, UTC-aware, and the zone its page prints."""

    brief: Brief
    published: dt.datetime
    modified: dt.datetime
    zone: str = ZONE

    @property
    def printed(self) -> str:
        """The date as the page prints it: local, to the minute, no zone; in figures on pages that are not English."""
        local = self.published.astimezone(ZoneInfo(self.zone))
        if self.brief.language != "en":
            return f"{local:%d.%m.%Y %H:%M}"
        return f"{local.day} {_MONTHS[local.month - 1]} {local.year}, {local:%H:%M}"

    @property
    def summary(self) -> str:
        """The feed's description: the lead as markup."""
        return f"<p>{escape(self.brief.lead, quote=False)}</p>"


_templates = jinja2.Environment(
    loader=jinja2.PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
_templates.globals.update(site=SITE, sections=SECTIONS, kind="brief", language="en", number=None)
_templates.filters["rfc822"] = format_datetime
_templates.filters["rfc3339"] = lambda at: at.isoformat(timespec="milliseconds")


def brief(item: Item, base: str, similar: Sequence[Item] = (), most_read: Sequence[Brief] = ()) -> bytes:
    """One brief's page. `similar` are the items its "Similar articles" block prints; empty leaves the block out."""
    one = item.brief
    template = "about.html.j2" if one.kind == "about" else "brief.html.j2"
    return _render(
        template,
        title=one.headline,
        path=one.path,
        base=base,
        brief=one,
        kind=one.kind,
        language=one.language,
        number=None if one.kind == "about" else one.number,
        printed=item.printed,
        trend=TRENDS.get(one.status or ""),
        similar=similar,
        most_read=most_read,
    )


def listing(title: str, path: str, items: Sequence[Item], base: str) -> bytes:
    """The front page or a section's page: headline, printed date and lead of each item."""
    return _render("listing.html.j2", title=title, path=path, items=items, base=base, kind="list")


def feed(items: Sequence[Item], base: str) -> bytes:
    """RSS 2.0 of the items in the order given; links are absolute."""
    return _render("rss.xml.j2", items=items, base=base)


@cache
def grey_pixel() -> bytes:
    """A PNG of one grey pixel: every picture of the site."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\x99")) + chunk(b"IEND", b"")


def _render(template: str, **values: object) -> bytes:
    return _templates.get_template(template).render(values).encode()
