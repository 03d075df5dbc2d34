"""Profiles are checked at the start; a mistake is named with file, line and selector."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from services.ingest import profiles
from shared.errors import OperatorError

GOOD = """name = "gazette"
hosts = ["gazette.example"]
zone = "Europe/Vilnius"

[[version]]
since = 2019-01-01
[version.fields]
headline = "h1.old"

[[version]]
since = 2021-06-01
drop = [".promo"]
[version.fields]
headline = { css = "h1.new", pattern = '(.+)' }
authors = ".by a"
"""


def load(folder: Path, text: str, name: str = "gazette.toml") -> profiles.Profiles:
    (folder / name).write_text(text, "utf-8")
    return profiles.load([folder])


def test_bundled_ones_are_always_there() -> None:
    assert "belarus-in-focus" in profiles.load().names()


def test_versions_are_dated(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD)
    for day, css in (
        (dt.date(2018, 1, 1), "h1.old"),
        (dt.date(2021, 5, 31), "h1.old"),
        (dt.date(2021, 6, 1), "h1.new"),
    ):
        profile = found.named("gazette", day)
        assert profile is not None
        assert profile.fields["headline"].css == css
    newest = found.named("gazette", dt.date(2026, 1, 1))
    assert newest is not None
    assert newest.fields["authors"].many
    assert newest.drop == (".promo",)
    assert newest.zone == "Europe/Vilnius"


@pytest.mark.parametrize(
    "url", ["https://gazette.example/x", "http://www.gazette.example:8080/y", "HTTP://GAZETTE.EXAMPLE"]
)
def test_by_host(tmp_path: Path, url: str) -> None:
    profile = load(tmp_path, GOOD).for_url(url, dt.date(2026, 1, 1))
    assert profile is not None
    assert profile.name == "gazette"


@pytest.mark.parametrize("url", ["https://other.example/", "https://notgazette.example/", "nonsense", "http://[::1"])
def test_no_profile_for_others(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, GOOD).for_url(url, dt.date(2026, 1, 1)) is None


def test_a_folder_of_ones_own_replaces_a_bundled_one(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD.replace('"gazette"', '"belarus-in-focus"'))
    profile = found.named("belarus-in-focus", dt.date(2020, 1, 1))
    assert profile is not None
    assert profile.hosts == ("gazette.example",)


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ('"h1.old"', '"h1..old"', "gazette.toml, line 8: bad selector 'h1..old'"),
        ("'(.+)'", "'(.+'", "gazette.toml, line 14: bad pattern '(.+'"),
        ("'(.+)'", "'.+'", "the pattern '.+' has no group"),
        ('"Europe/Vilnius"', '"Europe/Vilna"', "gazette.toml, line 3: unknown zone 'Europe/Vilna'"),
        ("authors =", "byline =", "gazette.toml, line 15: unknown field 'byline'"),
        ('[".promo"]', '["[promo"]', "line 12: bad selector '[promo'"),
        ("since = 2021", "since = 2011", "do not ascend"),
        ("hosts =", "host =", "unknown field `host`"),
        ("[[version]]", "[[version]", "gazette.toml"),
        ("since = 2019-01-01", "", "since"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, wrong: str, right: str, said: str) -> None:
    with pytest.raises(OperatorError) as caught:
        load(tmp_path, GOOD.replace(wrong, right))
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_one_name_twice_in_a_folder(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    with pytest.raises(OperatorError, match="another file"):
        load(tmp_path, GOOD, "other.toml")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="does not exist"):
        profiles.load([tmp_path / "none"])
