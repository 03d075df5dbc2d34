"""The briefs under briefs/, in; a news site on loopback that publishes them while one watches, out.

    site = DemoSite(initial=12); site.start(); site.release(3); site.update(name); site.withdraw(name); site.stop()

With `per_second` above 0 it releases by itself, corrects one brief and withdraws another some seconds after they came
out, and then is `complete`. Pages and feed carry ETag and Last-Modified and answer 304.
`python -m services.console.demo.site` runs it as a process.

What happened stands in `log` (and, as JSON lines, in the file given), one object an event: at, event (published,
updated, withdrawn, complete), url, guid, name, kind (brief, about, old, copy), headline, section, language, status,
story, published, text_sha256, and initial (with published: out before the first request).

`POST /-/control` (JSON: any of `{"release": 2}`, `{"update": NAME}`, `{"withdraw": NAME}`, `{"fault": {...} | null}`)
steers a running process; `GET /-/state` tells how far it is. `faults` are described in `services.console.demo.faults`.
"""

from __future__ import annotations

import datetime as dt
import heapq
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.console.demo import pages
from services.console.demo.content import SECTIONS, Brief, briefs
from services.console.demo.faults import Faults
from services.console.demo.loopback import Loopback, Reply, Request, conditional, spoil
from services.console.demo.pages import ZONE, Item, grey_pixel
from services.console.demo.process import JsonLines, arguments, run
from shared import clock

MOST_READ = 3
_HTML = "text/html; charset=utf-8"
_ROBOTS = b"User-agent: *\nDisallow: /-/\nDisallow: /letter\n"
_GONE = b"<!doctype html><title>Gone</title><p>This brief was withdrawn.</p>"
_NOT_FOUND = b"<!doctype html><title>Not found</title><p>No such page.</p>"
_PRIVACY = b"<!doctype html><title>Privacy</title><h1>Privacy</h1><p>This site keeps nothing about you.</p>"


class DemoSite:
    """The site. Names are SECTION/SLUG (`brief.name`); every method may be called from any thread.

    Args:
        port, host: 0 takes a free port; the host is a loopback address (another one is another host to the wire).
        initial: how many briefs are out, with older dates, before the first request.
        per_second: releases by itself at this rate; 0 leaves everything to the methods.
        update_after_s, withdraw_after_s: from a brief's own release to its correction or withdrawal, by itself.
        zone: IANA name of the zone that pages print without naming it.
        now: the clock behind every date.
        log: a file that gets the JSON lines.
        bundle: what to publish, in this order, instead of the bundled briefs.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        initial: int = 10,
        per_second: float = 0.0,
        update_after_s: float = 8.0,
        withdraw_after_s: float = 10.0,
        zone: str = ZONE,
        now: Callable[[], dt.datetime] = clock.now,
        log: Path | None = None,
        bundle: Sequence[Brief] | None = None,
    ) -> None:
        self.faults = Faults()
        self.log: list[dict[str, Any]] = []
        self.hits: Counter[tuple[str, int]] = Counter()
        self._waiting = list(briefs() if bundle is None else bundle)
        self._initial, self._per_second, self._zone, self._now = initial, per_second, zone, now
        self._after_s = {"update": update_after_s, "withdraw": withdraw_after_s}
        self._lock = threading.RLock()
        self._out: dict[str, Item] = {}
        self._gone: set[str] = set()
        self._rendered: dict[str, bytes] = {}
        self._changed_at = now()
        self._agenda: list[tuple[float, int, str, str]] = []
        self._stopping = threading.Event()
        self._file = JsonLines(log)
        self._server = Loopback(self._answer, port=port, host=host)
        self._clockwork = threading.Thread(target=self._follow_agenda, name="demo-site", daemon=True)
        self.url = self._server.url
        self.feed_url = f"{self.url}/rss.xml"

    def start(self) -> None:
        """Publish the first briefs and accept connections."""
        with self._lock:
            first, self._waiting = self._waiting[: self._initial], self._waiting[self._initial :]
            for place, brief in enumerate(first, start=1):
                age = dt.timedelta(hours=5 + 7 * (len(first) - place))
                self._publish(brief, self._now() - age, initial=True)
        if self._per_second > 0:
            self._plan(0.0, "release", "")
            self._clockwork.start()
        self._server.start()

    def stop(self) -> None:
        """Close the port, the connections and the log; a second call does nothing."""
        self._stopping.set()
        if self._clockwork.is_alive():
            self._clockwork.join()
        self._server.stop()
        self._file.close()

    @property
    def complete(self) -> bool:
        """Nothing more will happen by itself."""
        with self._lock:
            return not self._agenda

    def release(self, count: int = 1) -> list[str]:
        """Publish the next briefs, dated now; their URLs, fewer than `count` when the bundle ends."""
        with self._lock:
            batch = [self._waiting.pop(0) for _ in range(min(count, len(self._waiting)))]
            return [self.publish(brief) for brief in batch]

    def publish(self, brief: Brief) -> str:
        """Publish a brief of one's own, dated now (or as old as it says); its URL."""
        age = dt.timedelta(days=brief.age_days or 0.0)
        with self._lock:
            return self._publish(brief, self._now() - age, initial=False)

    def update(self, name: str) -> None:
        """Correct a brief that is out: its text changes in place. ValueError when it has no correction left."""
        with self._lock:
            self.replace(self._item(name).brief.corrected())

    def replace(self, brief: Brief) -> None:
        """Put another text under the name of a brief that is out."""
        with self._lock:
            item = self._item(brief.name)
            self._out[brief.name] = Item(brief, item.published, self._now(), self._zone)
            self._note("updated", self._out[brief.name])

    def withdraw(self, name: str) -> None:
        """Take a brief out of feed and listings; its page answers 410 from now on."""
        with self._lock:
            item = self._item(name)
            del self._out[name]
            self._gone.add(item.brief.path)
            self._note("withdrawn", item)

    def state(self) -> dict[str, Any]:
        """How far the site is: numbers of what is out, waiting and logged, and whether it is complete."""
        with self._lock:
            events = Counter(line["event"] for line in self.log)
            return {"out": len(self._out), "waiting": len(self._waiting), "complete": self.complete, **events}

    def _item(self, name: str) -> Item:
        if name not in self._out:
            raise ValueError(f"{name} is not out")
        return self._out[name]

    def _publish(self, brief: Brief, at: dt.datetime, *, initial: bool) -> str:
        self._out[brief.name] = Item(brief, at, at, self._zone)
        self._note("published", self._out[brief.name], initial=initial)
        if self._per_second > 0 and brief.correction:
            self._plan(self._after_s["update"], "update", brief.name)
        if self._per_second > 0 and brief.withdrawn:
            self._plan(self._after_s["withdraw"], "withdraw", brief.name)
        return self.url + brief.path

    def _note(self, event: str, item: Item, **more: Any) -> None:
        """Into the log, and every page may now look different."""
        self._rendered.clear()
        self._changed_at = self._now()
        brief = item.brief
        self._write(
            {
                "at": self._changed_at.isoformat(),
                "event": event,
                "url": self.url + brief.path,
                "guid": f"kelmora-{brief.number}",
                "name": brief.name,
                "kind": _kind(brief),
                "headline": brief.headline,
                "section": SECTIONS.get(brief.section),
                "language": brief.language,
                "status": brief.status,
                "story": brief.story,
                "published": item.published.isoformat(),
                "text_sha256": brief.sha256,
                **more,
            }
        )

    def _write(self, line: dict[str, Any]) -> None:
        self.log.append(line)
        self._file.write(line)

    # What happens by itself

    def _plan(self, after_s: float, action: str, name: str) -> None:
        heapq.heappush(self._agenda, (time.monotonic() + after_s, len(self.log), action, name))

    def _follow_agenda(self) -> None:
        while self._agenda and not self._stopping.wait(max(0.0, self._agenda[0][0] - time.monotonic())):
            with self._lock:
                due, _, action, name = heapq.heappop(self._agenda)
                self._do(due, action, name)
                if not self._agenda:
                    self._write({"at": self._now().isoformat(), "event": "complete"})

    def _do(self, due: float, action: str, name: str) -> None:
        if action == "release":
            self.release()
            if self._waiting:
                heapq.heappush(self._agenda, (due + 1 / self._per_second, len(self.log), action, ""))
        elif name in self._out:  # a person may have been faster
            (self.update if action == "update" else self.withdraw)(name)

    # What visitors get

    def _answer(self, request: Request) -> Reply:
        if request.path.startswith("/-/"):
            return self._control(request)
        fault = self.faults.take(request.path)
        reply = spoil(self._page(request), fault)
        with self._lock:
            self.hits[request.path, reply.status] += 1
        return reply

    def _page(self, request: Request) -> Reply:
        path = request.path.rstrip("/") or "/"
        fixed = {"/robots.txt": (_ROBOTS, "text/plain"), "/privacy": (_PRIVACY, _HTML)}
        if path in fixed:
            return Reply(200, fixed[path][0], {"Content-Type": fixed[path][1]})
        if path.startswith("/img/"):
            return Reply(200, grey_pixel(), {"Content-Type": "image/png", "Cache-Control": "max-age=86400"})
        with self._lock:
            return self._rendered_page(path, request)

    def _rendered_page(self, path: str, request: Request) -> Reply:
        if path in self._gone:
            return Reply(
                410, b"<!doctype html><title>Gone</title><p>This brief was withdrawn.</p>", {"Content-Type": _HTML}
            )
        if path.startswith("/b/"):
            return self._short_link(path)
        if path not in self._rendered:
            body = self._render(path)
            if body is None:
                return Reply(404, _NOT_FOUND, {"Content-Type": _HTML})
            self._rendered[path] = body
        content_type = "application/rss+xml; charset=utf-8" if path == "/rss.xml" else _HTML
        return conditional(request, self._rendered[path], content_type, self._changed_at, self._now())

    def _short_link(self, path: str) -> Reply:
        for item in self._out.values():
            if path == f"/b/{item.brief.number}":
                return Reply(301, b"", {"Location": self.url + item.brief.path})
        return Reply(404)

    def _render(self, path: str) -> bytes | None:
        items = sorted(self._out.values(), key=lambda item: (item.published, item.brief.number), reverse=True)
        if path == "/rss.xml":
            return pages.feed(items, self.url)
        shown = [item for item in items if item.brief.kind == "brief"]
        if path == "/":
            return pages.listing("Latest briefs", path, shown, self.url)
        if path[1:] in SECTIONS:
            here = [item for item in shown if item.brief.section == path[1:]]
            return pages.listing(SECTIONS[path[1:]], path, here, self.url)
        if path[1:] not in self._out:
            return None
        item = self._out[path[1:]]
        # A brief that is not out yet cannot be printed below another: the block grows while the article stays the same.
        similar = [self._out[name] for name in item.brief.similar if name in self._out]
        return pages.brief(item, self.url, similar, [other.brief for other in shown[:MOST_READ]])

    # What a script on this machine may switch

    def _control(self, request: Request) -> Reply:
        if request.path == "/-/state":
            return _json(200, self.state())
        # A page in a browser cannot send this type to another origin without asking first.
        if request.method != "POST" or request.headers.get("Content-Type") != "application/json":
            return _json(405, {"error": "POST application/json"})
        try:
            self._steer(json.loads(request.body))
        except (ValueError, TypeError, AttributeError, msgspec.ValidationError) as error:
            return _json(400, {"error": str(error)})
        return _json(200, self.state())

    def _steer(self, wish: Any) -> None:
        if not isinstance(wish, dict):
            raise ValueError("expected a JSON object")
        if "fault" in wish:
            self.faults.set_from(wish["fault"])
        if "release" in wish:
            self.release(int(wish["release"]))
        if "update" in wish:
            self.update(wish["update"])
        if "withdraw" in wish:
            self.withdraw(wish["withdraw"])


def _kind(brief: Brief) -> str:
    if brief.copy_of:
        return "copy"
    return "old" if brief.age_days else brief.kind


def _json(status: int, value: Any) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def main(argv: Sequence[str] | None = None) -> int:
    """The site as a process, until SIGTERM or SIGINT; exit code 0."""
    parser = arguments(__doc__)
    parser.add_argument("--initial", type=int, default=12, help="briefs that are out at the start")
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between releases; 0: only by /-/control")
    parser.add_argument("--zone", default=ZONE, help="zone of the printed dates")
    options = parser.parse_args(argv)
    return run(
        lambda: DemoSite(
            port=options.port,
            host=options.host,
            initial=options.initial,
            per_second=1 / options.interval if options.interval > 0 else 0.0,
            zone=options.zone,
            log=options.log,
        ),
        options,
    )


if __name__ == "__main__":
    raise SystemExit(main())
