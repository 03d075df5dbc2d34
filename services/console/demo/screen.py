"""The demo's state in; what one sees of it out: a live picture on a terminal, plain lines elsewhere, a summary at the end."""

from __future__ import annotations

import logging
import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text
from sqlalchemy import Connection

from services.console import books, show
from services.console.demo.content import briefs
from shared.store import console, partners, quarantine
from shared.text import shorten

if TYPE_CHECKING:
    from services.console.demo.run import Demo, Seen

LINE_S = 2.0  # between plain lines
STAGES = ("fetch", "extract", "enrich", "plan", "deliver")
BESIDES = 19  # lines of the picture beside the newest articles


class _Above(logging.Handler):
    """Prints what the supervisor has to say, restarts above all, where it does not disturb the live picture."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(Text(show.clean(f"         {record.getMessage()}")), soft_wrap=True)


class Screen:
    """Where the demo shows how far it is. Use as a context: the live picture goes away at its end."""

    def __init__(self) -> None:
        self.console: Console = show.out()
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None
        self.printed_at, self.printed = 0.0, ""
        self.above = _Above(self.console)

    def __enter__(self) -> Screen:
        show.say("Briefwire demo: a news site, the wire and two partners, all on this machine.", style="bold")
        logging.getLogger("briefwire").addHandler(self.above)
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger("briefwire").removeHandler(self.above)
        if self.live is not None:
            self.live.stop()

    def show(self, demo: Demo, seen: Seen) -> None:
        """The present state."""
        if self.live is not None:
            self.live.update(picture(demo, seen), refresh=True)
            return
        line = plain(demo, seen)
        if line != self.printed and time.monotonic() - self.printed_at >= LINE_S:
            self.printed_at, self.printed = time.monotonic(), line
            show.say(f"{demo.elapsed_s:5.1f} s  {line}")


def plain(demo: Demo, seen: Seen) -> str:
    """The state as one line, for logs."""
    took = demo.partner.state()["accepted"]
    under_way = sum(seen.waiting.values())
    return f"{demo.stage:<10} published {demo.published:>2}, seen {seen.seen:>2}, under way {under_way:>2}, webhook took {took:>2}"


def picture(demo: Demo, seen: Seen) -> RenderableType:
    """The state as a picture: stages, last articles, books."""
    head = Text.assemble((f"{demo.elapsed_s:4.0f} s  ", "bold"), f"{demo.stage}: {_meaning(demo)}")
    counts = (demo.partner.state()["accepted"], demo.files())
    flow = show.table(
        ("published", "seen", *STAGES, "webhook", "files"),
        [(f"{demo.published}/{len(briefs())}", seen.seen, *(seen.waiting[stage] for stage in STAGES), *counts)],
    )
    shown = max(2, min(len(seen.newest), demo.view.console.height - BESIDES))
    newest = show.table(
        ("section", "lang", "rev", "newest articles"),
        [(row["section"], row["language"], row["revision"], _headline(row)) for row in seen.newest[:shown]],
    )
    return Group(head, Text(), flow, Text(), newest, Text(), *books.tables(seen.books))


def _headline(row: dict[str, Any]) -> str:
    return f"{shorten(row['headline'], 44)}{' (withdrawn)' if row['state'] == 'withdrawn' else ''}"


def _meaning(demo: Demo) -> str:
    return {
        "starting": "the broker, the feeder and the workers come up",
        "first poll": f"the wire reads {demo.site.feed_url} for the first time: all of that is back-fill",
        "publishing": "the site publishes brief after brief, corrects one and withdraws another",
        "settling": "everything is out; waiting until nothing is under way",
        "done": "everything is where it belongs",
    }[demo.stage]


def summary(demo: Demo, connection: Connection, seen: Seen) -> None:
    """What was ingested, categorised, linked and delivered, and the books."""
    _ingested(demo, connection)
    _categorised(connection)
    _linked(connection)
    _delivered(demo, connection)
    for table in books.tables(seen.books):
        show.out().print(table)
        show.say("")


def _ingested(demo: Demo, connection: Connection) -> None:
    by_kind = Counter(line["kind"] for line in demo.site.log if line["event"] == "published")
    revisions, held_back = console.count_revisions(connection), quarantine.found(connection, quarantine.Query(), 100)
    withdrawn = sum(row["articles"] for row in console.count_articles(connection) if row["state"] == "withdrawn")
    why = Counter(row["reason"] for row in held_back)
    rows = [
        ("items published", sum(by_kind.values()), ", ".join(f"{n} {kind}" for kind, n in sorted(by_kind.items()))),
        ("articles", revisions.get("new", 0), "each a normalised record"),
        (
            "later revisions",
            sum(revisions.values()) - revisions.get("new", 0),
            "updates and corrections; nothing is overwritten",
        ),
        ("withdrawn", withdrawn, "its page answers 410"),
        ("in quarantine", len(held_back), ", ".join(f"{n} {reason}" for reason, n in sorted(why.items()))),
    ]
    show.print_table(("Ingested", "", ""), rows)
    show.say("")


def _categorised(connection: Connection) -> None:
    rows = console.count_articles(connection)
    sections = sorted({row["section"] or "unknown" for row in rows})
    statuses = console.count_statuses(connection)
    show.print_table(
        ("Categorised", "articles", "improved", "unchanged", "worsened", "languages"),
        [(name, sum(row["articles"] for row in rows if (row["section"] or "unknown") == name),
          *(statuses.get((name, value), 0) for value in ("improved", "unchanged", "worsened")),
          ", ".join(sorted({row["language"] or "?" for row in rows if (row["section"] or "unknown") == name})))
         for name in sections],
        right=("articles", "improved", "unchanged", "worsened"),
    )  # fmt: skip
    show.say("")


def _linked(connection: Connection) -> None:
    rows = [(row["relation"], row["pairs"], f"{row['score']:.2f}", f"{shorten(row['one'], 40)} / {shorten(row['other'], 40)}")
            for row in console.strongest_links(connection)]  # fmt: skip
    if rows:
        show.print_table(("Linked", "pairs", "best", "headlines of the best pair"), rows, right=("pairs", "best"))
    else:
        show.say("Linked: nothing.")
    show.say("")


def _delivered(demo: Demo, connection: Connection) -> None:
    names = {row["id"]: row["partner"] for row in partners.endpoints(connection)}
    counted = [row for row in console.count_deliveries(connection) if row["state"] == "delivered"]
    kinds = sorted({row["kind"] for row in counted})
    state = demo.partner.state()
    notes = {
        "webhook": f"{state['posts']} posts, {state['posts'] - state['unverified']} signatures verified, {state['repeated']} repeated",
        "storage": f"{demo.files()} files",
    }
    of = {row["id"]: notes[row["kind"]] for row in partners.endpoints(connection)}
    show.print_table(
        ("Delivered", *(kind.removeprefix("article.") for kind in kinds), "proof"),
        [(names[endpoint], *(sum(row["deliveries"] for row in counted if (row["endpoint_id"], row["kind"]) == (endpoint, kind))
                             for kind in kinds), of[endpoint]) for endpoint in sorted(names)],
        right=tuple(kind.removeprefix("article.") for kind in kinds),
    )  # fmt: skip
    show.say("")
