"""A stream of articles in, cost against size out: articles a second, look-up times and bytes an article, as figures and SVG.

The store is filled through its own bulk load up to each size; there the next thousand articles are linked as in the product
(fifty a transaction, commits included) and look-ups are timed. With a folder the run can be stopped and goes on.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import func, select

from benchmarks import enrich_store, variations
from benchmarks.variations import Story
from services.enrich import language, senses
from services.enrich.neighbours import Search
from shared.models import DocRow
from shared.store.engine import Store

SIZES = (1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
LINKED, LOOKED_UP = 1000, 400
NEAR_ONLY = Search(far=0)


class Point(NamedTuple):
    """What one size of the store costs: articles a CPU second; look-ups over all history and within the window alone."""

    size: int
    articles_per_s: float
    lookup_p50_ms: float
    lookup_p99_ms: float
    lookup_cpu_p99_ms: float
    window_p99_ms: float
    window_cpu_p99_ms: float
    bytes_an_article: int


def run(
    real: Sequence[Story], count: int, seed: int, folder: Path | None, plot: Path | None, judge: int
) -> dict[str, Any]:
    """Measures at every size up to `count`; the figures of the largest are the answer."""
    with tempfile.TemporaryDirectory() as spare:
        where = folder or Path(spare)
        where.mkdir(parents=True, exist_ok=True)
        if judge:
            with enrich_store.opened(Path(spare)) as store:
                _print_pairs(store, real[:3000], judge)
            (Path(spare) / "bench.db").unlink()
        points = _measured(real, count, seed, where)
    if plot:
        plot.write_text(svg(points))
        print(f"plot: {plot}")
    last = points[-1]._asdict()
    figures = {"task": "stream", "articles": last.pop("size"), **last, "memory_mb": memory_mb()}
    return {**figures, "lookup_p99_window_ms": last["window_p99_ms"], "points": [point._asdict() for point in points]}


def memory_mb() -> int:
    """The most memory this process held, with the models of language and meaning loaded as in a worker."""
    language.detect("The budget is voted on by the parliament today.")
    senses.of({"budget": 1})
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _measured(real: Sequence[Story], count: int, seed: int, folder: Path) -> list[Point]:
    """Goes on where the folder's store ends; the points measured before are kept beside it."""
    notes = folder / "points.json"
    points = [Point(**point) for point in json.loads(notes.read_text())] if notes.exists() else []
    sizes = [size for size in SIZES if size < count] + [count]
    with enrich_store.opened(folder) as store:
        source = variations.stream(real, count, seed)
        done = _size(store)
        list(islice(source, done))
        for size in (size for size in sizes if size > done):
            points.append(_point(store, source, done, size, folder))
            done = size
            notes.write_text(json.dumps([point._asdict() for point in points]))
            print(points[-1], file=sys.stderr, flush=True)
    return points


def _point(store: Store, source: Iterator[Story], done: int, size: int, folder: Path) -> Point:
    enrich_store.load(store, islice(source, max(size - done - LINKED, 0)))
    fresh = list(islice(source, LINKED))
    began = time.process_time()
    for _ in enrich_store.feed(store, fresh):
        pass
    rate = len(fresh) / (time.process_time() - began)
    asked = fresh[:: max(len(fresh) // LOOKED_UP, 1)]
    everywhere = [enrich_store.look_up(store, one) for one in asked]
    near = [enrich_store.look_up(store, one, NEAR_ONLY) for one in asked]
    held = sum(os.path.getsize(path) for path in folder.glob("bench.db*"))
    walls, cpus = zip(*everywhere, strict=True)
    near_walls, near_cpus = zip(*near, strict=True)
    times = (_ms(walls, 50), _ms(walls, 99), _ms(cpus, 99), _ms(near_walls, 99), _ms(near_cpus, 99))
    return Point(size, round(rate, 1), *times, held // size)


def _ms(seconds: Sequence[float], percentile: int) -> float:
    return round(1000 * statistics.quantiles(seconds, n=100, method="inclusive")[percentile - 1], 2)


def _size(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(DocRow)).scalar_one())


def _print_pairs(store: Store, real: Sequence[Story], most: int) -> None:
    """Duplicates as drawn over the real stream, spread evenly, for a reader to judge."""
    by_key = {one.key: one for one in real}
    pairs = [
        (one, by_key[near.article_id], near.score)
        for one, linked in enrich_store.feed(store, real)
        for near in linked.neighbours
        if near.relation == "duplicate" and int(near.article_id) < int(one.key)
    ]
    print(f"{len(pairs)} duplicate links among {len(real)} articles")
    for one, other, score in pairs[:: max(len(pairs) // most, 1)][:most]:
        print(f"--- {score:.2f}")
        for side in (one, other):
            print(f"[{side.key}] {side.headline} | {' '.join(side.text.split())[:600]}")


def svg(points: Sequence[Point]) -> str:
    """Two curves over the logarithm of the store's size: articles a second, and the 99th percentile of a look-up."""
    width, height, left, top = 640, 300, 60, 30
    xs = [left + (width - 2 * left) * place / max(len(points) - 1, 1) for place in range(len(points))]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + 60}" font-family="sans-serif" font-size="11">',
        f'<text x="{left}" y="16" fill="#1f5fa8">articles linked a CPU second</text>',
        f'<text x="{width - left}" y="16" fill="#a8321f" text-anchor="end">look-up, 99th percentile, ms</text>',
    ]
    for values, colour in (
        ([p.articles_per_s for p in points], "#1f5fa8"),
        ([p.lookup_p99_ms for p in points], "#a8321f"),
    ):
        scale = (height - top) / (max(values) or 1)
        spots = [(x, height - value * scale + top / 2) for x, value in zip(xs, values, strict=True)]
        line = " ".join(f"{x:.0f},{y:.0f}" for x, y in spots)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{line}"/>')
        parts += [
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/><text x="{x:.0f}" y="{y - 7:.0f}" fill="{colour}" '
            f'text-anchor="middle">{value:g}</text>'
            for (x, y), value in zip(spots, values, strict=True)
        ]
    parts += [
        f'<text x="{x:.0f}" y="{height + 40}" text-anchor="middle">{p.size:,}</text>'
        for x, p in zip(xs, points, strict=True)
    ]
    parts.append(f'<text x="{width / 2}" y="{height + 56}" text-anchor="middle">articles in the store</text></svg>')
    return "\n".join(parts) + "\n"
