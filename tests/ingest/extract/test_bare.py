"""Pages that leave out what HTML lets them leave out: html, head and body tags."""

from __future__ import annotations

import datetime as dt

import pytest

from services.ingest.extract import PageInput, draft

TEXTS = (
    "The ferry to Oxley stays in port on Monday, said its master, since the wind from the north has not gone down.",
    "Passengers were told in the morning that their tickets hold for any day of the week, and that coaches go round by the bridge.",
)


@pytest.mark.parametrize("tag", ["article", "main", "section", "div"])
@pytest.mark.parametrize("before", ["", "<html>", "<body>", "<header><a href='/'>Harbour News</a></header>"])
def test_a_page_without_a_body_tag_has_its_text(tag: str, before: str) -> None:
    text = "".join(f"<p>{one}</p>" for one in TEXTS)
    page = f"<!doctype html>{before}<title>Ferry stays in port</title><{tag}><h1>Ferry stays in port</h1>{text}</{tag}>"
    given = PageInput(
        page.encode(), "https://news.example/ferry", "text/html; charset=utf-8", dt.datetime(2026, 5, 4, tzinfo=dt.UTC)
    )
    found = draft(given)
    assert (found.headline, found.verdict.kind) == ("Ferry stays in port", "article")
    assert tuple(block.text for block in found.blocks if hasattr(block, "text")) == TEXTS
