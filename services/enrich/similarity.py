"""Two articles in, how they belong together out: the same text, the same story, background, or nothing; and why.

    signature   headline and text -> terms with their salience, names, numbers (knows no other article)
    weigh       signature and document frequencies -> Profile: a unit vector of terms, shingles; what the store keeps
    salient     the few terms of a profile that its postings hold
    compare     a profile and its candidates -> a Judgement each, with reasons

Names and numbers count more than other words, the beginning of an article more than its end. Whether two articles tell
the same story is a logistic judgement over how much of their names, numbers and words they share, against how close
each is to its own nearest neighbours: in a dense field (weekly briefs of one desk) more is needed than in an empty one.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from services.enrich import fingerprints
from services.enrich.words import Word, words

METHOD, VERSION = "terms", "1"

Relation = Literal["duplicate", "same_story", "related"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WORD, NAME, PAIR, NUMBER = 0, 1, 2, 3
"""Kinds of terms; a pair is two names in a row."""

_LEAD, _LEAD_WORDS = 2.0, 40.0
"""A word at the very beginning counts 1 + _LEAD times; the extra falls off over about _LEAD_WORDS words."""
_FACTOR = {WORD: 1.0, NAME: 1.5, PAIR: 1.5, NUMBER: 1.5}
_LOOKED_AT = 40
"""Shared terms, heaviest first, that reasons are chosen from."""
_PAIR_SHARE = 0.7
"""A pair of names counts this much of what its words count, on top of them."""
_SCALE = 65535
_TABLE_WEIGHT = 2
"""A table of common words counts as this many articles a word: a longer table knows more. The store's own counts add up."""
_DOUBT = 200
"""What is common in this store is common, whatever the table says: its own share counts, as if of 200 articles more."""
_RARE = 0.0005
"""Share of articles that a word missing from the table is taken to occur in."""
_FLOOR = 0.003
"""Added to every share: of two rare words the rarer is hardly more telling, and scores mean the same in a large store."""
_CAST, _CAST_OF = 2, 50
"""A name is taken to stand in two of fifty articles more: a wire has its cast (places, ministers), and which names belong
to it shows only once articles are counted. In a large store this is nothing."""


class Signature(msgspec.Struct, frozen=True):
    """What one text says of itself. `terms` maps a term to its salience, `kinds` to its kind; `size` counts words."""

    terms: dict[str, float]
    kinds: dict[str, int]
    names: tuple[str, ...]
    numbers: tuple[str, ...]
    size: int
    language: str | None = None


class Profile(msgspec.Struct, frozen=True, array_like=True):
    """A weighed signature: what the store keeps of an article for comparing. All arrays are little-endian.

    `terms` are 32-bit hashes in ascending order, `weights` their parts of a unit vector in 1/65535 (16 bits), `kinds` one
    byte each; `shingles` the upper 32 bits of the sorted shingle hashes.
    """

    terms: bytes
    weights: bytes
    kinds: bytes
    size: int
    shingles: bytes


class Judgement(NamedTuple):
    """How two articles belong together.

    `score` is the chance that they tell the same story (0 to 1), for a duplicate the share of wording in common;
    `cosine` their likeness; `reasons` name what both share.
    """

    relation: Relation | None
    score: float
    cosine: float
    reasons: tuple[str, ...]


class Rule(msgspec.Struct, frozen=True):
    """The learnt judgement on one story: `bias` and the factors of each measure."""

    bias: float
    cosine: float
    root: float
    names: float
    words: float
    numbers: float
    density: float


class Limits(msgspec.Struct, frozen=True):
    """From where on two articles belong together. Cosines, but for `same_story`, which is a chance."""

    same_story: float = 0.6
    least: float = 0.12
    """No chance counts below this cosine."""
    related: float = 0.16
    copies: float = 0.3
    """No text below this cosine is a copy, so its wording need not be compared."""
    crowd: int = 5
    """How many nearest neighbours tell how dense the field is, each taken as at least `empty`."""
    empty: float = 0.2


class Copying(msgspec.Struct, frozen=True):
    """When shared wording makes a duplicate: a learnt judgement, `factors` in the order of `COPY_MEASURES`.

    Templated copy ("Weekly prices, week 12") shares its wording and differs in numbers: a text that nobody edited must
    have the same ones, whatever the judgement says.
    """

    bias: float
    factors: tuple[float, ...]
    chance: float = 0.25
    least: float = 0.2
    """No copy below this share of the wording."""
    untouched: float = 0.8
    same_numbers: float = 0.75
    filled: float = 0.2
    scattered: float = 1.7
    """A template: so much of the names and numbers are others, and so many times more of the wording than of the
    vocabulary. One word exchanged breaks three shingles, a paragraph put in front hardly more than its own."""
    days: int = 2
    reissued: float = 0.85
    """So many days apart it is last week's template, unless so much of the wording is shared: updates come at once."""
    short: int = 30
    """Of texts with fewer shingles ("Sets payout, 7.1 cts") every number of the one must stand in the other."""


COPY_MEASURES = (
    "contained",
    "length",
    "names",
    "numbers",
    "cosine",
    "vocabulary",
    "contained x length",
    "cosine x length",
    "numbers x contained",
    "length up to sixty",
    "cosine x vocabulary",
    "contained squared",
)


class Wording(NamedTuple):
    """What two texts share of their wording. Shares are of the smaller side, 1 where it has none."""

    contained: float
    shorter: int
    names: float
    numbers: float
    fewer_names: int
    fewer_numbers: int
    vocabulary: float
    """Share of the terms of the side with fewer, whatever their order."""


LIMITS = Limits()
_SIXTY = math.log(60)


def signature(headline: str, text: str, language: str | None = None) -> Signature:
    """The terms, names and numbers of an article. An empty article has none; nothing is raised."""
    return signature_of(words(headline), words(text), language)


def signature_of(top: list[Word], body: list[Word], language: str | None = None) -> Signature:
    """The same, of a headline and a text already cut."""
    found = top + body
    names = _capitalised(body, top)
    salience: dict[str, float] = {}
    last: Word | None = None
    for place, word in enumerate(found):
        worth = 1.0 + _LEAD * math.exp(-place / _LEAD_WORDS)
        salience[word.norm] = salience.get(word.norm, 0.0) + worth
        if last is not None and word.joined and word.norm in names and last.norm in names:
            pair = f"{last.norm} {word.norm}"
            salience[pair] = salience.get(pair, 0.0) + worth * _PAIR_SHARE
        last = word
    kinds = {term: _kind(term, names) for term in salience}
    terms = {term: _damped(count) * _FACTOR[kinds[term]] for term, count in salience.items()}
    return Signature(terms, kinds, _printed(found, names), _numbers(found), len(found), language)


def weigh(sig: Signature, frequency: Mapping[str, int], total: int, hashes: fingerprints.Hashes) -> Profile:
    """The profile of a signature.

    Args:
        frequency: in how many of the store's articles each term occurs (a missing term: in none).
        total: how many articles that counts over.
        hashes: the article's shingles.
    """
    common = _common(sig.language)
    prior = _TABLE_WEIGHT * len(common)
    weight = np.zeros(len(sig.terms))
    for place, (term, worth) in enumerate(sig.terms.items()):
        own = frequency.get(term, 0)
        share = (own + prior * common.get(term, _RARE)) / (total + prior + 1)
        share = max(share, own / (total + _DOUBT))
        if sig.kinds[term] in (NAME, PAIR):
            share = max(share, (own + _CAST) / (total + _CAST_OF))
        weight[place] = worth * math.log1p(1.0 / (share + _FLOOR))
    scaled = np.rint(_SCALE * weight / (np.linalg.norm(weight) or 1.0)).astype("<u2")
    terms = np.fromiter(map(fingerprints.term_hash, sig.terms), dtype="<u4", count=len(sig.terms))
    kinds = np.fromiter(sig.kinds.values(), dtype="u1", count=len(sig.terms))
    order = np.argsort(terms, kind="stable")
    parts = (terms[order].tobytes(), scaled[order].tobytes(), kinds[order].tobytes())
    return Profile(*parts, sig.size, fingerprints.pack(hashes))


def salient(profile: Profile, most: int = 40) -> dict[int, float]:
    """The terms (hashes) with the greatest weight: the article's postings."""
    terms, weights = np.frombuffer(profile.terms, "<u4"), np.frombuffer(profile.weights, "<u2")
    order = np.lexsort((terms, -weights.astype(np.int64)))[:most]
    return dict(zip(terms[order].tolist(), (weights[order] / _SCALE).tolist(), strict=True))


def judge(a: Profile, b: Profile, printed: Mapping[int, str] | None = None) -> Judgement:
    """How two articles belong together when nothing else is known; their order makes no difference to the score."""
    return compare(a, [b], printed or {})[0]


def compare(
    own: Profile,
    others: Sequence[Profile],
    printed: Mapping[int, str],
    limits: Limits = LIMITS,
    apart: Sequence[int] | None = None,
) -> list[Judgement]:
    """How an article belongs together with each of its candidates.

    Args:
        own: the article.
        others: its candidates; they are each other's measure of how dense the field is.
        printed: the article's own terms by hash, for the reasons.
        apart: how many days lie between the article and each of them; none where it is not given.
    """
    if not others:
        return []
    measured = zip(others, measures(own, others, limits), apart or [0] * len(others), strict=True)
    return [_judgement(own, other, row, printed, limits, days) for other, row, days in measured]


def wording(a: Profile, b: Profile) -> Wording:
    """How much of their wording, names and numbers two articles share; symmetric."""
    one, other = fingerprints.unpack(a.shingles), fingerprints.unpack(b.shingles)
    names, fewer_names = _agreement(a, b, NAME)
    numbers, fewer_numbers = _agreement(a, b, NUMBER)
    shorter = min(len(one), len(other))
    contained = fingerprints.containment(one, other)
    return Wording(contained, shorter, names, numbers, fewer_names, fewer_numbers, _vocabulary(a, b))


def is_copy(seen: Wording, cosine: float, apart: int = 0) -> bool:
    """Whether two texts with this in common, published `apart` days from each other, are one: re-published, cut or edited."""
    rule = _copying()
    if seen.contained < rule.least or seen.shorter == 0:
        return False
    if _is_template(seen, rule) or (apart >= rule.days and seen.contained < rule.reissued):
        return False
    if seen.shorter < rule.short and seen.numbers < 1.0:
        return False
    if seen.contained >= rule.untouched and seen.fewer_numbers and seen.numbers < rule.same_numbers:
        return False
    z = rule.bias + sum(f * m for f, m in zip(rule.factors, copy_measures(seen, cosine), strict=True))
    return _logistic(z) >= rule.chance


def _is_template(seen: Wording, rule: Copying) -> bool:
    """Whether the two are one frame filled with other names and numbers."""
    fillers = seen.fewer_names + seen.fewer_numbers
    kept = seen.names * seen.fewer_names + seen.numbers * seen.fewer_numbers
    filled = 1.0 - kept / max(fillers, 1) if fillers else 0.0
    return filled >= rule.filled and 1.0 - seen.contained >= rule.scattered * (1.0 - seen.vocabulary)


def copy_measures(seen: Wording, cosine: float) -> tuple[float, ...]:
    """What the judgement on copies is made of, in the order of COPY_MEASURES."""
    length = math.log(max(seen.shorter, 1))
    names, numbers = _smoothed(seen.names, seen.fewer_names), _smoothed(seen.numbers, seen.fewer_numbers)
    plain = (seen.contained, length, names, numbers, cosine, seen.vocabulary)
    mixed = (seen.contained * length, cosine * length, numbers * seen.contained)
    return (*plain, *mixed, min(length, _SIXTY), cosine * seen.vocabulary, seen.contained**2)


def reasons(own: Profile, other: Profile, printed: Mapping[int, str], most: int = 8) -> tuple[str, ...]:
    """What both share, for a person: names, then numbers, then the terms that weigh most."""
    mine, theirs = np.frombuffer(own.terms, "<u4"), np.frombuffer(other.terms, "<u4")
    at, there = fingerprints.common(mine, theirs)
    value = np.frombuffer(own.weights, "<u2")[at].astype(np.int64) * np.frombuffer(other.weights, "<u2")[there]
    order = at[np.lexsort((mine[at], -value))][:_LOOKED_AT]
    kinds = np.frombuffer(own.kinds, "u1")[order].tolist()
    ranked = [(kind, printed[term]) for kind, term in zip(kinds, mine[order].tolist(), strict=True) if term in printed]
    names = _longest([term for kind, term in ranked if kind in (NAME, PAIR)])[:4]
    numbers = [term for kind, term in ranked if kind == NUMBER][:2]
    plain = [term for kind, term in ranked if kind == WORD]
    chosen = [f"name {name}" for name in names] + [f"number {number}" for number in numbers]
    return tuple((chosen + [f"term {term}" for term in plain])[:most])


def printed_terms(sig: Signature, hashes: Mapping[str, int]) -> dict[int, str]:
    """A signature's terms by hash, names as printed: what `compare` words its reasons with."""
    shown = {word.lower(): word for name in reversed(sig.names) for word in name.split()}
    return {key: _as_printed(term, shown) for term, key in hashes.items()}


def _as_printed(term: str, shown: Mapping[str, str]) -> str:
    return shown.get(term) or (" ".join(shown.get(word, word) for word in term.split()) if " " in term else term)


def to_bytes(profile: Profile) -> bytes:
    """The profile as the store keeps it."""
    return _ENCODER.encode(profile)


def from_bytes(raw: bytes) -> Profile:
    """What `to_bytes` made; msgspec.DecodeError for anything else."""
    return _DECODER.decode(raw)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Profile)


class Measures(NamedTuple):
    """What the judgement is made of; all but `density` are cosines."""

    cosine: float
    names: float
    words: float
    numbers: float
    density: float


def measures(own: Profile, others: Sequence[Profile], limits: Limits = LIMITS) -> list[Measures]:
    """What the judgement on one story is made of, for each of the others."""
    stack = _stacked([own, *others])
    count = len(others) + 1
    gram = _gram(stack, count)
    density = _density(gram, limits)
    channels = _channels(stack, len(own.kinds), count)
    table = np.concatenate([gram[0, :, None], channels, (density + density[0])[:, None]], axis=1)[1:]
    return [Measures(*row) for row in table.tolist()]


class _Stack(NamedTuple):
    """The terms of several profiles as coordinates of one matrix."""

    rows: Ints
    columns: Ints
    weights: Floats
    channels: Ints
    sizes: Ints
    """In how many of the profiles each column occurs."""


_CHANNEL = np.array([1, 0, 0, 2])
"""Kind -> the channel it is compared in: names and pairs, words, numbers."""
_CHANNELS = 3
_PLACE = np.uint64(0xFFFFFFFF)
_TERM = np.uint64(32)


def _stacked(profiles: Sequence[Profile]) -> _Stack:
    terms = np.frombuffer(b"".join(p.terms for p in profiles), "<u4")
    weights = np.frombuffer(b"".join(p.weights for p in profiles), "<u2").astype(np.float64) / _SCALE
    kinds = np.frombuffer(b"".join(p.kinds for p in profiles), "u1")
    rows = np.repeat(np.arange(len(profiles)), [len(p.kinds) for p in profiles])
    # Term and place in one number: sorting those takes a fifth of the time that np.unique takes.
    keys = np.sort((terms.astype(np.uint64) << _TERM) | np.arange(len(terms), dtype=np.uint64))
    begins = np.diff(keys >> _TERM, prepend=np.uint64(0)) != 0  # no term is 0
    ranks = np.cumsum(begins) - 1
    columns = np.empty(len(terms), dtype=np.int64)
    columns[(keys & _PLACE).astype(np.int64)] = ranks
    return _Stack(rows, columns, weights, _CHANNEL[kinds], np.bincount(ranks))


def _gram(stack: _Stack, count: int) -> Floats:
    """The cosine of every two profiles. Columns of one profile add nothing to it and are left out: most are such."""
    common = stack.sizes > 1
    numbered = np.cumsum(common) - 1
    chosen = common[stack.columns]
    matrix = np.zeros((count, int(common.sum())), dtype=np.float32)
    matrix[stack.rows[chosen], numbered[stack.columns[chosen]]] = stack.weights[chosen]
    # Not `@`: that wakes the threads of the linear algebra library, which costs a small matrix more than it saves.
    return np.asarray(np.minimum(np.einsum("ij,kj->ik", matrix, matrix), 1.0), dtype=np.float64)


def _channels(stack: _Stack, own: int, count: int) -> Floats:
    """The cosine of the first profile, which has `own` terms, with every one: a column a channel."""
    spots = stack.rows * _CHANNELS + stack.channels
    lengths = np.sqrt(np.bincount(spots, stack.weights**2, minlength=count * _CHANNELS)).reshape(count, _CHANNELS)
    first = np.zeros((len(stack.sizes), _CHANNELS))
    first[stack.columns[:own], stack.channels[:own]] = stack.weights[:own]
    products = np.bincount(
        spots, stack.weights * first[stack.columns, stack.channels], minlength=count * _CHANNELS
    ).reshape(count, _CHANNELS)
    return np.asarray(products / (lengths * lengths[0] + 1e-9))


def _density(gram: Floats, limits: Limits) -> Floats:
    """How close each article is to its nearest neighbours among the others."""
    others = gram - 2.0 * np.eye(len(gram))
    nearest = -np.sort(-others, axis=1)[:, : limits.crowd]
    padded = np.full((len(gram), limits.crowd), limits.empty)
    padded[:, : nearest.shape[1]] = np.maximum(nearest, limits.empty)
    return np.asarray(padded.mean(axis=1))


def _judgement(
    own: Profile, other: Profile, seen: Measures, printed: Mapping[int, str], limits: Limits, apart: int
) -> Judgement:
    chance = story_chance(seen, _story())
    if seen.cosine < limits.least:
        return Judgement(None, chance, seen.cosine, ())
    if seen.cosine >= limits.copies and is_copy(shared := wording(own, other), seen.cosine, apart):
        said = (f"{shared.contained:.0%} of the wording", *reasons(own, other, printed))
        return Judgement("duplicate", shared.contained, seen.cosine, said)
    if chance >= limits.same_story:
        return Judgement("same_story", chance, seen.cosine, reasons(own, other, printed))
    if seen.cosine >= limits.related and seen.names > 0:
        return Judgement("related", chance, seen.cosine, reasons(own, other, printed))
    return Judgement(None, chance, seen.cosine, ())


def story_chance(seen: Measures, rule: Rule) -> float:
    """The chance that two articles with these measures tell the same story."""
    z = rule.bias + rule.cosine * seen.cosine + rule.root * math.sqrt(max(seen.cosine, 0.0))
    z += rule.names * seen.names + rule.words * seen.words + rule.numbers * seen.numbers + rule.density * seen.density
    return _logistic(z)


def _logistic(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(z, 30.0), -30.0)))


def _smoothed(share: float, count: int) -> float:
    """A share of few counts less than the same share of many."""
    return (share * count + 1) / (count + 1)


def _agreement(a: Profile, b: Profile, kind: int) -> tuple[float, int]:
    """The share of the smaller side's terms of a kind that stand in the other (1 where it has none), and their number."""
    mine, theirs = _of_kind(a, kind), _of_kind(b, kind)
    fewer = min(len(mine), len(theirs))
    return (len(fingerprints.common(mine, theirs)[0]) / fewer if fewer else 1.0), fewer


def _vocabulary(a: Profile, b: Profile) -> float:
    one, other = np.frombuffer(a.terms, "<u4"), np.frombuffer(b.terms, "<u4")
    return len(fingerprints.common(one, other)[0]) / max(min(len(one), len(other)), 1)


def _of_kind(profile: Profile, kind: int) -> npt.NDArray[np.uint32]:
    return np.asarray(np.frombuffer(profile.terms, "<u4")[np.frombuffer(profile.kinds, "u1") == kind])


def _damped(count: float) -> float:
    return 1.0 + math.log(count) if count >= 1.0 else count


def _kind(term: str, names: set[str]) -> int:
    if term[0].isdigit():
        return NUMBER
    if " " in term:
        return PAIR
    return NAME if term in names else WORD


def _capitalised(body: list[Word], top: list[Word]) -> set[str]:
    """The words printed as names: with a capital within sentences at least as often as without."""
    capital: Counter[str] = Counter()
    small: Counter[str] = Counter()
    for word in body:
        if word.capital and not word.opens:
            capital[word.norm] += 1
        elif not word.capital and not word.number:
            small[word.norm] += 1
    if not capital and not _shouts(top):
        capital.update(word.norm for word in top if word.capital and not word.opens)
    return {norm for norm, count in capital.items() if count >= small[norm]}


def _shouts(top: list[Word]) -> bool:
    """Most words of the headline have a capital: then a capital says nothing."""
    letters = [word for word in top if not word.number]
    return sum(word.capital for word in letters) > 0.6 * len(letters)


def _printed(found: list[Word], names: set[str]) -> tuple[str, ...]:
    """The names as printed, words in a row as one, most frequent first."""
    runs: Counter[str] = Counter()
    run: list[str] = []
    for word in found:
        named = word.norm in names and word.capital
        if run and not (named and word.joined):
            runs[" ".join(run)] += 1
            run = []
        if named:
            run.append(word.printed)
    if run:
        runs[" ".join(run)] += 1
    return tuple(sorted(runs, key=lambda name: (-runs[name], name))[:40])


def _numbers(found: list[Word]) -> tuple[str, ...]:
    """The distinct numbers, in the order of their first appearance."""
    return tuple(dict.fromkeys(word.norm for word in found if word.number))[:60]


def _longest(names: list[str]) -> list[str]:
    """Names that are not a part of another one in the list."""
    return [name for name in names if not any(name != other and name in other.split() for other in names)]


@functools.cache
def _story() -> Rule:
    return msgspec.json.decode(_data("story_rule.json"), type=Rule)


@functools.cache
def _copying() -> Copying:
    return msgspec.json.decode(_data("copy_rule.json"), type=Copying)


@functools.cache
def _common(language: str | None) -> Mapping[str, float]:
    """Share of articles in which the common words of a language occur; English where the language is not known."""
    return _tables().get(language or "en", {})


@functools.cache
def _tables() -> dict[str, dict[str, float]]:
    table = msgspec.json.decode(_data("common_words.json"), type=dict[str, dict[str, int]])
    return {code: {word: mille / 1000 for word, mille in shares.items()} for code, shares in table.items()}


def _data(name: str) -> bytes:
    return importlib.resources.files("services.enrich").joinpath("data", name).read_bytes()
