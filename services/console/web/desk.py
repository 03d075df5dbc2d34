"""Settings and a store in; what every page works with out: transactions, figures, templates, messages for the next page."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import jinja2

from services.console import numbers, reading
from services.console.accounts import Limiter
from services.console.actions import ACTIONS, Done
from services.console.web import show
from shared import clock, http, queue
from shared.sandbox import Sandbox
from shared.settings import Settings
from shared.store.engine import Store

HERE = Path(__file__).parent
STATIC = HERE / "static"


class Desk:
    """One desk: shared by all requests of the process."""

    def __init__(self, settings: Settings, store: Store, now: Callable[[], dt.datetime] = clock.now) -> None:
        self.settings, self.store, self.now = settings, store, now
        self.sampler = numbers.Sampler(store, settings.folder, now)
        self.limiter = Limiter()
        self.framer = Sandbox("services.console.fetched:frame", cpu_s=4.0, memory_mb=1024, wall_s=10.0)
        self.templates = _templates()
        self.reader = Sandbox("services.console.tried:read", cpu_s=8.0, memory_mb=2048, wall_s=20.0)
        self._said: dict[str, Done] = {}

    @contextlib.contextmanager
    def begin(self) -> Iterator[queue.Work]:
        """A writing transaction; what it rings is rung once it has committed."""
        with self.store.write() as connection:
            work = queue.Work(connection, self.now())
            yield work
            work.finish()
        for wake, keys in work.rings().items():
            queue.bell.ring(wake, list(dict.fromkeys(keys)))

    def figures(self, max_age_s: float = 3.0) -> numbers.Numbers:
        """The newest figures, asked for anew where they are older than that."""
        latest = self.sampler.latest
        if latest is None or (self.now() - latest.at).total_seconds() > max_age_s:
            return self.sampler.sample()
        return latest

    @functools.cached_property
    def door(self) -> http.Door:
        """The guarded door out, for tests of sources."""
        return reading.door_of(self.settings)

    def say(self, csrf: str, done: Done) -> None:
        """Keeps a message for the next page of this session."""
        self._said[csrf] = done
        while len(self._said) > 1000:
            self._said.pop(next(iter(self._said)))

    def said(self, csrf: str | None) -> Done | None:
        """The message for this session, once."""
        return self._said.pop(csrf, None) if csrf else None

    @staticmethod
    def randomness() -> bytes:
        return os.urandom(32)


def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= show.FILTERS
    made.globals |= {"ACTIONS": ACTIONS, "version": _version()}
    return made


def _version() -> str:
    """A digest of the static files: a new version of them has a new address, so they can be cached."""
    files = sorted(STATIC.iterdir())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:10]
