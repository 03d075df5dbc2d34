"""Benchmark pages in, the extraction engine's weights out, with honest figures on the way.

    python -m benchmarks.train_extraction DATA --out services/ingest/extract/weights.npz
    python -m benchmarks.train_extraction DATA --held-out FOLDER

DATA holds aeb.jsonl.xz, news.jsonl.xz and segments.jsonl.xz. With --held-out nothing is shipped: pages are split by publisher into
five parts, each part is extracted by weights that saw none of its publishers, and FOLDER gets one file of predictions a set for the
scorer. The run is reproducible: same data, same seeds, same weights.

What is learnt from a page whose whole text is known: which of its pieces stand in that text, found by aligning words in order. Of a
segment page only the pieces with a wanted or an unwanted segment are known; the others teach nothing.
"""

from __future__ import annotations

import argparse
import datetime as dt
import html
import json
import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.extraction import ours, pages, predicted
from services.ingest.extract import features, fields, parse
from services.ingest.extract.blocks import LIST, QUOTE, TABLE, Box, Cut
from services.ingest.extract.choose import IDLE, impossible
from services.ingest.extract.evidence import Evidence, gather
from services.ingest.extract.model import Forest, Lexicon, Weights
from services.ingest.extract.names import tokens
from shared.errors import Rejected
from shared.text import fold

SETS = ("aeb", "news", "segments")
FOLDS = 5
WORD = re.compile(r"\w+")
UNKNOWN = math.nan
Labels = NDArray[np.float32]


class Lexica(NamedTuple):
    """What words weigh: those of class names, of short texts, of the beginnings of longer ones."""

    names: Lexicon
    words: Lexicon
    openings: Lexicon


class Sample:
    """A page ready for learning, its arrays over the active pieces. `body` and `dek` are 1, 0 or NaN (not known); `fixed` marks
    pieces that a rule decides."""

    def __init__(self, kind: str, page: dict[str, Any], found: Cut, evidence: Evidence) -> None:
        titles = fields.Titles(offer.value for offer in fields.title_offers(evidence, found))
        self.kind, self.page, self.arrays = kind, page, features.Page(found, titles)
        self.pieces = [found.pieces[n] for n in self.arrays.active.tolist()]
        self.evidence, self.titles = evidence, titles
        self.fixed = np.array([impossible(piece, titles) is not None for piece in self.pieces], bool)
        self.publisher = publisher(page["url"])
        self.body, self.dek = (labels[self.arrays.active] for labels in truth(kind, page["expected"], found))
        self.known = ~np.isnan(self.body)
        above = _words_above(found)
        self.names = [above[piece.box] | frozenset(tokens(piece.inline)) for piece in self.pieces]
        told = [features.telling(piece.text) for piece in self.pieces]
        self.words, self.openings = (
            [frozenset(w) if of == kind else frozenset() for of, w in told] for kind in Lexica._fields[1:]
        )

    def texts(self) -> list[str]:
        """The true text as plain elements."""
        tags = {"h2": "h2", "h3": "h3", "h4": "h4", "li": "li"}
        own = [piece for piece, body in zip(self.pieces, self.body.tolist(), strict=True) if body > 0]
        return [f"<{(t := tags.get(p.box.tag, 'p'))}>{html.escape(p.text)}</{t}>" for p in own]

    def standing(self, names: Lexicon) -> features.Floats:
        """The first pass's features: (features, pieces)."""
        return features.plain(self.arrays, names)

    def read(self, lexica: Lexica) -> features.Floats:
        """What the texts say: (features, pieces)."""
        return features.close(self.arrays, self.arrays.active, self.evidence, *lexica)

    def around(self, first: Labels) -> features.Floats:
        """What the first judgement says of the surroundings: (features, pieces)."""
        whole = np.zeros(self.arrays.count, np.float32)
        whole[self.arrays.active] = first
        return features.context(self.arrays, whole, self.arrays.active)


def _words_above(found: Cut) -> dict[Box, frozenset[str]]:
    """The class words of each box and of all that it stands in."""
    above: dict[Box, frozenset[str]] = {}
    for box in found.boxes:
        own = frozenset(tokens(box.names)) if box.tag not in ("html", "body") else frozenset()
        above[box] = own | (above[box.parent] if box.parent else frozenset())
    return above


def publisher(url: str | None) -> str:
    """The registrable part of a URL's host, near enough: pages of one publisher must never be on both sides of a split."""
    parts = (urlsplit(url or "").hostname or "unknown").split(".")
    second = len(parts) > 2 and len(parts[-1]) == 2 and parts[-2] in ("co", "com", "org", "ac", "gov", "net")
    return ".".join(parts[-3 if second else -2 :])


def read(folder: Path) -> list[Sample]:
    """Every page of the three sets that can be parsed, and what is made of their texts."""
    found = []
    for kind in SETS:
        for page in pages(folder / f"{kind}.jsonl.xz"):
            try:
                root, cut = parse.page(page["html"])
            except Rejected:
                continue
            if cut.pieces:
                found.append(Sample(kind, page, cut, gather(root, page.get("url"))))
    whole = [sample for sample in found if sample.kind != "segments" and len(sample.texts()) > 3]
    return found + [plainly(sample, whole[n - 1], n) for n, sample in enumerate(whole)]


def plainly(sample: Sample, other: Sample, number: int) -> Sample:
    """A page's true text again as a page of the plainest kind. One in three has nothing around it: so a record, printed, is read
    as itself. The others have text of the `other` page below, as the next article or as comments: so it shows without any class
    name where an article ends."""
    foreign = "" if number % 3 == 0 else _foreign(other, number % 3 == 1)
    holder = "article" if number % 2 else "div"
    title = html.escape(next(iter(sample.titles.plain), ""))
    markup = (
        f"<html><head><title>{title}</title></head><body><{holder}><h1>{title}</h1><div>{''.join(sample.texts())}</div>"
        f"</{holder}>{foreign}</body></html>"
    )
    root, found = parse.page(markup)
    made = Sample("plain", sample.page, found, gather(root, sample.page.get("url")))
    last = next(box.last for box in found.boxes if box.tag == holder)
    made.body = (made.arrays.active < last).astype(np.float32)
    return made


def _foreign(other: Sample, commenting: bool) -> str:
    """Text of another page in boxes of its own."""
    texts = [text for text in other.texts() if text.startswith("<p>")][:6]
    if commenting:
        return "<div>" + "".join(f"<div><div>{text[3:13].title()}</div>{text}</div>" for text in texts) + "</div>"
    title = html.escape(next(iter(other.titles.plain), ""))
    return f"<div><div><h2>{title}</h2>{''.join(texts)}</div></div>"


# What is true of a piece.


def truth(kind: str, expected: dict[str, Any], found: Cut) -> tuple[Labels, Labels]:
    """Labels of body and of standfirst for every piece."""
    nothing = np.zeros(len(found.pieces), np.float32)
    if kind == "plain":
        return nothing + 1, nothing
    if kind == "aeb":
        return aligned(found, expected["body"]), nothing
    if kind == "news":
        text = "\n".join(t for part in expected["sections"] for t in part["headline"] + part["paragraphs"])
        return _prose_only(found, aligned(found, text)), aligned(found, " ".join(expected["summary"]))
    return segments(found, expected), nothing


def _prose_only(found: Cut, labels: Labels) -> Labels:
    """News truth holds headings and paragraphs alone: of lists, tables and quotations among them nothing is known."""
    inside = np.flatnonzero(labels)
    for piece in found.pieces[inside[0] : inside[-1] + 3] if len(inside) else ():
        if piece.box.flags & (LIST | TABLE | QUOTE) and not labels[piece.index] and piece.links * 2 < len(piece.text):
            labels[piece.index] = UNKNOWN
    return labels


def segments(found: Cut, expected: dict[str, Any]) -> Labels:
    """Pieces with an unwanted segment are out, the one piece with a wanted segment is in, the others are not known."""
    texts = [fold(piece.text) for piece in found.pieces]
    labels = np.full(len(texts), UNKNOWN, np.float32)
    for segment in map(fold, expected.get("without", []) + expected.get("comments", [])):
        for number, text in enumerate(texts):
            if segment and segment in text and (len(text) < 400 or len(segment) > len(text) * 0.3):
                labels[number] = 0
    for segment in map(fold, expected["with"]):
        hits = [number for number, text in enumerate(texts) if segment in text]
        labels[hits] = 1 if len(hits) == 1 else UNKNOWN
    return labels


def aligned(found: Cut, text: str) -> Labels:
    """The share of each piece's words that the true text holds, in its order: long pieces first, short ones in the gaps."""
    true = WORD.findall(text)
    words = [WORD.findall(piece.text) for piece in found.pieces]
    labels = np.zeros(len(words), np.float32)
    chain = _chain(_matches(words, true))
    for piece, _, _, share in chain:
        labels[piece] = share
    ends = [(-1, 0, 0, 0.0), *chain, (len(words), len(true), len(true), 0.0)]
    for before, after in pairwise(ends):
        for number in _gap(words, true, (before[0] + 1, after[0]), (before[2], after[1])):
            labels[number] = 1
    return (labels > 0.5).astype(np.float32)


Match = tuple[int, int, int, float]
"""A piece, where it begins and ends in the true text, and the share of it found there."""


def _matches(words: Sequence[list[str]], true: list[str]) -> list[Match]:
    grams: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place in range(len(true) - 2):
        grams[tuple(true[place : place + 3])].append(place)
    found: list[Match] = []
    for number, own in enumerate(words):
        size = len(own)
        whole = [s for s in grams.get(tuple(own[:3]), ()) if true[s : s + size] == own] if size > 2 else []
        found.extend((number, start, start + size, 1.0) for start in whole[:6])
        if not whole and size > 5:
            found.extend(_partly(number, own, grams, len(true)))
    return found


def _partly(number: int, own: list[str], grams: dict[tuple[str, ...], list[int]], length: int) -> list[Match]:
    """A piece of which only some words stand in the true text, where most of them lie together."""
    starts = [s - k for k in range(len(own) - 2) for s in grams.get(tuple(own[k : k + 3]), ())[:3]]
    if not starts:
        return []
    middle = Counter(start // 8 for start in starts).most_common(1)[0][0]
    near = [start for start in starts if abs(start // 8 - middle) <= 1]
    share = min(1.0, len(near) / (len(own) - 2))
    begin = max(0, min(near))
    return [(number, begin, min(length, begin + len(own)), share)] if share > 0.4 else []


def _chain(found: list[Match]) -> list[Match]:
    """The heaviest run of matches that ascends in both texts."""
    best: list[tuple[float, int]] = []
    for at, (piece, start, end, share) in enumerate(found):
        weight, before = (end - start) * share, -1
        own = weight
        for other in range(max(0, at - 400), at):
            if found[other][0] < piece and found[other][2] <= start + 2:
                together = best[other][0] + own + (0.5 if found[other][2] == start else 0)
                if together > weight:
                    weight, before = together, other
        best.append((weight, before))
    at = max(range(len(best)), key=lambda n: best[n][0], default=-1)
    chain = []
    while at >= 0:
        chain.append(found[at])
        at = best[at][1]
    return chain[::-1]


def _gap(words: Sequence[list[str]], true: list[str], between: tuple[int, int], room: tuple[int, int]) -> list[int]:
    """Pieces between two matches that fill the true text's gap from its start, or else from its end."""
    found, at = [], room[0]
    for number in range(*between):
        own = words[number]
        if own and at + len(own) <= room[1] and true[at : at + len(own)] == own:
            found.append(number)
            at += len(own)
    if found:
        return found
    at = room[1]
    for number in reversed(range(*between)):
        own = words[number]
        if own and at - len(own) >= room[0] and true[at - len(own) : at] == own:
            found.append(number)
            at -= len(own)
    return found


# What a word weighs.


def lexicon(samples: Sequence[Sample], of: str, least: int) -> Lexicon:
    """The log-odds of body for each word that at least `least` publishers use; every page counts once a word. `of`: the words of
    the pieces' classes or of their texts."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    users: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.kind == "plain":
            continue
        page: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for words, body, known in zip(getattr(sample, of), sample.body.tolist(), sample.known.tolist(), strict=True):
            for word in words if known else ():
                page[word][0] += body
                page[word][1] += 1
        for word, (body, count) in page.items():
            sums[word][0] += body / count
            sums[word][1] += 1 - body / count
            users[word].add(sample.publisher)
    yes, no = (sum(pair[k] for pair in sums.values()) for k in (0, 1))
    prior = yes / max(1.0, yes + no)
    base = math.log(prior / (1 - prior))
    return Lexicon(
        {
            word: round(math.log((a + 2 * prior) / (b + 2 * (1 - prior))) - base, 2)
            for word, (a, b) in sorted(sums.items())
            if len(users[word]) >= least
        }
    )


# What is learnt.


LEAST_USERS = {"names": 4, "words": 8, "openings": 8}
"""A word is weighed when so many publishers use it."""
KIND_WEIGHTS = {"segments": 1.5, "plain": 0.3}


class Learner:
    """One training run over some samples."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples

    def targets(self, sample: Sample) -> tuple[Labels, Labels]:
        """Body label and weight of each piece: the longer, the heavier; unknown and fixed pieces weigh nothing."""
        labels = np.nan_to_num(sample.body)
        known = sample.known & ~((sample.dek > 0) & (labels == 0)) & ~sample.fixed
        chars = sample.arrays.chars[sample.arrays.active]
        weight = known * (0.3 + np.minimum(6, chars / max(1.0, float((chars * labels).sum())) * 15))
        weight *= KIND_WEIGHTS.get(sample.kind, 1.0)
        return labels.astype(np.float32), weight.astype(np.float32)

    def learn(self) -> Weights:
        """Both passes and the standfirst. Whatever a pass learns from was judged by what had not seen the page's publisher: word
        weights by thirds, first judgements by halves."""
        lexica = Lexica(*(lexicon(self.samples, of, least) for of, least in LEAST_USERS.items()))
        targets = [self.targets(sample) for sample in self.samples]
        standing, read = self.unseen_words()
        first = fit(standing, targets, FIRST)
        seen = self.unseen_judgements(standing, targets)
        wide = [
            np.concatenate([a, b, s.around(p)])[:, p > IDLE]
            for s, a, b, p in zip(self.samples, standing, read, seen, strict=True)
        ]
        kept = [(body[p > IDLE], weight[p > IDLE]) for (body, weight), p in zip(targets, seen, strict=True)]
        second = fit(wide, kept, SECOND)
        dek = [sample.dek[p > IDLE] for sample, p in zip(self.samples, seen, strict=True)]
        return Weights(first, second, self.standfirst(wide, kept, dek), *lexica)

    def sides(self, number: int, salt: bytes) -> list[int]:
        """To which of so many sides the publisher of each sample belongs."""
        return [zlib.crc32(sample.publisher.encode() + salt) % number for sample in self.samples]

    def unseen_words(self) -> tuple[list[features.Floats], list[features.Floats]]:
        """The features of every sample by word weights of other publishers."""
        sides = self.sides(3, b"/words")
        standing: dict[int, features.Floats] = {}
        read: dict[int, features.Floats] = {}
        for side in range(3):
            others = [s for s, own in zip(self.samples, sides, strict=True) if own != side]
            lexica = Lexica(*(lexicon(others, of, least * 3 // 4) for of, least in LEAST_USERS.items()))
            for number, sample in enumerate(self.samples):
                if sides[number] == side:
                    standing[number], read[number] = sample.standing(lexica.names), sample.read(lexica)
        return [standing[n] for n in range(len(sides))], [read[n] for n in range(len(sides))]

    def unseen_judgements(
        self, standing: Sequence[features.Floats], targets: Sequence[tuple[Labels, Labels]]
    ) -> list[Labels]:
        """First-pass probabilities for every sample by a model of the other half of the publishers."""
        sides = self.sides(2, b"/half")
        found: dict[int, Labels] = {}
        for side in (0, 1):
            half = [number for number, own in enumerate(sides) if own != side]
            forest = fit([standing[n] for n in half], [targets[n] for n in half], FIRST)
            found |= {n: forest.probability(standing[n]) for n, own in enumerate(sides) if own == side}
        return [found[number] for number in range(len(self.samples))]

    def standfirst(
        self, wide: Sequence[features.Floats], targets: Sequence[tuple[Labels, Labels]], deks: Sequence[Labels]
    ) -> Forest:
        """Learnt where the truth knows summaries; elsewhere only what is body speaks against it."""
        rows, goals = [], []
        for sample, row, (body, _), dek in zip(self.samples, wide, targets, deks, strict=True):
            if sample.kind == "segments":
                continue
            weight = np.where(body > 0, 1.0, 0.0) if sample.kind in ("aeb", "plain") else np.ones(len(body))
            first = int(np.argmax(body)) if body.any() else 20
            weight[first + 4 :] *= 0.1
            rows.append(row)
            goals.append((dek, np.where(dek > 0, 3.0, weight).astype(np.float32)))
        return fit(rows, goals, STANDFIRST)


FIRST, SECOND, STANDFIRST = (50, 16, 0.09), (150, 16, 0.06), (50, 16, 0.09)
"""Trees of each forest, leaves of a tree, and how fast they learn."""


def fit(
    rows: Sequence[features.Floats], targets: Sequence[tuple[Labels, Labels]], size: tuple[int, int, float]
) -> Forest:
    """Trees over all known pieces; of the short unwanted ones, three in four are left out and the others count for them."""
    every = np.hstack(rows)
    labels, weight = (np.concatenate(part) for part in zip(*targets, strict=True))
    easy = (labels == 0) & (every[0] < math.log1p(45))
    chosen = (weight > 0) & ~(easy & (np.random.default_rng(0).random(len(labels)) > 0.25))
    trees, leaves, pace = size
    model = HistGradientBoostingClassifier(
        max_iter=trees, max_leaf_nodes=leaves, learning_rate=pace, max_features=0.25, min_samples_leaf=20, l2_regularization=3.0,
        max_bins=64, early_stopping=False, random_state=0,
    )  # fmt: skip
    model.fit(every[:, chosen].T, labels[chosen], sample_weight=np.where(easy, weight * 2.5, weight)[chosen])
    return forest(model, leaves)


def forest(model: HistGradientBoostingClassifier, size: int) -> Forest:
    """scikit-learn's trees in the engine's layout."""
    whole: tuple[list[int], list[float], list[int]] = ([], [], [])
    leaves: list[list[float]] = []
    for (tree,) in model._predictors:
        values: list[float] = []
        nodes: tuple[list[int], list[float], list[int]] = ([], [], [])
        _unroll(tree.nodes, 0, values, nodes)
        idle = size - 1 - len(nodes[0])
        whole[0].extend([*nodes[0], *[0] * idle])
        whole[1].extend([*nodes[1], *[math.inf] * idle])
        whole[2].extend([*nodes[2], *[0] * idle])
        leaves.append(values + [0.0] * (size - len(values)))
    feature, threshold, strikes = (np.ascontiguousarray(np.array(part).reshape(-1, size - 1).T) for part in whole)
    return Forest(
        feature.astype(np.int32), threshold.astype(np.float32), strikes.astype(np.uint16), np.array(leaves, np.float32),
        float(model._baseline_prediction[0, 0]),
    )  # fmt: skip


def _unroll(nodes: Any, at: int, values: list[float], out: tuple[list[int], list[float], list[int]]) -> None:
    """Leaves from left to right; an inner node strikes the leaves of its left side."""
    node = nodes[at]
    if node["is_leaf"]:
        values.append(float(node["value"]))
        return
    slot = len(out[0])
    out[0].append(int(node["feature_idx"]))
    out[1].append(float(node["num_threshold"]))
    out[2].append(0)
    before = len(values)
    _unroll(nodes, int(node["left"]), values, out)
    out[2][slot] = ((1 << len(values)) - 1) & ~((1 << before) - 1)
    _unroll(nodes, int(node["right"]), values, out)


def save(learnt: Weights, path: Path) -> None:
    """The weights as one compressed file."""
    arrays: dict[str, Any] = {}
    for name in ("first", "second", "standfirst"):
        for part, value in zip(Forest._fields, getattr(learnt, name), strict=True):
            arrays[f"{name}_{part}"] = value
    for name in Lexica._fields:
        lexicon_ = getattr(learnt, name)
        arrays[f"{name}_keys"] = np.array(list(lexicon_))
        arrays[f"{name}_values"] = np.array(list(lexicon_.values()), np.float32)
    np.savez_compressed(path, **arrays)


def held_out(samples: Sequence[Sample], folder: Path) -> None:
    """Predictions for every page by weights that saw nothing of its publisher."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = {kind: [] for kind in SETS}
    for part in range(FOLDS):
        inside = [zlib.crc32(s.publisher.encode()) % FOLDS == part for s in samples]
        learnt = Learner([s for s, own in zip(samples, inside, strict=True) if not own]).learn()
        for sample, own in zip(samples, inside, strict=True):
            if own and sample.kind in lines:
                row = predicted(sample.page, ours(sample.page, learnt))
                lines[sample.kind].append(json.dumps(row, ensure_ascii=False))
        print(json.dumps({"part": part, "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")}), flush=True)
    for kind, rows in lines.items():
        (folder / f"{kind}.jsonl").write_text("\n".join(rows) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--held-out", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    samples = read(given.data)
    if given.held_out:
        held_out(samples, given.held_out)
    if given.out:
        save(Learner(samples).learn(), given.out)
    print(json.dumps({"pages": dict(Counter(s.kind for s in samples)), "pieces": sum(len(s.body) for s in samples)}))


if __name__ == "__main__":
    main()
