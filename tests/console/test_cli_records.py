"""`source test`: a page over HTTP becomes the record that the wire would store, and nothing is stored.

The look-alike is our own writing and always runs; the seed brief beside the checkout is compared field by field where it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.console.demo.content import briefs
from services.console.demo.loopback import Loopback, Reply, Request
from services.console.demo.site import DemoSite
from shared import urls
from tests.console.command import Said, within

Run = Callable[..., Said]
NAMES = ("minsk-attempts-make-image-losses-military-exercises-opening-western-values",
         "minsk-will-not-engage-conflicts-post-soviet-space")  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return within(tmp_path / "data", monkeypatch, capsys)


@pytest.fixture(scope="module")
def look_alike() -> Iterator[DemoSite]:
    running = DemoSite(initial=47)
    running.start()
    yield running
    running.stop()


def record(run: Run, url: str, *more: str) -> Any:
    said = run("source", "test", url, "--allow-host", urls.host_key(url), "--json", *more)
    assert said.code == 0, said
    return said.json


def test_a_page_becomes_its_record_and_nothing_is_stored(run: Run, look_alike: DemoSite, tmp_path: Path) -> None:
    brief = next(one for one in briefs() if one.status == "worsened" and one.similar)
    got = record(run, look_alike.url + brief.path, "--profile", "demo")
    assert got["headline"] == brief.headline
    assert got["section"] == brief.section.replace("-", " ").capitalize()
    assert got["category_status"]["value"] == "worsened"
    assert got["published"]["zone"] == "Europe/Tallinn"
    assert got["published"]["zone_source"] == "configured"
    assert got["language"] == "en"
    assert got["language_evidence"]
    assert got["verdict"] == {"kind": "article", "reason": None, "access": "free", "access_reason": None}
    assert {one["relation"] for one in got["related"]} == {"publisher_similar"}
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("status", ["improved", "unchanged", "worsened"])
def test_the_status_follows_the_icon(run: Run, look_alike: DemoSite, status: str) -> None:
    brief = next(one for one in briefs() if one.status == status)
    assert record(run, look_alike.url + brief.path, "--profile", "demo")["category_status"]["value"] == status


def test_without_a_profile_section_and_status_are_unknown(run: Run, look_alike: DemoSite) -> None:
    got = record(run, look_alike.url + briefs()[0].path)
    assert (got["section"], got["category_status"]["value"], got["profile"]) == (None, "unknown", None)
    assert got["headline"] == briefs()[0].headline


def test_the_record_for_people_and_where_it_came_from(run: Run, look_alike: DemoSite) -> None:
    brief = briefs()[0]
    host = urls.host_key(look_alike.url)
    said = run("source", "test", look_alike.url + brief.path, "--allow-host", host, "--profile", "demo", "--explain")
    assert said.code == 0
    assert said.out.startswith(brief.headline)
    assert "Profile: demo." in said.out
    assert "profile demo css article.brief > .headline" in said.out
    assert "left out" in said.out


# The seed brief


@pytest.fixture
def seed(beside: Path) -> Path:
    return beside / "seed-site"


@pytest.fixture
def seed_site(seed: Path) -> Iterator[Callable[..., str]]:
    """Serves the seed's pages; the function changes what is served, and returns the site's address."""
    swaps: list[tuple[bytes, bytes]] = []

    def answer(request: Request) -> Reply:
        page = seed / "site" / f"{request.path.strip('/')}.html"
        if not page.is_file():
            return Reply(404)
        body = page.read_bytes()
        for old, new in swaps:
            assert old in body
            body = body.replace(old, new)
        return Reply(200, body, {"Content-Type": "text/html; charset=utf-8"})

    server = Loopback(answer)
    server.start()

    def serve(*changes: tuple[bytes, bytes]) -> str:
        swaps[:] = changes
        return server.url

    yield serve
    server.stop()


def differences(expected: Any, got: Any, base: str, path: str = "") -> list[str]:
    """Where `got` lacks or contradicts what is expected; more fields are allowed."""
    if isinstance(expected, dict):
        return [
            line
            for key, value in expected.items()
            for line in differences(value, (got or {}).get(key), base, f"{path}/{key}")
        ]
    if isinstance(expected, list):
        if len(expected) != len(got):
            return [f"{path}: {len(got)} instead of {len(expected)}"]
        return [
            line
            for n, pair in enumerate(zip(expected, got, strict=True))
            for line in differences(*pair, base, f"{path}/{n}")
        ]
    if isinstance(expected, str) and expected.startswith("/"):
        expected = base + expected
    return [] if expected == got else [f"{path}: {got!r} instead of {expected!r}"]


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_briefs_become_the_expected_records(
    run: Run, seed: Path, seed_site: Callable[..., str], name: str
) -> None:
    base = seed_site()
    expected = json.loads((seed / "expected" / f"{name}.json").read_text(encoding="utf-8"))
    got = record(run, f"{base}/international-relations/{name}", "--profile", "belarus-in-focus")
    assert differences(expected, got, base) == []


@pytest.mark.parametrize(
    ("icon", "value"), [("status-up", "improved"), ("status-same", "unchanged"), ("status-down", "worsened")]
)
def test_the_seed_status_follows_its_icon(run: Run, seed_site: Callable[..., str], icon: str, value: str) -> None:
    base = seed_site((b"status-same", icon.encode()))
    got = record(run, f"{base}/international-relations/{NAMES[0]}", "--profile", "belarus-in-focus")
    assert (got["category_status"]["value"], got["category_status"]["evidence"]) == (value, f"class {icon}")


def test_the_seed_without_its_profile(run: Run, seed: Path, seed_site: Callable[..., str]) -> None:
    base = seed_site()
    expected = json.loads((seed / "expected" / f"{NAMES[1]}.json").read_text(encoding="utf-8"))
    got = record(run, f"{base}/international-relations/{NAMES[1]}")
    assert (got["section"], got["category_status"]["value"], got["published"]["zone_source"]) == (
        None,
        "unknown",
        "assumed",
    )
    assert differences(expected["blocks"], got["blocks"], base) == []
