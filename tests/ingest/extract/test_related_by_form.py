"""Blocks of related articles told by their form, and what looks like one; a date of change beside one of publication."""

from __future__ import annotations

import pytest

from tests.ingest.extract.test_fields import PROSE, TEXT, published, read


def test_what_was_changed_is_not_when_it_appeared() -> None:
    found = read("<h1>Bridge to close</h1><p>Published: 3 April 2026, 10:15</p><p>Updated: 4 April 2026, 9:00</p>")
    assert published(found).utc == "2026-04-03T10:15:00+00:00"
    assert found.modified is not None
    assert found.modified.utc == "2026-04-04T09:00:00+00:00"


CARDS = (
    "Harbour reopens after the long storm",
    "School strike enters its second week",
    "Museum buys back the lost altar",
)


def below(heading: str, card: str, box: str = "div") -> str:
    made = "".join(card.format(n=n, day=n + 1, headline=headline) for n, headline in enumerate(CARDS))
    return f"<{box} class='x1'><h3>{heading}</h3><div class='x2'>{made}</div></{box}>"


CARD = "<div class='x3'><img src='/i/{n}.jpg' width=300 height=200><a href='/n/{n}'>{headline}</a><span>{day} April 2026</span></div>"


@pytest.mark.parametrize(
    "heading",
    ["More from the valley", "Mehr zum Thema Brücken", "По теме", "関連ニュースまとめ", "Te puede interesar también"],
)
def test_cards_below_the_text_are_related_whatever_their_class(heading: str) -> None:
    found = read("<h1>Bridge to close</h1>", after=below(heading, CARD))
    assert [entry.snapshot.headline for entry in found.related if entry.snapshot] == list(CARDS)
    assert [entry.snapshot.published.utc[:10] for entry in found.related if entry.snapshot and entry.snapshot.published] == [
        "2026-04-01", "2026-04-02", "2026-04-03",
    ]  # fmt: skip
    assert {entry.heading for entry in found.related} == {heading}
    assert found.related[0].target == "https://www.herald.example/n/0"
    assert [block.text for block in found.blocks] == list(PROSE)  # type: ignore[union-attr]


@pytest.mark.parametrize("heading", ["Most read", "Latest news", "Meistgelesen", "Последние новости", "Lo más leído"])
def test_what_is_new_or_much_read_is_no_relation(heading: str) -> None:
    assert read("<h1>Bridge to close</h1>", after=below(heading, CARD)).related == ()


def test_links_amid_the_text_are_its_own() -> None:
    own = (
        "<h3>More on the papers of the council</h3><ul>"
        + "".join(f"<li><a href='https://council.example/{n}'>{text}</a></li>" for n, text in enumerate(CARDS))
        + "</ul>"
    )
    assert read(f"<h1>Bridge to close</h1>{TEXT}{own}").related == ()
