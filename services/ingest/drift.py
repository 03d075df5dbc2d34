"""Whether a source's records still look as they always did: shapes of records in, a verdict with reasons out.

    shape_of   one record, its page and the feed's words about it -> Shape    a few numbers, no text
    judge      what the source's records looked like so far, a Shape -> Verdict
    after      State, what came of a page -> State                            the last forty shapes are the history
    alarmed    State -> whether the source is to be held

A page is odd when its findings weigh two or more: a lost date weighs that alone, a lost author needs company. With fewer than
twelve records nothing is known of a source, so only what needs no history is held: a headline or a text that comes again and
again, the site's name for a headline, a page cut off in the middle.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import statistics
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from shared.records import Article, Block, Entry, Heading, ListBlock, Paragraph, Quote, body_text, decoder, from_json
from shared.text import fold

WINDOW = 40
READY = 12
"""Records from which a source's habits are known."""
SURE = 20
"""Records after which the lesser fields count."""
ODD = 2.0
GRAVE = 4.0
"""What a single page must weigh to have its whole source held."""
MOSTLY = 0.8

_LONG = 8  # words of a paragraph that is worth remembering
_KEPT_PARAGRAPHS, _KEPT_MARKS = 12, 32
_WORD = re.compile(r"\w+")
_CLASS = re.compile(rb"""\sclass\s*=\s*(?:"([^"]{0,400})"|'([^']{0,400})'|([^\s"'>]{1,100}))""", re.IGNORECASE)
_DIGITS = re.compile(rb"\d+")
_TAG = re.compile(r"<[^>]*>")

Outcome = Literal["usual", "odd", "failed"]


class Shape(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record in numbers. Shares are 0 to 1; paragraphs, marks and the headline are hashes.

    Attributes:
        fields: those of the record that have a value.
        missed: fields that the profile's selectors did not find.
        links, short, repeated: shares of words in links, of paragraphs under eight words, of text printed before by others.
        announced: a paragraph ends with a colon and a list follows; dangling: no list or quotation does.
        closed: the page has its end tag; ended: the text ends with a sentence.
        titled, told, dated: headline, text and date agree with what the feed says; None where it says nothing.
        quotes: a heading or short line of the text is the headline of another article of the source.
        named: the headline is nothing but the site's name.
        marks: a sample of the page's class names.
    """

    words: int
    fields: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    headline: int = 0
    links: float = 0.0
    short: float = 0.0
    repeated: float = 0.0
    announced: bool = False
    dangling: bool = False
    closed: bool = True
    ended: bool = True
    titled: bool | None = None
    told: bool | None = None
    dated: bool | None = None
    quotes: bool = False
    named: bool = False
    paragraphs: tuple[tuple[int, int], ...] = ()
    """(hash, words) of the longest ones."""
    lines: tuple[int, ...] = ()
    """Hashes of headings and short lines."""
    marks: tuple[int, ...] = ()


class Usual(msgspec.Struct, frozen=True):
    """What a source's records look like, for people. `fields`: name -> share of the records that have it."""

    records: int = 0
    needed: int = READY
    words_low: int = 0
    words_median: int = 0
    words_high: int = 0
    fields: dict[str, float] = {}


class State(msgspec.Struct, frozen=True):
    """What is remembered of a source: shapes that passed, oldest first, and how the last pages fared."""

    shapes: tuple[Shape, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    usual: Usual = Usual()


class Finding(msgspec.Struct, frozen=True):
    """One way in which a page is unlike the others: a code, its weight, a sentence for people."""

    code: str
    weight: float
    text: str


class Verdict(msgspec.Struct, frozen=True):
    """What speaks against a record. `learning` says that too few are known for more than the plainest checks."""

    findings: tuple[Finding, ...] = ()
    learning: bool = False

    @property
    def weight(self) -> float:
        return sum(one.weight for one in self.findings)

    @property
    def odd(self) -> bool:
        return self.weight >= ODD

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences, the weightiest first."""
        return tuple(one.text for one in sorted(self.findings, key=lambda one: -one.weight))


# A record's shape


def shape_of(article: Article, missed: Sequence[str], entry: Entry, page: bytes) -> Shape:
    """The shape of a record read from `page`, which a source announced as `entry`."""
    text = body_text(article.blocks)
    words = len(_WORD.findall(text))
    paragraphs = [block.text for block in article.blocks if isinstance(block, Paragraph)]
    return Shape(
        words=words,
        fields=tuple(name for name, has in _HAS.items() if has(article)),
        missed=tuple(missed),
        headline=_hash(fold(article.headline).casefold()),
        links=_linked(article) / words if words else 0.0,
        short=_share(len(_WORD.findall(one)) < _LONG for one in paragraphs),
        announced=any(isinstance(after_, ListBlock) for after_ in _behind_colons(article)),
        dangling=any(after_ is None or isinstance(after_, Paragraph) for after_ in _behind_colons(article)),
        closed=b"</html" in page[-4096:].lower() or b"<html" not in page[:4096].lower(),
        ended=not paragraphs or text.rstrip().endswith(_ENDS) or not isinstance(article.blocks[-1], Paragraph),
        titled=_agrees(entry.title, article.headline),
        told=_agrees(entry.summary, f"{article.lead or ''} {text}"),
        dated=_same_day(article, entry),
        named=bool(article.site_name) and fold(article.headline).casefold() == fold(article.site_name or "").casefold(),
        paragraphs=_longest(paragraphs),
        lines=_lines(article),
        marks=_marks(page),
    )


_ENDS = (".", "!", "?", "…", "»", "”", '"', ")", ":", "’", "'", "“")
_HAS: dict[str, Callable[[Article], bool]] = {
    "body": lambda a: bool(a.blocks),
    "lead": lambda a: bool(a.lead),
    "published": lambda a: a.published is not None,
    "authors": lambda a: bool(a.authors),
    "section": lambda a: bool(a.section),
    "status": lambda a: a.category_status.value != "unknown",
    "language": lambda a: bool(a.language),
    "images": lambda a: bool(a.images),
    "lists": lambda a: any(isinstance(block, ListBlock) for block in a.blocks),
    "headings": lambda a: any(isinstance(block, Heading) for block in a.blocks),
    "related": lambda a: bool(a.related),
}


def _hash(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def _share(flags: Iterable[bool]) -> float:
    known = list(flags)
    return sum(known) / len(known) if known else 0.0


def _linked(article: Article) -> int:
    """How many words of the text are links."""
    found = 0
    for block in article.blocks:
        marked = zip(block.items, block.marks, strict=False) if isinstance(block, ListBlock) else (
            ((block.text, block.marks),) if isinstance(block, Paragraph | Heading | Quote) else ()
        )  # fmt: skip
        for text, marks in marked:
            found += sum(len(_WORD.findall(text[mark.start : mark.end])) for mark in marks if mark.kind == "link")
    return found


def _behind_colons(article: Article) -> Iterable[Block | None]:
    """What follows the paragraphs that announce something; None where nothing does."""
    following = (*article.blocks[1:], None)
    return (after_ for block, after_ in zip(article.blocks, following, strict=False)
            if isinstance(block, Paragraph) and block.text.rstrip().endswith(":"))  # fmt: skip


def _agrees(told: str | None, printed: str) -> bool | None:
    """Whether most words that the feed gives stand in what the page prints; None where it gives hardly any."""
    wanted = {word.casefold() for word in _WORD.findall(_TAG.sub(" ", told or ""))[:60]}
    if len(wanted) < 3:
        return None
    there = {word.casefold() for word in _WORD.findall(printed)}
    return len(wanted & there) >= 0.5 * len(wanted)


def _same_day(article: Article, entry: Entry) -> bool | None:
    """Whether page and feed give the same date, but for a zone that one of them does not state."""
    if not entry.published_utc or article.published is None:
        return None
    apart = article.published.at - dt.datetime.fromisoformat(entry.published_utc)
    return abs(apart) <= dt.timedelta(hours=26)


def _lines(article: Article) -> tuple[int, ...]:
    short = (block.text for block in article.blocks if isinstance(block, Heading | Paragraph))
    kept = (_hash(fold(text).casefold()) for text in short if 3 <= len(_WORD.findall(text)) <= 25)
    return tuple(kept)[:24]


def _longest(paragraphs: Sequence[str]) -> tuple[tuple[int, int], ...]:
    counted = {_hash(fold(one).casefold()): len(_WORD.findall(one)) for one in paragraphs}
    long = [(key, words) for key, words in counted.items() if words >= _LONG]
    return tuple(sorted(long, key=lambda pair: -pair[1])[:_KEPT_PARAGRAPHS])


def _marks(page: bytes) -> tuple[int, ...]:
    """A sample of the class names, numbers taken out: the same names give the same sample, whatever the text."""
    names = {name for found in _CLASS.findall(page[:400_000]) for value in found for name in value.split()}
    return tuple(sorted({zlib.crc32(_DIGITS.sub(b"#", name)) for name in names})[:_KEPT_MARKS])


# The verdict


def judge(state: State, shape: Shape) -> Verdict:
    """What speaks against a record, given those of its source that passed before."""
    past = state.shapes
    findings = [*_plain(past, shape)]
    if len(past) < READY:
        return Verdict(tuple(findings), learning=True)
    for check in (_fields, _selectors, _length, _text, _feed, _page):
        findings += check(past, shape)
    return Verdict(tuple(findings))


def repeated(past: Sequence[Shape], shape: Shape) -> float:
    """The share of a record's long paragraphs, by words, that two or more other records printed too."""
    total = sum(words for _, words in shape.paragraphs)
    seen = Counter(key for one in past if one.headline != shape.headline for key, _ in one.paragraphs)
    again = sum(words for key, words in shape.paragraphs if seen[key] >= 2)
    return again / total if total else 0.0


def quotes(past: Sequence[Shape], shape: Shape) -> bool:
    """Whether a line of the text is the headline of another article."""
    others = {one.headline for one in past if one.headline != shape.headline}
    return not others.isdisjoint(shape.lines)


def _plain(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    """What is wrong whatever the history."""
    texts = {one.paragraphs for one in past if one.headline == shape.headline}
    if len(texts - {shape.paragraphs}) >= 2:
        yield Finding("headline-repeats", 2.0, "Several articles came with this same headline and other texts.")
    share, habit = repeated(past, shape), max((one.repeated for one in past), default=0.0)
    if share > max(0.3, habit + 0.2):
        yield Finding("text-repeats", 2.0, f"{share:.0%} of the text stands in other articles of the source too.")
    if shape.named and _never(past, lambda one: one.named):
        yield Finding("headline-is-site", 2.0, "The headline is nothing but the site's name.")
    if not past and not shape.closed and not shape.ended:
        yield Finding("page-cut", 2.0, "The page is cut off in the middle of a sentence.")


def _fields(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    for name in _HAS:
        rate = _rate(past, lambda one, name=name: name in one.fields)  # type: ignore[misc]  # the default binds the name
        weight = 2.0 if name in ("published", "body") else 1.0
        always = _never(past, lambda one, name=name: name not in one.fields)  # type: ignore[misc]  # as above
        counts = (always and (weight > 1.0 or len(past) >= SURE)) or (rate >= MOSTLY and weight > 1.0)
        if name not in shape.fields and counts:
            weight = weight if always else weight / 2
            yield Finding(f"no-{name}", weight, f"{_PRINTED.get(name, f'No {name}')}; {_of(rate, len(past))} had it.")
    if "headings" in shape.fields and len(past) >= SURE and not any("headings" in one.fields for one in past):
        yield Finding("new-headings", 1.0, f"Headings in the text; none of the last {len(past)} articles had any.")


_PRINTED = {"published": "No date", "body": "No text", "status": "No status of the section", "images": "No picture"}


def _of(rate: float, n: int) -> str:
    return f"all of the last {n} articles" if rate == 1.0 else f"{round(rate * n)} of the last {n} articles"


def _selectors(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    for name in shape.missed:
        lost = _FIELD_OF.get(name, name) in _HAS and _FIELD_OF.get(name, name) not in shape.fields
        if not lost and _never(past, lambda one, name=name: name in one.missed):  # type: ignore[misc]  # as above
            weight = 2.0 if name in ("headline", "body", "published") else 1.0
            yield Finding(f"missed-{name}", weight, f"The profile's selector for {name} finds nothing; it always did.")


_FIELD_OF = {"category_status": "status"}
"""Names of profile fields where a shape has another one. A field that is lost altogether is a finding already."""


def _length(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    """Against the median and the median deviation of the logarithms: one odd article does not move either."""
    logs = [math.log(one.words + 1) for one in past]
    middle = statistics.median(logs)
    spread = max(0.25, 1.4826 * statistics.median(abs(one - middle) for one in logs))
    far = (math.log(shape.words + 1) - middle) / spread
    low, high = min(one.words for one in past), max(one.words for one in past)
    text = f"{shape.words} words; the last {len(past)} articles had {low} to {high}."
    if far < -2.5 and shape.words < 0.75 * low:
        yield Finding("too-short", 2.0 if far < -3.0 and shape.words < 0.6 * low else 1.0, text)
    elif far > 2.5 and shape.words > 1.4 * high:
        yield Finding("too-long", 2.0 if far > 3.0 and shape.words > 1.8 * high else 1.0, text)


def _text(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    most = max(one.links for one in past)
    if shape.links > most + 0.15:
        weight = 2.0 if shape.links > max(0.25, 3 * most) else 1.0
        yield Finding("links", weight, f"{shape.links:.0%} of the words are links; the most so far was {most:.0%}.")
    if shape.short > max(0.4, max(one.short for one in past) + 0.25):
        yield Finding("short-lines", 1.0, f"{shape.short:.0%} of the paragraphs are shorter than eight words.")
    if quotes(past, shape) and _never(past, lambda one: one.quotes):
        yield Finding("others-headlines", 2.0, "The headline of another article stands in the text.")
    if shape.dangling and sum(one.announced for one in past) >= 3 and _never(past, lambda one: one.dangling):
        announced = sum(one.announced for one in past)
        weight = 2.0 if announced >= 6 and not any(one.dangling for one in past) else 1.0
        yield Finding("list-lost", weight, "A paragraph ends with a colon and no list follows; before, one always did.")
    if not shape.ended and _never(past, lambda one: not one.ended):
        yield Finding("sentence-cut", 1.0, "The text ends in the middle of a sentence.")


def _feed(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    titled = [one.titled for one in past if one.titled is not None]
    if shape.titled is False and len(titled) >= READY and _share(map(bool, titled)) >= 0.9:
        yield Finding("not-the-feeds-title", 2.0, "The headline is not the one that the feed gives; before, it was.")
    told = [one.told for one in past if one.told is not None]
    if shape.told is False and len(told) >= READY and _share(map(bool, told)) >= 0.9:
        yield Finding("not-the-feeds-text", 2.0, "The text is not what the feed says of it; before, it was.")
    dated = [one.dated for one in past if one.dated is not None]
    if shape.dated is False and len(dated) >= READY and sum(dated) >= len(dated) - 1:
        yield Finding("not-the-feeds-date", 2.0, "The date is not the one that the feed gives; before, it was.")


def _page(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    if not shape.closed and _never(past, lambda one: not one.closed):
        yield Finding("page-cut", 2.0, "The page ends before its end tag.")
    counted = Counter(mark for one in past for mark in one.marks)
    skeleton = {mark for mark, n in counted.items() if n >= 0.8 * len(past)}
    if len(skeleton) >= 4 and len(skeleton & set(shape.marks)) < 0.5 * len(skeleton):
        yield Finding("layout", 1.0, "The page has another layout: most of its usual class names are gone.")


def _never(past: Sequence[Shape], has: Callable[[Shape], bool]) -> bool:
    """Whether that hardly ever was: not once, or once among so many that one does not count."""
    return sum(map(has, past)) <= (1 if len(past) >= SURE else 0)


def _rate(past: Sequence[Shape], has: Callable[[Shape], bool]) -> float:
    return sum(map(has, past)) / len(past) if past else 0.0


# What is remembered

decoder(State)


def after(state: State, outcome: Outcome, shape: Shape | None = None) -> State:
    """The memory after one more page: a usual one joins the history, whatever else only counts."""
    shapes = state.shapes
    if outcome == "usual" and shape is not None:
        share = round(repeated(shapes, shape), 2)
        kept = msgspec.structs.replace(shape, repeated=share, quotes=quotes(shapes, shape), lines=())
        shapes = (*shapes, kept)[-WINDOW:]
    return State(shapes, (*state.outcomes, outcome)[-WINDOW:], usual(shapes) if shapes != state.shapes else state.usual)


def alarmed(state: State, verdict: Verdict | None = None) -> bool:
    """Whether the whole source is to be held: one grave page, two odd ones of the last five, or pages that fail as they
    never did."""
    if verdict is not None and verdict.weight >= GRAVE:
        return True
    last, before = state.outcomes[-5:], state.outcomes[:-5]
    if last.count("odd") >= 2:
        return True
    failing = before.count("failed") / len(before) if before else 1.0
    return len(state.shapes) >= READY and len(last) - last.count("usual") >= 3 and failing <= 0.2


def released(state: State, *, forget: bool) -> State:
    """The memory once a person has released the source: without its alarms, and with `forget` without its habits."""
    return State() if forget else msgspec.structs.replace(state, outcomes=())


def read(state: bytes) -> State:
    """The memory as it is stored; an empty one where nothing is yet."""
    return from_json(state, State) if state else State()


def usual(shapes: Sequence[Shape]) -> Usual:
    """The history as people read it."""
    if not shapes:
        return Usual()
    words = sorted(one.words for one in shapes)
    fields = {name: round(_rate(shapes, lambda one, name=name: name in one.fields), 2) for name in _HAS}  # type: ignore[misc]  # as above
    return Usual(len(shapes), READY, words[0], round(statistics.median(words)), words[-1], fields)
