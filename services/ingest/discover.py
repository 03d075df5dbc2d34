"""A page, its headers and its site's robots.txt in; the ways to follow the site out, best first, each with why.

    discover(body, url, headers, robots) -> Discovery    what `source add URL` chooses from
    websub(body, url, headers)           -> WebSub       where pushes can be asked for

Nothing is fetched here. Common addresses that nobody confirmed come last and are marked as guesses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from services.ingest import feeds, listings, sitemaps
from services.ingest.extract import charset
from services.ingest.extract.parse import page
from shared import urls
from shared.errors import Rejected
from shared.records import Feed

OfferKind = Literal["feed", "sitemap", "listing"]

_FEED_TYPES: Final = {
    "application/rss+xml": "RSS",
    "application/atom+xml": "Atom",
    "application/rdf+xml": "RDF",
    "application/feed+json": "JSON Feed",
}
_FEED_PATH: Final = re.compile(r"(?:^|/)(?:rss|atom|feeds?)(?:[./_-]|$)|\.(?:rss|atom|rdf)$|(?:^|/)index\.xml$", re.I)
_COMMENTS: Final = re.compile(r"comment|каммент|коммент|камент", re.IGNORECASE)
_GUESSES: Final = (
    ("feed", "/rss.xml"), ("feed", "/feed/"), ("feed", "/rss"), ("feed", "/atom.xml"), ("feed", "/feed.json"),
    ("sitemap", "/news-sitemap.xml"), ("sitemap", "/sitemap.xml"),
)  # fmt: skip
_LINK: Final = re.compile(r"""<([^<>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^",;\s]*))?)*)""")
_PARAM: Final = re.compile(r"""([\w!#$&+.^`|~*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*))""")
_MOST_ANCHORS: Final = 5


class Offer(msgspec.Struct, frozen=True):
    """One way to follow the site. `guess` marks an address that nobody confirmed; `score` ranks, 0 to 100."""

    kind: OfferKind
    url: str
    reason: str
    score: float
    title: str | None = None
    entries: int | None = None
    guess: bool = False


class WebSub(msgspec.Struct, frozen=True):
    """Where to subscribe: the hubs, best first, the topic, and which of header, html, atom, rss, rdf or json said
    so.
    """

    hubs: tuple[str, ...]
    topic: str
    via: str


class Discovery(msgspec.Struct, frozen=True):
    """What a page offers, best first. `page` says what the page itself is."""

    page: Literal["feed", "sitemap", "html", "other"]
    offers: tuple[Offer, ...]
    websub: WebSub | None = None
    title: str | None = None


def discover(body: bytes, url: str, headers: Mapping[str, str], robots: str | None = None) -> Discovery:
    """The ways to follow what stands at a URL.

    Args:
        url: the final address; relative links are read against it.
        headers: the response's; names in any case, several Link headers joined by commas.
        robots: the text of the site's robots.txt, where known.
    """
    content_type = _header(headers, "content-type")
    named = [*_from_robots(robots or "", url)]
    own = _own(body, url, content_type)
    if own is not None:
        what, offer, title = own
        return Discovery(what, _ranked([offer, *named]), websub(body, url, headers), title)
    tree = _tree(body, content_type)
    if tree is None:
        return Discovery("other", _ranked([*_from_header(headers, url), *named, *_guesses(url)]))
    offers = [
        *_from_header(headers, url),
        *_from_tags(tree, url),
        *_from_anchors(tree, url),
        *_listing(tree, body, url, content_type),
    ]
    title = feeds.flat(tree.findtext(".//title"))
    return Discovery("html", _ranked([*offers, *named, *_guesses(url)]), websub(body, url, headers), title)


def _own(
    body: bytes, url: str, content_type: str | None
) -> tuple[Literal["feed", "sitemap"], Offer, str | None] | None:
    """What the document itself is, when it is something to poll."""
    try:
        feed = feeds.parse(body, url, content_type)
    except Rejected:
        return _own_sitemap(body, url, content_type)
    reason = f"The address itself is a feed ({_NAMES[feed.kind]}) with {_count(feed)}."
    return "feed", Offer("feed", url, reason, 100, feed.title, len(feed.entries)), feed.title


_NAMES: Final = {"rss": "RSS", "atom": "Atom", "rdf": "RDF", "json": "JSON Feed"}


def _own_sitemap(
    body: bytes, url: str, content_type: str | None
) -> tuple[Literal["sitemap"], Offer, str | None] | None:
    try:
        sitemap = sitemaps.parse(body, url, content_type)
    except Rejected:
        return None
    what = {"sitemap": "a sitemap", "news-sitemap": "a news sitemap", "sitemap-index": "an index of sitemaps"}
    reason = f"The address itself is {what[sitemap.kind]} with {_count(sitemap)}."
    return "sitemap", Offer("sitemap", url, reason, 100, sitemap.title, len(sitemap.entries)), sitemap.title


def _count(feed: Feed) -> str:
    return "1 entry" if len(feed.entries) == 1 else f"{len(feed.entries)} entries"


def _tree(body: bytes, content_type: str | None) -> Any:
    try:
        tree = page(charset.decode(body, content_type).text)[0]
    except Rejected:
        return None
    return tree if tree.find(".//body") is not None and tree.find(".//body/*") is not None else None


# Links


class _Pointer(msgspec.Struct, frozen=True):
    """A link with its relation: from a header or a tag."""

    rels: frozenset[str]
    href: str
    type: str
    title: str | None


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for known, value in headers.items() if known.lower() == name), None)


def _header_links(headers: Mapping[str, str]) -> Iterator[_Pointer]:
    for target, rest in _LINK.findall((_header(headers, "link") or "")[:20_000]):
        params = {name.lower(): quoted or bare for name, quoted, bare in _PARAM.findall(rest)}
        rels = frozenset(params.get("rel", "").lower().split())
        yield _Pointer(rels, target.strip(), params.get("type", "").lower(), params.get("title") or None)


def _tag_links(tree: Any) -> Iterator[_Pointer]:
    """The <link> elements of the head; a body may carry what readers wrote."""
    for element in tree.iter("link"):
        if element.get("href") and not any(parent.tag == "body" for parent in element.iterancestors()):
            rels = frozenset((element.get("rel") or "").lower().split())
            kind = (element.get("type") or "").lower().partition(";")[0].strip()
            yield _Pointer(rels, element.get("href"), kind, feeds.flat(element.get("title")))


# Offers


def _from_header(headers: Mapping[str, str], url: str) -> Iterator[Offer]:
    return _alternates(_header_links(headers), url, url, 90, "The response's Link header names this {} feed.")


def _from_tags(tree: Any, url: str) -> Iterator[Offer]:
    return _alternates(_tag_links(tree), url, _base(tree, url), 85, "The page names this {} feed in its head.")


def _base(tree: Any, url: str) -> str:
    href = next((element.get("href") for element in tree.iter("base") if element.get("href")), "")
    return urls.absolute(url, href) or url


def _alternates(links: Iterable[_Pointer], url: str, base: str, score: float, says: str) -> Iterator[Offer]:
    for number, link in enumerate(links):
        name = _FEED_TYPES.get(link.type) or (
            "JSON Feed" if link.type == "application/json" and _jsonish(link) else None
        )
        target = feeds.absolute(link.href, base) if name and "alternate" in link.rels else None
        if name and target:
            worth = score - min(number, 20) * 0.5 + _fit(target, url) - (60 if _is_comments(link, target) else 0)
            reason = says.format(name) + (" It carries comments." if _is_comments(link, target) else "")
            yield Offer("feed", target, reason, max(worth, 1.0), link.title)


def _jsonish(link: _Pointer) -> bool:
    """application/json names any API; only an address or title that says feed is one."""
    return "feed" in f"{link.href} {link.title}".lower()


def _is_comments(link: _Pointer, target: str) -> bool:
    return bool(_COMMENTS.search(f"{link.title or ''} {urlsplit(target).path}"))


def _fit(target: str, url: str) -> float:
    """A section's page is better served by its section's feed than by the site's."""
    own = [part for part in urlsplit(url).path.split("/") if part]
    return 5.0 if own and own[-1] in urlsplit(target).path.split("/") else 0.0


def _from_anchors(tree: Any, url: str) -> Iterator[Offer]:
    base, seen = _base(tree, url), 0
    for anchor in tree.iter("a"):
        target = feeds.absolute(anchor.get("href"), base)
        if (
            not target
            or seen >= _MOST_ANCHORS
            or not _same_site(target, url)
            or not _FEED_PATH.search(urlsplit(target).path)
        ):
            continue
        seen += 1
        label = feeds.flat("".join(anchor.itertext()))
        yield Offer(
            "feed", target, "A link on the page looks like a feed's address.", 60 - seen + _fit(target, url), label
        )


def _same_site(target: str, url: str) -> bool:
    hosts = [(urlsplit(address).hostname or "").removeprefix("www.") for address in (target, url)]
    return hosts[0] == hosts[1] or hosts[0].endswith("." + hosts[1])


def _listing(tree: Any, body: bytes, url: str, content_type: str | None) -> Iterator[Offer]:
    try:
        found = listings.parse(body, url, content_type=content_type)
    except Rejected:
        return
    dated = sum(1 for entry in found.entries if entry.published_utc)
    reason = f"The page lists {_count(found)}, {dated} of them dated."
    score = min(30.0 + 2 * len(found.entries), 50.0) + (5 if dated * 2 > len(found.entries) else 0)
    if any("article" in (meta.get("content") or "") for meta in tree.iter("meta") if meta.get("property") == "og:type"):
        reason, score = f"{reason} It calls itself an article, though.", score - 29
    yield Offer("listing", url, reason, score, found.title, len(found.entries))


def _from_robots(robots: str, url: str) -> Iterator[Offer]:
    """The sitemaps that robots.txt names; one that calls itself a news sitemap is worth more than an index of
    everything.
    """
    for line in robots.splitlines()[:5_000]:
        name, colon, value = line.partition(":")
        target = feeds.absolute(value, url) if colon and name.strip().lower() == "sitemap" else None
        if target:
            news = "news" in urlsplit(target).path.lower()
            what = "news sitemap" if news else "sitemap"
            yield Offer("sitemap", target, f"The site's robots.txt names this {what}.", 65 if news else 40)


def _guesses(url: str) -> Iterator[Offer]:
    for number, (kind, path) in enumerate(_GUESSES):
        target = urls.absolute(url, path)
        if target:
            reason = "Many sites have it at this address; not looked at yet."
            yield Offer("feed" if kind == "feed" else "sitemap", target, reason, 15.0 - number, guess=True)


def _ranked(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """Best first, one offer an address and kind."""
    best: dict[tuple[str, str], Offer] = {}
    for offer in sorted(offers, key=lambda offer: -offer.score):
        best.setdefault((offer.kind, urls.canonical(offer.url)), offer)
    return tuple(best.values())


# WebSub


def websub(body: bytes, url: str, headers: Mapping[str, str]) -> WebSub | None:
    """The hubs and the topic that a page or feed declares; a hub in the Link header beats every tag.

    The topic is the declared self link, else the address itself.
    """
    from_header = websub_in_header(url, headers)
    if from_header and from_header.topic:
        return from_header
    content_type = _header(headers, "content-type")
    from_body = _from_feed(body, url, content_type) or _from_head(body, url, content_type)
    if from_header:
        topic = from_body.topic if from_body else ""
        return msgspec.structs.replace(from_header, topic=topic or url)
    return from_body if from_body is None or from_body.topic else msgspec.structs.replace(from_body, topic=url)


def websub_in_header(url: str, headers: Mapping[str, str]) -> WebSub | None:
    """What the Link header alone declares; the topic is empty where it names none."""
    return _pointed(_header_links(headers), url, "header")


def _pointed(links: Iterable[_Pointer], base: str, via: str) -> WebSub | None:
    known = list(links)
    hubs = [target for link in known if "hub" in link.rels and (target := feeds.absolute(link.href, base))]
    topics = [target for link in known if "self" in link.rels and (target := feeds.absolute(link.href, base))]
    return WebSub(tuple(dict.fromkeys(hubs)), topics[0] if topics else "", via) if hubs else None


def _from_feed(body: bytes, url: str, content_type: str | None) -> WebSub | None:
    try:
        feed = feeds.parse(body, url, content_type)
    except Rejected:
        return None
    return WebSub((feed.hub,), feed.self_url or "", feed.kind) if feed.hub else None


def _from_head(body: bytes, url: str, content_type: str | None) -> WebSub | None:
    tree = _tree(body, content_type)
    return _pointed(_tag_links(tree), _base(tree, url), "html") if tree is not None else None
