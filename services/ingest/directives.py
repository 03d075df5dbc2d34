"""A page's head and headers in, what it asks of robots out: noarchive, nofollow, noindex, as far as they are meant for us.

    <meta name="robots" content="noarchive">    X-Robots-Tag: noarchive, nofollow    X-Robots-Tag: briefwire: noindex

`none` is noindex and nofollow; after `unavailable_after` a page counts as noindex. What names another robot is not for us.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import html
import re
from collections.abc import Iterator, Mapping

ASKED = ("noarchive", "nofollow", "noindex")
HEAD = 128 * 1024
"""Bytes of a page in which its meta tags are looked for."""

_META = re.compile(r"<meta\s[^<>]{0,2000}>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_NAMES_A_ROBOT = re.compile(r"\s*([\w-]+)\s*:(.*)", re.DOTALL)
_WITH_VALUE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
_MEANT = {"none": ("noindex", "nofollow"), "nocache": ("noarchive",)}


def read(headers: Mapping[str, str], body: bytes, now: dt.datetime, agent: str = "briefwire") -> tuple[str, ...]:
    """Which of `ASKED` hold for us at `now`, sorted. `headers` have names in lower case; `agent` is our product token."""
    found: set[str] = set()
    for text in (*_header(headers.get("x-robots-tag", ""), agent), *_metas(body, agent)):
        found |= _meant(text, now)
    return tuple(sorted(found))


def _header(value: str, agent: str) -> Iterator[str]:
    """The rules of a header that are meant for us: a robot's name holds until the next one."""
    for_us, dated = True, ""
    for part in value.split(","):
        named = _NAMES_A_ROBOT.fullmatch(part)
        if named and named[1].lower() not in _WITH_VALUE:
            for_us, part = named[1].lower() in ("robots", agent), named[2]
        if dated:  # a date of RFC 850 or 822 has a comma of its own
            part, dated = f"{dated},{part}", ""
        elif re.match(r"\s*unavailable_after\s*:\s*\w+\s*\Z", part, re.IGNORECASE):
            dated = part
            continue
        if for_us:
            yield part


def _metas(body: bytes, agent: str) -> Iterator[str]:
    head = _COMMENT.sub(" ", body[:HEAD].decode("latin-1"))
    for tag in _META.findall(head):
        values = {name.lower(): html.unescape(a or b or c) for name, a, b, c in _ATTRIBUTE.findall(tag)}
        if values.get("name", "").strip().lower() in ("robots", agent):
            yield from _split(values.get("content", ""))


def _split(content: str) -> Iterator[str]:
    return _header(content, "robots")


def _meant(text: str, now: dt.datetime) -> set[str]:
    word, _, value = text.strip().lower().partition(":")
    if word.strip() == "unavailable_after":
        return {"noindex"} if _past(value.strip(), now) else set()
    return {one for one in _MEANT.get(word.strip(), (word.strip(),)) if one in ASKED}


def _past(text: str, now: dt.datetime) -> bool:
    for read_ in (dt.datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            at = read_(text.upper())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return (at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at) < now
    return False
