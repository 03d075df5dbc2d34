"""The text rendering against the brief the product was asked for, and a look-alike of our own that always runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.publish.render import RenderInput, render
from shared.records import Article, CategoryStatus, Image, ListBlock, Moment, Paragraph, Related, Snapshot
from tests.publish.records import ARTICLE, AT, event

SEED = Path(__file__).parents[3] / "shared" / "seed-site"

LOOK_ALIKE = """\
Dredging resumes at the north pier

Category status:
[unchanged]
May 02, 2026 09:15

The dredger came back on Friday after three\u00a0weeks of “repairs”. Two 'phases' remain.

The work has two parts:

- Depth (survey, dredging)
- Walls (non-urgent)

Similar articles

Board extends the pier lease
October 02, 2025 11:49

Image: Quay.example

The lease now runs to 2031.

Nobody objected.
"""


def kept_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def holds_in_order(rendered: str, wanted: str) -> list[str]:
    """The wanted lines that are not in the rendering, each looked for after the one before."""
    lines, at, missing = rendered.split("\n"), 0, []
    for line in kept_lines(wanted):
        try:
            at = lines.index(line, at) + 1
        except ValueError:
            missing.append(line)
    return missing


def moment(raw: str, utc: str) -> Moment:
    return Moment(raw, utc, "Europe/Minsk", "configured", "minute")


def look_alike() -> RenderInput:
    lead = "The dredger came back on Friday after three\u00a0weeks of “repairs”. Two 'phases' remain."
    similar = Snapshot(
        "Board extends the pier lease",
        None,
        moment("October 02, 2025 11:49", "2025-10-02T08:49:00+00:00"),
        "The lease now runs to 2031.",
        (Paragraph("The lease now runs to 2031."), Paragraph("Nobody objected.")),
        (Image("https://quay.example/c.jpg", credit="Quay.example"),),
    )
    return event(
        headline="Dredging resumes at the north pier",
        category_status=CategoryStatus("unchanged", "Category status", None, "class status-same"),
        published=moment("May 02, 2026 09:15", "2026-05-02T06:15:00+00:00"),
        modified=None,
        authors=(),
        lead=lead,
        blocks=(
            Paragraph(lead),
            Paragraph("The work has two parts:"),
            ListBlock(False, ("Depth (survey, dredging)", "Walls (non-urgent)")),
        ),
        images=(),
        related=(Related("publisher_similar", "Similar articles", 1, None, similar),),
    )


def test_a_look_alike_is_printed_line_for_line() -> None:
    body = render("text", look_alike()).body.decode()
    assert body.startswith(LOOK_ALIKE)
    assert body.count("The dredger came back") == 1


def test_an_unknown_status_with_its_label_has_no_value_line() -> None:
    labelled = event(category_status=CategoryStatus("unknown", "Category status:"))
    assert "\nCategory status:\nMarch 5" in render("text", labelled).body.decode()
    silent = render("text", event(category_status=CategoryStatus())).body.decode()
    assert "status" not in silent


def seed_article(fields: dict[str, Any]) -> Article:
    """The expected record of the seed as an article: what it leaves out is empty."""
    empty = {"source_item_id": None, "url": None, "language": None, "modified": None, "section": None, "tags": ()}
    whole = {**msgspec.to_builtins(ARTICLE), **empty, "site_name": None, **fields}
    return msgspec.convert(whole, Article)


@pytest.mark.skipif(not SEED.exists(), reason="the seed brief is not beside this checkout")
def test_the_seed_brief_is_held_verbatim_and_in_order() -> None:
    expected = json.loads((SEED / "expected/minsk-will-not-engage-conflicts-post-soviet-space.json").read_text())
    brief = (SEED / "brief.txt").read_text(encoding="utf-8")
    rendered = render("text", RenderInput("article.published", AT, 1, seed_article(expected))).body.decode()
    assert len(kept_lines(brief)) == 23
    assert holds_in_order(rendered, brief) == []
    assert "\nCategory status:\n[unchanged]\nApril 22, 2016 19:45\n" in rendered
    assert rendered.count("The escalation in Karabakh has once again") == 1


def test_holding_lines_in_order_is_no_empty_promise() -> None:
    assert holds_in_order("a\nb\nc", "a\nc") == []
    assert holds_in_order("a\nb\nc", "c\na") == ["a"]
    assert holds_in_order("a\nb\nc", "a b") == ["a b"]
