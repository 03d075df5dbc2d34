"""Whether a source's records still look as they always did: shapes of records in, a verdict with reasons out.

    shape_of   one record, its page and the feed's words about it -> Shape    a few numbers, no text
    judge      what the source's records looked like so far, a Shape -> Verdict
    after      State, what came of a page -> State                            the last forty shapes are the history
    alarmed    State -> whether the source is to be held

A finding is core evidence (no text or a tiny one, no headline of its own, no date, selectors that miss, text that other articles
print too, a page cut off) or a lesser one (a list, a section, a picture lost), which only supports it. How much core evidence weighs
depends on how rarely the source itself shows it: what one record in ten lacks is no proof against the next. A page is odd when its
findings weigh two or more, with core evidence among them. Of a source with fewer than twelve records only what needs no history is
said: a headline or a text that comes again and again, the site's name for a headline, a page cut off in the middle.

One odd page waits alone. A source is held when more of its last six pages are odd, doubtful or without any record than its own
habit explains, and lets go of by itself when pages are usual again.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import statistics
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
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
LAST = 6
"""How many of the newest pages speak for or against holding a source."""
TELL = 3
"""Usual pages in a row after which one that was odd alone goes on its way."""
AGAIN_USUAL = 4
"""Usual pages in a row that end a hold."""
RARE = 0.003
"""A source is held when its habit explains what the last pages show with less than this chance."""
_PRIOR, _PRIOR_OF = 1, 12
"""What is believed of a source before anything is known: one page in twelve looks odd."""
_HARDLY, _SELDOM = 0.05, 0.12
"""Up to which share of records a lack is a proof, and a hint."""

_LONG = 8  # words of a paragraph that is worth remembering
_KEPT_PARAGRAPHS, _KEPT_MARKS = 12, 32
_WORD = re.compile(r"\w+")
_CLASS = re.compile(rb"""\sclass\s*=\s*(?:"([^"]{0,400})"|'([^']{0,400})'|([^\s"'>]{1,100}))""", re.IGNORECASE)
_DIGITS = re.compile(rb"\d+")
_TAG = re.compile(r"<[^>]*>")

Outcome = Literal["learning", "usual", "doubtful", "odd", "failed"]
"""`doubtful`: some core evidence, not enough; `failed`: no record came of the page; `learning`: nothing could be told yet."""
Group = Literal["headline", "body", "date", "repeats", "page", "lesser"]


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
    """What is remembered of a source: shapes that passed, oldest first, and how the last pages fared.

    `alone`: keys of pages that were odd and wait to hear what the next ones are like. `aside`: shapes of the last odd pages, which
    are no habit, but whose headline or text others may have too.
    """

    shapes: tuple[Shape, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    usual: Usual = Usual()
    alone: tuple[int, ...] = ()
    aside: tuple[Shape, ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """One way in which a page is unlike the others: a code, its weight, a sentence for people.

    Findings of one group are one piece of evidence seen several ways. `sure`: the record is bad whatever the next pages are like.
    """

    code: str
    weight: float
    text: str
    group: Group = "lesser"
    sure: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """What speaks against a record. `learning` says that too few are known for more than the plainest checks."""

    findings: tuple[Finding, ...] = ()
    learning: bool = False

    @property
    def core(self) -> dict[str, float]:
        """The core evidence: group -> the weight of its weightiest finding."""
        groups: dict[str, float] = {}
        for one in self.findings:
            if one.group != "lesser":
                groups[one.group] = max(groups.get(one.group, 0.0), one.weight)
        return groups

    @property
    def weight(self) -> float:
        """Core evidence, and at most one for all that is lesser; none where there is no core evidence."""
        lesser = sum(one.weight for one in self.findings if one.group == "lesser")
        core = sum(self.core.values())
        return core + min(1.0, lesser) if core else 0.0

    @property
    def outcome(self) -> Outcome:
        if self.weight >= ODD:
            return "odd"
        return "learning" if self.learning else "doubtful" if self.core else "usual"

    @property
    def odd(self) -> bool:
        return self.outcome == "odd"

    @property
    def sure(self) -> bool:
        """Whether the record is bad whatever the next pages are like."""
        return any(one.sure for one in self.findings)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences, core evidence and the weightiest first."""
        return tuple(one.text for one in sorted(self.findings, key=lambda one: (one.group == "lesser", -one.weight)))


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
    findings = [*_plain(past, state.aside, shape)]
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


def _plain(past: Sequence[Shape], aside: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    """What is wrong whatever the history."""
    newest = (*past[-LAST:], *aside)
    texts = {one.paragraphs for one in newest if one.headline == shape.headline} - {shape.paragraphs}
    series = len(past) >= READY and _habit(past, lambda one: one.headline == shape.headline) > 0.2
    if len(texts) >= 2 and not series:
        yield Finding("headline-repeats", 2.0, "Several articles in a row came with this same headline and other texts.",
                      "headline", sure=True)  # fmt: skip
    share, habit = repeated((*past, *aside), shape), max((one.repeated for one in past), default=0.0)
    if share > max(0.3, habit + 0.2):
        weight = 2.0 if share > max(0.5, habit + 0.3) and (len(past) >= READY or share > 0.8) else 1.0
        yield Finding("text-repeats", weight, f"{share:.0%} of the text stands in other articles of the source too.",
                      "repeats", sure=share > 0.8)  # fmt: skip
    if shape.named and _habit(past, lambda one: one.named) <= _SELDOM:
        yield Finding("headline-is-site", 2.0, "The headline is nothing but the site's name.", "headline", sure=True)
    if not past and not shape.closed and not shape.ended:
        yield Finding("page-cut", 2.0, "The page is cut off in the middle of a sentence.", "page", sure=True)


def _fields(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    for name in _HAS:
        lacking = [name not in one.fields for one in past]
        weight, group = _weight(lacking), _CORE_FIELDS.get(name, "lesser")
        if name in shape.fields or not weight or (group == "lesser" and len(past) < SURE):
            continue
        text = f"{_PRINTED.get(name, f'No {name}')}; {_of(len(past) - sum(lacking), len(past))} had it."
        yield Finding(f"no-{name}", weight if group != "lesser" else 0.5, text, group, sure=name == "body")
    if "headings" in shape.fields and len(past) >= SURE and not any("headings" in one.fields for one in past):
        yield Finding("new-headings", 0.5, f"Headings in the text; none of the last {len(past)} articles had any.")


_PRINTED = {"published": "No date", "body": "No text", "status": "No status of the section", "images": "No picture"}
_CORE_FIELDS: dict[str, Group] = {"published": "date", "body": "body"}


def _of(had: int, n: int) -> str:
    return f"all of the last {n} articles" if had == n else f"{had} of the last {n} articles"


def _selectors(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    for name in shape.missed:
        lost = _FIELD_OF.get(name, name) in _HAS and _FIELD_OF.get(name, name) not in shape.fields
        weight = _weight([name in one.missed for one in past])
        if weight and not lost:
            group = _SELECTED.get(name, "lesser")
            text = f"The profile's selector for {name} finds nothing; it always did."
            yield Finding(f"missed-{name}", weight if group != "lesser" else 0.5, text, group)


_FIELD_OF = {"category_status": "status"}
"""Names of profile fields where a shape has another one. A field that is lost altogether is a finding already."""
_SELECTED: dict[str, Group] = {"headline": "headline", "body": "body", "published": "date"}


def _length(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    """Against the median and the median deviation of the logarithms: one odd article does not move either.

    A source that prints two sentences or two thousand words as it pleases has a wide deviation, and hardly anything is far off.
    """
    logs = [math.log(one.words + 1) for one in past]
    middle = statistics.median(logs)
    spread = max(0.25, 1.4826 * statistics.median(abs(one - middle) for one in logs))
    far = (math.log(shape.words + 1) - middle) / spread
    low, high = min(one.words for one in past), max(one.words for one in past)
    text = f"{shape.words} words; the last {len(past)} articles had {low} to {high}."
    if far < -2.5 and shape.words < 0.75 * low:
        yield Finding("too-short", 2.0 if far < -3.5 and shape.words < 0.4 * low else 1.0, text, "body")
    elif far > 3.0 and shape.words > 2.0 * high:
        yield Finding("too-long", 1.0, text, "body")
    elif far > 2.5 and shape.words > 1.4 * high:
        yield Finding("too-long", 0.5, text)


def _text(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    most = max(one.links for one in past)
    if shape.links > most + 0.15:
        weight = 2.0 if shape.links > most + 0.4 else 1.0
        text = f"{shape.links:.0%} of the words are links; the most so far was {most:.0%}."
        yield Finding("links", weight, text, "repeats")
    if shape.short > max(0.4, max(one.short for one in past) + 0.25):
        yield Finding("short-lines", 0.5, f"{shape.short:.0%} of the paragraphs are shorter than eight words.")
    if quotes(past, shape) and (weight := _weight([one.quotes for one in past])):
        yield Finding("others-headlines", weight, "The headline of another article stands in the text.", "repeats")
    colons = [one.dangling for one in past if one.announced or one.dangling]
    if shape.dangling and (weight := _weight(colons)):
        text = "A paragraph ends with a colon and no list follows; before, one always did."
        yield Finding("list-lost", weight, text, "body" if weight >= ODD else "lesser")
    if not shape.ended and _weight([not one.ended for one in past]):
        yield Finding("sentence-cut", 0.5, "The text ends in the middle of a sentence.")


def _feed(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    if shape.titled is False and (weight := _weight([not one.titled for one in past if one.titled is not None])):
        text = "The headline is not the one that the feed gives; before, it was."
        yield Finding("not-the-feeds-title", weight, text, "headline")
    if shape.told is False and (weight := _weight([not one.told for one in past if one.told is not None])):
        yield Finding("not-the-feeds-text", weight, "The text is not what the feed says of it; before, it was.", "body")
    if shape.dated is False and (weight := _weight([not one.dated for one in past if one.dated is not None])):
        text = "The date is not the one that the feed gives; before, it was."
        yield Finding("not-the-feeds-date", weight, text, "date")


def _page(past: Sequence[Shape], shape: Shape) -> Iterable[Finding]:
    if not shape.closed and (weight := _weight([not one.closed for one in past])):
        yield Finding("page-cut", weight, "The page ends before its end tag.", "page", sure=not shape.ended)
    counted = Counter(mark for one in past for mark in one.marks)
    skeleton = {mark for mark, n in counted.items() if n >= 0.8 * len(past)}
    if len(skeleton) >= 4 and len(skeleton & set(shape.marks)) < 0.5 * len(skeleton):
        yield Finding("layout", 0.5, "The page has another layout: most of its usual class names are gone.")


def _weight(flags: Sequence[bool]) -> float:
    """What it weighs that a record shows something which of its source's others, one flag each, hardly any or few do."""
    share = (sum(flags) + 0.25) / (len(flags) + 1)
    return 2.0 if share <= _HARDLY else 1.0 if share <= _SELDOM else 0.0


def _habit(past: Sequence[Shape], has: Callable[[Shape], bool]) -> float:
    return sum(map(has, past)) / len(past) if past else 0.0


# What is remembered

decoder(State)


def after(state: State, outcome: Outcome, shape: Shape | None = None) -> State:
    """The memory after one more page; `shape` joins the history, and is given where the page passed."""
    shapes = state.shapes
    if shape is not None:
        share = round(repeated(shapes, shape), 2)
        kept = msgspec.structs.replace(shape, repeated=share, quotes=quotes(shapes, shape), lines=())
        shapes = (*shapes, kept)[-WINDOW:]
    outcomes = (*state.outcomes, outcome)[-WINDOW:]
    known = usual(shapes) if shapes != state.shapes else state.usual
    return msgspec.structs.replace(state, shapes=shapes, outcomes=outcomes, usual=known)


def alarmed(state: State) -> bool:
    """Whether the whole source is to be held: its last pages are not what its habit explains.

    Pages without a record count once the source is known: many a feed links to what is no article.
    """
    kinds: tuple[tuple[Outcome, ...], ...] = (("odd",),)
    if len(state.shapes) >= READY:
        kinds = (("odd", "failed"), ("odd", "failed", "doubtful"))
    return any(_unlikely(state.outcomes, one) for one in kinds)


def _unlikely(outcomes: Sequence[Outcome], kinds: Collection[Outcome]) -> bool:
    """Whether so many of the last pages, three at the least, are hardly by chance of these kinds, as those before were.

    Whatever was not plainly usual before counts as the source's habit: the benefit of the doubt is the source's.
    """
    told = [one for one in outcomes if one != "learning"]
    last, before = told[-LAST:], told[:-LAST]
    count, n = sum(one in kinds for one in last), len(last)
    if count < 3 or last[-1] not in kinds:
        return False
    chance = (sum(one != "usual" for one in before) + _PRIOR) / (len(before) + _PRIOR_OF)
    return sum(math.comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in range(count, n + 1)) < RARE


def in_a_row(state: State) -> int:
    """How many pages were usual since the last one that was odd or failed; doubtful ones add nothing."""
    rest = [one for one in state.outcomes if one not in ("doubtful", "learning")]
    return next((n for n, one in enumerate(reversed(rest)) if one != "usual"), len(rest))


def set_aside(state: State, key: int, shape: Shape, *, hears: bool) -> State:
    """The memory with one more odd page; `hears`: it waits for what the next ones are like."""
    alone = (*state.alone, key)[-WINDOW:] if hears else state.alone
    return msgspec.structs.replace(state, alone=alone, aside=(*state.aside, shape)[-LAST:])


def told(state: State) -> tuple[tuple[int, ...], State]:
    """The pages that were odd alone, once enough usual ones followed, and the memory without them; none before."""
    if in_a_row(state) < TELL:
        return (), state
    return state.alone, msgspec.structs.replace(state, alone=())


def released(state: State, *, forget: bool) -> State:
    """The memory once a source is released: without its alarms, and with `forget` without its habits."""
    return State() if forget else msgspec.structs.replace(state, outcomes=(), alone=(), aside=())


def read(state: bytes) -> State:
    """The memory as it is stored; an empty one where nothing is yet."""
    return from_json(state, State) if state else State()


def usual(shapes: Sequence[Shape]) -> Usual:
    """The history as people read it."""
    if not shapes:
        return Usual()
    words = sorted(one.words for one in shapes)
    fields = {name: round(_habit(shapes, lambda one, name=name: name in one.fields), 2) for name in _HAS}  # type: ignore[misc]  # as above
    return Usual(len(shapes), READY, words[0], round(statistics.median(words)), words[-1], fields)
