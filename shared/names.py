"""A host name in, its addresses out, within a time limit: `socket.getaddrinfo` knows no deadline.

Lookups run on a few daemon threads that are started when needed. Callers that ask for the same name at the same time
share one lookup, so a name server that hangs on one name holds one thread.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from shared.errors import Retryable

Resolve = Callable[..., Iterable[tuple[Any, ...]]]
"""Like `socket.getaddrinfo(host, port, type=...)`: tuples of family, type, protocol, canonical name, address."""

Answer = tuple[int, tuple[Any, ...]]
"""Address family, and the socket address that connects there."""


class Names:
    """Looks names up with `resolve` on at most `threads` threads."""

    def __init__(self, resolve: Resolve = socket.getaddrinfo, threads: int = 32) -> None:
        self._resolve, self._limit = resolve, threads
        self._lock = threading.Lock()
        self._flying: dict[tuple[str, int], Future[list[Answer]]] = {}
        self._asked: queue.SimpleQueue[tuple[str, int] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads = 0

    def lookup(self, host: str, port: int, within_s: float) -> list[Answer]:
        """All addresses of `host`, an IP address included, in the resolver's order; never an empty list.

        Raises:
            Retryable: "dns-failed" when there are none, "dns-timeout" after `within_s` seconds.
        """
        literal = _literal(host, port)
        if literal:
            return [literal]
        try:
            answers = self._ask((host, port)).result(within_s)
        except TimeoutError:
            raise Retryable("dns-timeout", f"The name server did not answer for {host} in time.") from None
        except (OSError, UnicodeError) as error:
            raise Retryable("dns-failed", f"{host} has no address: {error}.") from None
        if not answers:
            raise Retryable("dns-failed", f"{host} has no address.")
        return answers

    def close(self) -> None:
        """Let the threads end; lookups under way are left to themselves."""
        with self._lock:
            for _ in range(self._threads):
                self._asked.put(None)
            self._threads = 0

    def _ask(self, key: tuple[str, int]) -> Future[list[Answer]]:
        with self._lock:
            future = self._flying.get(key)
            if future is None:
                future = self._flying[key] = Future()
                self._asked.put(key)
                if not self._idle.acquire(blocking=False) and self._threads < self._limit:
                    self._threads += 1
                    threading.Thread(target=self._work, name="briefwire-names", daemon=True).start()
            return future

    def _work(self) -> None:
        while (key := self._asked.get()) is not None:
            answers: list[Answer] = []
            failure: BaseException | None = None
            try:
                found = self._resolve(key[0], key[1], type=socket.SOCK_STREAM)
                answers = [(entry[0], entry[4]) for entry in found]
            except Exception as error:  # handed to whoever asked
                failure = error
            with self._lock:
                future = self._flying.pop(key)
                self._idle.release()
            if failure is None:
                future.set_result(answers)
            else:
                future.set_exception(failure)


def _literal(host: str, port: int) -> Answer | None:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (socket.AF_INET, (host, port)) if ip.version == 4 else (socket.AF_INET6, (host, port, 0, 0))
