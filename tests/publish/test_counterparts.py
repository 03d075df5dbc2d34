"""Programs that others wrote, taking what we send. Each is skipped, with the reason, where it cannot be had.

PyPI packages are looked for in this environment. npm packages are installed once, by exact version and without scripts of
theirs, into a folder of the system's temporary folder; where npm reaches nothing, the folder that NODE_PATH names will do.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import os
import subprocess
import tempfile
import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from services.publish.render import render, render_feed
from services.publish.sign import new_secret, sign
from services.publish.storage import put
from shared.errors import Rejected
from tests.publish.records import event
from tests.publish.test_render_feeds import INFO, fifty

NPM = {
    "rss-parser": "3.13.0", "feedsmith": "3.0.1", "@rowanmanning/feed-parser": "2.1.5", "feedparser": "2.6.0",
    "standardwebhooks": "1.1.1",
}  # fmt: skip

COUNT = """
import { readFileSync } from "node:fs"
const text = readFileSync(0, "utf8")
const count = async () => { %s }
console.log(await count())
"""

NPM_READERS = {
    "rss-parser": """
        const { default: Parser } = await import("rss-parser")
        const feed = await new Parser().parseString(text)
        return feed.items.filter((item) => item.title && item.link && (item.pubDate || item.isoDate)).length
    """,
    "feedsmith": """
        const { parseFeed } = await import("feedsmith")
        const { feed } = parseFeed(text)
        return (feed.items ?? feed.entries).filter((item) => item.title && (item.guid ?? item.id)).length
    """,
    "feedparser": """
        const { default: FeedParser } = await import("feedparser")
        const { Readable } = await import("node:stream")
        let taken = 0
        for await (const item of Readable.from([text]).pipe(new FeedParser()))
            if (item.title && item.link && item.guid && item.pubdate) taken += 1
        return taken
    """,
    "@rowanmanning/feed-parser": """
        const { parseFeed } = await import("@rowanmanning/feed-parser")
        return parseFeed(text).items.filter((item) => item.title && item.url && item.id && item.published).length
    """,
}


@functools.cache
def modules() -> tuple[Path | None, str]:
    """The folder `node_modules` with what NPM names, or None and why there is none."""
    if which("node") is None or which("npm") is None:
        return None, "node and npm are not installed"
    if os.environ.get("NODE_PATH"):
        return Path(os.environ["NODE_PATH"]), ""
    wanted = [f"{name}@{version}" for name, version in NPM.items()]
    home = Path(tempfile.gettempdir()) / f"briefwire-npm-{hashlib.sha256(' '.join(wanted).encode()).hexdigest()[:12]}"
    if not home.exists():
        with tempfile.TemporaryDirectory(dir=home.parent) as made:
            options = ["--prefix", made, "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
            try:
                subprocess.run(["npm", "install", *options, *wanted], capture_output=True, timeout=90, check=True)
            except (subprocess.SubprocessError, OSError) as error:
                return None, f"npm could not install the counterparts: {error}"
            with contextlib.suppress(OSError):  # another run was first
                os.rename(made, home)
                os.mkdir(made)
    return home / "node_modules", ""


def node(package: str, script: str, given: bytes, *arguments: str) -> str:
    found, why = modules()
    if found is None or not (found / package).exists():
        pytest.skip(why or f"{package} is not installed under NODE_PATH")
    ran = subprocess.run(
        ["node", "--input-type=module", "--eval", script, *arguments],
        input=given,
        capture_output=True,
        cwd=found.parent,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode().strip()


def module(name: str) -> Any:
    if find_spec(name.partition(".")[0]) is None:
        pytest.skip(f"{name} is not installed")
    return import_module(name)


def shown(name: str) -> bytes:
    return render_feed(name, INFO, fifty()).body


@pytest.mark.parametrize("reader", sorted(NPM_READERS))
@pytest.mark.parametrize("name", ["rss", "atom"])
def test_npm_readers_take_fifty_of_fifty(reader: str, name: str) -> None:
    assert node(reader, COUNT % NPM_READERS[reader], shown(name)) == "50"


def test_feedsmith_takes_json_feed() -> None:
    assert node("feedsmith", COUNT % NPM_READERS["feedsmith"], shown("jsonfeed")) == "50"


@pytest.mark.parametrize("name", ["rss", "atom", "jsonfeed"])
def test_fastfeedparser_takes_fifty_of_fifty(name: str) -> None:
    entries = module("fastfeedparser").parse(shown(name).decode()).entries
    assert len([entry for entry in entries if entry.title and entry.link and entry.published]) == 50


@pytest.mark.parametrize("format_name", ["brief", "newsml", "text"])
def test_npm_standardwebhooks_verifies_what_we_sign(format_name: str) -> None:
    secret, now = new_secret(b"n" * 32), dt.datetime.now(dt.UTC)
    body = render(format_name, event()).body
    headers = sign([new_secret(b"o" * 24), secret], "msg_1", now, body)
    script = """
        import { readFileSync } from "node:fs"
        import { Webhook } from "standardwebhooks"
        const [secret, id, at, signature, keep] = process.argv.slice(1)
        const headers = { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signature }
        const body = readFileSync(0, "utf8") + keep
        try { new Webhook(secret).verify(body, headers); console.log("genuine") }
        catch (error) { console.log(error instanceof SyntaxError ? "genuine" : "forged") }
    """
    given = [secret, headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"]]
    assert node("standardwebhooks", script, body, *given, "") == "genuine"
    assert node("standardwebhooks", script, body, *given, " ") == "forged"


@pytest.mark.filterwarnings("ignore:The asyn(core|chat) module:DeprecationWarning")  # the test server's own
def test_an_ftp_server_gets_whole_files_and_says_no_to_a_wrong_password(tmp_path: Path) -> None:
    authorizers, handlers = module("pyftpdlib.authorizers"), module("pyftpdlib.handlers")
    users = authorizers.DummyAuthorizer()
    users.add_user("desk", "secret", str(tmp_path), perm="elradfmwMT")
    handler = type("Handler", (handlers.FTPHandler,), {"authorizer": users})
    server = module("pyftpdlib.servers").ThreadedFTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    target = f"ftp://desk:secret@127.0.0.1:{server.address[1]}/wire"
    try:
        assert [put(target, "h/a.json", body).written for body in (b"one", b"one", b"other")] == [True, False, True]
        with pytest.raises(Rejected, match="no-permission"):
            put(target.replace("secret", "wrong"), "h/a.json", b"forged")
    finally:
        server.close_all()
        thread.join(10)
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"other"]
