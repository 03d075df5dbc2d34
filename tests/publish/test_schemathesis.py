"""schemathesis reads /openapi.json and asks every operation, in and out of its schema; it must find nothing.

BRIEFWIRE_EXAMPLES sets how many examples an operation gets (2 unless given; 100 takes minutes).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import update

from services.ingest import web as ingest
from services.publish import web as publish
from services.publish.sign import new_secret
from shared import migrations, queue, vault
from shared.api import Site
from shared.http import Door, Policy
from shared.models import KeyRow
from shared.store import engine, keys
from tests.publish.stocked import Stock
from tests.serving import Rung, serving, settings
from tests.websubbing import Loopback

# What a filter is, no schema says: a text that is none is answered 400.
CONFIG = """
[[operations]]
include-path = "/endpoint/filters/{subscription}"
checks.positive_data_acceptance.enabled = false
"""

pytestmark = pytest.mark.skipif(find_spec("schemathesis") is None, reason="schemathesis is not installed")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The whole HTTP face over a store with something in it; the key that is used has a number that nobody guesses."""
    monkeypatch.setenv("BRIEFWIRE_SECRET_KEY", Fernet.generate_key().decode())
    here = settings(tmp_path)
    store = engine.Store(here.store_url)
    migrations.upgrade(store)
    door, partner = Door(Policy(allow_hosts=frozenset({"127.0.0.1"}))), Loopback(lambda seen: (204, {}, b""))
    monkeypatch.setattr(queue, "door", lambda: door)
    stock = Stock(store)
    secrets = vault.seal(tmp_path, [new_secret(b"p" * 24)])
    stock.endpoint("webhook", url=f"{partner.url}/in", secrets=secrets)
    stock.publish(*range(1, 12))
    with store.write() as c:
        c.execute(update(KeyRow).values(id=987_654_321_012))
        keys.add(c, "push", 1, "push-key", stock.now)
    site = Site(here, store, ring=Rung())
    with serving([*ingest.routes(site), *publish.routes(site)]) as client:
        yield client.url
    partner.close()
    door.close()
    store.close()


@pytest.mark.parametrize("key", ["pull-key", "push-key"])
def test_schemathesis_finds_nothing(url: str, key: str, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run", f"{url}/openapi.json",
               "--header", f"Authorization: Bearer {key}", "--phases", "coverage,fuzzing", "--generation-database", "none",
               "--max-examples", os.environ.get("BRIEFWIRE_EXAMPLES", "2"), "--seed", "1"]  # fmt: skip
    command += ["--include-path-regex", "^/(endpoint|events|feeds|hub)" if key == "pull-key" else "^/(push|websub)"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
