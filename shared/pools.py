"""A worker's pool: the sign of life with its size, and its size changed while it runs. Loaded by Celery workers only.

    feeder: every few seconds the sizes that people set -> control command `resize` -> the pool grows or shrinks, if it must

The command names absolute sizes and comes again and again, so one that was lost is no matter, nor is a worker that starts later.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
from celery import signals
from celery.worker.control import control_command

from shared import clock, queue
from shared.store import claims, workers

log = logging.getLogger("briefwire.pools")

_main: dict[str, Any] = {}
"""The Celery worker and the process it runs in; children of a prefork pool inherit both."""


@queue.app.task(name="shared.ping", ignore_result=True)  # type: ignore[untyped-decorator]  # celery publishes no types
def ping(name: str) -> None:
    """Says that somebody consumes this queue, and with how many threads or processes."""
    with queue.store().write() as connection:
        workers.beat(connection, name, clock.now(), size(), _main.get("owner"))


def size() -> int | None:
    """How many threads or processes this worker's pool has; None outside a worker."""
    if not _main:
        return None
    if _main["pid"] == os.getpid():
        return int(_main["worker"].pool.num_processes)
    return len(psutil.Process(_main["pid"]).children())


@control_command(args=[("sizes", dict)])  # type: ignore[untyped-decorator]
def resize(state: Any, sizes: dict[str, int]) -> dict[str, Any]:
    """Gives the pool the size that stands for this kind of worker; 0 is what the settings say. Runs where tasks are handed out."""
    kind = str(state.hostname).partition("@")[0]
    if kind in sizes:
        wanted = sizes[kind] or queue.SETTINGS.pool_size(kind)
        change(state.consumer, wanted)
    return {"ok": state.consumer.pool.num_processes}


def change(consumer: Any, wanted: int) -> None:
    """Grows or shrinks the pool. Nothing under way is cut short: a process that is busy now goes with a later command."""
    before = consumer.pool.num_processes
    if before == wanted:
        return
    if isinstance(getattr(consumer.pool, "executor", None), ThreadPoolExecutor):
        _exchange(consumer.pool, wanted)
    elif wanted > before:
        consumer.pool.grow(wanted - before)
    else:
        _shrink(consumer.pool, before - wanted)
    after = consumer.pool.num_processes
    if after != before:
        consumer._update_prefetch_count(after - before)
        log.warning("the pool has %d places now, %d before", after, before)


def _exchange(pool: Any, wanted: int) -> None:
    """Threads: what comes from now on goes to a new set of them; the old ones end with what they hold."""
    old, pool.executor, pool.limit = pool.executor, ThreadPoolExecutor(wanted), wanted
    old.shutdown(wait=False)


def _shrink(pool: Any, by: int) -> None:
    try:
        pool.shrink(by)
    except ValueError:  # fewer are idle than are to go; what could go is gone
        log.info("some processes are busy; they go later")


def _begin(sender: Any, **_: Any) -> None:
    _main.update(worker=sender, pid=os.getpid(), owner=claims.owner())


signals.worker_init.connect(_begin)
