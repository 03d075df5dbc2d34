"""The crew: a hanging key holds one thread; commits of many threads go together, each piece whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import select, text

from services.ingest import crew
from shared import queue
from shared.models import MetaRow
from shared.queue import Work
from shared.store import engine
from shared.store.engine import Store
from shared.store.rows import insert_ignore


def nothing(key: str) -> None:
    """Nobody rings again."""


def test_one_that_hangs_holds_nobody_up() -> None:
    hangs, done = threading.Event(), threading.Semaphore(0)
    made = crew.Crew(4)

    def work(key: str) -> bool:
        if key == "hangs":
            hangs.wait(20)
        done.release()
        return False

    assert made.take("hangs", work, nothing)
    for n in range(50):
        assert made.take(f"quick {n}", work, nothing)
    for _ in range(50):
        assert done.acquire(timeout=20)
    assert not made.take("hangs", work, nothing)  # it is in work already
    hangs.set()
    assert done.acquire(timeout=20)
    assert made.end(20)


def test_never_more_than_allowed_at_a_time() -> None:
    most, busy, lock, made = 0, 0, threading.Lock(), crew.Crew(3)

    def work(key: str) -> bool:
        nonlocal most, busy
        with lock:
            busy += 1
            most = max(most, busy)
        gate.wait(0.02)
        with lock:
            busy -= 1
        return False

    gate = threading.Event()
    for n in range(30):
        made.take(str(n), work, nothing)
    assert made.end(20)
    assert most == 3


def test_what_is_left_is_rung_again_and_a_bug_only_ends_its_own_work() -> None:
    again: list[str] = []
    made = crew.Crew(2)

    def work(key: str) -> bool:
        if key == "broken":
            raise RuntimeError("a bug")
        return True

    for key in ("broken", "more"):
        made.take(key, work, again.append)
    assert made.end(20)
    until = threading.Event()
    while not again and not until.wait(0.01):
        pass
    assert again == ["more"]


def test_once_ended_it_takes_nothing() -> None:
    made = crew.Crew(1)
    assert made.end(1)
    assert not made.take("late", lambda key: False, nothing)


def test_the_end_waits_no_longer_than_it_is_told() -> None:
    hangs, made = threading.Event(), crew.Crew(1)
    made.take("hangs", lambda key: hangs.wait(20), nothing)
    assert not made.end(0.05)
    hangs.set()


@pytest.fixture
def current(store: Store) -> Iterator[Store]:
    """The store under test as this process's own."""
    before, engine._current = engine._current, store
    yield store
    engine._current = before


def put(work: Work, key: str) -> str:
    insert_ignore(work.connection, MetaRow, [{"key": key, "value": "1"}], conflict=["key"])
    return key


def keys(store: Store) -> set[str]:
    with store.read() as connection:
        return {key for key in connection.execute(select(MetaRow.key)).scalars() if key.startswith("piece")}


def together(pieces: dict[str, object]) -> dict[str, object]:
    """Commits all pieces from a thread each, at one time; their values, or what they raised."""
    made = crew.Together()
    came: dict[str, object] = {}
    gate = threading.Barrier(len(pieces))

    def run(key: str) -> None:
        gate.wait(20)
        try:
            came[key] = made.commit(lambda work: _piece(work, key, pieces[key]))
        except Exception as error:  # what a piece raised, as its thread got it
            came[key] = error

    threads = [threading.Thread(target=run, args=(key,)) for key in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return came


def _piece(work: Work, key: str, fault: object) -> str:
    done = put(work, key)
    if isinstance(fault, Exception):
        raise fault
    if fault == "sql":
        work.connection.execute(text("INSERT INTO no_such_table VALUES (1)"))
    return done


def test_every_piece_is_committed_and_gets_its_own_value(current: Store) -> None:
    pieces = {f"piece {n}": None for n in range(100)}
    assert together(dict(pieces)) == {key: key for key in pieces}
    assert keys(current) == set(pieces)


@pytest.mark.parametrize("fault", [ValueError("no"), "sql"], ids=["bug", "sql"])
def test_a_piece_that_fails_fails_alone(current: Store, fault: object) -> None:
    pieces: dict[str, object] = {f"piece {n}": fault if n % 7 == 3 else None for n in range(30)}
    came = together(pieces)
    for key, wrong in pieces.items():
        assert isinstance(came[key], Exception) if wrong else came[key] == key
    assert keys(current) == {key for key, wrong in pieces.items() if not wrong}


def test_many_pieces_need_few_transactions(current: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, plain = [], queue.begin

    def counted():  # type: ignore[no-untyped-def]  # the same generator
        begun.append(1)
        return plain()

    monkeypatch.setattr(crew, "begin", counted)
    with current.write():  # while somebody else writes, pieces gather
        threads = []
        made = crew.Together()
        for n in range(40):
            thread = threading.Thread(target=made.commit, args=(lambda work, n=n: put(work, f"piece {n}"),))
            thread.start()
            threads.append(thread)
        if current.is_sqlite:
            while len(made._waiting) < 39:
                threading.Event().wait(0.01)
    for thread in threads:
        thread.join(30)
    assert len(keys(current)) == 40
    if current.is_sqlite:
        assert len(begun) <= 3
