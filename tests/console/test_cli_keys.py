"""`briefwire key`: what it makes opens the doors it names, and what it revokes does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from services.ingest import web as ingest
from services.publish import web as publish
from shared import settings
from shared.api import Site
from shared.store import engine
from tests.console.command import Said, within
from tests.serving import Rung, serving


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    return within(tmp_path / "data", monkeypatch, capsys)


def test_keys_open_what_they_name_until_revoked(run: Callable[..., Said], tmp_path: Path) -> None:
    push = run("key", "push", "newsroom", "--json").json
    pull = run("key", "pull", "gazette", "--json").json
    here = settings.load({}, data=tmp_path / "data")
    store = engine.Store(here.store_url)
    site = Site(here, store, ring=Rung())
    with serving([*ingest.routes(site), *publish.routes(site)]) as client:
        paths = [url.partition("8600")[2] for url in pull["feeds"].values()]
        bearer = {"Authorization": f"Bearer {pull['key']}"}

        def pushed() -> requests.Response:
            headers = {"Authorization": f"Bearer {push['key']}", "Content-Type": "text/plain"}
            return client.post(push["address"].partition("8600")[2], data=b"Fares rise\n\nIn May.", headers=headers)

        assert pushed().status_code == 202
        assert [client.get(path).status_code for path in paths] == [200] * 4
        assert client.get("/events", headers=bearer).status_code == 200
        assert "Shut out 1 key of gazette" in run("key", "revoke", "pull", "gazette").out
        assert "Shut out 1 key of newsroom" in run("key", "revoke", "push", "newsroom").out
        assert [pushed().status_code, client.get(paths[0]).status_code] == [401, 404]
        assert client.get("/events", headers=bearer).status_code == 401
    store.close()


def test_a_secret_to_sign_with_and_a_key_for_who_is_there(run: Callable[..., Said]) -> None:
    assert "whsec_" in run("key", "push", "newsroom", "--sign").out
    run("key", "pull", "gazette", "--filter", 'section = "Economy"')
    again = run("key", "pull", "gazette", "--filter", "words > 5")
    assert (again.code, "keeps its filter" in again.err) == (2, True)
    assert run("key", "pull", "gazette").code == 0
    assert [row["partner"] for row in run("partner", "list", "--json").json] == ["gazette"]
    tested = run("partner", "test", "gazette")
    assert (tested.code, "fetches by itself" in tested.err) == (2, True)
    assert run("key", "pull", "other", "--filter", "nonsense =").code == 2
    assert run("key", "revoke", "pull", "nobody").code == 2
