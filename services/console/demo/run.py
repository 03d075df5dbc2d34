"""`briefwire demo`: the bundled site, two partners and the whole wire in one process group; a table and an exit code out.

    start the wire | wait for its workers | first poll | release brief after brief, a correction, a withdrawal
                   | wait until nothing is under way and everything is where it belongs | end | table

Site and webhook partner live in this process, so that nothing outlives it. Whatever is killed meanwhile comes back: the
demo waits, up to its limit, until the books balance.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from services import supervisor
from services.console import accounts, health, show
from services.console.demo import screen
from services.console.demo.content import Brief, briefs
from services.console.demo.receiver import Receiver
from services.console.demo.site import DemoSite
from services.ingest import normalise
from services.publish import sign
from shared import clock, settings, urls, vault
from shared.errors import OperatorError
from shared.store import articles, console, engine, intake, ledger, partners, workers

FOLDER = Path("demo-data")
MARK = ".briefwire-demo"
SOURCE, WEBHOOK, ARCHIVE = "kelmora-monitor", "morning-desk", "archive"
OLD = 12
"""Briefs that are out before the first poll: back-fill."""
PACE_S, AHEAD = 0.3, 8
"""Seconds between releases, and how many may be out that the wire has not seen: the feed shows only its newest items."""
NO_ARTICLES = sum(brief.kind == "about" for brief in briefs())
"""Pages of the site that belong into quarantine."""
RELATIONS = ("duplicate", "same_story", "related")
"""The bundle holds each of them: a re-published copy, two stories told twice, and what merely belongs together."""
STEADY_S = 1.5
"""For so long everything must be in its place before the demo believes it."""


class Seen(msgspec.Struct, frozen=True):
    """The installation at one moment."""

    books: ledger.Books
    waiting: dict[str, int]
    newest: list[dict[str, Any]]
    links: dict[str, int]
    polled: bool
    silent: list[str]

    @property
    def settled(self) -> bool:
        return self.books.settled and not any(self.waiting.values())

    @property
    def seen(self) -> int:
        return sum(line.seen for line in self.books.intake)


def run(*, folder: Path | None, stay: bool, seconds: float) -> int:
    """Runs the demo; 0 when all came out right, 1 with what is missing, 130 when a person ended it."""
    _forget_environment()
    with _folder(folder, keep=stay) as place:
        demo = Demo(place, seconds)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, demo.wire.end)
        with supervisor.locked(demo.settings):
            return demo.run(stay=stay)


def _forget_environment() -> None:
    """The demo uses its own folder and broker, whatever the operator's real installation is."""
    for name in ("DATA", "CONFIG", "STORE_URL", "BROKER_URL", "WEB_PORT"):
        for key in (f"BRIEFWIRE_{name}", f"BRIEFWIRE_{name}_FILE"):
            os.environ.pop(key, None)


@contextmanager
def _folder(wanted: Path | None, *, keep: bool) -> Iterator[Path]:
    """An empty folder of the demo's own, removed afterwards unless it is to be kept."""
    if wanted is None and not keep:
        made = Path(tempfile.mkdtemp(prefix="briefwire-demo-"))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return
    place = (wanted or FOLDER).absolute()
    if place.exists() and any(place.iterdir()):
        if not (place / MARK).is_file():
            raise OperatorError(
                f"{place} holds something else than a demo.", "Name an empty folder with --data.", code=4
            )
        if health.is_running(place):
            raise OperatorError(f"A demo already runs on {place}.", "End that one first.", code=4)
        shutil.rmtree(place)
    place.mkdir(parents=True, exist_ok=True)
    (place / MARK).touch()
    yield place


class Demo:
    """One run: the site, the partners, the wire, and how far they are. `step` is called again and again."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.archive, self.limit_s = folder, folder / "archive", seconds
        self.site = DemoSite(initial=OLD)
        self.secret = sign.new_secret(os.urandom(32))
        self.partner = Receiver(self.secret)
        self.settings = self._settings()
        self.wire = supervisor.Supervisor(self.settings, config=folder / "briefwire.toml")
        self.started = time.monotonic()
        self.released_at = 0.0
        self.steady_since: float | None = None
        self.stage = "starting"
        self.done = False
        self.changed: dict[str, str] = {}
        self.view = screen.Screen()
        self.last: Seen | None = None

    def _settings(self) -> settings.Settings:
        hosts = [urls.host_key(self.site.url), urls.host_key(self.partner.url)]
        (self.folder / "briefwire.toml").write_text(
            f"# Made by `briefwire demo`: everything on this machine, everything fast.\n"
            f"[fetch]\nallow_hosts = {json.dumps(hosts)}\ngap_s = 0.0\npoll_min_s = 1.0\npoll_max_s = 1.0\nrevisit_pace = 0.003\n"
            f"gone_confirm_s = 2.0\n\n[web]\nport = {_free_port()}\n",
            encoding="utf-8",
        )
        return settings.load({}, config=self.folder / "briefwire.toml", data=self.folder)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    def run(self, *, stay: bool) -> int:
        """Everything from start to end."""
        self.site.start()
        self.partner.start()
        try:
            with self.view:
                self.wire.start()
                self.wire.watch(until=self.step)
            code = self.report()
            if stay and not self.wire.ended:
                self.stay()
            return code
        finally:
            self.wire.stop()
            engine.forget()
            self.site.stop()
            self.partner.stop()

    def stay(self) -> None:
        """Keeps everything up until somebody ends it."""
        show.say(
            f"Up until Ctrl-C: the site {self.site.url}, the web process http://127.0.0.1:{self.settings.web.port}/"
        )
        show.say(f"Sign in there with the one-time link in {self.folder / accounts.LINK_FILE}")
        show.say(f"Look around in another terminal: briefwire --data {self.folder} article list")
        self.wire.watch()
        show.say("Ending in order ...")

    # What happens when

    def step(self) -> bool:
        """One look and, where it is time, one act; True when there is nothing left to wait for."""
        try:
            with engine.current(self.settings).read() as connection:
                seen = self.last = look(connection)
        except DBAPIError:  # a store under a heavy hand: the next look comes at once
            return self.elapsed_s > self.limit_s
        self.advance(seen)
        self.view.show(self, seen)
        return self.done or self.elapsed_s > self.limit_s

    def advance(self, seen: Seen) -> None:
        """From stage to stage."""
        if self.stage == "starting" and not seen.silent:
            self.follow()
            self.stage = "first poll"
        elif self.stage == "first poll" and seen.polled:
            self.stage = "publishing"
        elif self.stage == "publishing":
            self.publish(seen)
        elif self.stage == "settling":
            self.settle(seen)

    def follow(self) -> None:
        """The site becomes a source, and two partners subscribe."""
        now = clock.now()
        common: dict[str, Any] = {
            "format": "brief",
            "filter": "",
            "coalesce": False,
            "relinked": False,
            "concurrency": 4,
            "now": now,
        }
        with engine.current(self.settings).write() as connection:
            partners.add_partner(connection, name=WEBHOOK, kind="webhook", url=self.partner.url, backfill=True,
                                 secrets=vault.seal(self.folder, [self.secret]), **common)  # fmt: skip
            partners.add_partner(connection, name=ARCHIVE, kind="storage", url=str(self.archive), backfill=False,
                                 secrets=vault.seal(self.folder, []), **common)  # fmt: skip
            intake.add_source(connection, name=SOURCE, url=self.site.feed_url, kind="feed", profile="demo", now=now)

    def publish(self, seen: Seen) -> None:
        """The next brief, unless the wire is behind; then the correction and the withdrawal, each after its brief was delivered."""
        out = self.published
        if time.monotonic() - self.released_at >= PACE_S and out - seen.seen < AHEAD:
            self.released_at = time.monotonic()
            self.site.release()
        for brief in briefs():
            if brief.name not in self.changed and (brief.correction or brief.withdrawn) and self.arrived(brief):
                (self.site.update if brief.correction else self.site.withdraw)(brief.name)
                self.changed[brief.name] = "updated" if brief.correction else "withdrawn"
        if self.published == len(briefs()) and len(self.changed) == len(special()):
            self.stage = "settling"

    def settle(self, seen: Seen) -> None:
        """Done once everything has been in its place for a while."""
        if self.missing(seen):
            self.steady_since = None
        elif self.steady_since is None:
            self.steady_since = time.monotonic()
        elif time.monotonic() - self.steady_since >= STEADY_S:
            self.stage, self.done = "done", True

    # How it stands

    @property
    def published(self) -> int:
        """How many items the site has published so far."""
        return sum(line["event"] == "published" for line in list(self.site.log))

    def article_id(self, brief: Brief) -> str:
        """The id that the brief's article has, or will have."""
        return normalise.article_id(normalise.identity_of(self.site.url + brief.path, SOURCE, "", ""))

    def arrived(self, brief: Brief, kinds: frozenset[str] = frozenset({"article.published"})) -> bool:
        """Whether the webhook partner has taken in such an event of the brief."""
        wanted = self.article_id(brief)
        return any(receipt.article_id == wanted and receipt.type in kinds for receipt in self.partner.accepted)

    def missing(self, seen: Seen) -> list[str]:
        """What is not yet as it must be at the end, in sentences; empty when all is right."""
        left = [f"{n} pieces wait in {stage}" for stage, n in seen.waiting.items() if n]
        if self.stage not in ("settling", "done"):
            left.append(f"the demo did not get beyond its stage {self.stage!r}")
        if seen.seen < len(briefs()):
            left.append(f"{len(briefs()) - seen.seen} of {len(briefs())} items of the site were not seen")
        if not seen.books.balanced:
            left.append("the books do not balance")
        if not seen.books.settled:
            left.append("entries or deliveries are under way")
        held_back = sum(line.quarantined for line in seen.books.intake) - NO_ARTICLES
        if held_back > 0:
            left.append(f"{held_back} pages are in quarantine that should have become articles")
        left += [f"no two articles are linked as {name}" for name in RELATIONS if not seen.links.get(name)]
        return [*left, *self._changes_missing(), *self._partner_faults(seen)]

    def _changes_missing(self) -> list[str]:
        wanted = {
            "updated": frozenset({"article.updated", "article.corrected"}),
            "withdrawn": frozenset({"article.withdrawn"}),
        }
        return [f"the partner does not know that {brief.name} was {change}" for brief in special()
                if not self.arrived(brief, wanted[change := "updated" if brief.correction else "withdrawn"])]  # fmt: skip

    def _partner_faults(self, seen: Seen) -> list[str]:
        state = self.partner.state()
        names = {
            "unverified": "posts had a wrong signature",
            "split": "events came under two ids",
            "disordered": "events came out of order",
        }
        faults = [f"{state[key]} {what}" for key, what in names.items() if state[key]]
        delivered = sum(line.delivered for line in seen.books.delivery if line.partner == WEBHOOK)
        if state["accepted"] != delivered:
            faults.append(f"{delivered} deliveries to {WEBHOOK} stand in the book, and it took in {state['accepted']}")
        return faults

    def files(self) -> int:
        """Files in the folder of the second partner."""
        return sum(1 for _ in self.archive.rglob("*.json"))

    def report(self) -> int:
        """Prints the outcome; the exit code."""
        if self.last is None:
            show.problem("The demo ended before the wire was up.", "Run it again; `--stay` keeps the logs.")
            return 130 if self.wire.ended else 1
        with engine.current(self.settings).read() as connection:
            screen.summary(self, connection, look(connection))
        wrong = [] if self.done else self.missing(self.last)
        if self.wire.ended and not self.done:
            show.note("Ended before it was done.")
            return 130
        for sentence in wrong:
            show.problem(f"{sentence[0].upper()}{sentence[1:]}.")
        if wrong:
            show.note(f"Not done after {self.elapsed_s:.0f} s. Run `briefwire demo --stay` to look into its logs.")
            return 1
        show.say(f"All of it came through in {self.elapsed_s:.0f} s; both books balance.", style="bold green")
        return 0


def special() -> list[Brief]:
    """The briefs that change while the demo runs."""
    return [brief for brief in briefs() if brief.correction or brief.withdrawn]


def look(connection: Connection) -> Seen:
    """The installation as one snapshot shows it."""
    sources = intake.sources(connection)
    return Seen(
        ledger.books(connection), console.waiting(connection), articles.newest(connection, 6), console.count_links(connection),
        bool(sources) and all(row["first_polled_at"] is not None for row in sources),
        health.silent_queues(workers.all_beats(connection), clock.now()),
    )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
