"""The sandbox: values come back as they are, and no input gets further than its child."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from shared.errors import Rejected, Retryable
from shared.records import Draft, Paragraph
from shared.sandbox import Sandbox

HERE = "tests.shared.sandboxed"


@contextmanager
def sandbox(function: str, **limits: Any) -> Iterator[Sandbox]:
    box = Sandbox(f"{HERE}:{function}", **limits)
    try:
        yield box
    finally:
        box.close()


def test_records_come_back_as_they_are() -> None:
    with sandbox("draft") as box:
        assert box.call("  текст\u00a0", headline="Ж") == Draft(headline="Ж", blocks=(Paragraph("  текст\u00a0"),))


def test_the_child_lives_on_between_calls() -> None:
    with sandbox("count") as box:
        assert [box.call() for _ in range(5)] == [1, 2, 3, 4, 5]


def test_large_values_pass_both_ways() -> None:
    with sandbox("doubled") as box:
        data = os.urandom(1 << 20) * 20
        assert box.call(data) == data + data


def test_the_fates_are_kept() -> None:
    with sandbox("fails") as box:
        with pytest.raises(Rejected, match="not-a-feed: It is a picture") as rejected:
            box.call("rejected")
        with pytest.raises(Retryable, match="later") as retryable:
            box.call("retryable")
        with pytest.raises(RuntimeError, match="ZeroDivisionError: a bug"):
            box.call("bug")
    assert (rejected.value.reason, rejected.value.detail) == ("not-a-feed", "It is a picture.")
    assert retryable.value.after_s == 7.5


@pytest.mark.parametrize(
    ("function", "args", "limits", "reason"),
    [
        ("spins", (60,), {"cpu_s": 0.3}, "cpu-limit"),
        ("spins_in_c", (), {"cpu_s": 0.3}, "cpu-limit"),
        ("sleeps", (60,), {"wall_s": 0.3}, "wall-limit"),
        ("takes", (2048,), {"memory_mb": 512}, "memory-limit"),
        ("takes_little_by_little", (), {"memory_mb": 256}, "memory-limit"),
        ("recurses", (), {}, "crashed"),
        ("dies", ("exit",), {}, "crashed"),
        ("dies", ("segfault",), {}, "crashed"),
        ("dies", ("kill",), {}, "crashed"),
    ],
)
def test_a_call_that_goes_too_far_is_rejected(function: str, args: tuple[Any, ...], limits: Any, reason: str) -> None:
    with sandbox(function, **limits) as box:
        for _ in range(2):  # the second call has a child of its own
            with pytest.raises(Rejected) as rejected:
                box.call(*args)
            assert rejected.value.reason == reason
            assert rejected.value.detail


def test_a_new_child_takes_over() -> None:
    with sandbox("spins", cpu_s=0.5) as box:
        with pytest.raises(Rejected, match="cpu-limit"):
            box.call(60)
        assert box.call(0.01) == "done"


def test_the_limit_is_on_each_call_not_on_their_sum() -> None:
    with sandbox("spins", cpu_s=0.4) as box:
        assert [box.call(0.15) for _ in range(6)] == ["done"] * 6


def test_a_child_killed_while_idle_is_replaced() -> None:
    with sandbox("pid") as box:
        first = box.call()
        os.kill(first, signal.SIGKILL)
        _wait_for_end(first)
        assert box.call() != first


def test_printing_and_reading_do_not_disturb() -> None:
    with sandbox("chatters") as box:
        assert [box.call("a"), box.call("b")] == ["a", "b"]


def test_nothing_the_child_says_is_run() -> None:
    with sandbox("exploits") as box, pytest.raises(pickle.UnpicklingError, match="system is no value"):
        box.call()


@pytest.mark.parametrize(
    "name", ["subprocess.Popen", "subprocess", "Sandbox.close", "os.system", "_spawn", "pickle.loads"]
)
def test_no_name_of_ours_is_a_way_to_run_something(name: str) -> None:
    """A forged answer: the result of calling shared.sandbox.<name> on a command."""
    call = pickle.PROTO + b"\x04" + _short(b"shared.sandbox") + _short(name.encode()) + pickle.STACK_GLOBAL
    call += _short(b"true") + pickle.TUPLE1 + pickle.REDUCE
    answer = call[:2] + _short(b"result") + call[2:] + pickle.TUPLE2 + pickle.STOP
    with sandbox("forges") as box, pytest.raises((pickle.UnpicklingError, AttributeError)):
        box.call(len(answer).to_bytes(8, "big") + answer)


def test_a_forged_answer_cannot_be_endless() -> None:
    with sandbox("forges", memory_mb=512) as box, pytest.raises(Rejected, match="more than it can hold"):
        box.call((1 << 40).to_bytes(8, "big") + b"x")


def _short(text: bytes) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(text)]) + text


@pytest.mark.parametrize("target", [f"{HERE}:missing", "tests.shared.nowhere:x"])
def test_a_target_that_is_not_there_is_a_bug(target: str) -> None:
    box = Sandbox(target)
    with pytest.raises(RuntimeError, match=r"AttributeError|ModuleNotFoundError"):
        box.call()


def test_threads_take_turns() -> None:
    seen: list[int] = []
    with sandbox("count") as box:
        threads = [threading.Thread(target=lambda: seen.append(box.call())) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen) == list(range(1, 21))


def _ask(box: Sandbox, answers: Any) -> None:
    answers.put(box.call())


def _ask_a_new_one(answers: Any) -> None:
    _ask(Sandbox(f"{HERE}:pid"), answers)


def test_it_works_in_daemonic_workers() -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    worker = context.Process(target=_ask_a_new_one, args=(answers,), daemon=True)
    worker.start()
    child = answers.get()
    worker.join()
    answers.close()
    assert child != worker.pid
    _wait_for_end(child)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # a fork beside threads is what is tested
def test_a_fork_gets_a_child_of_its_own() -> None:
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with sandbox("pid") as box:
        ours = box.call()
        worker = context.Process(target=_ask, args=(box, answers), daemon=True)
        worker.start()
        assert answers.get() != ours
        worker.join()
        assert box.call() == ours
    answers.close()


def test_the_child_ends_with_its_parent() -> None:
    program = (
        "import os, signal, sys; from shared.sandbox import Sandbox\n"
        f"print(Sandbox('{HERE}:pid').call(), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.returncode == -signal.SIGKILL
    _wait_for_end(int(ran.stdout))


def test_the_child_ends_when_its_sandbox_is_forgotten() -> None:
    box = Sandbox(f"{HERE}:pid")
    child = box.call()
    del box
    _wait_for_end(child)


def _wait_for_end(pid: int) -> None:
    """Returns once the process is gone, or dead and not yet reaped; fails after a minute."""
    for _ in range(600):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    raise AssertionError(f"process {pid} still runs")
