"""Bad input and bad circumstances, each as a real process: one clear sentence with the next step, the right exit code, no
traceback, nothing lost."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.console.demo.content import briefs
from services.console.demo.receiver import Receiver
from services.console.demo.site import DemoSite
from services.publish import sign
from shared import clock, migrations, settings, urls
from shared.store import intake
from shared.store.engine import Store
from tests.console.command import Said, process

SECRET, OTHER = (sign.new_secret(bytes([n]) * 32) for n in (1, 2))


@pytest.fixture(scope="module")
def site() -> Iterator[DemoSite]:
    running = DemoSite(initial=5)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def installed(data: Path) -> Path:
    """A data folder that holds a source."""
    data.mkdir()
    with contextlib.closing(Store(settings.load({}, data=data).store_url)) as store:
        migrations.upgrade(store)
        with store.write() as connection:
            intake.add_source(
                connection, name="news", url="https://news.example/rss.xml", kind="feed", profile=None, now=clock.now()
            )
    return data


def sources(data: Path) -> list[str]:
    """The names of the sources that the store holds, read without our code."""
    with contextlib.closing(sqlite3.connect(data / "briefwire.sqlite3")) as store:
        return [name for (name,) in store.execute("SELECT name FROM source")]


def refused(said: Said, code: int, *words: str) -> None:
    """One error, with these words in it, under this code, and nothing of Python's."""
    assert said.code == code, said
    assert "Traceback" not in said.out + said.err
    errors = [line for line in said.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, said.err
    for word in words:
        assert word in said.err, said.err
    assert said.err.rstrip().endswith((".", "^")), said.err


def allowed(site: DemoSite) -> tuple[str, str]:
    return "--allow-host", urls.host_key(site.url)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_bad_url(data: Path) -> None:
    refused(process("source", "add", "news.example/rss", data=data), 2, "not an absolute URL", "whole address")
    assert not data.exists()


def test_an_unreachable_feed(data: Path) -> None:
    place = f"127.0.0.1:{free_port()}"
    said = process("source", "add", f"http://{place}/rss.xml", "--allow-host", place, data=data)
    refused(said, 3, f"http://{place}/rss.xml cannot be fetched", "try again")
    assert not data.exists()


def test_a_private_address_that_nobody_allowed(data: Path, site: DemoSite) -> None:
    refused(process("source", "add", site.feed_url, data=data), 2, "cannot be fetched", "allow_hosts")


@pytest.mark.parametrize("path", ["/privacy", "/rss.xml"])
def test_a_page_that_is_no_article(data: Path, site: DemoSite, path: str) -> None:
    said = process("source", "test", f"{site.url}{path}", "--json", *allowed(site), data=data)
    refused(said, 1, "is no article")
    assert said.json["verdict"]["kind"] == "not-an-article"
    assert said.json["verdict"]["reason"]


def test_a_feed_that_is_html(data: Path, site: DemoSite) -> None:
    said = process("source", "add", f"{site.url}/economy", "--kind", "feed", *allowed(site), data=data)
    refused(said, 1, "is no feed", "HTML page", site.feed_url)
    assert not data.exists()


def test_a_secret_that_is_none(data: Path) -> None:
    said = process("partner", "add", "https://desk.example/in", "--no-check", "--secret", "whsec_?", data=data)
    refused(said, 2, "secret is not usable", "whsec_")
    assert not data.exists()


def test_a_secret_that_is_not_the_partners(data: Path) -> None:
    with stopping(Receiver(OTHER)) as partner:
        data.mkdir()
        (data / "briefwire.toml").write_text(f'[fetch]\nallow_hosts = ["{urls.host_key(partner.url)}"]\n')
        assert process("partner", "add", partner.url, "--name", "desk", "--secret", SECRET, data=data).code == 0
        refused(process("partner", "test", "desk", data=data), 1, "answered 401", "Compare the secret")
        assert [receipt.accepted for receipt in partner.received] == [False]


@contextlib.contextmanager
def stopping(partner: Receiver) -> Iterator[Receiver]:
    partner.start()
    try:
        yield partner
    finally:
        partner.stop()


@pytest.mark.parametrize("command", [("up",), ("doctor",)])
def test_an_unknown_key_in_the_settings(installed: Path, command: tuple[str, ...]) -> None:
    (installed / "briefwire.toml").write_text("[fetch]\ngap_sec = 1.0\n")
    refused(process(*command, data=installed), 2, "gap_sec", "docs/operating.md")


def test_settings_that_are_no_toml(installed: Path) -> None:
    (installed / "briefwire.toml").write_text("[fetch\n")
    refused(process("ledger", data=installed), 2, "briefwire.toml")


@pytest.mark.parametrize("command", [("up",), ("ledger",)])
def test_a_data_folder_from_a_newer_version(installed: Path, command: tuple[str, ...]) -> None:
    with contextlib.closing(sqlite3.connect(installed / "briefwire.sqlite3")) as store, store:
        store.execute("UPDATE alembic_version SET version_num = '9999'")
    (installed / "briefwire.toml").write_text(f"[web]\nport = {free_port()}\n")
    refused(process(*command, data=installed), 4, "newer version")
    assert sources(installed) == ["news"]


def test_a_second_up_on_the_same_folder(installed: Path) -> None:
    with (installed / "up.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused(process("up", data=installed), 4, "already runs", "--data")


def test_a_busy_port(installed: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(process("up", data=installed, BRIEFWIRE_WEB_PORT=str(port)), 4, f"Port {port}", "BRIEFWIRE_WEB_PORT")
    assert sources(installed) == ["news"]


def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        data = disk / "data"
        assert (
            process("source", "push", "-", "--source", "desk", data=data, stdin="A headline\n\nA first text.\n").code
            == 0
        )
        fill(disk)
        text = "Another headline\n\n" + "".join(f"{n * n} is the square of {n}. " for n in range(20_000))
        refused(
            process("source", "push", "-", "--source", "desk", data=data, stdin=text),
            4,
            "full",
            "nothing that was stored is lost",
        )
        refused(process("up", data=data, BRIEFWIRE_WEB_PORT=str(free_port())), 4, "full")
        (disk / "filler").unlink()
        book = process("ledger", "--json", data=data).json
    assert book["balanced"]
    assert [line["seen"] for line in book["intake"]] == [1]


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 4 MB; skips where this user may not mount one."""
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small file system takes root")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"\0" * 4096)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(process("up", data=tmp_path / "file" / "data"), 4, "cannot be", "--data")


def test_no_installation_yet(data: Path) -> None:
    refused(process("ledger", data=data), 4, "no Briefwire data", "briefwire up")
    assert not data.exists()


def test_a_filter_with_a_mistake_is_told_its_place(data: Path) -> None:
    said = process(
        "partner", "add", "https://desk.example/in", "--no-check", "--filter", 'section = "x" und', data=data
    )
    refused(said, 2, "The filter does not parse", "at column 15")
    assert said.err.splitlines()[-1].index("^") == said.err.splitlines()[-2].index("und")


def test_a_partner_on_a_private_address(data: Path) -> None:
    refused(process("partner", "add", "https://127.0.0.1/in", data=data), 2, "127.0.0.0/8 (loopback)", "allow_hosts")


def test_wrong_use_is_told_with_the_usage(data: Path) -> None:
    said = process("source", "add", data=data)
    assert (said.code, said.out) == (2, "")
    assert "Usage: briefwire source add" in said.err
    assert "Missing argument 'URL'" in said.err


def test_a_terminal_without_our_letters(data: Path, site: DemoSite) -> None:
    foreign = next(brief for brief in briefs() if brief.language == "be")
    url = site.url + foreign.path
    site.publish(foreign)
    said = process("source", "test", url, *allowed(site), data=data, PYTHONIOENCODING="ascii")
    assert (said.code, said.err) == (0, "")
    assert foreign.headline.encode("ascii", "backslashreplace").decode() in said.out
