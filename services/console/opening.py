"""Global options in; the settings, the store and the door of one command out, each made when first asked for."""

from __future__ import annotations

import datetime as dt
import functools
import getpass
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from services.console import reading
from services.console.actions import ACTIONS, Done, perform
from shared import clock, http, migrations, settings
from shared.errors import OperatorError
from shared.queue import Work
from shared.store import engine, installation


class Opening:
    """What one invocation of the command line works with.

    `config` and `data` are the global options; where they are None, the environment and the defaults of
    `shared.settings` decide.
    """

    def __init__(self, *, config: Path | None = None, data: Path | None = None) -> None:
        self.config, self.data = config, data

    @functools.cached_property
    def settings(self) -> settings.Settings:
        """The settings. OperatorError: a file that cannot be read, an unknown key."""
        return settings.load(config=self.config, data=self.data)

    def store(self, *, create: bool) -> engine.Store:
        """The store in this version's shape.

        Raises:
            OperatorError: code 4, there is none yet and `create` is False, or a newer version wrote it.
        """
        url = make_url(self.settings.store_url)
        if not create and url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
            raise OperatorError(
                f"There is no Briefwire data in {self.settings.folder} yet.",
                "Start with `briefwire up` or `briefwire source add URL`, or name another folder with --data.",
                code=4,
            )
        opened = engine.current(self.settings)
        migrations.upgrade(opened)
        return opened

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot of an existing store."""
        with self.store(create=False).read() as connection:
            yield connection

    @contextmanager
    def change(self, action: str, target: str, reason: str = "") -> Iterator[tuple[Connection, dt.datetime]]:
        """A writing transaction and its instant; who did what to `target` goes into the audit with it."""
        with self.store(create=True).write() as connection:
            now = clock.now()
            yield connection, now
            installation.audit(connection, who(), action, target, reason, now)

    def perform(
        self, action: str, target: object, *, reason: str = "", fields: Mapping[str, str] | None = None
    ) -> Done:
        """Carries out one action of `services.console.actions`, as the desk would; the feeder rings for what follows from it.

        OperatorError: there is no such target, a reason or a field is missing, or its state does not allow it.
        """
        with self.store(create=False).write() as connection:
            work = Work(connection, clock.now())
            done = perform(
                ACTIONS[action], work, who(), str(target), reason=reason, fields=fields, folder=self.settings.folder,
                randomness=os.urandom(32),
            )  # fmt: skip
            work.finish()
        return done

    def door(self, allow_hosts: Sequence[str] = ()) -> http.Door:
        """The guarded door out, as the workers have it; `allow_hosts` are let through besides those of the settings."""
        return reading.door_of(self.settings, allow_hosts)

    def settings_file(self) -> Path | None:
        """The settings file in use, None where there is none."""
        named = self.config or (Path(os.environ["BRIEFWIRE_CONFIG"]) if os.environ.get("BRIEFWIRE_CONFIG") else None)
        places = [named] if named else [self.settings.folder / "briefwire.toml", Path("briefwire.toml").absolute()]
        return next((place for place in places if place.is_file()), None)


def who() -> str:
    """The login name of whoever gives the command, for the audit."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return f"uid {os.getuid()}"
