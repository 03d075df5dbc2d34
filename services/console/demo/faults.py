"""What a server on loopback should do wrong, in; the fault for the next request, out. No sockets here.

A fault is a value: answer a status, hang, reset the connection, for the next `count` requests or a seeded share.
"""

from __future__ import annotations

import random
import threading
from typing import Any

import msgspec


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to misbehave; the fields combine.

    `status` is answered in place of the real reply; `hang_s` seconds pass before anything is answered; `reset` ends the
    connection with a TCP reset instead of an answer. `count` limits it to so many requests (None: until changed),
    `share` to that part of them drawn with `seed`, `path` to paths that start so. `after_recording`: the work is done
    first, so the other side cannot know whether it was.
    """

    status: int | None = None
    hang_s: float = 0.0
    reset: bool = False
    count: int | None = None
    share: float = 1.0
    seed: int = 0
    path: str = "/"
    retry_after_s: int | None = None
    after_recording: bool = False


class Faults:
    """The fault now switched on, safe to change while requests arrive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._left = 0
        self._random = random.Random(0)  # noqa: S311  drawn for repeatable failures, not for secrets

    def set(self, fault: Fault | None) -> None:
        """Switch to this fault; None is good behaviour."""
        with self._lock:
            self._fault = fault
            if fault is not None:
                self._left = fault.count if fault.count is not None else -1
                self._random.seed(fault.seed)

    def set_from(self, plain: dict[str, Any] | None) -> None:
        """The same from decoded JSON; msgspec.ValidationError names a wrong field."""
        self.set(None if plain is None else msgspec.convert(plain, Fault))

    def take(self, path: str) -> Fault | None:
        """The fault that this request meets, None for none."""
        with self._lock:
            fault = self._fault
            if fault is None or self._left == 0 or not path.startswith(fault.path):
                return None
            if fault.share < 1.0 and self._random.random() >= fault.share:
                return None
            self._left -= self._left > 0
            return fault
