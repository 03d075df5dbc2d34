"""The receivers printed in docs/partners.md, run as they stand, taking what we send over a socket."""

from __future__ import annotations

import datetime as dt
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import IO

import pytest

from services.publish import portal
from services.publish.certify import CHECKS
from services.publish.deliver import Target, send
from services.publish.filters import FIELDS, Facts, matches
from services.publish.policy import BreakerRules
from services.publish.render import FORMATS, render
from services.publish.sign import new_secret
from shared.api import ApiRoute, Site
from shared.http import Door, Policy
from shared.settings import Settings
from shared.store.engine import Store
from tests.publish.records import event

PARTNERS = (Path(__file__).parents[2] / "docs" / "partners.md").read_text(encoding="utf-8")
WIRE = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
OURS, FOREIGN = new_secret(b"o" * 24), new_secret(b"f" * 24)


def printed(language: str) -> str:
    return PARTNERS.split(f"```{language}\n", 1)[1].split("\n```", 1)[0] + "\n"


RECEIVERS = [
    pytest.param("python", [sys.executable], "receiver.py", id="python"),
    pytest.param(
        "js",
        ["node"],
        "receiver.mjs",
        id="javascript",
        marks=pytest.mark.skipif(which("node") is None, reason="node is not installed"),
    ),
]


@contextmanager
def running(command: list[str], port: int) -> Iterator[queue.Queue[str]]:
    """The receiver's lines of output while it runs."""
    lines: queue.Queue[str] = queue.Queue()
    environment = {**os.environ, "BRIEFWIRE_SECRET": OURS, "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(
        [*command, str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout is not None
    reader = threading.Thread(target=collect, args=(process.stdout, lines))
    reader.start()
    try:
        wait_for(port, process)
        yield lines
    finally:
        process.kill()
        process.wait(10)
        reader.join(10)
        process.stdout.close()


def collect(out: IO[str], lines: queue.Queue[str]) -> None:
    for line in out:
        lines.put(line.strip())


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    for _ in range(400):
        assert process.poll() is None, "the receiver ended by itself"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the receiver did not listen")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize(("language", "command", "name"), RECEIVERS)
def test_a_printed_receiver_takes_refuses_and_sees_doubles(
    language: str, command: list[str], name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(printed(language), encoding="utf-8")
    port, now = free_port(), dt.datetime.now(dt.UTC)
    door = Door(Policy(allow_hosts=frozenset({"127.0.0.1"})))
    body = render("brief", event(headline="Паром подорожал — “на 10 %”"))

    def status(secrets: tuple[str, ...], webhook_id: str, at: dt.datetime) -> int | None:
        return send(door, Target(f"http://127.0.0.1:{port}/", secrets), body, webhook_id, at).status

    with running([*command, str(tmp_path / name)], port) as lines:
        assert status((OURS,), "msg_1", now) == 204
        assert status((OURS,), "msg_1", now) == 204
        assert status((FOREIGN,), "msg_2", now) == 401
        assert status((OURS,), "msg_3", now - dt.timedelta(minutes=6)) == 401
        assert status((FOREIGN, OURS), "msg_4", now) == 204
        seen = [lines.get(timeout=20) for _ in range(2)]
        assert lines.empty()
    door.close()
    assert seen == ["article.published art_7c1 3 Паром подорожал — “на 10 %”"] * 2


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_receiver_is_short(language: str) -> None:
    assert len([line for line in printed(language).splitlines() if line.strip()]) <= 20


def test_the_filters_shown_parse_and_every_field_is_explained() -> None:
    section = PARTNERS.split("## Filters", 1)[1].split("\n## ", 1)[0]
    shown = section.split("```\n", 1)[1].split("```", 1)[0].strip().splitlines()
    economy = Facts(
        section="Economy", language="ru", words=100, headline="Economists agree", status="worsened", age_s=9.0
    )
    assert [matches(line, economy) for line in shown] == [True, True, True]
    assert [matches(line, Facts(words=5)) for line in shown] == [False, False, False]
    assert [name for name in FIELDS if f"`{name}`" not in section] == []


def test_every_format_is_in_the_table_with_its_content_type() -> None:
    table = WIRE.split("## The other formats", 1)[1].split("Field by field", 1)[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    shown = {row.split("`")[1]: row.split("`")[3] for row in rows}
    sent = {name: one.content_type.split(";charset")[0].split("; charset")[0] for name, one in FORMATS.items()}
    assert {"brief": "application/json", **shown} == sent


def test_the_breaker_is_described_as_it_is() -> None:
    rules = BreakerRules()
    assert (rules.least, rules.rate, rules.window_s, rules.rest_s, rules.probes) == (10, 0.7, 300.0, 30.0, 2)


def test_the_checks_of_certify_are_counted_and_the_portals_operations_named() -> None:
    assert f"sends your receiver {len(CHECKS)} checks' worth of events" in PARTNERS
    named = set(re.findall(r"`(?:GET|POST) (/endpoint[^`]*)`", PARTNERS))
    there = {route.path for route in portal.routes(Site(Settings(), Store("sqlite://"))) if isinstance(route, ApiRoute)}
    assert named == there
