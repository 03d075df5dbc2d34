"""Whether a source is held before a bad record leaves: twenty changed layouts of two sites, and 400 pages as they always were.

    python -m benchmarks.drift [--good 200] [--pages 6] [--extraction DIR]

The pages go through extraction, judgement and store as the wire's own do, one at a time, which is the hardest order. Each layout
starts from a store that has read sixty good pages and then gets `--pages` changed ones. The rule was made on the demo site and its ten
layouts; the second site (`benchmarks.drift_unseen`) and its ten were written once the rule stood. Both are read with the site's
profile and by the engine alone.

The last line is one JSON object. For each of `tuned_profile`, `tuned_engine`, `unseen_profile`, `unseen_engine`: layouts; held (whose
source was held, or of which every changed page waits or gave no record, before a bad record left); safe (of which no bad record left,
held or not); bad_left (records that left whose text, headline or date is not what the unchanged page says); good; false_alarms (good
pages at which the source was held); waited_good (good pages that did not pass at once); waits_still (those that wait at the end).
`real`, where DIR (by default ../shared/bench/extraction) is there: pages that people fetched, each host with three or more a source of
its own, and all of them in an order drawn by lot as one source that has no habits: hosts, pages, false_alarms, waited_good of each.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import lzma
import random
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from bs4 import BeautifulSoup
from sqlalchemy import func, select

from benchmarks import drift_unseen as unseen
from benchmarks.drift_unseen import Page as Page  # the tests take it from here
from benchmarks.drift_unseen import changed
from services.console.demo import bulk, pages
from services.console.demo.content import Brief, briefs
from services.ingest import drift, normalise, profiles, storing
from shared import migrations
from shared.errors import Rejected
from shared.models import ArticleRow, EntryRow, RevisionRow
from shared.queue import Failure, Work, attempt
from shared.records import Article, Entry, from_json
from shared.store import drift as stored
from shared.store import intake
from shared.store.engine import Store

SITE = "http://kelmora-monitor.example"
START = dt.datetime(2026, 1, 5, 6, 0, tzinfo=dt.UTC)
LEARNT = 60


def page(i: int) -> Page:
    """Page number `i`: mostly made up, every fourth one of the bundled briefs; lists, authors and pictures come and go."""
    one = _brief(i)
    item = pages.Item(one, START + i * dt.timedelta(hours=3), START + i * dt.timedelta(hours=3))
    similar = [pages.Item(_brief(i - 9 * n), START, START) for n in range(1, 1 + i % 3) if i >= 9 * n]
    entry = Entry(f"kelmora-{i}", SITE + one.path, title=one.headline, summary=item.summary,
                  published_utc=item.published.isoformat())  # fmt: skip
    return Page(entry, pages.brief(item, SITE, similar))


def _brief(i: int) -> Brief:
    ready = briefs()
    return ready[i // 4] if i % 4 == 0 and i // 4 < len(ready) else varied(i)


def varied(i: int) -> Brief:
    """A made-up brief; one in three has a list, one in four no author; some are half as long."""
    draw, one = random.Random(f"drift/{i}"), bulk.brief(i)
    parts = [re.sub(r":\Z", ".", part.strip()) for part in re.split(r"\n\s*\n", one.body) if part.strip()]
    if draw.random() < 0.25 and len(parts) > 2:
        parts = parts[: (len(parts) + 1) // 2]
    if draw.random() < 0.33:
        items = "".join(f"<li>{bulk.name(i * 7 + n)} is to get {n + 2} of the {i + n} places.</li>" for n in range(4))
        parts[1:1] = ["The places are to be shared out as follows:", f"<ul>{items}</ul>"]
    author = None if draw.random() < 0.25 else one.author
    return msgspec.structs.replace(one, body="\n\n".join(parts), author=author)


# What sites do to their pages


def classes_renamed(soup: Any) -> None:
    for element in soup.find_all(class_=True):
        element["class"] = [f"x{zlib.crc32(name.encode()):x}" for name in element["class"]]


def body_in_script(soup: Any) -> None:
    copy = soup.select_one("article .copy")
    text = json.dumps({"article": copy.get_text()})
    copy.clear()
    copy.append(BeautifulSoup(f'<div id="app"></div><script>window.__DATA__ = {text}</script>', "lxml"))


def date_removed(soup: Any) -> None:
    for element in soup.select(".printed"):
        element.decompose()


def teaser(soup: Any) -> None:
    copy = soup.select_one("article .copy")
    first = " ".join(copy.find("p").get_text().split()[:25])
    copy.clear()
    copy.append(BeautifulSoup(f'<p>{first} …</p><p><a href="/subscribe">Subscribe to read on</a></p>', "html.parser"))


def cookie_wall(soup: Any) -> None:
    soup.select_one("main").clear()
    soup.select_one("main").append(BeautifulSoup(
        "<div class='wall'><h1>Before you continue</h1><p>We and our 214 partners store and read information on your device, "
        "such as cookies, and process personal data for advertisements and measurement.</p><p>You can accept all of it, or "
        "manage your choices. Your choices hold for this site only and can be changed at any time in the settings.</p>"
        "<button>Accept all</button></div>", "html.parser"))  # fmt: skip


def related_merged(soup: Any) -> None:
    copy, block = soup.select_one("article .copy"), soup.select_one(".teasers")
    for teaser_ in block.select(".teaser") if block else ():
        for element in teaser_.find_all(["h3", "p", "ul"]):
            copy.append(element.extract())
    if block:
        block.decompose()


def list_lost(soup: Any) -> None:
    for element in soup.select("article ul, article ol"):
        element.decompose()


def title_is_site(soup: Any) -> None:
    soup.select_one("h1").string = pages.SITE
    soup.title.string = pages.SITE


def another_template(soup: Any) -> None:
    headline, copy = soup.select_one("h1").get_text(), soup.select_one("article .copy").get_text(" ", strip=True)
    links = "".join(f"<div class='tile'><a href='/t/{n}'>Topic of the week number {n}</a></div>" for n in range(12))
    soup.body.replace_with(BeautifulSoup(
        f"<body class='v2'><div class='bar'>{links}</div><div class='wrap'><div class='hero'><h2>{headline}</h2></div>"
        f"<div class='grid'><div class='col-8'><div class='txt'>{copy}</div></div><div class='col-4'>{links}</div></div></div>"
        f"</body>", "html.parser"))  # fmt: skip


def truncated(body: bytes) -> bytes:
    start = body.index(b'<div class="copy">')
    end = body.index(b"</article>", start)
    return body[: start + (end - start) // 2]


LAYOUTS: dict[str, Callable[[bytes], bytes]] = {
    "classes renamed": changed(classes_renamed), "body in a script": changed(body_in_script),
    "date removed": changed(date_removed), "teaser only": changed(teaser), "cookie wall": changed(cookie_wall),
    "related merged into the body": changed(related_merged), "lists lost": changed(list_lost),
    "site's name for a headline": changed(title_is_site), "another template": changed(another_template),
    "pages cut off": truncated,
}  # fmt: skip


class Trial(NamedTuple):
    """A site and the changes tried on it."""

    page: Callable[[int], Page]
    layouts: dict[str, Callable[[bytes], bytes]]
    profile: profiles.Profile | None
    fits: Callable[[int], bool]
    """Which pages changes are tried on."""


def trials() -> dict[str, Trial]:
    """The four trials by name."""
    demo = profiles.load().named("demo", START.date())
    return {
        "tuned_profile": Trial(page, LAYOUTS, demo, lambda i: i % 4 != 0),
        "tuned_engine": Trial(page, LAYOUTS, None, lambda i: i % 4 != 0),
        "unseen_profile": Trial(unseen.page, unseen.LAYOUTS, unseen.PROFILE, lambda i: True),
        "unseen_engine": Trial(unseen.page, unseen.LAYOUTS, None, lambda i: True),
    }


# The way of a page


class Site:
    """A store with one source, and how its pages are read."""

    def __init__(self, file: Path, profile: profiles.Profile | None) -> None:
        self.store, self.profile, self.now = Store(f"sqlite:///{file}"), profile, START + dt.timedelta(days=90)
        self.pages: dict[str, Page] = {}

    def begin(self) -> None:
        """Makes the tables and the source."""
        migrations.upgrade(self.store)
        with self.store.write() as connection:
            intake.add_source(connection, name="site", url=f"{SITE}/rss.xml", kind="feed", profile=None, now=self.now)

    def read(self, one: Page) -> str:
        """One page, seen, fetched, extracted, judged and stored. Returns where its entry stands, or "held"."""
        self.now += dt.timedelta(minutes=10)
        with self.store.write() as connection:
            intake.add_entries(connection, 1, [intake.NewEntry(one.entry, "h.example", backfill=False)], self.now)
            due = intake.next_to_fetch(connection, "h.example", self.now, 1000)
            entry = next(row for row in due if row["url"] == one.entry.url)
            kept = intake.NewPage(one.body, one.entry.url, one.entry.url, 200, "text/html; charset=utf-8", self.now)
            intake.keep_page(connection, entry["id"], kept)
            (row,) = intake.claim_pages(connection, [entry["id"]], self.now)
        result: storing.Result | Failure
        got = attempt(self.extract, one)
        result = got if isinstance(got, Failure) else (got, None)
        with self.store.write() as connection:
            storing.settle(Work(connection, self.now), [(row, result)], {1: "feed"})
            self.pages[str(one.entry.url)] = one
        self._sent_on()
        with self.store.read() as connection:
            state, reason = connection.execute(
                select(EntryRow.state, EntryRow.reason).where(EntryRow.id == row["id"])
            ).one()
        return "held" if reason == stored.REASON else str(state)

    def _sent_on(self) -> None:
        """Entries that waited and now go on their way are read again, as the wire would."""
        with self.store.write() as connection:
            ids = connection.execute(select(EntryRow.id).where(EntryRow.step == "extract")).scalars().all()
            rows = intake.claim_pages(connection, ids, self.now)
            again = [(row, (self.extract(self.pages[row["url"]]), None)) for row in rows]
            storing.settle(Work(connection, self.now), again, {1: "feed"})

    def extract(self, one: Page) -> normalise.Extracted:
        finding = normalise.Finding("site", one.entry, one.entry.url, one.entry.url)
        return normalise.extract(one.body, "text/html; charset=utf-8", self.now, finding, self.profile, "UTC")

    def articles(self) -> dict[str, Article]:
        """Every article's newest record, by the address it was asked for."""
        newest = select(RevisionRow.record).join(
            ArticleRow, (ArticleRow.id == RevisionRow.article_id) & (ArticleRow.revision == RevisionRow.revision)
        )
        with self.store.read() as connection:
            found = [from_json(record, Article) for record in connection.execute(newest).scalars()]
        return {one.requested_url or "": one for one in found}

    def is_held(self) -> bool:
        with self.store.read() as connection:
            return stored.is_held(connection, 1)


class Layout(NamedTuple):
    """What became of the pages of one changed layout."""

    held: bool
    waiting: int
    bad_left: int
    good_left: int
    why: str


def tried(template: Path, folder: Path, trial: Trial, known: dict[str, Page], name: str, count: int) -> Layout:
    """Changed pages after good ones, which are `known`."""
    file = folder / "site.sqlite3"
    for old in folder.glob("site.*"):
        old.unlink()
    shutil.copy(template, file)
    site = Site(file, trial.profile)
    site.pages |= known
    sent = dict(_changed_pages(trial, name, count))
    stood = [site.read(Page(good.entry, bad)) for good, bad in sent.values()]
    articles = site.articles()
    left = [_same(site, good, articles[url]) for url, (good, _) in sent.items() if url in articles]
    with site.store.read() as connection:
        seen = stored.summary(connection, 1) or {"why": [], "odd": []}
    why = (seen["why"] or [odd["detail"] for odd in seen["odd"]] or [""])[0]
    held = (site.is_held() or not left) and left.count(False) == 0
    site.store.close()
    return Layout(held, stood.count("held"), left.count(False), left.count(True), str(why))


def _changed_pages(trial: Trial, name: str, count: int) -> Iterator[tuple[str, tuple[Page, bytes]]]:
    """Pages that the change does something to, by address: (as it was, as it is now)."""
    found, i = 0, LEARNT + 1
    plain = changed(lambda soup: None)
    while found < count:
        good = trial.page(i)
        bad = trial.layouts[name](good.body) if trial.fits(i) else good.body
        if bad not in (good.body, plain(good.body)):
            found += 1
            yield str(good.entry.url), (good, bad)
        i += 1


def _same(site: Site, good: Page, left: Article) -> bool:
    """Whether the record that left says what the unchanged page says."""
    try:
        right = site.extract(good).article
    except Rejected:
        return False
    return (right.headline, right.content_hash, right.published) == (left.headline, left.content_hash, left.published)


class Good(NamedTuple):
    """What became of pages as they always were."""

    false_alarms: int
    waited_good: int
    waits_still: int


def passed(site: Site, pages_: Iterable[Page], at: Callable[[int], None] = lambda i: None) -> Good:
    """Reads good pages in order; `at` is called before each with its place."""
    alarms = waited = 0
    was = False
    for i, one in enumerate(pages_):
        at(i)
        waited += site.read(one) == "held"
        now = site.is_held()
        alarms += now and not was
        was = now
    with site.store.read() as connection:
        still = connection.execute(
            select(func.count()).select_from(EntryRow).where(EntryRow.reason == stored.REASON)
        ).scalar_one()
    return Good(alarms, waited, still)


def run(folder: Path, label: str, trial: Trial, good: int, count: int) -> dict[str, int]:
    """Good pages first, then the layouts; the figures."""
    template, learnt = folder / f"{label}.sqlite3", folder / "learnt.sqlite3"
    site = Site(template, trial.profile)
    site.begin()
    known: dict[str, Page] = {}

    def at(i: int) -> None:
        if i == LEARNT:
            site.store.close()
            shutil.copy(template, learnt)
            known.update(site.pages)
            site.store = Store(f"sqlite:///{template}")

    came = passed(site, map(trial.page, range(good)), at)
    site.store.close()
    results = {name: tried(learnt, folder, trial, known, name, count) for name in trial.layouts}
    for name, one in results.items():
        print(f"{label:15} {name:30} {'held' if one.held else 'safe' if not one.bad_left else 'NOT HELD':9} {one.waiting} wait, "
              f"{one.bad_left} bad and {one.good_left} good left. {one.why[:110]}")  # fmt: skip
    return {"layouts": len(results), "held": sum(one.held for one in results.values()),
            "safe": sum(not one.bad_left for one in results.values()),
            "bad_left": sum(one.bad_left for one in results.values()), "good": good, **came._asdict()}  # fmt: skip


# Real pages


def real(folder: Path, extraction: Path) -> dict[str, dict[str, int]]:
    """Pages that people fetched: each host that has three or more as a source, and all as one source."""
    found = [_fetched(n, row) for n, row in enumerate(_rows(extraction))]
    random.Random("real").shuffle(found)
    hosts: dict[str, list[Page]] = {}
    for one in found:
        hosts.setdefault(urlsplit(str(one.entry.url)).netloc.removeprefix("www."), []).append(one)
    several = {host: pages_ for host, pages_ in hosts.items() if len(pages_) >= 3 and host}
    by_host = [_alone(folder / f"host{n}.sqlite3", pages_) for n, pages_ in enumerate(several.values())]
    mixed = _alone(folder / "mixed.sqlite3", found)
    return {
        "by_host": {"hosts": len(several), "pages": sum(map(len, several.values())),
                    **{name: sum(getattr(came, name) for came in by_host) for name in Good._fields}},
        "mixed": {"hosts": len(hosts), "pages": len(found), **mixed._asdict()},
    }  # fmt: skip


def _alone(file: Path, pages_: Sequence[Page]) -> Good:
    site = Site(file, None)
    site.begin()
    came = passed(site, pages_)
    site.store.close()
    return came


def _rows(extraction: Path) -> Iterator[dict[str, Any]]:
    for file in ("aeb.jsonl.xz", "news.jsonl.xz", "segments.jsonl.xz"):
        if (extraction / file).exists():
            with lzma.open(extraction / file, "rt", encoding="utf-8") as lines:
                yield from map(json.loads, lines)


def _fetched(n: int, row: dict[str, Any]) -> Page:
    return Page(Entry(f"real-{n}", row.get("url") or f"http://unknown.example/{n}"), row["html"].encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--good", type=int, default=200, help="pages as they always were")
    parser.add_argument("--pages", type=int, default=6, help="pages of each changed layout")
    parser.add_argument(
        "--extraction", type=Path, default=Path("../shared/bench/extraction"), help="real pages, if any"
    )
    options = parser.parse_args()
    figures: dict[str, Any] = {"learning": drift.READY}
    with tempfile.TemporaryDirectory() as name:
        for label, trial in trials().items():
            figures[label] = run(Path(name), label, trial, max(options.good, LEARNT + 1), options.pages)
        if options.extraction.is_dir():
            figures["real"] = real(Path(name), options.extraction)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
