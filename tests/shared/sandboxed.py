"""Functions for the sandbox's tests to run in a child: good ones and bad ones."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
import sys
import time
from typing import Any

from shared.errors import Rejected, Retryable
from shared.records import Draft, Paragraph

calls = 0


def count() -> int:
    """How often this child was asked before, and once more."""
    global calls
    calls += 1
    return calls


def pid() -> int:
    return os.getpid()


def draft(text: str, *, headline: str = "H") -> Draft:
    return Draft(headline=headline, blocks=(Paragraph(text),))


def doubled(data: bytes) -> bytes:
    return data + data


def spins(seconds: float) -> str:
    """Uses that much CPU time."""
    ends = time.process_time() + seconds
    while time.process_time() < ends:
        pass
    return "done"


def spins_in_c() -> bool:
    """Backtracks for ever inside C, where no Python signal handler runs."""
    return bool(re.fullmatch(r"(a+)+b", "a" * 60))


def sleeps(seconds: float) -> None:
    time.sleep(seconds)


def takes(megabytes: int) -> int:
    return len(bytes(megabytes << 20))


def takes_little_by_little() -> int:
    held = []
    while True:
        held.append(bytearray(1 << 20))


def fails(fate: str) -> None:
    """Ends in the named way."""
    if fate == "rejected":
        raise Rejected("not-a-feed", "It is a picture.")
    if fate == "retryable":
        raise Retryable("later", "Not yet.", after_s=7.5)
    raise ZeroDivisionError("a bug")


def recurses(depth: int = 0) -> int:
    return recurses(depth + 1) + 1


def dies(how: str) -> None:
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), 9)


def chatters(text: str) -> str:
    """Prints and reads where the frames go by."""
    print("noise on standard output", flush=True)  # noqa: T201
    subprocess.run([sys.executable, "-c", "print('more noise')"], check=True)
    return text + sys.stdin.read()


class Exploit:
    """Would run a command in whoever unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 7",)


def forges(answer: bytes) -> str:
    """Answers in its own words, on whichever file takes them, before the child does."""
    for descriptor in range(3, 30):
        with contextlib.suppress(OSError):
            os.write(descriptor, answer)
    return "honest"


def exploits() -> Exploit:
    return Exploit()
