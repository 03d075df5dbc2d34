"""How far our reading of feeds agrees with feedparser's own, field by field, and what each costs.

    python -m benchmarks.sources [--feeds DIR] [--show N]

Read are the feeds recorded for the tests, and every file below DIR. feedparser reads the same bytes with its own
charset detection, link resolution and sanitising off; its answer is the reference. Compared for each of its entries:
id, link, title, date; for each file: the number of entries. What feedparser leaves empty and we read is counted as
such, not as agreement. JSON Feeds, which feedparser cannot read, and files that are no feed for both are counted apart.
Prints a line a field and the first N disagreements; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import feedparser

from services.ingest import feeds
from shared import records, urls
from shared.errors import Rejected
from shared.text import fold

OWN = Path(__file__).parent.parent / "tests" / "ingest" / "recorded_feeds"
BASE = "https://feeds.example/folder/feed.xml"
FIELDS = ("id", "link", "title", "date")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeds", type=Path, help="a folder of feeds, read with all its folders")
    parser.add_argument("--show", type=int, default=10, metavar="N", help="disagreements to print (default 10)")
    chosen = parser.parse_args()
    if chosen.feeds is not None and not chosen.feeds.is_dir():
        parser.error(f"{chosen.feeds} is no folder")
    sets = {"own": measured(OWN)}
    if chosen.feeds is not None:
        sets["feeds"] = measured(chosen.feeds)
    for name, found in sets.items():
        report(name, found, chosen.show)
    print(json.dumps({"benchmark": "sources", **{name: found.figures() for name, found in sets.items()}}))


class Tally:
    """Counts over one folder."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.agreed: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.only_ours: Counter[str] = Counter()
        self.differences: list[str] = []
        self.ours_s = self.theirs_s = 0.0

    def compare(self, file: str, field: str, ours: object, theirs: object) -> None:
        """One comparison; both sides already in a form in which equal means equal."""
        if theirs in (None, "") and ours:
            self.only_ours[field] += 1
            return
        self.asked[field] += 1
        if ours == theirs:
            self.agreed[field] += 1
        else:
            self.differences.append(f"{file}: {field}: ours {ours!r:.100}, feedparser's {theirs!r:.100}")

    def figures(self) -> dict[str, Any]:
        """The row of the JSON object: agreement as a share, times in milliseconds a file."""
        compared = max(self.kinds["compared"], 1)
        shares = {
            field: round(self.agreed[field] / self.asked[field], 4) for field in (*FIELDS, "count") if self.asked[field]
        }
        return {
            "files": sum(self.kinds.values()),
            **{kind: self.kinds[kind] for kind in ("compared", "json_feed", "no_feed", "refused_by_us")},
            "entries": self.asked["id"] + self.only_ours["id"],
            "agreement": shares,
            "read_by_us_only": dict(self.only_ours),
            "ms_a_file": round(self.ours_s / compared * 1000, 2),
            "feedparser_ms_a_file": round(self.theirs_s / compared * 1000, 2),
        }


def measured(folder: Path) -> Tally:
    """Every file of a folder read both ways."""
    tally = Tally()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith(".expected.json"):
            read(path, str(path.relative_to(folder)), tally)
    return tally


def read(path: Path, name: str, tally: Tally) -> None:
    """One file read both ways, and compared where both see a feed."""
    body, content_type = path.read_bytes(), stated_type(path)
    started = time.perf_counter()
    ours = parsed(body, content_type)
    between = time.perf_counter()
    theirs = reference(body, content_type)
    ended = time.perf_counter()
    if ours is not None and ours.kind == "json":
        tally.kinds["json_feed"] += 1
    elif ours is None:
        tally.kinds["refused_by_us" if theirs["entries"] else "no_feed"] += 1
        if theirs["entries"]:
            tally.compare(name, "count", 0, len(identities(theirs)))
    else:
        tally.kinds["compared"] += 1
        tally.ours_s += between - started
        tally.theirs_s += ended - between
        compare(name, ours, theirs, tally)


def stated_type(path: Path) -> str | None:
    """The Content-Type that the expectation beside a recorded feed states."""
    beside = path.with_name(f"{path.name}.expected.json")
    stated = json.loads(beside.read_text(encoding="utf-8")).get("content_type") if beside.exists() else None
    return str(stated) if stated else None


def parsed(body: bytes, content_type: str | None) -> records.Feed | None:
    """Our reading, None where we refuse."""
    try:
        return feeds.parse(body, BASE, content_type)
    except Rejected:
        return None


def reference(body: bytes, content_type: str | None) -> Any:
    """feedparser's reading."""
    headers = {"content-location": BASE} | ({"content-type": content_type} if content_type else {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return feedparser.parse(io.BytesIO(body), response_headers=headers, sanitize_html=False)


def identities(theirs: Any) -> list[str]:
    """What makes feedparser's entries distinct: id, else link, else title."""
    return list(
        dict.fromkeys(str(raw.get("id") or raw.get("link") or raw.get("title") or "") for raw in theirs["entries"])
    )


def compare(name: str, ours: records.Feed, theirs: Any, tally: Tally) -> None:
    """Counts, then the entries in order."""
    raws = list(distinct(theirs))
    tally.compare(name, "count", len(ours.entries), len(raws))
    for entry, raw in zip(ours.entries, raws, strict=False):
        identity = raw.get("id") or ""
        tally.compare(name, "id", entry.key, feeds.key(str(identity), web(raw.get("link")), entry.title, entry.summary))
        tally.compare(name, "link", spelled(entry.url), spelled(web(raw.get("link"))))
        tally.compare(name, "title", fold(entry.title or ""), headline(raw))
        tally.compare(name, "date", entry.published_utc or entry.updated_utc, instant(raw))


def distinct(theirs: Any) -> Iterator[Any]:
    """feedparser's entries without those whose identity and link came before."""
    seen: set[tuple[object, object]] = set()
    for raw in theirs["entries"]:
        pair = raw.get("id") or raw.get("link") or raw.get("title"), raw.get("link")
        if pair not in seen or pair == (None, None):
            seen.add(pair)
            yield raw


def headline(raw: Any) -> str:
    """feedparser's title as text; it says itself whether the title is markup."""
    title, detail = raw.get("title"), raw.get("title_detail") or {}
    return fold((feeds.flat(title) if detail.get("type") == "text/plain" else feeds.plain(title)) or "")


def web(link: object) -> str | None:
    """feedparser's link where it is one that can be fetched: it offers any guid as a link."""
    return link if isinstance(link, str) and urls.is_web(link) and " " not in link else None


def spelled(link: str | None) -> str | None:
    """A URL in one spelling: feedparser keeps what ours percent-encodes."""
    return urls.absolute(None, link) if link else None


def instant(raw: Any) -> str | None:
    """feedparser's date: published, else created, else updated, as ISO 8601 in UTC."""
    for field in ("published_parsed", "created_parsed", "updated_parsed"):
        parts = raw.get(field) if field in raw else None
        if parts:
            return "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}+00:00".format(*parts[:6])
    return None


def report(name: str, tally: Tally, show: int) -> None:
    """The figures for people."""
    print(f"{name}: {json.dumps(tally.figures())}")
    for line in tally.differences[:show]:
        print(f"  {line}")
    if len(tally.differences) > show:
        print(f"  and {len(tally.differences) - show} more")


if __name__ == "__main__":
    main()
