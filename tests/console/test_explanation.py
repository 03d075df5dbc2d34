"""`source test --explain`: for each field its value, the rule that gave it and what lost; the verdict; what was left out."""

from __future__ import annotations

import datetime as dt

import pytest

from services.console import articles
from services.ingest.extract import PageInput, draft

PAGE = """<html lang="en"><head><title>Bridge to close | The Herald</title><meta property="og:site_name" content="The Herald">
<meta property="og:title" content="Bridge to close for a month"><meta name="author" content="The Herald"></head>
<body><article><h1>Bridge to close</h1><p class="byline">By Ann Example</p><time datetime="2026-04-03T10:15:00+02:00">3 April</time>
<p>The council met on Tuesday and agreed, after a long debate, to repair the old bridge before the winter comes.</p>
<p>The mayor said that traffic would be led over the northern road until the end of October at the latest.</p>
</article></body></html>"""


def test_each_field_has_value_rule_and_what_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    at = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    articles.explanation(draft(PageInput(PAGE.encode(), "https://herald.example/b", "text/html", at)), None)
    printed = capsys.readouterr().out
    rows = {line.split()[0]: " ".join(line.split()) for line in printed.splitlines() if line.strip()}
    assert rows["field"] == "field value given by chosen over"
    assert rows["authors"] == "authors Ann Example byline meta author: The Herald"
    assert "Bridge to close h1 meta og:title: Bridge to close for a month" in rows["headline"]
    assert (
        "2026-04-03T08:15:00+00:00 (printed: 2026-04-03T10:15:00+02:00; zone +02:00, stated; to the second) time"
        in rows["published"]
    )
    assert rows["Verdict:"] == "Verdict: article; access: free (nothing says otherwise)."
