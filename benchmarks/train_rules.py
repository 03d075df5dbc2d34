"""Labelled articles in, `services/enrich/data/story_rule.json` and `copy_rule.json` out: the two learnt judgements.

    python -m benchmarks.train_rules BENCH_FOLDER [--hold-out]

Both are logistic over a handful of measures that the product itself takes. The story rule learns from stories arriving one
after the other among wire copy; the copy rule from edited copies, their originals and templated wire copy. With --hold-out
nothing is written: the F1 on topics and texts that were not learnt from is printed instead.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from benchmarks import enrich_store, variations
from benchmarks.enrich import headline_first, rows, same_texts
from benchmarks.variations import Story
from services.enrich import neighbours, similarity
from services.enrich.similarity import Measures, Wording
from shared.store import similar

DATA = Path(similarity.__file__).parent / "data"
AROUND, ORDERS, FOLDS = 2000, 3, 5
ORIGINALS, STREAM = 20.0, 30.0
"""Two originals, two items of the wire: a real stream is full of such pairs, the edits are not; each counts this often."""
WIRE = slice(4000, 8000)
STORY = ("bias", "cosine", "root", "names", "words", "numbers", "density")

Floats = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hold-out", action="store_true")
    parser.add_argument("--only", choices=["story", "copy"])
    args = parser.parse_args()
    if args.only != "copy":
        story(story_pairs(args.folder / "enrich"), args.hold_out)
    if args.only != "story":
        copy(copy_pairs(args.folder / "enrich"), args.hold_out)


class Pairs(NamedTuple):
    """Measures of pairs, whether each belongs together, its two groups (topics, texts) and what it counts."""

    measures: Floats
    truth: npt.NDArray[np.bool_]
    groups: Floats
    weights: Floats


def story(pairs: Pairs, hold_out: bool) -> None:
    """Learns the story rule."""
    bias, factors = learnt("story", pairs, hold_out)
    if not hold_out:
        (DATA / "story_rule.json").write_text(
            json.dumps(dict(zip(STORY, [bias, *factors], strict=True)), indent=1) + "\n"
        )


def copy(pairs: Pairs, hold_out: bool) -> None:
    """Learns the copy rule."""
    bias, factors = learnt("copy", pairs, hold_out)
    if not hold_out:
        (DATA / "copy_rule.json").write_text(json.dumps({"bias": bias, "factors": factors}) + "\n")


def learnt(name: str, pairs: Pairs, hold_out: bool) -> tuple[float, list[float]]:
    """Bias and factors; with `hold_out` first prints the F1 on groups that were not learnt from."""
    if hold_out:
        held = np.zeros(len(pairs.truth), dtype=bool)
        for fold in range(FOLDS):
            inside = (pairs.groups % FOLDS == fold).any(axis=1)
            model = _fit(pairs.measures[~inside], pairs.truth[~inside], pairs.weights[~inside])
            held[inside] = model.predict(pairs.measures[inside])
        counted = pairs.weights == 1.0
        right = (held & pairs.truth)[counted].sum()
        f1 = 2 * right / (held[counted].sum() + pairs.truth[counted].sum())
        print(f"{name} rule, {len(held)} pairs, F1 on what was held out: {f1:.4f}")
    fitted = _fit(pairs.measures, pairs.truth, pairs.weights)
    return round(float(fitted.intercept_[0]), 4), [round(float(value), 4) for value in fitted.coef_[0]]


def _fit(values: Floats, truth: npt.NDArray[np.bool_], weights: Floats) -> LogisticRegression:
    return LogisticRegression(C=10.0, max_iter=5000).fit(values, truth, sample_weight=weights)


def story_pairs(folder: Path) -> Pairs:
    """Measures of every article and its candidates, as they arrive, in several orders."""
    given = rows(folder / "stories.jsonl.xz")
    told = {row["id"]: row["story"] for row in given}
    topic = {row["id"]: int(row["topic"]) for row in given}
    around = variations.from_wire(rows(folder / "wire_reuters.jsonl.xz"))[:AROUND]
    arrivals = [Story(row["id"], around[0].day, "", row["text"]) for row in given]
    measures, truth, groups = [], [], []
    for order in range(ORDERS):
        mixed = [*arrivals, *around] if order else list(arrivals)
        random.Random(order).shuffle(mixed)
        for key, other, seen in _measured(mixed, told.keys()):
            root = max(seen.cosine, 0.0) ** 0.5
            measures.append([seen.cosine, root, seen.names, seen.words, seen.numbers, seen.density])
            truth.append(told[key] == told.get(other))
            groups.append([topic[key], topic.get(other, topic[key])])
    return Pairs(np.array(measures), np.array(truth), np.array(groups), np.ones(len(truth)))


def _measured(arrivals: list[Story], wanted: object) -> Iterator[tuple[str, str, Measures]]:
    with tempfile.TemporaryDirectory() as folder, enrich_store.opened(Path(folder)) as store:
        for one, linked in enrich_store.feed(store, arrivals):
            if one.key not in wanted:  # type: ignore[operator]
                continue
            with store.read() as connection:
                counts = neighbours.frequencies(connection, [enrich_store.prepared(one)])
                own = _read(similar.profiles(connection, [linked.doc])[0])
                docs = neighbours.candidates(connection, own, counts) - {linked.doc}
                others = [_read(known) for known in similar.profiles(connection, docs)]
            seen = similarity.measures(own.profile, [other.profile for other in others]) if others else []
            yield from (
                (one.key, other.article_id, row) for other, row in zip(others, seen, strict=True) if row.cosine > 0.05
            )


def _read(known: similar.Known) -> neighbours.Read:
    return neighbours.Read(known.article_id, known.day, similarity.from_bytes(known.profile))


def copy_pairs(folder: Path) -> Pairs:
    """Measures of pairs of texts that share fingerprints: edited copies, and real wire copy with its templates."""
    given = rows(folder / "near_duplicates.jsonl.xz")
    edits = [Story(str(n), 0, *headline_first(row["text"])) for n, row in enumerate(given)]
    wire = variations.from_wire(rows(folder / "wire_reuters.jsonl.xz"))[WIRE]
    same = same_texts([(row["src"], row["text"]) for row in given if row["kind"] == "orig"])
    measures, truth, groups, weights = [], [], [], []
    for a, b, seen, cosine in _worded(edits):
        sides = [given[a], given[b]]
        sources = [same.get(side["src"], side["src"]) for side in sides]
        measures.append(similarity.copy_measures(seen, cosine))
        truth.append(sources[0] == sources[1])
        groups.append([side["src"] for side in sides])
        real = all(side["kind"] == "orig" for side in sides)
        weights.append(ORIGINALS if real and not truth[-1] else 1.0)
    for a, b, seen, cosine in _worded(wire):
        said = wire_truth(seen, wire[a].headline, wire[b].headline)
        if said is not None:
            measures.append(similarity.copy_measures(seen, cosine))
            truth.append(said)
            groups.append([a, b])
            weights.append(STREAM)
    return Pairs(np.array(measures), np.array(truth), np.array(groups), np.array(weights))


def wire_truth(seen: Wording, one: str, other: str) -> bool | None:
    """What two items of the wire are to each other by their wording, headlines and figures; None where nobody can say.

    Nobody labelled the wire. Most of the wording, or much of it under nearly the same headline with the same figures, is a
    copy; little of it, or other figures, or another headline over half of it, is a template or a follow-up.
    """
    first, second = set(one.lower().split()), set(other.lower().split())
    alike = len(first & second) / max(1, min(len(first), len(second)))
    if seen.contained >= 0.6 or (seen.contained >= 0.45 and alike >= 0.6 and seen.numbers >= 0.6):
        return True
    template = seen.numbers < 0.5 and seen.fewer_numbers >= 2
    return False if template or seen.contained < 0.35 or (seen.contained < 0.5 and alike < 0.6) else None


def _worded(articles: list[Story]) -> Iterator[tuple[int, int, Wording, float]]:
    """The pairs that share fingerprints and enough wording to be asked about."""
    ready = [enrich_store.prepared(one) for one in articles]
    profiles = [similarity.weigh(one.signature, {}, 0, one.shingles) for one in ready]
    holders: dict[int, list[int]] = {}
    for place, profile in enumerate(profiles):
        for value in neighbours.sketch(profile):
            holders.setdefault(value, []).append(place)
    for a, b in sorted({(b, a) for held in holders.values() if len(held) < 200 for a in held for b in held if b < a}):
        seen = similarity.wording(profiles[a], profiles[b])
        if seen.contained >= 0.2:
            cosine = similarity.measures(profiles[a], [profiles[b]])[0].cosine
            if cosine >= similarity.LIMITS.copies:
                yield a, b, seen, cosine


if __name__ == "__main__":
    main()
