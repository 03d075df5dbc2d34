"""A news site whose briefs appear, change and vanish, in; its own log of what it published, out.

    site = ChangingSite(seed=1); site.start(); site.publish(); site.update(0); site.withdraw(0); site.stop()

Every text says which version of which brief it is (`marker`, read back by `read_marker`), so that whoever receives it can be
compared with `log` and `newest` without trusting anything in between.
"""

from __future__ import annotations

import datetime as dt
import random
import re
import threading
from typing import NamedTuple

import msgspec

from services.console.demo import bulk, pages
from services.console.demo.loopback import Loopback, Reply, Request, conditional
from shared import clock

_MARKER = re.compile(r"version (\d+) of brief (\d+) from site (\d+)\.")
_GONE = Reply(410, b"<!doctype html><title>Gone</title><p>Withdrawn.</p>", {"Content-Type": "text/html"})


class Marker(NamedTuple):
    """Which text this is."""

    site: int
    brief: int
    version: int


class Line(NamedTuple):
    """One line of the site's log. event: published | updated | withdrawn."""

    at: dt.datetime
    event: str
    marker: Marker


def read_marker(text: str) -> Marker | None:
    """The marker that a text carries, None where it carries none."""
    found = _MARKER.search(text)
    return Marker(int(found[3]), int(found[2]), int(found[1])) if found else None


class ChangingSite:
    """The site. Its feed lists the `window` briefs that changed last. Every method may be called from any thread."""

    def __init__(self, *, seed: int = 0, window: int = 300) -> None:
        self.log: list[Line] = []
        self._seed, self._window = seed, window
        self._lock = threading.Lock()
        self._versions: list[int] = []
        self._withdrawn: set[int] = set()
        self._changed: dict[int, dt.datetime] = {}  # in the order of the last change
        self._paths: dict[str, int] = {}
        self._server = Loopback(self._answer)
        self.url = self._server.url
        self.feed_url = f"{self.url}/rss.xml"

    def start(self) -> None:
        """Accept connections from now on."""
        self._server.start()

    def stop(self) -> None:
        """Close the port and all connections."""
        self._server.stop()

    def publish(self) -> None:
        """One more brief."""
        with self._lock:
            number = len(self._versions)
            self._versions.append(1)
            self._paths[bulk.brief(number, self._seed).path] = number
            self._note("published", number)

    def update(self, number: int) -> None:
        """The next version of that brief."""
        with self._lock:
            self._versions[number] += 1
            self._note("updated", number)

    def withdraw(self, number: int) -> None:
        """Its page is gone from now on; the feed says that something changed."""
        with self._lock:
            self._withdrawn.add(number)
            self._note("withdrawn", number)

    def change(self, draw: random.Random) -> None:
        """One change as news sites make them: mostly new briefs, many updates, a few withdrawals."""
        with self._lock:
            living = [number for number in range(len(self._versions)) if number not in self._withdrawn]
        kind = draw.random()
        if len(living) < 10 or kind < 0.5:
            self.publish()
        elif kind < 0.93:
            self.update(draw.choice(living))
        else:
            self.withdraw(draw.choice(living))

    def newest(self) -> dict[Marker, bool]:
        """Each brief's newest version, and whether it stands (False: withdrawn)."""
        with self._lock:
            return {self._marker(number): number not in self._withdrawn for number in range(len(self._versions))}

    def _marker(self, number: int) -> Marker:
        return Marker(self._seed, number, self._versions[number])

    def _note(self, event: str, number: int) -> None:
        now = clock.now()
        self._changed.pop(number, None)
        self._changed[number] = now
        self.log.append(Line(now, event, self._marker(number)))

    def _answer(self, request: Request) -> Reply:
        with self._lock:
            if request.path == "/rss.xml":
                shown = list(self._changed)[-self._window :][::-1]
                body = pages.feed([self._item(number) for number in shown], self.url)
                return conditional(request, body, "application/rss+xml; charset=utf-8", None, clock.now())
            number = self._paths.get(request.path)
            if number is None:
                return Reply(404, b"no such page\n", {"Content-Type": "text/plain"})
            if number in self._withdrawn:
                return _GONE
            return Reply(200, pages.brief(self._item(number), self.url), {"Content-Type": "text/html; charset=utf-8"})

    def _item(self, number: int) -> pages.Item:
        one, marker = bulk.brief(number, self._seed), self._marker(number)
        state = "withdrawn" if number in self._withdrawn else "standing"
        lead = f"Now {state}, this is version {marker.version} of brief {marker.brief} from site {marker.site}. "
        whole = msgspec.structs.replace(one, body=lead + one.body)
        return pages.Item(whole, bulk.START + number * bulk.EVERY, self._changed[number])
