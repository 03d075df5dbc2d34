"""A page's head in; which other addresses carry the same article out: its AMP and print versions, its translations.

A page in another language has an address of its own in `hreflang`: it is another article, even where all languages name one
canonical address.
"""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

HEAD = 128 * 1024

_LINK = re.compile(r"<link\s[^<>]{0,2000}>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_SIBLINGS = ("www.", "m.", "mobile.", "amp.", "print.")
_VERSION_KEYS = frozenset(("amp", "print", "printable", "view_print"))
_VERSION_PATH = re.compile(r"(?:/amp|/print|\.amp)/?\Z|\.amp(?=\.html?\Z)", re.IGNORECASE)


def languages(body: bytes, base: str) -> dict[str, str]:
    """The page's translations: absolute address -> language code in lower case, x-default left out."""
    found: dict[str, str] = {}
    for tag in _LINK.findall(body[:HEAD].decode("latin-1")):
        values = {name.lower(): html.unescape(a or b or c).strip() for name, a, b, c in _ATTRIBUTE.findall(tag)}
        code = values.get("hreflang", "").lower()
        if (
            "alternate" in values.get("rel", "").lower().split()
            and values.get("href")
            and code not in ("", "x-default")
        ):
            found.setdefault(_joined(base, values["href"]), code)
    return found


def _joined(base: str, href: str) -> str:
    try:
        return urljoin(base, href)
    except ValueError:
        return href


def translation(url: str, canonical: str, stated: dict[str, str]) -> bool:
    """Whether the page at `url` is a translation of the one at `canonical` rather than a version of it."""
    own, other = _find(stated, url), _find(stated, canonical)
    return own is not None and own != other


def _find(stated: dict[str, str], url: str) -> str | None:
    wanted = url.rstrip("/").partition("://")[2]
    return next((code for one, code in stated.items() if one.rstrip("/").partition("://")[2] == wanted), None)


def same_site(one: str, other: str) -> bool:
    """Whether two hosts are one site: the same but for www, m, amp or print before it."""
    return _bare(one) == _bare(other)


def _bare(host: str) -> str:
    host = host.lower()
    for prefix in _SIBLINGS:
        if host.startswith(prefix) and host.count(".") >= 2:
            return host.removeprefix(prefix)
    return host


def whole(url: str) -> str:
    """The address without what marks an AMP or print version of it."""
    parts = urlsplit(url)
    path = _VERSION_PATH.sub("", parts.path)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = [
        (k, v) for k, v in pairs if k.lower() not in _VERSION_KEYS and (k.lower(), v.lower()) != ("outputtype", "amp")
    ]
    query = parts.query if len(kept) == len(pairs) else urlencode(kept)
    if path == parts.path and query == parts.query:
        return url
    return parts._replace(path=path or "/", query=query).geturl()
