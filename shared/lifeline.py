"""How children notice that the supervisor died: the read end of a pipe whose write end only it holds.

A process started by the supervisor inherits the read end (its number in BRIEFWIRE_LIFELINE). When the pipe closes, or the
direct parent is gone, the process ends: first politely, then, after `GRACE_S`, by kill.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time

GRACE_S = 5.0


def watch() -> None:
    """Starts the watching thread, once a process; does nothing outside the supervisor."""
    number = os.environ.get("BRIEFWIRE_LIFELINE")
    if number is not None:
        threading.Thread(target=_watch, args=(int(number), os.getppid()), name="lifeline", daemon=True).start()


def _watch(fd: int, parent: int) -> None:
    while os.getppid() == parent and not _closed(fd):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _closed(fd: int) -> bool:
    """Waits a second for the pipe to close."""
    try:
        return bool(select.select([fd], [], [], 1.0)[0]) and os.read(fd, 1) == b""
    except (OSError, ValueError):
        time.sleep(1.0)
        return True
