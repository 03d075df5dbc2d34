"""Every page of `hostile` comes to a verdict or a reason code within its limits of time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.ingest.extract.blocks import cut
from services.ingest.extract.parse import page as parsed
from tests.ingest.extract.hostile import CASES, PROSE, article, page

REPOSITORY = Path(__file__).parents[3]
EXPECTED = {
    "empty": "rejected empty-page",
    "white space": "rejected empty-page",
    "twenty megabytes": "rejected page-too-large",
    "half a million tags": "rejected too-many-tags",
    "unclosed comment": "not-an-article no-text",
    "NULs": "rejected empty-page",
    "binary": "rejected charset-binary",
    "a picture": "rejected charset-binary",
    "gzip not decoded": "rejected charset-binary",
    "deflate not decoded": "rejected charset-binary",
    "json": "rejected not-html",
    "100,000 nested tags": "article",
    "one text of 12 MB": "article",
    "300,000 attributes": "article",
    "lone surrogates": "article",
    "bad URLs": "article",
    "JSON-LD of wrong types": "article",
    "declared utf-8, is windows-1251": "article",
    "declared latin-1, is utf-8": "article",
    "utf-16 with mark": "article",
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    command = [sys.executable, "-m", "tests.ingest.extract.hostile"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=110, check=True)
    return {row["name"]: row["outcome"] for row in map(json.loads, run.stdout.splitlines())}


def test_there_are_many() -> None:
    assert len(CASES) >= 30


@pytest.mark.parametrize("name", CASES)
def test_a_verdict_or_a_reason(outcomes: dict[str, str], name: str) -> None:
    got = outcomes[name]
    assert got.split()[0] in ("article", "not-an-article", "rejected"), got
    assert got != "rejected extract-failed"
    assert got == EXPECTED.get(name, got)


@pytest.mark.parametrize("depth", [300, 1000, 3000, 20_000])
def test_deep_nesting_loses_no_text(depth: int) -> None:
    _, found = parsed(page("<div>" * depth + article() + "</div>" * depth + f"<p>The very end. {PROSE}</p>").decode())
    text = " ".join(piece.text for piece in found.pieces)
    assert text.count(PROSE.strip()) == 13
    assert "The very end." in text


def test_many_attributes_cost_only_themselves() -> None:
    tag = "<p " + " ".join(f"a{n}='1'" for n in range(20_000)) + ">"
    _, found = parsed(page(tag + "kept</p>").decode())
    assert [piece.text for piece in found.pieces] == ["kept"]


def test_prose_is_cut_and_menus_far_from_it_are_not() -> None:
    menus = "".join(f"<div class=menu><a href=/{n}>item</a></div>" for n in range(50))
    root, found = parsed(
        page(f"<div id=top>{menus}</div><main><div><div><div>{article()}</div></div></div></main>").decode()
    )
    assert len(found.pieces) == 7
    assert len(found.skipped) == 1
    assert len(cut(root, whole=True).pieces) == 57
