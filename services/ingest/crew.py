"""Keys in, work done: a thread for each host that is waited for, and one transaction for whatever they commit at a time.

    take    one thread a key, up to a bound; a host that hangs holds a thread that nobody else needs
    commit  pieces of several threads in one transaction: with a hundred hosts a commit a page is what costs

Celery's own threads hand keys over and are free again; only when the crew is full do they wait, and the queue with them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from shared.queue import Work, begin

log = logging.getLogger("briefwire.crew")
T = TypeVar("T")
Task = Callable[[str], bool]
"""Works on a key; returns whether more is to be done for it right now."""

AT_ONCE = 64  # pieces a transaction: others must get their turn at the store


class Crew:
    """At most `most` keys are worked on at a time, each once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy: set[str] = set()
        self._running = 0
        self._ended = False
        self._changed = threading.Condition()

    def take(self, key: str, task: Task, again: Callable[[str], None]) -> bool:
        """Has `task(key)` done on a thread of its own, as soon as there is room.

        `again` is called with the key where more is to be done: it gets to the back of the queue. False: the key is in work already, or the
        crew has ended.
        """
        with self._changed:
            if key in self._busy or self._ended:
                return False
            self._busy.add(key)
            self._changed.wait_for(lambda: self._running < self._most or self._ended)
            if self._ended:
                self._busy.discard(key)
                return False
            self._running += 1
        threading.Thread(target=self._run, args=(key, task, again), name=f"crew {key}", daemon=True).start()
        return True

    def end(self, patience_s: float) -> bool:
        """Takes nothing more and waits for what is under way. Returns whether all of it came to its end."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._running == 0, patience_s)

    def _run(self, key: str, task: Task, again: Callable[[str], None]) -> None:
        more = False
        try:
            more = task(key)
        except Exception:
            log.exception("the work on %s failed; the feeder will ring again", key)
        finally:
            with self._changed:
                self._busy.discard(key)
                self._running -= 1
                self._changed.notify_all()
        if more:
            again(key)


class _Piece:
    """What one thread wants committed, and what came of it. `leads` tells its thread to carry out the next batch."""

    def __init__(self, function: Callable[[Work], Any]) -> None:
        self.function = function
        self.value: Any = None
        self.error: BaseException | None = None
        self.leads = False
        self.told = threading.Event()


class Together:
    """Pieces of work that several threads want committed at one time, in one transaction.

    A piece may be carried out twice: where one of a batch fails, the transaction is rolled back and each gets its own. So it
    changes rows and nothing else.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Piece] = deque()
        self._led = False

    def commit(self, function: Callable[[Work], T]) -> T:
        """The value of `function`, once it is committed. Raises what it raises, or what the store did."""
        mine = _Piece(function)
        with self._lock:
            self._waiting.append(mine)
            mine.leads, self._led = not self._led, True
        if not mine.leads:
            mine.told.wait()
        if mine.leads:
            self._lead()
        if mine.error is not None:
            raise mine.error
        value: T = mine.value
        return value

    def _lead(self) -> None:
        """Carries out what waits by now, one's own piece with it; then somebody else leads."""
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        try:
            _carry_out(batch)
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._led = following is not None
            if following is not None:
                following.leads = True
                following.told.set()
            for piece in batch:
                piece.told.set()


def _carry_out(batch: list[_Piece]) -> None:
    if len(batch) > 1:
        try:
            with begin() as work:
                values = [piece.function(work) for piece in batch]
        except Exception as error:  # whosever fault it is, shown below by its own transaction
            log.debug("a batch of %d fell apart: %s", len(batch), error)
        else:
            for piece, value in zip(batch, values, strict=True):
                piece.value = value
            return
    for piece in batch:
        try:
            with begin() as work:
                piece.value = piece.function(work)
        except BaseException as error:  # handed to the thread whose piece it is
            piece.error = error
