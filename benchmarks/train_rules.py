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

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from benchmarks import enrich_store, variations
from benchmarks.enrich import headline_first, rows
from benchmarks.variations import Story
from services.enrich import neighbours, similarity
from services.enrich.similarity import Copying, Measures
from shared.store import similar

DATA = Path(similarity.__file__).parent / "data"
AROUND, ORDERS, FOLDS = 2000, 3, 5

Floats = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hold-out", action="store_true")
    args = parser.parse_args()
    learn(args.folder / "enrich", "story_rule.json", *story_pairs(args.folder / "enrich"), _story_rule, args.hold_out)
    learn(args.folder / "enrich", "copy_rule.json", *copy_pairs(args.folder / "enrich"), _copy_rule, args.hold_out)


def learn(folder: Path, name: str, table: Floats, groups: Floats, write: object, hold_out: bool) -> None:
    """`table` holds measures and, last, whether the pair belongs together; `groups` two groups (topics, texts) a pair."""
    values, truth = table[:, :-1], table[:, -1] > 0
    if hold_out:
        found = np.zeros(len(truth), dtype=bool)
        for fold in range(FOLDS):
            inside = (groups % FOLDS == fold).any(axis=1)
            found[inside] = _fit(values[~inside], truth[~inside]).predict(values[inside])
        print(
            name, "pairs", len(truth), "held-out F1", round(2 * (found & truth).sum() / (found.sum() + truth.sum()), 4)
        )
        return
    fitted = _fit(values, truth)
    rule = write([float(fitted.intercept_[0]), *fitted.coef_[0].tolist()])  # type: ignore[operator]
    (DATA / name).write_text(json.dumps(rule, indent=1) + "\n")


def _fit(values: Floats, truth: npt.NDArray[np.bool_]) -> LogisticRegression:
    return LogisticRegression(C=10.0, max_iter=5000).fit(values, truth)


def _story_rule(found: list[float]) -> dict[str, float]:
    names = ("bias", "cosine", "root", "names", "words", "numbers", "density")
    return dict(zip(names, (round(value, 3) for value in found), strict=True))


def _copy_rule(found: list[float]) -> dict[str, float]:
    names = ("bias", "contained", "length", "names", "numbers", "cosine")
    return dict(zip(names, (round(value, 3) for value in found), strict=True))


def story_pairs(folder: Path) -> tuple[Floats, Floats]:
    """Measures of every article and its candidates, as they arrive, in several orders."""
    given = rows(folder / "stories.jsonl.xz")
    story = {row["id"]: row["story"] for row in given}
    topic = {row["id"]: int(row["topic"]) for row in given}
    around = variations.from_wire(rows(folder / "wire_reuters.jsonl.xz"))[:AROUND]
    arrivals = [Story(row["id"], around[0].day, "", row["text"]) for row in given]
    table, groups = [], []
    for order in range(ORDERS):
        mixed = [*arrivals, *around] if order else list(arrivals)
        random.Random(order).shuffle(mixed)
        for key, other, seen in _measured(mixed, story.keys()):
            measures = (seen.cosine, max(seen.cosine, 0.0) ** 0.5, seen.names, seen.words, seen.numbers, seen.density)
            table.append([*measures, float(story[key] == story.get(other))])
            groups.append([topic[key], topic.get(other, topic[key])])
    return np.array(table), np.array(groups)


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


def copy_pairs(folder: Path) -> tuple[Floats, Floats]:
    """Measures of pairs of texts that share fingerprints; only those that the fixed conditions let through."""
    given = rows(folder / "near_duplicates.jsonl.xz")
    ready = [enrich_store.prepared(Story(str(n), 0, *headline_first(row["text"]))) for n, row in enumerate(given)]
    profiles = [similarity.weigh(one.signature, {}, 0, one.shingles) for one in ready]
    holders: dict[int, list[int]] = {}
    for place, profile in enumerate(profiles):
        for value in neighbours.sketch(profile):
            holders.setdefault(value, []).append(place)
    pairs = {(b, a) for held in holders.values() if len(held) < 200 for a in held for b in held if b < a}
    table, groups = [], []
    open_rule = Copying(30.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for a, b in sorted(pairs):
        seen = similarity.wording(profiles[a], profiles[b])
        if similarity.is_copy(seen, 1.0, open_rule):
            cosine = similarity.judge(profiles[a], profiles[b]).cosine
            table.append([*similarity.copy_measures(seen, cosine), float(given[a]["src"] == given[b]["src"])])
            groups.append([given[a]["src"], given[b]["src"]])
    return np.array(table), np.array(groups)


if __name__ == "__main__":
    main()
