"""Two articles in, how they belong together out: the same text, the same story, background, or nothing; and why.

    signature   headline and text -> terms with their salience, names, numbers (knows no other article)
    weigh       signature and document frequencies -> Profile: a unit vector of terms, shingles; what the store keeps
    salient     the few terms of a profile that its postings hold
    judge       two profiles -> Judgement with reasons

The score of two profiles is the cosine of their weights. Names and numbers count more than other words, the beginning
of an article more than its end. Judging is symmetric.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from services.enrich import fingerprints
from services.enrich.words import Word, words

METHOD, VERSION = "terms", "1"

Relation = Literal["duplicate", "same_story", "related"]

_LEAD, _LEAD_WORDS = 2.0, 40.0
"""A word at the very beginning counts 1 + _LEAD times; the extra falls off over about _LEAD_WORDS words."""
_NAME, _NUMBER, _PAIR = 1.5, 1.5, 0.7
"""Factors of names and numbers, and of two names in a row, against other words."""
_SCALE = 65535
PRIOR = 1000
"""The table of common words counts as much as this many articles; the store's own counts soon outweigh it."""
_RARE = 0.0005
"""Share of articles that a word missing from the table is taken to occur in."""


class Signature(msgspec.Struct, frozen=True):
    """What one text says of itself. `terms` maps a term to its salience; `size` counts words."""

    terms: dict[str, float]
    names: tuple[str, ...]
    numbers: tuple[str, ...]
    size: int
    language: str | None = None


class Profile(msgspec.Struct, frozen=True, array_like=True):
    """A weighed signature: what the store keeps of an article for comparing.

    `weights` are parts of a unit vector in 1/65535; `shingles` are the upper 32 bits of the sorted shingle hashes.
    """

    weights: dict[str, int]
    names: tuple[str, ...]
    numbers: tuple[str, ...]
    size: int
    shingles: bytes


class Judgement(NamedTuple):
    """`score` is the cosine, for a duplicate the containment, 0 to 1; `reasons` name what both share."""

    relation: Relation | None
    score: float
    reasons: tuple[str, ...]


class Thresholds(msgspec.Struct, frozen=True):
    """From which score on two articles belong together."""

    same_story: float = 0.21
    related: float = 0.12


class Containment(msgspec.Struct, frozen=True):
    """When shared wording makes a duplicate: measured on edited and on templated wire copy."""

    certain: float = 0.6
    possible: float = 0.3
    long: int = 60
    shared: int = 25
    agree: float = 0.6
    """How much of the shorter text's names and of its numbers must stand in the other one."""


LIMITS, RULE = Thresholds(), Containment()


def signature(headline: str, text: str, language: str | None = None) -> Signature:
    """The terms, names and numbers of an article. An empty article has none; nothing is raised."""
    body = words(text)
    top = words(headline)
    found = top + body
    names = _capitalised(body, top)
    salience: dict[str, float] = {}
    last: Word | None = None
    for place, word in enumerate(found):
        worth = 1.0 + _LEAD * math.exp(-place / _LEAD_WORDS)
        salience[word.norm] = salience.get(word.norm, 0.0) + worth
        if last is not None and word.joined and word.norm in names and last.norm in names:
            pair = f"{last.norm} {word.norm}"
            salience[pair] = salience.get(pair, 0.0) + worth * _PAIR
        last = word
    terms = {term: _damped(count) * _factor(term, names) for term, count in salience.items()}
    return Signature(terms, _printed(found, names), _numbers(found), len(found), language)


def weigh(sig: Signature, frequency: Mapping[str, int], total: int, hashes: fingerprints.Hashes) -> Profile:
    """The profile of a signature.

    Args:
        frequency: in how many of the store's articles each term occurs (a missing term: in none).
        total: how many articles that counts over.
        hashes: the article's shingles.
    """
    common = _common(sig.language)
    raw = {term: worth * _rarity(term, common, frequency, total) for term, worth in sig.terms.items()}
    norm = math.sqrt(sum(weight * weight for weight in raw.values())) or 1.0
    scaled = {term: round(_SCALE * weight / norm) for term, weight in raw.items()}
    return Profile(
        {t: w for t, w in scaled.items() if w > 0}, sig.names, sig.numbers, sig.size, fingerprints.pack(hashes)
    )


def salient(profile: Profile, most: int = 40) -> tuple[tuple[str, float], ...]:
    """The terms with the greatest weight, greatest first: the article's postings. Ties go by the alphabet."""
    ranked = sorted(profile.weights.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
    return tuple((term, weight / _SCALE) for term, weight in ranked)


def cosine(a: Profile, b: Profile) -> float:
    """0 (nothing shared) to 1; symmetric."""
    few, many = (a.weights, b.weights) if len(a.weights) <= len(b.weights) else (b.weights, a.weights)
    total = sum(weight * many[term] for term, weight in few.items() if term in many)
    return min(total / (_SCALE * _SCALE), 1.0)


def judge(a: Profile, b: Profile, limits: Thresholds = LIMITS, rule: Containment = RULE) -> Judgement:
    """How the two belong together. The order of the two makes no difference."""
    score = cosine(a, b)
    if score < limits.related:
        return Judgement(None, score, ())
    contained = duplicate(a, b, rule)
    if contained is not None:
        return Judgement("duplicate", contained, (f"{contained:.0%} of the wording", *reasons(a, b)))
    shared = reasons(a, b)
    if score >= limits.same_story:
        return Judgement("same_story", score, shared)
    return Judgement("related", score, shared)


def duplicate(a: Profile, b: Profile, rule: Containment = RULE) -> float | None:
    """The containment where the wording makes the two one text, else None.

    Templated copy ("Weekly prices, week 12") shares its wording and differs in names and numbers: those must agree.
    """
    one, other = fingerprints.unpack(a.shingles), fingerprints.unpack(b.shingles)
    shorter = min(len(one), len(other))
    contained = fingerprints.containment(one, other)
    if contained < rule.possible:
        return None
    sure = contained >= rule.certain and shorter >= rule.long and contained * shorter >= rule.shared
    needed = rule.agree / 2 if sure else rule.agree
    agree = agreement(a.numbers, b.numbers) >= needed and agreement(a.names, b.names) >= needed
    return contained if agree else None


def agreement(a: tuple[str, ...], b: tuple[str, ...]) -> float:
    """The share of the smaller set that stands in the other: 1 where one is empty."""
    few, many = sorted((set(a), set(b)), key=len)
    return len(few & many) / len(few) if few else 1.0


def reasons(a: Profile, b: Profile, most: int = 8) -> tuple[str, ...]:
    """What both share, for a person: names, then numbers, then the terms that weigh most."""
    shared = {t: w * b.weights[t] for t, w in a.weights.items() if t in b.weights}
    lower = {name.lower(): name for name in (*b.names, *a.names)}
    ranked = sorted(shared, key=lambda term: (-shared[term], term))
    names = [lower[term] for term in ranked if term in lower]
    covered = {part for name in names for part in name.lower().split()}
    numbers = [term for term in ranked if term[0].isdigit()]
    terms = [term for term in ranked if term not in covered and term not in lower and not term[0].isdigit()]
    chosen = [f"name {name}" for name in _longest(names)[:4]]
    chosen += [f"number {number}" for number in numbers[:2]]
    return tuple((chosen + [f"term {term}" for term in terms])[:most])


def to_bytes(profile: Profile) -> bytes:
    """The profile as the store keeps it."""
    return _ENCODER.encode(profile)


def from_bytes(raw: bytes) -> Profile:
    """What `to_bytes` made; msgspec.DecodeError for anything else."""
    return _DECODER.decode(raw)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Profile)


def _damped(count: float) -> float:
    return 1.0 + math.log(count) if count >= 1.0 else count


def _factor(term: str, names: set[str]) -> float:
    if term[0].isdigit():
        return _NUMBER
    return _NAME if " " in term or term in names else 1.0


def _rarity(term: str, common: Mapping[str, float], frequency: Mapping[str, int], total: int) -> float:
    """The inverse document frequency: the table of common words and the store's own counts, added up."""
    seen = frequency.get(term, 0) + PRIOR * common.get(term, _RARE)
    return math.log1p((total + PRIOR) / (seen + 0.5))


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
def _common(language: str | None) -> Mapping[str, float]:
    """Share of articles in which the common words of a language occur; English where the language is not known."""
    return _tables().get(language or "en", {})


@functools.cache
def _tables() -> dict[str, dict[str, float]]:
    raw = importlib.resources.files("services.enrich").joinpath("data/common_words.json").read_bytes()
    table = msgspec.json.decode(raw, type=dict[str, dict[str, int]])
    return {code: {word: mille / 1000 for word, mille in shares.items()} for code, shares in table.items()}
