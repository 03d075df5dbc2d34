"""A brief pushed in as plain text."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.extract import draft_text
from shared.errors import Rejected
from shared.records import ListBlock, Paragraph

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
BRIEF = """Harbour dues rise for the third year

Category status:
March 03, 2021 10:15

The port\u00a0authority raised its dues by four percent. Ship owners had asked for a pause.

Two things remain open:

- The discount for short calls (under six hours)

- Non-scheduled traffic

Similar articles are rarely this clear, a broker said.

Similar articles

Ferry line closes for the winter
October 11, 2022 08:00
Image: Portside.example

The last boat leaves on Friday.

- A bus replaces it
"""


def test_a_brief() -> None:
    found = draft_text(BRIEF, NOW, "Europe/Vilnius")
    assert found.headline == "Harbour dues rise for the third year"
    assert (found.category_status.value, found.category_status.label, found.category_status.raw) == (
        "unknown",
        "Category status",
        None,
    )
    assert found.published is not None
    assert (found.published.utc, found.published.zone_source) == ("2021-03-03T08:15:00+00:00", "configured")
    assert found.lead is not None
    assert found.lead.startswith("The port\u00a0authority")
    kinds = [type(block) for block in found.blocks]
    assert kinds == [Paragraph, Paragraph, ListBlock, Paragraph]
    assert found.blocks[2] == ListBlock(
        False, ("The discount for short calls (under six hours)", "Non-scheduled traffic")
    )


def test_the_similar_article_is_a_snapshot() -> None:
    (entry,) = draft_text(BRIEF, NOW).related
    assert (entry.relation, entry.heading, entry.position, entry.target) == (
        "publisher_similar",
        "Similar articles",
        1,
        None,
    )
    snapshot = entry.snapshot
    assert snapshot is not None
    assert snapshot.headline == "Ferry line closes for the winter"
    assert snapshot.published is not None
    assert snapshot.published.raw == "October 11, 2022 08:00"
    assert [image.credit for image in snapshot.images] == ["Portside.example"]
    assert snapshot.blocks == (Paragraph("The last boat leaves on Friday."), ListBlock(False, ("A bus replaces it",)))


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("improved", "improved"),
        ("The situation has not changed.", "unchanged"),
        ("The situation got worse", "worsened"),
    ],
)
def test_a_status_in_words(said: str, value: str) -> None:
    found = draft_text(f"Title\nCategory status: {said}\n\nText.", NOW)
    assert (found.category_status.value, found.category_status.raw) == (value, said)


def test_nothing_is_refused() -> None:
    with pytest.raises(Rejected) as caught:
        draft_text(" \n\n", NOW)
    assert caught.value.reason == "empty-page"


@given(st.text(max_size=300))
def test_any_text_is_a_draft_or_refused(text: str) -> None:
    try:
        found = draft_text(text, NOW)
    except Rejected:
        return
    assert found.headline
    assert found.headline in text
