"""Whether a source is held before a bad record leaves: ten changed layouts of the demo site, and 200 pages as they always were.

    python -m benchmarks.drift [--good 200] [--pages 6]

The pages go through extraction, judgement and store as the wire's own do, one at a time, which is the hardest order. Each layout
starts from a store that has read sixty good pages and then gets `--pages` changed ones; a record that left is bad where its text,
headline or date is not what the unchanged page says. Both with the site's profile and by the engine alone. The last line is one
JSON object: layouts, held and held_engine (layouts whose source was held, or of which every changed page waits, before a bad record
left), left and left_engine (bad records that left), good, false_alarms and false_alarms_engine (good pages that had to wait), learning
(records from which on pages are judged).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import random
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from bs4 import BeautifulSoup
from sqlalchemy import select

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


class Page(NamedTuple):
    """A brief of the site: what the feed says, and its page."""

    entry: Entry
    body: bytes


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


def _changed(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def mutate(body: bytes) -> bytes:
        soup = BeautifulSoup(body, "lxml")
        change(soup)
        return str(soup).encode()

    return mutate


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
    "classes renamed": _changed(classes_renamed), "body in a script": _changed(body_in_script),
    "date removed": _changed(date_removed), "teaser only": _changed(teaser), "cookie wall": _changed(cookie_wall),
    "related merged into the body": _changed(related_merged), "lists lost": _changed(list_lost),
    "site's name for a headline": _changed(title_is_site), "another template": _changed(another_template),
    "pages cut off": truncated,
}  # fmt: skip


# The way of a page


class Site:
    """A store with one source, and how its pages are read."""

    def __init__(self, file: Path, profile: profiles.Profile | None) -> None:
        self.store, self.profile, self.now = Store(f"sqlite:///{file}"), profile, START + dt.timedelta(days=90)

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
            entry = intake.next_to_fetch(connection, "h.example", self.now, 1)[0]
            kept = intake.NewPage(one.body, one.entry.url, one.entry.url, 200, "text/html; charset=utf-8", self.now)
            intake.keep_page(connection, entry["id"], kept)
            (row,) = intake.claim_pages(connection, [entry["id"]], self.now)
        result: storing.Result | Failure
        got = attempt(self.extract, one)
        result = got if isinstance(got, Failure) else (got, None)
        with self.store.write() as connection:
            storing.settle(Work(connection, self.now), [(row, result)], {1: "feed"})
            state, reason = connection.execute(
                select(EntryRow.state, EntryRow.reason).where(EntryRow.id == row["id"])
            ).one()
        return "held" if reason == stored.REASON else str(state)

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


def tried(
    template: Path, folder: Path, profile: profiles.Profile | None, mutate: Callable[[bytes], bytes], count: int
) -> Layout:
    """Changed pages after good ones."""
    file = folder / "site.sqlite3"
    for old in folder.glob("site.*"):
        old.unlink()
    shutil.copy(template, file)
    with contextlib.closing(Site(file, profile).store):
        site = Site(file, profile)
    sent = dict(_changed_pages(mutate, count))
    stood = [site.read(Page(good.entry, bad)) for good, bad in sent.values()]
    known = site.articles()
    left = [_same(site, good, known[url]) for url, (good, _) in sent.items() if url in known]
    with site.store.read() as connection:
        seen = stored.summary(connection, 1) or {"why": [], "odd": []}
    why = (seen["why"] or [odd["detail"] for odd in seen["odd"]] or [""])[0]
    waiting = stood.count("held")
    held = (site.is_held() or waiting == len(stood)) and left.count(False) == 0
    site.store.close()
    return Layout(held, waiting, left.count(False), left.count(True), str(why))


def _changed_pages(mutate: Callable[[bytes], bytes], count: int) -> Iterator[tuple[str, tuple[Page, bytes]]]:
    """Pages that the change does something to, by address: (as it was, as it is now)."""
    found, i = 0, LEARNT + 1
    plain = _changed(lambda soup: None)
    while found < count:
        good = page(i)
        bad = mutate(good.body)
        if bad not in (good.body, plain(good.body)) and i % 4:
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


def run(folder: Path, good: int, count: int) -> dict[str, Any]:
    """Good pages first, then the layouts, each way; the figures."""
    figures: dict[str, Any] = {"layouts": len(LAYOUTS), "good": good, "learning": drift.READY}
    demo = profiles.load().named("demo", START.date())
    for suffix, profile in (("", demo), ("_engine", None)):
        template = folder / f"template{suffix}.sqlite3"
        site = Site(template, profile)
        site.begin()
        alarms = 0
        for i in range(good):
            if i == LEARNT:
                site.store.close()
                shutil.copy(template, folder / "learnt.sqlite3")
                site = Site(template, profile)
            alarms += site.read(page(i)) == "held"
        site.store.close()
        results = {
            name: tried(folder / "learnt.sqlite3", folder, profile, mutate, count) for name, mutate in LAYOUTS.items()
        }
        for name, one in results.items():
            print(f"{'profile' if profile else 'engine':8} {name:30} {'held' if one.held else 'NOT HELD':9} {one.waiting} wait, "
                  f"{one.bad_left} bad and {one.good_left} good left. {one.why[:110]}")  # fmt: skip
        figures |= {f"held{suffix}": sum(one.held for one in results.values()),
                    f"left{suffix}": sum(one.bad_left for one in results.values()), f"false_alarms{suffix}": alarms}  # fmt: skip
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--good", type=int, default=200, help="pages as they always were")
    parser.add_argument("--pages", type=int, default=6, help="pages of each changed layout")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(run(Path(name), max(options.good, LEARNT + 1), options.pages)))


if __name__ == "__main__":
    main()
