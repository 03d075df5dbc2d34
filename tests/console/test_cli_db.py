"""`briefwire db`: a backup that opens again, a move to PostgreSQL that sends nothing twice, logs that forget."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from shared import clock, settings, vault
from shared.store import engine, workers
from tests.console.command import Said, within
from tests.servers import Postgres
from tests.shared.test_whole_store import filled

Run = Callable[..., Said]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return within(data, monkeypatch, capsys)


@pytest.fixture
def wire(run: Run, data: Path) -> Run:
    """An installation with an article, two deliveries and a secret."""
    assert run("db", "upgrade").code == 0
    store = engine.Store(settings.load({}, data=data).store_url)
    filled(store, clock.now() - dt.timedelta(days=10))
    store.close()
    vault.seal(data, ["secret"])
    return run


def test_a_backup_opens_again_with_its_key_and_tells_cursors(
    wire: Run, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wire("db", "backup", tmp_path / "wire.bwz").code == 0
    again = wire("db", "backup", tmp_path / "wire.bwz")
    assert (again.code, "Name a new file" in again.err) == (4, True)
    before = wire("db", "status", "--json").json
    assert wire("db", "restore", tmp_path / "wire.bwz").code == 4  # not empty
    other = tmp_path / "other"
    restored = within(other, monkeypatch, capsys)
    said = restored("db", "restore", tmp_path / "wire.bwz")
    assert (said.code, said.err) == (0, "")
    assert restored("db", "status", "--json").json["rows"] == before["rows"]
    assert restored("ledger").code == 0
    assert (other / "secret.key").read_bytes() == (data / "secret.key").read_bytes()


def test_a_key_that_is_there_is_not_overwritten(
    wire: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wire("db", "backup", tmp_path / "with.bwz")
    wire("db", "backup", tmp_path / "without.bwz", "--without-key")
    (tmp_path / "other").mkdir()
    vault.seal(tmp_path / "other", ["another"])
    restored = within(tmp_path / "other", monkeypatch, capsys)
    said = restored("db", "restore", tmp_path / "with.bwz")
    assert (said.code, "not the key of this backup" in said.err) == (4, True)
    assert restored("db", "restore", tmp_path / "without.bwz").code == 0


def test_an_embedded_installation_moves_to_postgresql(
    wire: Run, data: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = wire("db", "status", "--json").json["rows"]
    url = postgres.fresh("moved").replace("+psycopg", "")
    said = wire("db", "move", url)
    assert (said.code, '[store]\nurl = "postgresql://' in said.out) == (0, True)
    again = wire("db", "move", url)
    assert (again.code, "not empty" in again.err) == (4, True)
    monkeypatch.setenv("BRIEFWIRE_STORE_URL", url)
    after = wire("db", "status", "--json").json
    assert (after["rows"], "***" not in after["store"]) == (before, True)
    assert after["partitions"]
    assert wire("ledger").code == 0


def test_a_running_wire_does_not_move(wire: Run, data: Path, postgres: Postgres) -> None:
    store = engine.Store(settings.load({}, data=data).store_url)
    with store.write() as c:
        workers.beat(c, "feeder", clock.now())
    store.close()
    said = wire("db", "move", postgres.fresh("running"))
    assert (said.code, "Stop it first" in said.err) == (4, True)


def test_old_logs_are_forgotten_when_asked(wire: Run, data: Path) -> None:
    assert wire("db", "prune").code == 2
    forecast = wire("db", "prune", "--attempts-days", "5", "--pages-days", "5", "--dry-run", "--json").json
    assert forecast["rows"] == {"attempts": 2, "events": 0, "pages": 1}
    done = wire("db", "prune", "--attempts-days", "5", "--pages-days", "5", "--json").json
    assert done["rows"] == forecast["rows"]
    (data / "briefwire.toml").write_text("[keep]\nevents_days = 5.0\n")
    assert "Forgot 0 attempts, 2 events, 0 pages." in wire("db", "prune").out
    assert wire("ledger").code == 0
