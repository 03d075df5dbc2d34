"""The bytes of a feed in, a `Feed` out: RSS, Atom and RDF through feedparser, JSON Feed by our own few lines.

The charset is settled here (byte order mark, UTF-8, header, prolog, detection), the document is mended where it is cut
off, and feedparser gets clean bytes: it never sees a URL, so it fetches nothing, and it neither sanitises nor rewrites
markup. Text comes out plain. A hostile document costs feedparser seconds of CPU: callers run `parse` in
`shared.sandbox`.
"""

from __future__ import annotations

import codecs
import html
import io
import re
from typing import Any, Final

import feedparser
import lxml.html
import msgspec
from bs4.dammit import EncodingDetector
from lxml import etree

from services.ingest.feed_dates import utc
from shared import urls
from shared.errors import Rejected
from shared.records import Entry, Feed
from shared.text import digest

MAX_ENTRIES: Final = 10_000
"""Entries read of one document, in its own order; feeds print the newest first."""
MAX_SUMMARY: Final = 5_000
"""Code points kept of a summary: some feeds carry whole articles there."""
MAX_KEY: Final = 1_000
"""Code points kept of a key as it stands; a longer one is replaced by its hash."""

_NO_CHARSETS: Final = ("utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
PROLOG: Final = re.compile(r"^<\?xml[^>]{0,400}\?>\s*")
_PROLOG_CHARSET = re.compile(rb"""^\s*<\?xml[^>]{0,200}encoding\s*=\s*["']([A-Za-z0-9_.:-]{1,40})""")
_HEADER_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_MISC = re.compile(r"\s+|<\?.*?\?>|<!--.*?-->", re.DOTALL)
_DOCTYPE = re.compile(r"<!DOCTYPE\s+(?P<name>[^\s>\[]*)[^\[>]*(?:\[.*?\]\s*)?>", re.DOTALL | re.IGNORECASE)
_ROOT = re.compile(r"<(?P<name>(?:[\w.-]+:)?[\w.-]+)")
_FEED_ROOT = re.compile(r"<(?P<name>(?:[\w.-]+:)?(?:rss|feed|rdf|channel))[\s>]", re.IGNORECASE)
_ITEM_END = re.compile(r"</(?:[\w.-]+:)?(?:item|entry)\s*>", re.IGNORECASE)
_MAILBOX = re.compile(r"\S+@\S+\s+\((?P<name>[^()]+)\)$")
_WHOLE = re.compile(r"https?://[^\s\\]+$", re.IGNORECASE)
_BREAKS = re.compile(r"[ \t\r\n\f]+")
_BLOCK_TAG = re.compile(r"<(?:/?(?:p|div|li|ul|ol|h[1-6]|tr|td|blockquote)\b|br\b)", re.IGNORECASE)
_PERIODS_S: Final = {"hourly": 3600.0, "daily": 86400.0, "weekly": 604800.0, "monthly": 2592000.0, "yearly": 31536000.0}
_MARKUP: Final = ("text/html", "application/xhtml+xml")


def parse(body: bytes, url: str | None, content_type: str | None) -> Feed:
    """The feed in these bytes; `Feed.kind` is rss, atom, rdf or json. Keys are unique within it.

    Args:
        body: the document, content encodings already undone.
        url: where it was fetched from, after redirects: the base of relative links; None leaves them out.
        content_type: the response's Content-Type as sent; only its charset is used.

    Raises:
        Rejected: "empty", "not-a-feed" with what it looks like, "broken-feed" when nothing can be read from it.
    """
    if _is_binary(body):
        raise Rejected("not-a-feed", "This is a binary file, not a feed.")
    text = decode(body, content_type)[0].lstrip("\ufeff").strip()
    if not text:
        raise Rejected("empty", "The answer has no content.")
    if text[0] in "{[":
        return _json_feed(text, url)
    return _xml_feed(text, url)


# The charset


def decode(body: bytes, content_type: str | None) -> tuple[str, str]:
    """Text and the name of its charset: byte order mark, valid UTF-8, header, prolog, detection; the first that fits.

    A header that says Latin-1 is a server's default and loses against the prolog. Single broken bytes in a document
    that says UTF-8 become U+FFFD; characters that XML forbids are left out.
    """
    wide = _wide(body)
    if wide:
        return _clean(body.decode(wide, "replace")), wide
    text = _strict(body, "utf-8")
    if text is not None and not body.isascii():
        return _clean(text), "utf-8"  # no text in another charset is valid UTF-8 by chance, whatever a header claims
    named = [name for name in (_known(_header_charset(content_type)), _known(_prolog_charset(body))) if name]
    for name in sorted(named, key=lambda name: name == "cp1252"):
        text = _strict(body, name)
        if text is not None:
            return _clean(text), name
    return _undeclared(body, "utf-8" in named or body.isascii())


def _undeclared(body: bytes, said_utf8: bool) -> tuple[str, str]:
    lenient = body.decode("utf-8", "replace")
    beyond = sum(1 for char in lenient if char > "\x7f")
    if said_utf8 and lenient.count("\ufffd") * 5 <= beyond:
        return _clean(lenient), "utf-8"
    name = _guessed(b" ".join(part for part in re.split(rb"[<>]", body[:400_000]) if not part.isascii())[:20_000])
    return _clean(body.decode(name, "replace")), name


def _guessed(sample: bytes) -> str:
    """Accented letters stand among ASCII letters, where detectors err; Cyrillic words stand alone, where they do
    not.
    """
    letters, high = len(re.findall(rb"[A-Za-z]", sample)), len(re.findall(rb"[\x80-\xff]", sample))
    among = len(re.findall(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]", sample))
    if among * 2 > high and high * 3 < letters:
        return "cp1252"
    guesses = (_known(guess) for guess in EncodingDetector(sample).encodings)
    return next((guess for guess in guesses if guess and _strict(sample, guess) is not None), "cp1252")


def _strict(body: bytes, name: str) -> str | None:
    try:
        return body.decode(name)
    except (UnicodeError, ValueError, LookupError):  # LookupError: base64 and the like are codecs, but of bytes
        return None


def _known(name: str | None) -> str | None:
    """Python's name of a charset; Latin-1 and ASCII mean Windows-1252, as in browsers."""
    try:
        found = codecs.lookup(name or "").name
    except (LookupError, ValueError):
        return None
    if found in _NO_CHARSETS:
        return None
    return "cp1252" if found in ("iso8859-1", "ascii") else found


def _header_charset(content_type: str | None) -> str | None:
    found = _HEADER_CHARSET.search(content_type or "")
    return found[1] if found else None


def _prolog_charset(body: bytes) -> str | None:
    found = _PROLOG_CHARSET.match(body[:1000])
    return found[1].decode("ascii") if found else None


def _wide(body: bytes) -> str | None:
    """A charset that the first bytes prove: a byte order mark, or the zero beside the first "<" or "{" of UTF-16."""
    marks = {
        codecs.BOM_UTF32_LE: "utf-32",
        codecs.BOM_UTF8: "utf-8-sig",
        codecs.BOM_UTF16_LE: "utf-16",
        codecs.BOM_UTF16_BE: "utf-16",
    }
    for mark, name in marks.items():  # UTF-32 first: its mark starts with that of UTF-16
        if body.startswith(mark):
            return name
    bare = {b"<\x00": "utf-16-le", b"{\x00": "utf-16-le", b"\x00<": "utf-16-be", b"\x00{": "utf-16-be"}
    return bare.get(body[:2])


def _is_binary(body: bytes) -> bool:
    head = body[:1000].lstrip()
    return head.startswith(b"%PDF") or (b"\x00" in head and not _wide(body) and head[:1] not in (b"<", b"{"))


def _clean(text: str) -> str:
    return _ILLEGAL.sub("", text)


# XML, through feedparser


def _xml_feed(text: str, url: str | None) -> Feed:
    root = _root(text)
    if _local(root).lower() not in ("rss", "feed", "rdf", "channel"):
        hidden = _FEED_ROOT.search(text[:65_536])  # a PHP warning printed before the feed
        if hidden is None or root.lower() == "html":
            raise Rejected("not-a-feed", looks_like(text))
        root, text = hidden["name"], text[hidden.start() :]
    parsed = _feedparser(_mended(PROLOG.sub("", text, count=1), root).encode("utf-8"))
    if not parsed["version"] and not parsed["entries"]:
        raise Rejected("not-a-feed", looks_like(text))
    return _from_parsed(parsed, root, url)


def _root(text: str) -> str:
    """The name of the root element, past prolog, comments and doctype; "" when the document does not start with one."""
    at = 0
    while found := _MISC.match(text, at) or _DOCTYPE.match(text, at):
        at = found.end()
    root = _ROOT.match(text, at)
    return root["name"] if root else ""


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _mended(text: str, root: str) -> str:
    """The document, cut after its last whole entry when its end is missing or it holds more than MAX_ENTRIES.

    An entry cut in half would give half a link, which would be fetched.
    """
    ends = [found.end() for found in _ITEM_END.finditer(text)]
    whole = f"</{root}" in text[-2000:]
    if (whole and len(ends) <= MAX_ENTRIES) or not ends:
        return text
    closing = f"</channel></{root}>" if root == "rss" else f"</{root}>"
    return text[: ends[:MAX_ENTRIES][-1]] + closing


def _feedparser(clean: bytes) -> Any:
    try:
        return feedparser.parse(io.BytesIO(clean), sanitize_html=False, resolve_relative_uris=False)
    except Exception as error:  # hostile documents make feedparser raise anything from AssertionError to RecursionError
        raise Rejected("broken-feed", f"It starts like a feed but cannot be read ({type(error).__name__}).") from error


def _from_parsed(parsed: Any, root: str, url: str | None) -> Feed:
    channel = parsed["feed"]
    links = [link for link in channel.get("links", ()) if isinstance(link.get("href"), str)]
    entries = [_entry(raw, url) for raw in parsed["entries"][:MAX_ENTRIES]]
    return Feed(
        kind=_kind(parsed["version"] or "", root),
        title=_text(channel, "title"),
        language=channel.get("language") or None,
        entries=_unique(entries),
        ttl_s=_ttl(channel),
        hub=_by_rel(links, ("hub",), url),
        self_url=_by_rel(links, ("self",), url),
        next_url=_by_rel(links, ("next", "prev-archive"), url),
    )


def _kind(version: str, root: str) -> str:
    if version.startswith("atom") or root.endswith("feed"):
        return "atom"
    return "rdf" if root.endswith("RDF") else "rss"


def _ttl(channel: Any) -> float | None:
    """Seconds between polls that the feed asks for: RSS ttl (minutes), else the syndication module's period."""
    minutes = _number(channel.get("ttl"))
    if minutes:
        return minutes * 60
    period_s = _PERIODS_S.get(str(channel.get("sy_updateperiod")).strip().lower())
    return period_s / max(1.0, _number(channel.get("sy_updatefrequency")) or 1.0) if period_s else None


def _number(printed: object) -> float | None:
    """A positive, finite number; None for anything else."""
    try:
        number = float(str(printed))
    except ValueError:
        return None
    return number if 0 < number < 1e9 else None


def _by_rel(links: list[Any], rels: tuple[str, ...], url: str | None) -> str | None:
    hits = (link["href"] for rel in rels for link in links if rel in str(link.get("rel", "")).lower().split())
    return next((found for href in hits if (found := absolute(href, url))), None)


def _entry(raw: Any, base: str | None) -> Entry:
    link = absolute(_link(raw), base)
    title, summary = _text(raw, "title"), _text(raw, "summary")
    published, updated = _date(raw, "published") or _date(raw, "created"), _date(raw, "updated")
    return Entry(
        key=key(str(raw.get("id") or ""), link, title, summary),
        url=link,
        title=title,
        summary=summary[:MAX_SUMMARY] if summary else None,
        authors=_authors(raw),
        published_raw=published[0] if published else None,
        published_utc=published[1] if published else None,
        updated_raw=updated[0] if updated else None,
        updated_utc=updated[1] if updated else None,
        categories=_distinct(tag.get("term") or tag.get("label") for tag in raw.get("tags") or ()),
    )


def _link(raw: Any) -> str | None:
    """The entry's own page. A guid stands in for a missing link only when it is an address and not just called one."""
    printed = raw.get("link") if raw.get("links") else None  # without links feedparser's link is the guid
    others = (other.get("href") for other in raw.get("links") or () if other.get("rel") == "alternate")
    guid = str(raw.get("id") or "")
    return printed or next((href for href in others if href), None) or (guid if _WHOLE.match(guid) else None)


def _date(raw: Any, field: str) -> tuple[str, str | None] | None:
    printed = raw.get(field) if field in raw else None  # feedparser answers a missing "updated" with "published"
    if not isinstance(printed, str) or not printed.strip():
        return None
    return printed.strip()[:200], utc(printed) or _feedparser_date(raw, field, printed)


def _feedparser_date(raw: Any, field: str, printed: str) -> str | None:
    """feedparser knows further shapes (Korean, Greek, Hungarian months); bare numbers it gets wrong."""
    parts = raw.get(f"{field}_parsed") if f"{field}_parsed" in raw else None
    if not parts or printed.strip().isdigit() or not 1900 <= parts[0] <= 9999:
        return None
    return utc("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*parts[:6]))


def _authors(raw: Any) -> tuple[str, ...]:
    """The authors' names. RSS prints a mailbox with the name behind it, which feedparser cuts apart wrongly for some
    domains.
    """
    mailbox = _MAILBOX.match(str(raw.get("author") or ""))
    names = [author.get("name") for author in raw.get("authors") or ()]
    if mailbox:
        names[-1:] = [mailbox["name"]]
    return _distinct(names) or _distinct([raw.get("author")])


def _text(raw: Any, field: str) -> str | None:
    value = raw.get(field)
    if not isinstance(value, str):
        return None
    detail = raw.get(f"{field}_detail") or {}
    return plain(value) if detail.get("type", "text/html") in _MARKUP else flat(value)


# JSON Feed


def _json_feed(text: str, url: str | None) -> Feed:
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected("not-a-feed", looks_like(text)) from error
    if not isinstance(data, dict) or "jsonfeed.org/version/" not in str(data.get("version")):
        raise Rejected("not-a-feed", looks_like(text))
    items = [item for item in _list(data.get("items")) if isinstance(item, dict)]
    hubs = [hub for hub in _list(data.get("hubs")) if isinstance(hub, dict) and hub.get("type") == "WebSub"]
    return Feed(
        kind="json",
        title=flat(data.get("title")),
        language=_string(data.get("language")),
        entries=_unique([_json_entry(item, url) for item in items[:MAX_ENTRIES]]),
        hub=next((found for hub in hubs if (found := absolute(_string(hub.get("url")), url))), None),
        self_url=absolute(_string(data.get("feed_url")), url),
        next_url=absolute(_string(data.get("next_url")), url),
    )


def _json_entry(item: dict[str, Any], base: str | None) -> Entry:
    link = absolute(_string(item.get("url")) or _string(item.get("external_url")), base)
    title = flat(item.get("title"))
    content = flat(item.get("content_text")) or plain(item.get("content_html"))
    summary = flat(item.get("summary")) or content
    people = [*_list(item.get("authors")), item.get("author")]
    published, updated = _string(item.get("date_published")), _string(item.get("date_modified"))
    return Entry(
        key=key(_string(item.get("id")) or "", link, title, summary),
        url=link,
        title=title,
        summary=summary[:MAX_SUMMARY] if summary else None,
        authors=_distinct(person.get("name") for person in people if isinstance(person, dict)),
        published_raw=published,
        published_utc=utc(published),
        updated_raw=updated,
        updated_utc=utc(updated),
        categories=_distinct(_list(item.get("tags"))),
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: object) -> str | None:
    """A string, or a number in its place: version 1.0 asked readers to take numeric ids."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip() or None


# What feeds, sitemaps and section pages share


def key(identifier: str, link: str | None, title: str | None = None, summary: str | None = None) -> str:
    """The identity of an entry within its source: the guid as it stands, else the canonical URL, else a hash of its
    text.
    """
    found = identifier.strip() or (urls.canonical(link) if link else "text:" + digest(title or "", summary or ""))
    return found if len(found) <= MAX_KEY else "sha256:" + digest(found)


def absolute(link: str | None, base: str | None) -> str | None:
    """A link as an http or https URL: as printed where it is whole, else read relative to `base`; None for anything
    else.
    """
    printed = (link or "").strip()
    joined = urls.absolute(base, printed) if printed else None
    return printed if joined and _WHOLE.match(printed) else joined


def flat(value: object) -> str | None:
    """Text on one line, no-break spaces kept; None when there is nothing."""
    return (_BREAKS.sub(" ", _ILLEGAL.sub("", value)).strip(" ") or None) if isinstance(value, str) else None


def plain(markup: object) -> str | None:
    """The text of an HTML fragment on one line, entities resolved; None when there is nothing."""
    if not isinstance(markup, str):
        return None
    if "<" not in markup:
        return flat(html.unescape(markup))
    spaced = _BLOCK_TAG.sub(lambda tag: " " + tag[0], _ILLEGAL.sub("", markup))
    try:
        tree = lxml.html.fromstring(f"<div>{spaced}</div>")
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return flat(html.unescape(re.sub(r"<[^<>]*>", " ", markup)))
    etree.strip_elements(tree, "script", "style", etree.Comment, with_tail=False)
    return flat("".join(map(str, tree.itertext())))


def looks_like(text: str) -> str:
    """One sentence for the operator: what the document is instead of a feed, and what to do with it."""
    root = _local(_root(text)).lower()
    known = {
        "html": "This is an HTML page; add it with --kind listing, or give the address of its feed.",
        "urlset": "This is a sitemap; add it with --kind sitemap.",
        "sitemapindex": "This is a sitemap index; add it with --kind sitemap.",
        "opml": "This is an OPML list of feeds; import it instead of adding it.",
        "opensearchdescription": "This describes a search form, it is no feed.",
        "error": "This is an XML error message.",
    }
    if root in known:
        return known[root]
    if re.search(r"<(?:!doctype html|html|head|body)\b", text[:5000], re.IGNORECASE):
        return known["html"]
    if text[:1] in ("{", "["):
        return "This is JSON, but not a JSON Feed."
    if root:
        return f"This is XML with the root element <{root[:40]}>, which is no feed."
    return f"This is plain text that starts with {flat(text[:40])!r}, not a feed."


def _unique(entries: list[Entry]) -> tuple[Entry, ...]:
    """Keys made unique. A guid given to several addresses names none of them: these entries are known by their URL.

    The same guid with the same address twice is one entry; the first is kept.
    """
    addresses: dict[str, set[str | None]] = {}
    for entry in entries:
        addresses.setdefault(entry.key, set()).add(entry.url)
    kept: dict[str, Entry] = {}
    for entry in entries:
        own = entry
        if len(addresses[entry.key]) > 1 and entry.url:
            own = msgspec.structs.replace(entry, key=key("", entry.url))
        kept.setdefault(own.key, own)
    return tuple(kept.values())


def _distinct(values: Any) -> tuple[str, ...]:
    texts = (plain(value) for value in values)
    return tuple(dict.fromkeys(text for text in texts if text))
