"""The figures of the enrichment, through the product's own code and store.

    python -m benchmarks.enrich stories FILE [--around N] [--seed N]
    python -m benchmarks.enrich near_duplicates FILE
    python -m benchmarks.enrich sections FILE [--train FILE] [--examples N] [--few N]
    python -m benchmarks.enrich languages FILE
    python -m benchmarks.enrich stream FILE [--articles N] [--judge N] [--folder DIR] [--plot FILE.svg]

FILE is one JSON object a line, .xz or plain. The last line printed is one JSON object with the figures.

    r_at_5     mean share of an article's stories-mates (of five, where there are more) among the five likest
    map        mean average precision of the ranking
    pair_f1    F1 of the same-story decisions over all pairs, articles arriving one after the other
    b3_f1      B-cubed F1 of the stories as they stand after the last article
    precision  of the duplicate links drawn, those between versions of one text; recall: of the edited copies, those linked
               to their original
    accuracy   of all answers, abstentions overruled; coverage: the share not abstained on
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import enrich_store, enrich_stream, variations
from benchmarks.variations import Story
from services.enrich import categories, language

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("file", type=Path)
    parser.add_argument("--around", type=int, default=20_000, help="other articles in the store (stories)")
    parser.add_argument("--around-file", type=Path, help="where they come from; default: wire_reuters beside FILE")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train", type=Path, help="learn from this file and judge FILE (sections)")
    parser.add_argument("--examples", type=int, help="learn from at most so many (sections)")
    parser.add_argument(
        "--few", type=int, help="learn from so many a class, the rest of the fold unlabelled (sections)"
    )
    parser.add_argument("--articles", type=int, default=100_000)
    parser.add_argument("--judge", type=int, default=0, help="print so many duplicate pairs for a reader (stream)")
    parser.add_argument("--folder", type=Path, help="keep the store here and go on from it (stream)")
    parser.add_argument("--plot", type=Path, help="write cost against size as SVG (stream)")
    args = parser.parse_args()
    try:
        figures = TASKS[args.task](args)
    except (OSError, KeyError, ValueError, lzma.LZMAError) as error:
        sys.exit(f"{args.file} does not fit the task {args.task}: {type(error).__name__}: {error}")
    print(json.dumps(figures))


def rows(path: Path) -> list[Row]:
    """The objects of a file of JSON lines."""
    opener: Callable[..., Any] = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def stories(args: argparse.Namespace) -> Row:
    """Same-story retrieval, pair decisions and clusters, with other articles around."""
    given = rows(args.file)
    gold = {str(row["id"]): str(row["story"]) for row in given}
    around = _around(args)
    day = sorted(one.day for one in around)[len(around) // 2] if around else 0
    queries = [Story(str(row["id"]), day, "", row["text"]) for row in given]
    arrivals = [*around, *queries]
    random.Random(args.seed).shuffle(arrivals)
    with tempfile.TemporaryDirectory() as folder, enrich_store.opened(Path(folder)) as store:
        clusters, links = enrich_store.Clusters(), set()
        for one, linked in enrich_store.feed(store, arrivals):
            earlier = [n for n in linked.neighbours if n.article_id in clusters.story_of]
            clusters.add(one.key, earlier)
            told = {n.article_id for n in earlier if n.relation != "related"}
            links |= {frozenset((one.key, other)) for other in told if one.key in gold and other in gold}
        found = [_retrieved(enrich_store.ranking(store, one), one.key, gold) for one in queries]
    scores = [score for score in found if score is not None]
    return {
        "task": "stories",
        "articles": len(queries),
        "around": len(around),
        "r_at_5": round(float(np.mean([recall for recall, _ in scores])), 4),
        "map": round(float(np.mean([precision for _, precision in scores])), 4),
        "pair_f1": round(pair_f1(links, gold), 4),
        "b3_f1": round(b_cubed({key: clusters.story_of[key] for key in gold}, gold), 4),
    }


def _around(args: argparse.Namespace) -> list[Story]:
    path = args.around_file or args.file.with_name("wire_reuters.jsonl.xz")
    if not args.around or not path.exists():
        return []
    return list(variations.stream(variations.from_wire(rows(path)), args.around, args.seed))


def _retrieved(ranked: Sequence[tuple[str, float]], key: str, gold: dict[str, str]) -> tuple[float, float] | None:
    """Recall at five and average precision of one ranking; None for an article that is alone in its story."""
    wanted = {other for other, story in gold.items() if story == gold[key] and other != key}
    if not wanted:
        return None
    hits = [other in wanted for other, _ in ranked]
    precision = sum((sum(hits[: place + 1])) / (place + 1) for place, hit in enumerate(hits) if hit) / len(wanted)
    return sum(hits[:5]) / min(5, len(wanted)), precision


def pair_f1(links: set[frozenset[str]], gold: dict[str, str]) -> float:
    """F1 of the linked pairs against the pairs of one story."""
    sizes = Counter(gold.values())
    wanted = sum(size * (size - 1) // 2 for size in sizes.values())
    right = sum(len({gold[key] for key in pair}) == 1 for pair in links)
    return 2 * right / (len(links) + wanted) if links or wanted else 0.0


def b_cubed(predicted: dict[str, str], gold: dict[str, str]) -> float:
    """B-cubed F1 of two clusterings of the same articles."""
    mine, theirs = _members(predicted), _members(gold)
    precision = recall = 0.0
    for key in gold:
        both = len(mine[predicted[key]] & theirs[gold[key]])
        precision += both / len(mine[predicted[key]]) / len(gold)
        recall += both / len(theirs[gold[key]]) / len(gold)
    return 2 * precision * recall / (precision + recall)


def _members(clustering: dict[str, str]) -> dict[str, set[str]]:
    members = defaultdict(set)
    for key, cluster in clustering.items():
        members[cluster].add(key)
    return members


def near_duplicates(args: argparse.Namespace) -> Row:
    """Duplicate links between seeded edits of one text, and none between others.

    Where the corpus itself holds a text twice under two numbers, a link between the two is right: see `same_texts`.
    """
    given = rows(args.file)
    articles = [Story(str(place), 0, *headline_first(row["text"])) for place, row in enumerate(given)]
    source = {one.key: row["src"] for one, row in zip(articles, given, strict=True)}
    kind = {one.key: row["kind"] for one, row in zip(articles, given, strict=True)}
    originals = [one for one in articles if kind[one.key] == "orig"]
    text_of = same_texts([(source[one.key], f"{one.headline}\n{one.text}") for one in originals])
    original = {source[one.key]: one.key for one in originals}
    pairs: set[frozenset[str]] = set()
    with tempfile.TemporaryDirectory() as folder, enrich_store.opened(Path(folder)) as store:
        for one, linked in enrich_store.feed(store, articles):
            pairs |= {frozenset((one.key, n.article_id)) for n in linked.neighbours if n.relation == "duplicate"}
    as_labelled = sum(len({source[key] for key in pair}) == 1 for pair in pairs)
    right = sum(len({text_of.get(source[key], source[key]) for key in pair}) == 1 for pair in pairs)
    copies = [key for key in source if kind[key] != "orig" and source[key] in original]
    found = {key for key in copies if frozenset((key, original[source[key]])) in pairs}
    by_kind = {name: round(_share(kind, found, copies, name), 3) for name in sorted({kind[key] for key in copies})}
    print(json.dumps({"recall by kind of edit": by_kind}))
    return {
        "task": "near_duplicates",
        "pairs": len(pairs),
        "precision": round(right / max(len(pairs), 1), 4),
        "recall": round(len(found) / max(len(copies), 1), 4),
        "precision_as_labelled": round(as_labelled / max(len(pairs), 1), 4),
    }


def same_texts(originals: Sequence[tuple[Any, str]]) -> dict[Any, Any]:
    """Source -> the source whose text it repeats: 85 % of the shorter one's runs of three words, and its numbers.

    Counted plainly over word triples, by no part of the product.
    """
    cut = [(source, text.lower().split()) for source, text in originals]
    triples = [(source, set(zip(w, w[1:], w[2:], strict=False)), {x for x in w if x[0].isdigit()}) for source, w in cut]
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, (_, found, _) in enumerate(triples):
        for triple in found:
            holders[triple].append(place)
    shared = Counter((b, a) for held in holders.values() if len(held) < 20 for a in held for b in held if b < a)
    same: dict[Any, Any] = {source: source for source, _ in originals}
    for (a, b), count in sorted(shared.items()):
        fewer = min(len(triples[a][1]), len(triples[b][1]))
        numbers = min((triples[a][2], triples[b][2]), key=len)
        agree = len(triples[a][2] & triples[b][2]) >= 0.8 * len(numbers)
        if fewer >= 25 and count >= 0.85 * fewer and agree:
            same = {
                source: same[triples[a][0]] if kept == same[triples[b][0]] else kept for source, kept in same.items()
            }
    return same


def headline_first(text: str) -> tuple[str, str]:
    """The edits print the headline as the first sentence."""
    head, _, rest = text.partition(". ")
    return (head, rest) if rest else ("", text)


def _share(kind: dict[str, str], found: set[str], copies: list[str], name: str) -> float:
    of_kind = [key for key in copies if kind[key] == name]
    return sum(key in found for key in of_kind) / len(of_kind)


def sections(args: argparse.Namespace) -> Row:
    """Accuracy of the section model: on FILE after learning from another file, else in five folds of FILE."""
    examples = [(_text(row), row["category"]) for row in rows(args.file)]
    if args.train:
        learn = [(_text(row), row["category"]) for row in rows(args.train)]
        answers = _answers(learn, examples, args)
    else:
        answers = [answer for learn, held in _folds(examples, args.seed) for answer in _answers(learn, held, args)]
    sure = sorted(answers, key=lambda answer: -answer[1])
    kept = [answer for answer in answers if answer[2]]
    top = sure[: round(0.8 * len(sure))]
    return {
        "task": "sections",
        "judged": len(answers),
        "accuracy": round(_right(answers), 4),
        "coverage": round(len(kept) / len(answers), 4),
        "kept_accuracy": round(_right(kept), 4),
        "accuracy_at_80": round(_right(top), 4),
    }


def _text(row: Row) -> str:
    return str(row["text"]) if "text" in row else f"{row['title']}\n{row['lead']}"


def _folds(examples: list[tuple[str, str]], seed: int) -> Iterator[tuple[list[tuple[str, str]], list[tuple[str, str]]]]:
    order = list(examples)
    random.Random(seed).shuffle(order)
    for fold in range(5):
        yield (
            [one for n, one in enumerate(order) if n % 5 != fold],
            [one for n, one in enumerate(order) if n % 5 == fold],
        )


def _answers(
    learn: list[tuple[str, str]], held: list[tuple[str, str]], args: argparse.Namespace
) -> list[tuple[bool, float, bool]]:
    """(right, score, not abstained) of every held-back text."""
    order = list(learn)
    random.Random(args.seed).shuffle(order)
    rest: list[str] = []
    if args.few:
        taken: Counter[str] = Counter()
        chosen = []
        for text, label in order:
            taken[label] += 1
            chosen.append((text, label)) if taken[label] <= args.few else rest.append(text)
        order = chosen
    model = categories.train(order[: args.examples], rest)
    found = [(model.predict(text), label) for text, label in held]
    return [(one.best == label, one.score, one.label is not None) for one, label in found]


def _right(answers: Sequence[tuple[bool, float, bool]]) -> float:
    return sum(right for right, _, _ in answers) / max(len(answers), 1)


def languages(args: argparse.Namespace) -> Row:
    """Accuracy on whole sentences and on their first six words, restricted to the file's languages."""
    given = rows(args.file)
    allowed = tuple(sorted({row["language"] for row in given}))
    whole = [language.detect(row["text"], allowed).code == row["language"] for row in given]
    short = [language.detect(" ".join(row["text"].split()[:6]), allowed).code == row["language"] for row in given]
    figures = {"accuracy": round(float(np.mean(whole)), 4), "six_words": round(float(np.mean(short)), 4)}
    return {"task": "languages", "sentences": len(given), "languages": len(allowed), **figures, "coverage": 1.0}


def stream(args: argparse.Namespace) -> Row:
    """Cost against size: a stream of real texts and their seeded variations, linked as it comes."""
    real = variations.from_wire(rows(args.file))
    return enrich_stream.run(real, args.articles, args.seed, args.folder, args.plot, args.judge)


TASKS: dict[str, Callable[[argparse.Namespace], Row]] = {
    "stories": stories,
    "near_duplicates": near_duplicates,
    "sections": sections,
    "languages": languages,
    "stream": stream,
}

if __name__ == "__main__":
    main()
