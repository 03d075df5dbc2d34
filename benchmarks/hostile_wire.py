"""How the door out ends each call to a misbehaving server: the outcome, the seconds, the memory.

    python -m benchmarks.hostile_wire [--deadline 1.0]

One line a case; each runs in a process of its own, whose peak of resident memory is taken less what it held before the
call. The last lines count the cases that ended as they have to, within the deadline plus a second, and under 64 MB.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from shared.errors import Rejected, Retryable
from shared.http import Door, Policy, Request
from tests.shared.hostile import CASES, Authority, Case, Server, tls_for

LIMIT_MB = 64.0


def _call(case: Case, url: str, ca_file: str, deadline_s: float, answers: Connection) -> None:
    """In the child: one call; sends outcome, seconds and megabytes."""
    door = Door(Policy(allow_hosts=frozenset({"127.0.0.1"}), deadline_s=deadline_s, ca_file=ca_file))
    request = Request(url, method=case.method, body=case.body)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    try:
        outcome = str(door.send(request).status)
    except (Rejected, Retryable) as error:
        outcome = error.reason
    took_s = time.monotonic() - started
    answers.send((outcome, took_s, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))
    door.close()


def _measured(case: Case, authority: Authority, deadline_s: float) -> tuple[str, float, float]:
    context = multiprocessing.get_context("fork")  # the child starts with what this process holds now
    ours, theirs = context.Pipe(duplex=False)
    with Server(case.handler, tls_for(case, authority)) as server:
        url = server.url.replace("http:", "https:") if case.tls else server.url
        child = context.Process(target=_call, args=(case, url, str(authority.ca_file), deadline_s, theirs))
        child.start()
        outcome: tuple[str, float, float] = ours.recv()
        child.join()
    return outcome


def main() -> None:
    """Print a line a case and the totals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--deadline", type=float, default=1.0, help="seconds a call may take")
    deadline_s: float = parser.parse_args().deadline
    right = in_time = small = 0
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        for case in CASES:
            outcome, took_s, used_mb = _measured(case, authority, deadline_s)
            right += outcome in (case.ends, "deadline" if case.ends == "connect-timeout" else case.ends)
            in_time += took_s <= deadline_s + 1
            small += used_mb < LIMIT_MB
            print(f"{case.name:45} {outcome:20} {took_s:6.2f} s {used_mb:6.1f} MB")
    print(f"cases {len(CASES)} | as_expected {right} | in_time {in_time} | under_{LIMIT_MB:.0f}_mb {small}")


if __name__ == "__main__":
    main()
