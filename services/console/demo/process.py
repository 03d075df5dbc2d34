"""A server object and its command line, in; a process that says when it listens and ends in order, out."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from shared.errors import OperatorError


class Runnable(Protocol):
    """What `run` needs of a server."""

    url: str

    def start(self) -> None:
        """Accept connections."""

    def stop(self) -> None:
        """End in order."""


class JsonLines:
    """A file of JSON lines, each on disk's way before the next; None writes nothing.

    OperatorError when the file cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        try:
            self._file = None if path is None else path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise OperatorError(f"Cannot write the log {path}: {error.strerror}.", "Name another file.") from None

    def write(self, line: dict[str, Any]) -> None:
        """Append one object."""
        with self._lock:
            if self._file is not None:
                self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Close the file; later lines are dropped."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The options that every server of the demo has."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--log", type=Path, help="file for the JSON lines")
    parser.add_argument("--ready", type=Path, help='file that gets {"url", "pid"} once connections are accepted')
    parser.add_argument(
        "--with-parent", action="store_true", help="end when standard input ends: the parent holds it open"
    )
    return parser


def run(make: Callable[[], Runnable], options: argparse.Namespace) -> int:
    """Make the server, start, announce, wait for SIGTERM, SIGINT or the parent's end, stop; the exit code."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        server = make()
    except OperatorError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    server.start()
    if options.ready is not None:
        announce(options.ready, server.url)
    if options.with_parent:
        threading.Thread(target=_wait_for_end_of_input, args=(ended,), daemon=True).start()
    ended.wait()
    server.stop()
    return 0


def _wait_for_end_of_input(ended: threading.Event) -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock would be held while the interpreter ends
        pass
    ended.set()


def announce(path: Path, url: str) -> None:
    """Write the ready file whole or not at all."""
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
    draft.replace(path)
