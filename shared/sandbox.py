"""One pure function, run in a child process of its own: hostile input can use up or crash only the child.

    arguments | pickle | child: CPU and memory limited | pickle | result

A `Sandbox` keeps its child between calls and starts another when it died. The child ends with its parent: it reads its
standard input, and the end of that is its own end.
"""

from __future__ import annotations

import importlib
import io
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from typing import Any

from shared.errors import Rejected, Retryable

_LENGTH = struct.Struct(">Q")
_START_S = 30.0  # imports take under a second; a machine under load gets time
_PIECE = 1 << 20
_KILLED_BY = {signal.SIGPROF: "cpu-limit", signal.SIGALRM: "wall-limit"}
_TRUSTED = frozenset(("shared", "services", "datetime", "decimal", "collections"))
_BUILTINS = frozenset(("set", "frozenset", "bytearray", "complex", "range", "slice"))


class Sandbox:
    """`target` ("services.ingest.feeds:parse") in a child. Threads may share it; calls run one at a time.

    Each call may use `cpu_s` seconds of CPU and `wall_s` seconds in all; the child `memory_mb` MiB of address space.
    """

    def __init__(self, target: str, cpu_s: float = 5.0, memory_mb: int = 1024, wall_s: float = 20.0) -> None:
        self.target, self.cpu_s, self.memory_mb, self.wall_s = target, cpu_s, memory_mb, wall_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._end: weakref.finalize[..., Sandbox] | None = None

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
                kind, value = _loads(self._ask(child, question))
            except BaseException:
                self._stop()
                raise
            if kind == "memory-limit":
                self._stop()  # what it still holds would count against the next call
        return self._answer(kind, value)

    def close(self) -> None:
        """End the child; the next call starts another."""
        with self._lock:
            self._stop()

    def _answer(self, kind: str, value: Any) -> Any:
        if kind == "result":
            return value
        if kind == "error":
            raise RuntimeError(f"{self.target} failed in its child:\n{value}")
        if kind == "retryable":
            reason, detail, after_s = value
            raise Retryable(reason, detail, after_s=after_s)
        raise Rejected(*value)

    def _started(self) -> subprocess.Popen[bytes]:
        """The living child of this process, new when there is none."""
        if self._child is not None and (self._owner != os.getpid() or self._child.poll() is not None):
            self._stop()
        if self._child is None:
            self._child, self._owner = self._spawn(), os.getpid()
            try:
                kind, value = _loads(self._receive(self._child, time.monotonic() + _START_S))
                self._answer(kind, value)
            except BaseException:
                self._stop()
                raise
        return self._child

    def _spawn(self) -> subprocess.Popen[bytes]:
        limits = [str(self.cpu_s), str(self.wall_s), str(self.memory_mb)]
        child = subprocess.Popen(  # noqa: S603  # our own interpreter on our own module
            [sys.executable, "-m", "shared.sandbox", self.target, *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        self._end = weakref.finalize(self, _kill, child, os.getpid())
        return child

    def _stop(self) -> None:
        """Kill and reap the child, if there is one."""
        self._child = None
        if self._end is not None:
            self._end()

    def _ask(self, child: subprocess.Popen[bytes], question: bytes) -> bytes:
        ends = time.monotonic() + self.wall_s
        self._transmit(child, _LENGTH.pack(len(question)) + question, ends)
        return self._receive(child, ends)

    def _transmit(self, child: subprocess.Popen[bytes], frame: bytes, ends: float) -> None:
        assert child.stdin is not None
        pipe, left = child.stdin.fileno(), memoryview(frame)
        while left:
            self._ready(pipe, select.POLLOUT, ends)
            try:
                left = left[os.write(pipe, left[:_PIECE]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._fate(child) from None

    def _receive(self, child: subprocess.Popen[bytes], ends: float) -> bytes:
        assert child.stdout is not None
        pipe, got, wanted = child.stdout.fileno(), bytearray(), _LENGTH.size
        while len(got) < wanted:
            self._ready(pipe, select.POLLIN, ends)
            piece = os.read(pipe, min(_PIECE, wanted - len(got)))
            if not piece:
                raise self._fate(child)
            got += piece
            if wanted == _LENGTH.size == len(got):
                wanted += _LENGTH.unpack(got)[0]
                if wanted > self.memory_mb << 20:
                    raise Rejected("crashed", f"{self.target} answered with more than it can hold.")
        return bytes(got[_LENGTH.size :])

    def _ready(self, pipe: int, event: int, ends: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(max(0.0, ends - time.monotonic()) * 1000):
            raise Rejected("wall-limit", f"{self.target} was not done after {self.wall_s:g} s.")

    def _fate(self, child: subprocess.Popen[bytes]) -> Rejected:
        """The child closed its pipe, hence it is ending: why."""
        try:
            code = child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return Rejected("crashed", f"{self.target} closed its pipe.")
        reason = _KILLED_BY.get(signal.Signals(-code)) if code < 0 else None
        if reason:
            return Rejected(reason, f"{self.target} needed more than {self.cpu_s:g} s of CPU or {self.wall_s:g} s.")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Rejected("crashed", f"{self.target} ended its process ({how}).")


def _kill(child: subprocess.Popen[bytes], owner: int) -> None:
    """End the child of process `owner`; in a fork of that process the child is only forgotten."""
    if owner == os.getpid():
        child.kill()
        child.wait()
    else:
        child.returncode = 0  # or Popen would wait for a process that is not ours
    for pipe in (child.stdin, child.stdout):
        assert pipe is not None
        pipe.close()


class _Careful(pickle.Unpickler):
    """Builds values of our own record types only: what comes from the child saw hostile input."""

    def find_class(self, module: str, name: str) -> Any:
        known = module.partition(".")[0] in _TRUSTED or (module == "builtins" and name in _BUILTINS)
        if known or (module, name) == ("msgspec._core", "rebuild"):
            found = super().find_class(module, name)
            # A class under the name of another module's, "shared.sandbox" "subprocess.Popen", would be a way out.
            if name == "rebuild" or (isinstance(found, type) and found.__module__ == module):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no value")


def _loads(frame: bytes) -> Any:
    return _Careful(io.BytesIO(frame)).load()


# --- the child ---


def _outcome(function: Callable[..., Any], question: bytes) -> tuple[str, Any]:
    """What a call came to, as the parent reads it."""
    try:
        args, kwargs = pickle.loads(question)  # noqa: S301  # from the parent, who may do anything anyway
        return "result", function(*args, **kwargs)
    except Rejected as error:
        return "rejected", (error.reason, error.detail)
    except Retryable as error:
        return "retryable", (error.reason, error.detail, error.after_s)
    except MemoryError:
        return "memory-limit", ("memory-limit", "The input needs more memory than its child process has.")
    except RecursionError:
        return "rejected", ("crashed", "The input is nested too deeply.")
    except Exception:
        return "error", traceback.format_exc()


def _frame(outcome: tuple[str, Any]) -> bytes:
    try:
        body = pickle.dumps(outcome, protocol=5)
    except MemoryError:
        return _frame(("memory-limit", ("memory-limit", "The result needs more memory than its child process has.")))
    except Exception:
        return _frame(("error", traceback.format_exc()))
    return _LENGTH.pack(len(body)) + body


def _private_pipes() -> tuple[io.BufferedReader, io.FileIO]:
    """Our pipes under other numbers, so that a function that prints or reads cannot disturb the frames."""
    questions, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return open(questions, "rb"), open(answers, "wb", buffering=0)


def _imported(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _send(answers: io.FileIO, frame: bytes) -> None:
    left = memoryview(frame)
    while left:
        left = left[answers.write(left) :]


def _serve(target: str, cpu_s: float, wall_s: float, memory_mb: int) -> None:
    """Read questions, answer them, until the parent closes the pipe."""
    questions, answers = _private_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end is ours
    try:
        function = _imported(target)
    except Exception:
        _send(answers, _frame(("error", traceback.format_exc())))
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    _send(answers, _frame(("result", None)))
    while head := questions.read(_LENGTH.size):
        # The default actions of both timers' signals end the process even inside C code, which no handler could.
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        signal.setitimer(signal.ITIMER_REAL, wall_s + 1)
        frame = _frame(_outcome(function, questions.read(_LENGTH.unpack(head)[0])))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(answers, frame)


if __name__ == "__main__":
    _serve(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
