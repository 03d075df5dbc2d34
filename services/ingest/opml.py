"""An OPML list of feeds in, subscriptions out, and back: how sources move between readers and us.

Entities are never resolved and nothing is fetched; folders become a path of names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from lxml import etree

from services.ingest.feeds import PROLOG, absolute, decode, flat, looks_like
from shared.errors import Rejected

MAX_OUTLINES: Final = 20_000


class Subscription(msgspec.Struct, frozen=True):
    """One feed of a list. `folders` is the way to it, outermost first; `page_url` the site it belongs to."""

    url: str
    title: str | None = None
    page_url: str | None = None
    folders: tuple[str, ...] = ()


def load(body: bytes, content_type: str | None = None) -> tuple[Subscription, ...]:
    """The feeds of an OPML document, in its order, each address once.

    Outlines without a usable http or https address are folders or are left out.

    Raises:
        Rejected: "empty", "not-opml" with what it looks like.
    """
    text = decode(body, content_type)[0].lstrip("\ufeff").strip()
    if not text:
        raise Rejected("empty", "The file has no content.")
    root = _tree(text)
    if root is None or _name(root) != "opml":
        raise Rejected("not-opml", _what(text, "" if root is None else _name(root)))
    found: dict[str, Subscription] = {}
    for number, outline in enumerate(root.iter(etree.Element)):
        if number >= MAX_OUTLINES:
            break
        url = _address(outline, "xmlUrl") if _name(outline) == "outline" else None
        if url:
            found.setdefault(url, _subscription(outline, url))
    return tuple(found.values())


def _tree(text: str) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True)
    try:
        return etree.fromstring(PROLOG.sub("", text, count=1).encode("utf-8"), parser)
    except etree.XMLSyntaxError:
        return None


def _what(text: str, root: str) -> str:
    if root in ("rss", "feed", "rdf"):
        return "This is a feed itself, not a list of feeds: add it as a source."
    return looks_like(text).replace("no feed", "no OPML list").replace("not a feed", "not an OPML list")


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2].lower()


def _subscription(outline: Any, url: str) -> Subscription:
    return Subscription(
        url=url,
        title=_label(outline),
        page_url=_address(outline, "htmlUrl"),
        folders=tuple(label for parent in reversed(list(outline.iterancestors())) if (label := _folder(parent))),
    )


def _folder(element: Any) -> str | None:
    return _label(element) if _name(element) == "outline" else None


def _label(outline: Any) -> str | None:
    return flat(outline.get("title")) or flat(outline.get("text"))


def _address(outline: Any, attribute: str) -> str | None:
    """Attribute names are read without regard to case: some programs write xmlurl."""
    value = next((value for name, value in outline.items() if name.lower() == attribute.lower()), None)
    return absolute(value, None)


def dump(subscriptions: Iterable[Subscription], title: str = "Briefwire sources") -> bytes:
    """An OPML 2.0 document, UTF-8; subscriptions of one folder stand together, in the order given."""
    root = etree.Element("opml", version="2.0")
    etree.SubElement(etree.SubElement(root, "head"), "title").text = _fit(title)
    body = etree.SubElement(root, "body")
    folders: dict[tuple[str, ...], Any] = {(): body}
    for subscription in subscriptions:
        outline = etree.SubElement(_place(folders, subscription.folders), "outline", type="rss")
        outline.set("text", _fit(subscription.title or subscription.url))
        if subscription.title:
            outline.set("title", _fit(subscription.title))
        outline.set("xmlUrl", _fit(subscription.url))
        if subscription.page_url:
            outline.set("htmlUrl", _fit(subscription.page_url))
    document: bytes = etree.tostring(root, xml_declaration=True, encoding="utf-8", pretty_print=True)
    return document


def _place(folders: dict[tuple[str, ...], Any], path: tuple[str, ...]) -> Any:
    for depth in range(1, len(path) + 1):
        if path[:depth] not in folders:
            folders[path[:depth]] = etree.SubElement(folders[path[: depth - 1]], "outline", text=_fit(path[depth - 1]))
    return folders[path]


def _fit(text: str) -> str:
    """What XML can carry, on one line."""
    return flat(text) or ""
