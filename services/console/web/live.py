"""Figures in; the texts, states and curves of the live page out, and the stream that carries them to every browser.

One task asks for the figures, every `TICK_S` while somebody watches and every `IDLE_S` otherwise; the message is written once
and sent to all. The script puts each text where the page says `data-text`, each state at `data-state-of`, each curve at
`data-curve`; the page itself is first rendered from the very same values.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from services.console.numbers import Numbers, Point
from services.console.web import guard, show
from services.console.web.desk import Desk

log = logging.getLogger("briefwire.desk")
TICK_S, IDLE_S = 1.5, 5.0
STREAM_S = 600.0
"""A stream ends after this long; the browser opens another one, and is asked again who it is."""
WIDTH, HEIGHT = 600.0, 120.0
BRIDGED = 12
"""Bins without a value that a curve passes over."""


class View(msgspec.Struct, frozen=True):
    """What the live page shows: texts, states and curves by name, and what a person should look at."""

    text: dict[str, str]
    state: dict[str, str]
    curve: dict[str, str]
    trouble: list[tuple[str, str, str]]


def view(numbers: Numbers) -> View:
    """The figures as they stand on the page. Pure."""
    text = _stage_texts(numbers) | _worker_texts(numbers) | _chart_texts(numbers.points)
    state: dict[str, str] = {f"worker.{w.queue}": "bad" if w.deaf else "good" for w in numbers.workers}
    state.update((f"stage.{s.key}", s.state) for s in numbers.stages)
    books = numbers.books
    text |= {
        "at": show.clock(numbers.at)[:8],
        "overall": {"good": "All is well", "busy": "Worth a look", "bad": "Needs you"}.get(numbers.state, ""),
        "seen": show.count(numbers.seen), "events": show.count(numbers.events),
        "waiting": show.count(sum(s.depth for s in numbers.stages)),
        "quarantined": show.count(sum(numbers.quarantined)),
        "books": "not checked yet" if books is None else "balanced" if books.balanced else "do not balance",
        "books.at": show.clock(books.at)[:8] if books else show.NOTHING,
        "cost": show.age(numbers.cost_s),
    }  # fmt: skip
    state |= {"overall": numbers.state, "books": "idle" if books is None else "good" if books.balanced else "bad",
              "quarantined": "busy" if sum(numbers.quarantined) else "good"}  # fmt: skip
    return View(text, state, _curves(numbers.points), [(t.state, t.text, t.href) for t in numbers.trouble[:8]])


def _stage_texts(numbers: Numbers) -> dict[str, str]:
    found = {}
    for stage in numbers.stages:
        found[f"{stage.key}.depth"] = show.count(stage.depth)
        found[f"{stage.key}.oldest"] = show.age(stage.oldest_s)
        found[f"{stage.key}.rate"] = show.rate(stage.rate)
        found[f"{stage.key}.paused"] = "paused" if stage.paused else ""
    return found


def _worker_texts(numbers: Numbers) -> dict[str, str]:
    found = {}
    for worker in numbers.workers:
        found[f"{worker.queue}.processes"] = str(worker.processes)
        found[f"{worker.queue}.at_once"] = show.count(worker.at_once)
        found[f"{worker.queue}.beat"] = f"{show.age(worker.beat_s)} ago" if worker.beat_s is not None else "never"
        found[f"{worker.queue}.word"] = "silent" if worker.deaf else "at work"
    return found


def _chart_texts(points: Sequence[Point]) -> dict[str, str]:
    last = points[-1] if points else Point()
    quick = next((p for p in reversed(points) if p.p50_s is not None), Point())
    return {
        "rate.top": show.rate(ceiling(max((p.delivered for p in points), default=0.0))),
        "rate.now": show.rate(last.delivered),
        "rate.failed": show.rate(last.failed),
        "lag.top": show.age(ceiling(max((p.p95_s or 0.0 for p in points), default=0.0))),
        "lag.p50": show.age(quick.p50_s),
        "lag.p95": show.age(quick.p95_s),
    }


def _curves(points: Sequence[Point]) -> dict[str, str]:
    rate_top = ceiling(max((p.delivered for p in points), default=0.0))
    lag_top = ceiling(max((p.p95_s or 0.0 for p in points), default=0.0))
    delivered = curve([p.delivered for p in points], rate_top)
    return {
        "rate.delivered": delivered,
        "rate.area": f"{delivered}V{HEIGHT:g}H0Z" if delivered else "",
        "rate.failed": curve([p.failed for p in points], rate_top) if any(p.failed for p in points) else "",
        "lag.p50": curve([p.p50_s for p in points], lag_top),
        "lag.p95": curve([p.p95_s for p in points], lag_top),
    }


def ceiling(value: float) -> float:
    """The next round number, so that the scale of a chart changes seldom: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1 if value >= 0.1 else 0.01
    return next((step * power for step in (1, 2, 5, 10) if value <= step * power), 10 * power)


def curve(values: Sequence[float | None], top: float) -> str:
    """An SVG path from left to right. Gaps of up to a minute are bridged, longer ones stay empty; a lone value is a dash."""
    step = WIDTH / max(1, len(values) - 1)
    path, last = [], -BRIDGED - 1
    for place, value in enumerate(values):
        if value is None:
            continue
        x, y = place * step, HEIGHT - min(1.0, value / top) * (HEIGHT - 4)
        path.append(f"M{x:.1f} {y:.1f}h2" if place - last > BRIDGED else f"L{x:.1f} {y:.1f}")
        last = place
    return "".join(path)


class Ticker:
    """Asks for the figures as long as the process runs, and wakes whoever watches."""

    def __init__(self, desk: Desk, every_tick: Callable[[], None] = lambda: None) -> None:
        self.desk, self.every_tick = desk, every_tick
        self.watchers = 0
        self.message = b""
        self._fresh = asyncio.Event()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                self.message = await asyncio.to_thread(self._tick)
            except Exception as error:  # the store may be away for a while; the page says how old its figures are
                log.warning("no figures: %s", error)
            fresh, self._fresh = self._fresh, asyncio.Event()
            fresh.set()
            self._wanted.clear()
            await asyncio.sleep(TICK_S)
            if not self.watchers:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), IDLE_S - TICK_S)

    async def run_slow(self) -> None:
        """Asks for the costly figures when they are due, until cancelled."""
        while True:
            if self.desk.sampler.slow_due():
                try:
                    await asyncio.to_thread(self.desk.sampler.ask_slow)
                except Exception as error:
                    log.warning("the books were not checked: %s", error)
            await asyncio.sleep(1.0)

    async def stream(self, seconds: float = STREAM_S) -> AsyncIterator[bytes]:
        """Messages as server-sent events: one at once, then one a tick."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        self.watchers += 1
        self._wanted.set()
        try:
            yield b"retry: 2000\n\n" + self.message
            while loop.time() < until:
                await self._fresh.wait()
                yield self.message
        finally:
            self.watchers -= 1

    def _tick(self) -> bytes:
        self.every_tick()
        return event(view(self.desk.sampler.sample()))


def event(shown: View) -> bytes:
    """One server-sent event."""
    return b"data: " + msgspec.json.encode(shown) + b"\n\n"


def routes(desk: Desk) -> list[BaseRoute]:
    """`/live`: the stream."""

    async def live(request: Request) -> Response:
        who = await asyncio.to_thread(guard.identify, desk, request)
        if who is None or not who.may("viewer"):
            return Response("Sign in first.\n", 401, guard.HEADERS, media_type="text/plain")
        ticker: Ticker = request.app.state.ticker
        return StreamingResponse(ticker.stream(), media_type="text/event-stream", headers=guard.HEADERS)

    return [Route("/live", live, methods=["GET"])]
