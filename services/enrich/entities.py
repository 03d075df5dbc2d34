"""Text in, the names it prints out: as printed, how often, and a kind where the words around say so.

A light list for readers and filters, and explainable: a name is a run of capitalised words within sentences; its kind
follows from a word of the name ("Ministry", "River") or the word before it ("Judge", "in"). Nothing is looked up.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections import Counter
from typing import Literal, NamedTuple

import msgspec

from services.enrich.words import Word, words

Kind = Literal["person", "organisation", "place"]


class Name(NamedTuple):
    """A name as printed most often; `kind` is None where nothing tells; `times` says how often it stands in the text."""

    text: str
    kind: Kind | None
    times: int


class Cues(msgspec.Struct, frozen=True):
    """Words that tell what a name is, lower case."""

    titles: frozenset[str]
    organisation: frozenset[str]
    place: frozenset[str]
    before_place: frozenset[str]
    calendar: frozenset[str]
    """Days and months: printed with a capital and no names."""


class _Run(NamedTuple):
    """One occurrence: the words of the name and the word before it."""

    name: tuple[str, ...]
    before: str


def names(text: str, most: int = 50) -> tuple[Name, ...]:
    """The names of a text, most frequent first, then by the alphabet; a last name alone counts for its full name."""
    runs = _runs(words(text))
    full = _full_names(runs)
    counts: Counter[str] = Counter()
    kinds: dict[str, Counter[Kind]] = {}
    for run in runs:
        name = full.get(" ".join(run.name), " ".join(run.name))
        counts[name] += 1
        kind = _kind(run)
        if kind is not None:
            kinds.setdefault(name, Counter())[kind] += 1
    ranked = sorted(counts, key=lambda name: (-counts[name], name))[:most]
    return tuple(Name(name, _likeliest(kinds.get(name)), counts[name]) for name in ranked)


def _runs(found: list[Word]) -> list[_Run]:
    """Capitalised words in a row. One that opens a sentence counts only where the text prints it with a capital elsewhere."""
    within = {word.norm for word in found if word.capital and not word.opens} - _cues().calendar
    small = {word.norm for word in found if not word.capital}
    runs: list[_Run] = []
    run: list[str] = []
    before, last = "", ""
    for word in found:
        named = word.capital and word.norm in within and not (word.opens and word.norm in small)
        titled = run and run[-1].lower() in _cues().titles
        if run and (not named or not word.joined or (titled and len(run) == 1)):
            if not titled:
                runs.append(_Run(tuple(run), before))
            run, last = [], run[-1].lower()
        if named:
            before = last if not run else before
            run.append(word.printed)
        else:
            last = word.norm
    if run:
        runs.append(_Run(tuple(run), before))
    return runs


def _full_names(runs: list[_Run]) -> dict[str, str]:
    """Last name -> the one full name that ends with it; none where two do."""
    longer = {run.name for run in runs if len(run.name) > 1}
    ends = Counter(name[-1] for name in longer)
    return {name[-1]: " ".join(name) for name in longer if ends[name[-1]] == 1}


def _kind(run: _Run) -> Kind | None:
    cues = _cues()
    parts = {part.lower() for part in run.name}
    if parts & cues.organisation or (len(run.name) == 1 and run.name[0].isupper() and len(run.name[0]) > 2):
        return "organisation"
    if parts & cues.place:
        return "place"
    if run.before in cues.titles:
        return "person"
    return "place" if run.before in cues.before_place else None


def _likeliest(found: Counter[Kind] | None) -> Kind | None:
    ranked = sorted((found or Counter()).items(), key=lambda pair: (-pair[1], pair[0]))
    return ranked[0][0] if ranked else None


@functools.cache
def _cues() -> Cues:
    raw = importlib.resources.files("services.enrich").joinpath("data", "name_cues.json").read_bytes()
    return msgspec.json.decode(raw, type=Cues)
