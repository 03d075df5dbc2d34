"""Related links far from any prose are told by their shape: a row of cards within the page's article or main element."""

from __future__ import annotations

import datetime as dt

import pytest

from services.ingest.extract import PageInput, draft
from shared.records import Draft

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
LONG = "The council met on Tuesday and agreed, after a long debate, to repair the old bridge before the winter comes."
TITLES = ("Ferry runs again after the storm", "Harbour gets a second crane", "School roof to be mended in May")


def card(title: str, wrapper: str = "div class=box") -> str:
    name = wrapper.split()[0]
    return f"<{wrapper}><div><div><a href='/{title[:5].lower()}'>{title}</a></div><div>2 May 2026</div></div></{name}>"


def read(below: str, holder: str = "main") -> Draft:
    prose = "".join(f"<p>{number}. {LONG}</p>" for number in range(6))
    markup = (
        f"<!doctype html><html lang=en><head><title>Bridge closes for winter</title></head><body><{holder}>"
        f"<div><div><div><div><h1>Bridge closes for winter</h1>{prose}</div></div></div></div>{below}</{holder}></body></html>"
    )
    return draft(PageInput(markup.encode(), "https://news.example/bridge", "text/html; charset=utf-8", NOW))


def test_cards_below_the_article_are_related_links() -> None:
    found = read(f"<div class=x7>{''.join(map(card, TITLES))}</div>")
    assert [(entry.position, entry.target) for entry in found.related] == [
        (1, "https://news.example/ferry"),
        (2, "https://news.example/harbo"),
        (3, "https://news.example/schoo"),
    ]
    assert [entry.snapshot.headline for entry in found.related if entry.snapshot] == list(TITLES)
    assert len(found.blocks) == 6


@pytest.mark.parametrize(
    "below",
    [
        "".join(map(card, TITLES[:2])),
        "".join(f"<span><a href=/{n}>Section {n}</a></span>" for n in range(9)),
        "".join(map(card, TITLES)) + f"<div>{LONG * 5}</div>",
        "".join(map(card, TITLES)) + "<form><input name=q></form>",
        f"<div class=comments>{''.join(map(card, TITLES))}</div>",
    ],
    ids=["two are no row", "a menu", "prose", "a form", "comments"],
)
def test_what_only_looks_like_cards(below: str) -> None:
    assert read(f"<div class=x7>{below}</div>").related == ()


def test_cards_outside_article_and_main_are_the_sites_not_the_articles() -> None:
    assert read(f"<div class=x7>{''.join(map(card, TITLES))}</div>", "div").related == ()
