"""One pure function, run in a child process of its own: hostile input can use up or crash only the child.

    arguments | pickle | child: CPU, memory limited | pickle | result

A `Sandbox` keeps its child between calls and starts another when it died. The child ends with its parent: it reads its
standard input, and the end of that is the end of it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import resource
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any

from shared.errors import BriefwireError, Rejected, Retryable

_LENGTH = struct.Struct(">Q")
_PARTS = ("result", "rejected", "retryable", "cpu-limit", "memory-limit", "error")
_START_S = 30.0  # an import of ours takes well under a second; a machine under load gets time
_PIECE = 65536


class Sandbox:
    """`target` ("services.ingest.feeds:parse") in a child. Threads may share it; calls run one at a time.

    Each call may use `cpu_s` seconds of CPU and `wall_s` seconds in all; the child `memory_mb` MiB of address space.
    """

    def __init__(self, target: str, cpu_s: float = 5.0, memory_mb: int = 1024, wall_s: float = 20.0) -> None:
        self.target, self.cpu_s, self.memory_mb, self.wall_s = target, cpu_s, memory_mb, wall_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns for these arguments. Both must be values that pickle.

        Raises:
            Rejected: "cpu-limit", "memory-limit", "wall-limit" or "crashed" when the child went too far; also whatever
                Rejected or Retryable the function raises.
            RuntimeError: any other exception of the function, with the child's traceback: a bug.
        """
        question = pickle.dumps((args, kwargs), protocol=5)
        with self._lock:
            child = self._started()
            try:
                kind, value = pickle.loads(self._ask(child, question))  # noqa: S301  # our own child's words
            except BaseException:
                self._stop()
                raise
            if kind in ("cpu-limit", "memory-limit"):
                self._stop()
        return self._answer(kind, value)

    def close(self) -> None:
        """End the child; the next call starts another."""
        with self._lock:
            self._stop()
