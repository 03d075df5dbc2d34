"""A number and a seed, in; one of any number of distinct article pages, out: for measurements, not for reading.

The sentences are those of the bundled briefs, recombined, with other names, numbers and words in each page, so that no
two pages are near-duplicates. The same number and seed give the same bytes on every machine. Markup is that of the demo
site (profile `demo` reads it); `large` adds the menus, styles and scripts that make real pages weigh 30 to 60 KB.

`BulkSite` serves them with a feed; `python -m services.console.demo.bulk` runs it as a process.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from typing import Literal

from services.console.demo import pages
from services.console.demo.content import SECTIONS, Brief, briefs, plain
from services.console.demo.faults import Faults
from services.console.demo.loopback import Loopback, Reply, Request, conditional, spoil
from services.console.demo.process import arguments, run
from shared import clock

START = dt.datetime(2026, 1, 5, 6, 0, tzinfo=dt.UTC)
EVERY = dt.timedelta(minutes=7)
_words: Callable[[str], list[str]] = re.compile(r"\w+").findall
_ONSETS = _words("b br d dr f g gr h k kr l m n p pr r s st t v")
_VOWELS = "aeiou"
_ENDINGS = _words("n r l s m nd rk st lt sk")
_STATUS: tuple[Literal["improved", "unchanged", "worsened"], ...] = ("improved", "unchanged", "worsened")
_NAMES = _words("""
    Marask Torvane Hald Keld Ostrovik Stroye Weld Balk Venn Orlec Selivan Adamek Brant Gorrick Holm Osmanek Aldgaard
    Rasmer Krause Norell Vash Edvin Ilse Gregor Radomir Hanna Pavel Anton Joren Klara Tomas Marta Bruno Ludo Stefan
    Nadia Viktor Lena Piet Adela Sigrid Leonora Tavrin Ersk Molvik Sarnitz Kirrow Lasna Halvern Brask Ilma Karsk
    Lindholt Pelasz Kelmora Sandrel Ostmere Vaskia Kelpotash Quillbyte Sangaz Kelmoran Sandrelian Ostmerian
""")
_NAME = re.compile(rf"\b(?:{'|'.join(sorted(_NAMES, key=len, reverse=True))})\b")
_NUMBER = re.compile(r"\d+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z“\"])")
_SWAPS = {
    "government": ("cabinet", "administration", "council"),
    "minister": ("secretary", "commissioner", "delegate"),
    "country": ("republic", "province", "region"),
    "money": ("funding", "capital", "credit"),
    "price": ("tariff", "rate", "fee"),
    "year": ("season", "decade", "quarter"),
    "week": ("month", "fortnight", "term"),
    "people": ("residents", "citizens", "workers"),
    "town": ("borough", "parish", "suburb"),
    "company": ("firm", "cooperative", "enterprise"),
    "said": ("declared", "explained", "argued"),
    "wants": ("intends", "hopes", "plans"),
    "small": ("modest", "minor", "slight"),
    "first": ("latest", "second", "last"),
    "old": ("former", "ageing", "worn"),
    "new": ("recent", "planned", "second"),
    "few": ("several", "some", "many"),
    "still": ("even now", "once more", "as before"),
    "never": ("seldom", "hardly", "rarely"),
    "will": ("may", "could", "should"),
    "and": ("and", "and also", "and then"),
    "but": ("yet",),
    "is": ("is now", "is again", "is still"),
    "the": ("the", "this", "that"),
    "a": ("a", "one", "another"),
    "to": ("to", "to", "in order to"),
}
_SWAP = re.compile(rf"\b(?:{'|'.join(_SWAPS)})\b")
_SUBJECTS = ("Harbour board", "Regional court", "Farmers’ league", "Water authority", "Dockers’ union", "Rail operator")
_VERBS = ("postpones", "defends", "rewrites", "abandons", "audits", "doubles", "contests", "revives")
_OBJECTS = ("its plan for", "the levy in", "a contract with", "the ballot in", "its depot at", "the inquiry into")


def name(i: int, seed: int = 0) -> str:
    """An invented place name; no two numbers below 10 million have the same one."""
    rest = (i * 7_654_321 + seed) % 10_000_000
    rest, ending = divmod(rest, len(_ENDINGS))
    syllables = []
    for _ in range(3):
        rest, syllable = divmod(rest, 100)
        syllables.append(_ONSETS[syllable // 5] + _VOWELS[syllable % 5])
    return ("".join(syllables) + _ENDINGS[ending]).capitalize()


@lru_cache(maxsize=4096)
def brief(i: int, seed: int = 0) -> Brief:
    """Article number `i`: 150 to 400 words under a headline that no other number has."""
    draw = random.Random(f"{seed}/{i}")  # noqa: S311  repeatable on purpose
    section = draw.choice(tuple(SECTIONS))
    headline = f"{draw.choice(_SUBJECTS)} {draw.choice(_VERBS)} {draw.choice(_OBJECTS)} {name(i, seed)}"
    return Brief(
        number=100_000 + i,
        slug=f"{headline.lower().replace('’', '').replace(' ', '-')}-{i}",
        section=section,
        headline=headline,
        body=_body(draw, name(i, seed)),
        status=draw.choice((*_STATUS, None)),
        author=f"{name(draw.randrange(1000))} {name(draw.randrange(1000))}",
        image=f"{i}.png" if draw.random() < 0.5 else None,
        credit=f"Photo: {name(draw.randrange(1000))}.example",
    )


def item(i: int, seed: int = 0, start: dt.datetime = START) -> pages.Item:
    """The article as published: number 0 at `start` (UTC-aware), each next one seven minutes later."""
    at = start + i * EVERY
    return pages.Item(brief(i, seed), at, at)


def page(i: int, seed: int, host: str, *, large: bool = False, start: dt.datetime = START) -> bytes:
    """The page of article `i` at `http://host/...`; about 7 KB, 30 to 60 KB where `large`."""
    before = [item(other, seed, start) for other in (i - 1, i - 2) if other >= 0]
    return _render(item(i, seed, start), before, f"http://{host}", large=large)


def feed(items: Iterable[pages.Item], base: str) -> bytes:
    """RSS of these items, newest first; `base` is the site's URL without a final slash."""
    return pages.feed(sorted(items, key=lambda one: one.published, reverse=True), base)


class BulkSite:
    """Pages in bulk on loopback: `feed_url` lists those published, `paths` maps each page's path to its number.

    Args:
        count: how many are out at the start, dated as `item` dates them; `publish` adds more, dated when it is called.
        window: the feed lists only so many, the newest; None for all.
        now: the clock for what `publish` adds, and for caching headers.
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int = 0,
        large: bool = False,
        start: dt.datetime = START,
        window: int | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
        now: Callable[[], dt.datetime] = clock.now,
    ) -> None:
        self.faults = Faults()
        self._items = [item(i, seed, start) for i in range(count)]
        self.paths = {one.brief.path: i for i, one in enumerate(self._items)}
        self._seed, self._large, self._window, self._now = seed, large, window, now
        self._lock = threading.Lock()
        self._feed: bytes | None = None
        self._changed = now()
        self._server = Loopback(self._answer, port=port, host=host)
        self.url = self._server.url
        self.feed_url = f"{self.url}/rss.xml"

    def start(self) -> None:
        """Accept connections from now on."""
        self._server.start()

    def stop(self) -> None:
        """Close the port and all connections; a second call does nothing."""
        self._server.stop()

    def publish(self, count: int = 1) -> list[str]:
        """Add the next `count` pages; their URLs."""
        with self._lock:
            self._feed, self._changed = None, self._now()
            first = len(self._items)
            added = [brief(i, self._seed) for i in range(first, first + count)]
            self._items += [pages.Item(one, self._changed, self._changed) for one in added]
            self.paths.update((one.path, i) for i, one in enumerate(added, start=first))
        return [self.url + one.path for one in added]

    def _answer(self, request: Request) -> Reply:
        return spoil(self._page(request), self.faults.take(request.path))

    def _page(self, request: Request) -> Reply:
        if request.path == "/rss.xml":
            with self._lock:
                body, changed = self._feed or self._write_feed(), self._changed
            return conditional(request, body, "application/rss+xml; charset=utf-8", changed, self._now())
        if request.path not in self.paths:
            return Reply(404, b"no such page\n", {"Content-Type": "text/plain"})
        i = self.paths[request.path]
        body = _render(self._items[i], self._items[max(0, i - 2) : i][::-1], self.url, large=self._large)
        return conditional(request, body, "text/html; charset=utf-8", None, self._now())

    def _write_feed(self) -> bytes:
        first = 0 if self._window is None else max(0, len(self._items) - self._window)
        self._feed = feed(self._items[first:], self.url)
        return self._feed


@cache
def _sentences() -> tuple[str, ...]:
    """Every sentence of the English briefs' plain paragraphs."""
    blocks = (block for one in briefs() if one.language == "en" for block in one.blocks if block.startswith("<p>"))
    return tuple(sentence for block in blocks for sentence in _SENTENCE.split(plain(block)) if len(sentence) > 40)


def _body(draw: random.Random, place: str) -> str:
    cast = {known: name(draw.randrange(10_000_000)) for known in _NAMES}
    cast["Tavrin"] = place
    sentences, left, paragraphs = iter(draw.sample(_sentences(), 60)), draw.randint(160, 340), []
    while left > 0:
        paragraph: list[str] = []
        while left > 0 and len(paragraph) < 4:
            paragraph.append(_reword(next(sentences), draw, cast))
            left -= len(paragraph[-1].split())
        paragraphs.append(" ".join(paragraph))
    return "\n\n".join(paragraphs)


def _reword(sentence: str, draw: random.Random, cast: dict[str, str]) -> str:
    sentence = _NAME.sub(lambda found: cast[found[0]], sentence)
    sentence = _NUMBER.sub(
        lambda found: str(draw.randint(10 ** (len(found[0]) - 1), 10 ** len(found[0]) - 1)), sentence
    )
    return _SWAP.sub(lambda found: draw.choice((found[0], *_SWAPS[found[0]])), sentence).replace("&", "&amp;")


def _render(one: pages.Item, before: Sequence[pages.Item], base: str, *, large: bool) -> bytes:
    html = pages.brief(one, base, before)
    return _loaded(html, random.Random(one.brief.headline)) if large else html  # noqa: S311


def _loaded(html: bytes, draw: random.Random) -> bytes:
    """The page with the weight that content systems add: styles and state in the head, menus above, links below."""
    topics = [draw.randrange(10**6) for _ in range(draw.randint(80, 140))]
    menu = "".join(f'<li class="menu-item menu-item-{n}"><a href="/topic/{n}">{name(n)}</a></li>' for n in topics)
    rules = "".join(
        f".m-{draw.randrange(10**5)}{{margin:{draw.randrange(40)}px;color:#{draw.randrange(16**6):06x}}}"
        for _ in range(draw.randint(150, 300))
    )
    state = {f"key{n}": [name(draw.randrange(10**6)) for _ in range(12)] for n in range(draw.randint(60, 130))}
    head = f"<style>{rules}</style><script>window.__state = {json.dumps(state)};</script></head>"
    html = html.replace(b"</head>", head.encode(), 1)
    html = html.replace(b"<main>", f'<ul class="mega-menu">{menu}</ul><main>'.encode(), 1)
    return html.replace(b"<footer>", f'<footer><ul class="site-map">{menu}</ul>'.encode(), 1)


def main(argv: Sequence[str] | None = None) -> int:
    """The bulk site as a process, until SIGTERM or SIGINT; the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--count", type=int, default=1000, help="pages")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--large", action="store_true", help="pages of 30 to 60 KB")
    parser.add_argument("--start", type=dt.datetime.fromisoformat, default=START, help="when the first was published")
    options = parser.parse_args(argv)
    return run(
        lambda: BulkSite(
            options.count,
            seed=options.seed,
            large=options.large,
            start=options.start,
            port=options.port,
            host=options.host,
        ),
        options,
    )


if __name__ == "__main__":
    raise SystemExit(main())
