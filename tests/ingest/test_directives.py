"""What a page asks of robots: by meta tag or header, by name or for all."""

from __future__ import annotations

import datetime as dt

import pytest

from services.ingest import directives

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)

HEADERS = {
    "": (),
    "noindex": ("noindex",),
    "NoArchive, nofollow": ("noarchive", "nofollow"),
    "none": ("nofollow", "noindex"),
    "all": (),
    "googlebot: noindex": (),
    "googlebot: noindex, nofollow": (),
    "googlebot: noindex, briefwire: noarchive": ("noarchive",),
    "briefwire: noindex": ("noindex",),
    "max-snippet:20, noarchive": ("noarchive",),
    "max-image-preview:large": (),
    "unavailable_after: 2026-05-01T00:00:00+00:00": ("noindex",),
    "unavailable_after: 2026-06-01T00:00:00+00:00": (),
    "unavailable_after: Fri, 01 May 2026 10:00:00 GMT": ("noindex",),
    "unavailable_after: Mon, 01 Jun 2026 10:00:00 GMT, noarchive": ("noarchive",),
    "unavailable_after: whenever": (),
    "nocache": ("noarchive",),
}
METAS = {
    '<meta name="robots" content="noindex, noarchive">': ("noarchive", "noindex"),
    "<META NAME=ROBOTS CONTENT=NOFOLLOW>": ("nofollow",),
    "<meta content='none' name='robots'/>": ("nofollow", "noindex"),
    '<meta name="googlebot" content="noindex">': (),
    '<meta name="briefwire" content="noindex">': ("noindex",),
    '<!-- <meta name="robots" content="noindex"> --><p>': (),
    '<!-- never closed <meta name="robots" content="noindex">': (),
    '<meta name="robots" content="index, follow">': (),
    '<meta name="robots" content="max-snippet:-1, noarchive">': ("noarchive",),
    '<meta name="description" content="noindex">': (),
    '<meta name="robots" content="&#110;oindex">': ("noindex",),
}


@pytest.mark.parametrize(("value", "meant"), HEADERS.items())
def test_headers(value: str, meant: tuple[str, ...]) -> None:
    assert directives.read({"x-robots-tag": value}, b"", NOW) == meant


@pytest.mark.parametrize(("tag", "meant"), METAS.items())
def test_meta_tags(tag: str, meant: tuple[str, ...]) -> None:
    assert directives.read({}, f"<html><head>{tag}</head>".encode(), NOW) == meant


def test_both_add_up() -> None:
    page = b'<meta name="robots" content="nofollow">'
    assert directives.read({"x-robots-tag": "noarchive"}, page, NOW) == ("noarchive", "nofollow")


def test_a_tag_behind_a_page_of_text_is_not_looked_for() -> None:
    assert directives.read({}, b" " * directives.HEAD + b'<meta name="robots" content="noindex">', NOW) == ()


def test_many_open_tags_take_no_time() -> None:
    assert directives.read({}, b"<meta " * 20_000, NOW) == ()
