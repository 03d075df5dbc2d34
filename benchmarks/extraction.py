"""Pages of a benchmark set in, predictions and CPU time a page out, beside the peers in the same run.

    python -m benchmarks.extraction PAGES.jsonl.xz --out predictions.jsonl [--peers]
    python -m benchmarks.extraction PAGES.jsonl.xz --compare ONE.jsonl OTHER.jsonl

Each line of PAGES holds id, url, html and perhaps expected. The predicted body is the record's text as the set's truth counts it
(`scored_text`): one configuration of the engine for all sets. The last line printed is one JSON
object: pages, median_ms, p95_ms and, with --peers, each peer's median and its ratio to ours. `--compare` prints the paired
bootstrap spread of the difference in body F1 between two prediction files: a gap inside it is a tie.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import json
import lzma
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from services.ingest.extract import PageInput, draft
from services.ingest.extract.body import plain_text
from services.ingest.extract.model import Weights
from shared.errors import Rejected
from shared.records import Draft, Heading, Paragraph

Page = dict[str, Any]
FETCHED = dt.datetime(2026, 12, 31, tzinfo=dt.UTC)


def pages(path: Path) -> Iterator[Page]:
    """The rows of a set, in its order."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def predicted(page: Page, found: Draft | None) -> dict[str, Any]:
    """One line for the scorer."""
    if found is None:
        return {"id": page["id"], "body": "", "title": None, "authors": [], "published": None}
    return {
        "id": page["id"],
        "body": scored_text(found, page.get("expected", {})),
        "title": found.headline,
        "authors": list(found.authors),
        "published": local_time(found),
    }


def scored_text(found: Draft, expected: dict[str, Any]) -> str:
    """The record's text as the set's truth counts it: bare bodies the blocks, segment pages the standfirst too, news pages the
    standfirst, headings and paragraphs."""
    blocks = found.blocks
    if "summary" in expected:
        blocks = tuple(block for block in blocks if isinstance(block, Heading | Paragraph))
    text = plain_text(blocks)
    apart = "lead" in found.origins and found.origins["lead"].rule == "standfirst"
    return f"{found.lead}\n\n{text}" if apart and {"summary", "with"} & expected.keys() else text


def local_time(found: Draft) -> str | None:
    """The instant in the zone that the page states, so that its day is the printed one."""
    moment = found.published
    if moment is None:
        return None
    if moment.zone_source != "stated" or moment.zone[0] not in "+-":
        return moment.utc
    sign = -1 if moment.zone[0] == "-" else 1
    zone = dt.timezone(sign * dt.timedelta(hours=int(moment.zone[1:3]), minutes=int(moment.zone[4:6])))
    return moment.at.astimezone(zone).isoformat()


def ours(page: Page, learnt: Weights | None = None) -> Draft | None:
    """The engine's draft, by the shipped weights unless others are given; None where it refuses the page."""
    return extracted(source(page), learnt)


def source(page: Page) -> PageInput:
    """The page as the wire gets it: bytes, address, header."""
    return PageInput(page["html"].encode("utf-8", "replace"), page.get("url"), "text/html; charset=utf-8", FETCHED)


def extracted(page: PageInput, learnt: Weights | None = None) -> Draft | None:
    """A draft, None for a page that is refused."""
    try:
        return draft(page, learnt=learnt)
    except Rejected:
        return None


def peers() -> dict[str, Callable[[str], Any]]:
    """The open extractors to measure against: text, and with trafilatura title, authors and date, as ours gives them."""
    import readability
    import trafilatura
    from resiliparse.extract.html2text import extract_plain_text

    return {
        "trafilatura": lambda html: trafilatura.bare_extraction(html, with_metadata=True),
        "readability-lxml": lambda html: readability.Document(html).summary(),
        "resiliparse": lambda html: extract_plain_text(html, main_content=True),
    }


def timed(call: Callable[[Any], Any], argument: Any) -> tuple[Any, float]:
    """The result and the CPU milliseconds it took; garbage that the one before left is not its debt."""
    gc.collect()
    begin = time.process_time()
    result = call(argument)
    return result, (time.process_time() - begin) * 1000


def run(path: Path, out: Path, others: dict[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Predicts every page; peers take turns with us on each page so that the machine's mood hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in ("ours", *others)}
    with out.open("w", encoding="utf-8") as lines:
        for page in pages(path):
            found, spent = timed(extracted, source(page))
            times["ours"].append(spent)
            lines.write(json.dumps(predicted(page, found), ensure_ascii=False) + "\n")
            for name, extract in others.items():
                times[name].append(timed(partial(_quiet, extract), page["html"])[1])
    return _figures(times)


def _quiet(extract: Callable[[str], Any], html: str) -> Any:
    """Peers raise on some pages; that is their affair, the time counts."""
    try:
        return extract(html)
    except Exception:
        return None


def _figures(times: dict[str, list[float]]) -> dict[str, Any]:
    own = times.pop("ours")
    median = statistics.median(own)
    found: dict[str, Any] = {
        "pages": len(own),
        "median_ms": round(median, 3),
        "p95_ms": round(sorted(own)[int(len(own) * 0.95)], 3),
    }
    if times:
        found["peers"] = {
            name: {"median_ms": round(statistics.median(t), 3), "ratio": round(statistics.median(t) / median, 2)}
            for name, t in times.items()
        }
    return found


WORD = re.compile(r"\w+")


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    words = WORD.findall(text or "")
    return Counter(tuple(words[i : i + 4]) for i in range(max(1, len(words) - 3)))


def page_scores(true: str, found: str) -> tuple[float, float, bool]:
    """Precision, recall and exactness of one page's body."""
    t, f = _shingles(true), _shingles(found)
    hit = sum((t & f).values())
    return hit / max(1, sum(f.values())), hit / max(1, sum(t.values())), WORD.findall(true) == WORD.findall(found or "")


def _f1(rows: list[tuple[float, float, bool]]) -> float:
    p, r = statistics.fmean(row[0] for row in rows), statistics.fmean(row[1] for row in rows)
    return 2 * p * r / (p + r) if p + r else 0.0


def compare(path: Path, one: Path, other: Path, rounds: int = 1000) -> dict[str, float]:
    """Difference in body F1 (one minus other) with the 95 % interval of a paired bootstrap over pages."""
    found = [{row["id"]: row for row in map(json.loads, p.open(encoding="utf-8"))} for p in (one, other)]
    truth = [(p["id"], p["expected"]["body"]) for p in pages(path) if "body" in p.get("expected", {})]
    scores = [[page_scores(true, preds.get(i, {}).get("body") or "") for i, true in truth] for preds in found]
    dice, gaps = Random(1), []
    for _ in range(rounds):
        picks = [dice.randrange(len(truth)) for _ in truth]
        gaps.append(_f1([scores[0][n] for n in picks]) - _f1([scores[1][n] for n in picks]))
    gaps.sort()
    low, high = gaps[int(rounds * 0.025)], gaps[int(rounds * 0.975)]
    return {
        "pages": len(truth),
        "f1_gap": round(_f1(scores[0]) - _f1(scores[1]), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "exact_gap": round(statistics.fmean(a[2] - b[2] for a, b in zip(*scores, strict=True)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peers", action="store_true", help="also time trafilatura, readability-lxml and resiliparse")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("ONE", "OTHER"))
    given = parser.parse_args()
    if given.compare:
        print(json.dumps(compare(given.pages, *given.compare)))
        return
    if given.out is None:
        parser.error("--out is needed")
    print(json.dumps(run(given.pages, given.out, peers() if given.peers else {})))


if __name__ == "__main__":
    main()
