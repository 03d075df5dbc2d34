"""What a renderer gets and gives, and what all renderers share: the outward view of an article, names, plain text.

A withdrawn article goes out as a notice: identity, headline and dates stay, what was withdrawn does not travel again.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from shared.records import (
    Annotations,
    Article,
    Block,
    Code,
    Embed,
    Heading,
    Image,
    ListBlock,
    Paragraph,
    Quote,
    Related,
    SectionChange,
    Table,
)

PROVENANCE = ("source_item_id", "removed", "origins", "category_status.raw", "category_status.evidence")
FINDINGS = ("annotations.categories", "annotations.story", "annotations.similar", "annotations.names")
"""Groups of fields that most formats made for readers have no place for."""

WITHDRAWN_NOTICE = "This article has been withdrawn."


class RenderInput(msgspec.Struct, frozen=True):
    """One event as one endpoint gets it.

    `type` is the event's ("article.published", ".updated", ".corrected", ".relinked", ".withdrawn", ".restored"), or
    "section.status_changed" with the `change` that the article made;
    `at` when it happened, UTC-aware; `position` its number within the endpoint, gap-free; `occurrence` tells events of
    one kind for one revision apart. `link` is where this revision can be fetched: brief JSON of more than `link_above`
    bytes carries it in place of the record.
    """

    type: str
    at: dt.datetime
    position: int
    article: Article
    annotations: Annotations = Annotations()
    occurrence: int = 0
    link: str | None = None
    link_above: int = 20_000
    change: SectionChange | None = None

    @property
    def article_id(self) -> str:
        return self.article.id

    @property
    def revision(self) -> int:
        return self.article.revision

    @property
    def withdrawn(self) -> bool:
        return self.article.state == "withdrawn" or self.type.endswith(".withdrawn")


class Rendered(msgspec.Struct, frozen=True):
    """The bytes to send and what they are. `omitted` names the record's fields that hold something here and that this
    format has no place for."""

    body: bytes
    content_type: str
    extension: str
    omitted: tuple[str, ...] = ()


class FeedInfo(msgspec.Struct, frozen=True):
    """The feed around its entries: `url` is its own address, `home` its page, `next_url` the older page.

    `id` names the feed through all its pages and moves; left out, it is `url` without its query.
    """

    title: str
    url: str
    home: str
    updated: dt.datetime
    description: str = ""
    language: str | None = None
    hub: str | None = None
    next_url: str | None = None
    id: str | None = None


class Format(msgspec.Struct, frozen=True):
    """One format: `cannot_hold` lists the fields of the record and its annotations that it has no place for."""

    name: str
    content_type: str
    extension: str
    write: Callable[[RenderInput], bytes]
    cannot_hold: tuple[str, ...] = ()


def outward(event: RenderInput) -> Article:
    """The article as it may leave: whole, or as a notice when it is withdrawn."""
    if not event.withdrawn:
        return event.article
    return msgspec.structs.replace(
        event.article,
        state="withdrawn",
        lead=None,
        blocks=(),
        images=(),
        tags=(),
        related=(),
        removed=(),
        origins={},
    )


def outward_annotations(event: RenderInput) -> Annotations:
    """Our findings as they may leave: nothing is said about a withdrawn article."""
    return Annotations() if event.withdrawn else event.annotations


def omitted(event: RenderInput, cannot_hold: Iterable[str]) -> tuple[str, ...]:
    """Those of the fields ("tags", "annotations.similar", "images.rights") that hold something in this event."""
    article, annotations = outward(event), outward_annotations(event)
    return tuple(name for name in cannot_hold if _filled(article, annotations, name))


def _filled(article: Article, annotations: Annotations, name: str) -> bool:
    first, _, rest = name.partition(".")
    if first == "annotations":
        return bool(getattr(annotations, rest))
    value = getattr(article, first)
    if rest:
        members = value if isinstance(value, tuple) else (value,)
        return any(bool(getattr(member, rest)) for member in members)
    return bool(value)


# What XML 1.0 forbids or discourages, and what a terminal would obey.
_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")
_BREAKS = str.maketrans({"\x0b": " ", "\x0c": " ", "\x85": " "})


def printable(text: str) -> str:
    """The text without control characters, lone surrogates and non-characters; all else verbatim."""
    return _UNPRINTABLE.sub("", text.translate(_BREAKS))


def json_bytes(value: Any) -> bytes:
    """Compact JSON; a lone surrogate, which UTF-8 cannot hold, is left out; all else is verbatim."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(msgspec.to_builtins(value)))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "", value)
    if isinstance(value, dict):
        return {name: _without_surrogates(one) for name, one in value.items()}
    return [_without_surrogates(one) for one in value] if isinstance(value, (list, tuple)) else value


def article_uri(article_id: str) -> str:
    """The article's URI: the same for every revision and in every format."""
    return "urn:briefwire:article:" + quote(article_id, safe="", errors="replace").replace("~", "%7E")


_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?:\[[0-9A-Fa-f:.]+\])?")


def uri(value: str) -> str:
    """A URL with everything percent-encoded that a URI may not hold; what is encoded already stays as it is."""
    found = _AUTHORITY.match(value)
    start = found.group() if found else ""
    rest, mark, fragment = value[len(start) :].partition("#")
    return _encoded(start, "[]") + _encoded(rest, "") + mark + _encoded(fragment, "")


def _encoded(part: str, more: str) -> str:
    kept = quote(part.encode("utf-8", "replace"), safe="!$%&'()*+,/:;=?@~-._" + more)
    return re.sub("%(?![0-9A-Fa-f]{2})", "%25", kept)


def web_url(value: str | None) -> str | None:
    """The URL as a URI when it is http(s); None for anything else, so that no link can run a script."""
    if value is None or not re.match(r"https?://[^\s/]", value, re.IGNORECASE):
        return None
    return uri(value)


def language_tag(value: str | None) -> str | None:
    """The language as a BCP 47 tag ("en_GB" is "en-GB"); None when it is no such tag."""
    tag = (value or "").strip().replace("_", "-")
    return tag if re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*", tag) else None


def stamp(at: dt.datetime) -> str:
    """ISO 8601 in UTC with a Z, whole seconds: what Atom, ninjs and JSON Feed read alike."""
    return at.astimezone(dt.UTC).replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")


def issued(event: RenderInput) -> dt.datetime:
    """When the article was published, as far as the page said; never later than the event, else when it happened."""
    published = event.article.published
    return min(published.at, event.at) if published else event.at


def newest(events: Sequence[RenderInput]) -> list[RenderInput]:
    """Of each article its event with the highest position, in the order given: a feed holds an id once."""
    latest: dict[str, RenderInput] = {}
    for event in events:
        known = latest.get(event.article_id)
        if known is None or known.position < event.position:
            latest[event.article_id] = event
    return [event for event in events if latest[event.article_id] is event]


def lead_apart(article: Article) -> str | None:
    """The lead when it has to be printed by itself: the first paragraph is usually the lead already."""
    first = article.blocks[0] if article.blocks else None
    if not article.lead or (isinstance(first, Paragraph) and first.text == article.lead):
        return None
    return article.lead


def placed(blocks: tuple[Block, ...], images: tuple[Image, ...]) -> Iterator[Block | Image]:
    """Blocks in order, each image before the block whose number it names, those without such a block at the end."""
    for number, block in enumerate(blocks):
        yield from (image for image in images if image.position == number)
        yield block
    yield from (image for image in images if not 0 <= image.position < len(blocks))


def headed(related: tuple[Related, ...]) -> Iterator[tuple[str | None, Related]]:
    """Related articles, the first under each printed heading together with that heading."""
    previous: str | None = None
    for one in related:
        yield (one.heading if one.heading != previous else None), one
        previous = one.heading


def status_label(article: Article) -> str | None:
    """The label of the category status with its colon; None when the article says nothing about it."""
    status = article.category_status
    if status.value == "unknown" and not status.label:
        return None
    return (status.label or "Category status").rstrip(": ") + ":"


def summary(event: RenderInput, limit: int = 1000) -> str:
    """One plain paragraph about the article: its lead, its first text, or the notice of its withdrawal."""
    if event.withdrawn:
        return WITHDRAWN_NOTICE
    texts = [event.article.lead or "", *(block_text(block) for block in event.article.blocks)]
    text = next((text for text in texts if text.strip()), "")
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def title(event: RenderInput) -> str:
    """The headline; a withdrawn article says so in every feed reader."""
    headline = event.article.headline.strip() or "(no headline)"
    return f"Withdrawn: {headline}" if event.withdrawn else headline


def block_text(block: Block) -> str:
    """The words of one block without any markup, items and cells on lines of their own."""
    match block:
        case Paragraph(text=text) | Heading(text=text) | Quote(text=text) | Code(text=text):
            return text
        case ListBlock():
            return "\n".join(list_texts(block))
        case Table():
            return "\n".join([*([block.caption] if block.caption else []), *("\t".join(row) for row in block.rows)])
        case Embed():
            return block.text or block.url


def list_texts(block: ListBlock) -> list[str]:
    """The items' texts in reading order, those of nested lists after the item that holds them."""
    texts: list[str] = []
    for number, item in enumerate(block.items):
        texts.append(item)
        for nested in block.nested:
            if nested.item == number:
                texts.extend(list_texts(nested.list))
    return texts
