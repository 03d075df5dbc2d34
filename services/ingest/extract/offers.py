"""What every field shares: offers in, the one that holds and what lost out; titles and names compared by their letters alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from services.ingest.extract.evidence import Evidence, texts, types
from shared.records import Losing, Origin
from shared.text import fold, shorten

_TAGS = re.compile(r"</?[a-z]+[^>]*>")
_NO_WORD = re.compile(r"\W+")


class Offer(NamedTuple):
    """A value for a field and the rule that gives it."""

    rule: str
    value: str


def settle(offers: Sequence[Offer]) -> tuple[str | None, Origin | None]:
    """The first offer wins; every other value that differs is kept as lost."""
    offers = [o for o in offers if o.value]
    if not offers:
        return None, None
    won = offers[0]
    lost = tuple(Losing(o.rule, shorten(o.value)) for o in offers[1:] if o.value != won.value)
    return won.value, Origin(won.rule, lost)


def untagged(text: str) -> str:
    return " ".join((_TAGS.sub("", text) if "<" in text else text).split())


@lru_cache(maxsize=4096)
def letters(text: str) -> str:
    return _NO_WORD.sub("", fold(text).lower())


def same(one: str, other: str) -> bool:
    return bool(one) and letters(one) == letters(other)


def site_name(evidence: Evidence) -> tuple[str | None, Origin | None]:
    """og:site_name, the JSON-LD publisher, application-name."""
    offers = []
    for name in ("og:site_name", "application-name", "twitter:app:name:iphone"):
        if pair := evidence.first(name):
            offers.append(Offer(f"meta {name}", pair[1]))
    publisher = texts(evidence.article.get("publisher"), "name")
    offers[1:1] = [Offer("json-ld publisher", t) for t in publisher[:1]]
    return settle(offers)


def house(evidence: Evidence) -> set[str]:
    """The keys of the publisher's own names."""
    names = [*texts(evidence.article.get("publisher"), "name"), *(v for v in (site_name(evidence)[0],) if v)]
    names += [t for n in _organisations(evidence.article.get("author")) for t in texts(n, "name")]
    host = (urlsplit(evidence.url or "").hostname or "").removeprefix("www.")
    return {letters(name) for name in [*names, host, host.partition(".")[0]]} - {""}


def _organisations(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, dict) and "Organization" in types(v)]
