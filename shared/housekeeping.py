"""Once a day, in the feeder's process: the coming months get their partitions, the logs forget what the settings say.

It runs beside the ticks, in a thread, since a first pruning may take long. Two feeders may do it at once: every step is a small
transaction that finds nothing to do where the other was first.
"""

from __future__ import annotations

import logging
import threading
import time

from sqlalchemy.exc import SQLAlchemyError

from shared import clock, pages
from shared.settings import KeepSettings, Settings
from shared.store import engine, partitions, retention

log = logging.getLogger("briefwire.housekeeping")
EVERY_S = 86_400.0
AGAIN_S = 600.0  # after a failure


def start(settings: Settings) -> None:
    """Begins, and goes on until the process ends."""
    threading.Thread(target=_forever, args=(settings,), name="housekeeping", daemon=True).start()


def keep_house(store: engine.Store, days: KeepSettings) -> retention.Pruned:
    """One round; returns what was forgotten."""
    now = clock.now()
    with store.write() as connection:
        partitions.make_ahead(connection, now)
    gone = retention.prune(store, retention.since(days, now))
    unshelve(store, gone.places)
    return gone


def unshelve(store: engine.Store, places: tuple[str, ...]) -> None:
    """Removes those files from the shelf that no page names any more."""
    with store.read() as connection:
        free = retention.unshared(connection, places)
    for place in free:
        pages.unshelve(place)


def _forever(settings: Settings) -> None:
    while True:
        try:
            gone = keep_house(engine.current(settings), settings.keep)
            if any(gone.rows.values()):
                log.info("forgot %s", ", ".join(f"{n} {name}" for name, n in gone.rows.items()))
            time.sleep(EVERY_S)
        except (SQLAlchemyError, OSError) as error:
            log.warning("housekeeping failed (%s: %s); it tries again in ten minutes", type(error).__name__, error)
            time.sleep(AGAIN_S)
