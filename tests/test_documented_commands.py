"""Every `briefwire` command that the documents show, run for real, in their order, against one installation that is up.

Addresses of examples stand for servers of this machine: a site that publishes, a partner that takes what comes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from services.console.demo.receiver import Receiver
from services.console.demo.site import DemoSite
from services.publish import sign
from tests.console.command import PROGRAM, environment
from tests.test_docs import BRIEFWIRE, commands
from tests.wire.harness import Wire, host_of

SHOWN = [(where, words[1:]) for where, words in commands() if words[0] in BRIEFWIRE]
RUNNING = ("up", "feeder", "worker", "web")  # run until they are told to end
ONLY_ONCE = {"source add": "followed already", "up": "already"}  # what a repetition in another document is told


class World(NamedTuple):
    """The installation, the site and the partner."""

    wire: Wire
    site: DemoSite
    partner: Receiver
    secret: str
    folder: Path

    def words(self, shown: list[str]) -> list[str]:
        """The command with addresses and secrets that are there."""
        return [self._word(word) for word in shown]

    def _word(self, word: str) -> str:
        stands_for = {
            "https://news.example/feed.xml": self.site.feed_url, "https://news.example/": f"{self.site.url}/",
            "https://news.example/some-article": self._article(), "whsec_…": self.secret,
            "http://127.0.0.1:8000/": f"{self.partner.url}/", "127.0.0.1:8000": host_of(self.partner.url),
        }  # fmt: skip
        return stands_for.get(word) or word.replace("https://desk.example", self.partner.url)

    def _article(self) -> str:
        with self.wire.store.read() as connection:
            return str(connection.exec_driver_sql("SELECT url FROM article ORDER BY id").scalar() or "")

    def environment(self) -> dict[str, str]:
        return environment(BRIEFWIRE_DATA=str(self.wire.folder), BRIEFWIRE_WEB_PORT="0")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, secret = tmp_path_factory.mktemp("documented"), sign.new_secret(os.urandom(32))
    site, partner = DemoSite(initial=3), Receiver(secret)
    site.start()
    partner.start()
    wire = Wire(folder / "data", [host_of(site.url), host_of(partner.url)])
    wire.up()
    wire.add_source(site.feed_url, "first", profile="demo")
    wire.wait(wire.idle, 60, "an article to ask about")
    yield World(wire, site, partner, secret, folder)
    wire.close()
    site.stop()
    partner.stop()


def test_there_are_commands_to_run() -> None:
    assert len(SHOWN) > 15


@pytest.mark.slow
@pytest.mark.parametrize(("where", "shown"), SHOWN, ids=[f"{where} {' '.join(words)[:50]}" for where, words in SHOWN])
def test_a_documented_command_does_what_it_says(world: World, where: str, shown: list[str]) -> None:
    words = world.words(shown)
    if words[0] in RUNNING:
        code, said = until_told(world, words)
    else:
        done = subprocess.run([*PROGRAM, *words], env=world.environment(), cwd=world.folder, capture_output=True, text=True,
                              timeout=90, stdin=subprocess.DEVNULL, check=False)  # fmt: skip
        code, said = done.returncode, done.stdout + done.stderr
    assert "Traceback" not in said
    known = next((told for start, told in ONLY_ONCE.items() if " ".join(words).startswith(start)), None)
    assert code == 0 or (code == 4 and known is not None and known in said), said


def until_told(world: World, words: list[str]) -> tuple[int, str]:
    """Starts it, lets it work for some seconds, then ends it as a service manager would; what it came to."""
    process = subprocess.Popen([*PROGRAM, *words], env=world.environment(), cwd=world.folder, text=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
    until = time.monotonic() + 6
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    return (0 if process.returncode in (0, -signal.SIGTERM) else process.returncode), said
