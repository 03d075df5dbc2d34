"""What the guarded door costs: CPU of a POST over a kept-alive loopback connection, beside a plain `requests.Session`.

    python -m benchmarks.door_cost [--posts 1000] [--size 5000] [--rounds 5]

The receiver runs in a process of its own and is not counted. The two take turns; the median of the rounds is printed, in
milliseconds of CPU a POST.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from threading import Event

import requests

from shared.http import Door, Policy, Request
from tests.shared.hostile import Server, ok, says

HEADERS = {
    "Content-Type": "application/json",
    "webhook-id": "msg_0123456789abcdef",
    "webhook-timestamp": "1790000000",
    "webhook-signature": "v1," + "a" * 44,
}
ANSWER = ok(b'{"ok": true}', b"Content-Type: application/json", b"Cache-Control: no-store", b"Server: receiver")


def _receive(url: Connection) -> None:
    with Server(says(ANSWER)) as server:
        url.send(server.url)
        Event().wait()


def _through_door(url: str, body: bytes) -> Callable[[], object]:
    door = Door(Policy(allow_hosts=frozenset({"127.0.0.1"})))
    request = Request(url, method="POST", headers=HEADERS, body=body, redirects=0)
    return lambda: door.send(request).body


def _through_requests(url: str, body: bytes) -> Callable[[], object]:
    session = requests.Session()
    session.trust_env = False
    return lambda: session.post(url, data=body, headers=HEADERS, timeout=10, allow_redirects=False).content


def _cpu_ms(post: Callable[[], object], posts: int) -> float:
    started = time.process_time()
    for _ in range(posts):
        post()
    return (time.process_time() - started) / posts * 1000


def main() -> None:
    """Print a line for each of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--posts", type=int, default=1000, help="POSTs a round")
    parser.add_argument("--size", type=int, default=5000, help="bytes a POST")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    receiver = multiprocessing.Process(target=_receive, args=(theirs,), daemon=True)
    receiver.start()
    url, body = ours.recv(), b"x" * args.size
    ways = {"the door": _through_door(url, body), "plain requests.Session": _through_requests(url, body)}
    for post in ways.values():
        _cpu_ms(post, 100)
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, post in ways.items():
            figures[name].append(_cpu_ms(post, args.posts))
    for name, taken in figures.items():
        print(f"{name:24}{statistics.median(taken):7.3f} ms CPU a POST of {args.size} bytes")
    receiver.terminate()


if __name__ == "__main__":
    main()
