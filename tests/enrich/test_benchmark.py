"""The enrichment's benchmark: its measures by hand-made cases, its tasks on files of our own writing."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from benchmarks import enrich, enrich_stream, variations
from benchmarks.variations import Story
from tests.enrich import briefs

GOLD = {"a": "1", "b": "1", "c": "2", "d": "2"}


def test_b_cubed() -> None:
    assert enrich.b_cubed(GOLD, GOLD) == 1.0
    # One heap: every member's precision is one half, its recall one.
    assert enrich.b_cubed(dict.fromkeys(GOLD, "x"), GOLD) == pytest.approx(2 * 0.5 / 1.5)
    # All alone: precision one, recall one half.
    assert enrich.b_cubed({key: key for key in GOLD}, GOLD) == pytest.approx(2 * 0.5 / 1.5)


def test_pair_f1() -> None:
    right, wrong = frozenset("ab"), frozenset("ac")
    assert enrich.pair_f1({right, frozenset("cd")}, GOLD) == 1.0
    assert enrich.pair_f1({right, wrong}, GOLD) == pytest.approx(0.5)
    assert enrich.pair_f1(set(), GOLD) == 0.0


def test_a_text_that_the_corpus_holds_twice_is_one() -> None:
    given = [(1, briefs.MINE[1]), (2, briefs.cut(briefs.MINE[1], 0.7)), (3, briefs.FERRY[1]), (4, briefs.MINE_AGAIN[1])]
    same = enrich.same_texts(given)
    assert same[1] == same[2]
    assert len({same[1], same[3], same[4]}) == 3


def test_variations_are_seeded_and_start_with_the_real_ones() -> None:
    real = [Story(str(n), 10 + n, *brief) for n, brief in enumerate([briefs.MINE, briefs.FERRY, briefs.THEATRE])]
    once, again = (list(variations.stream(real, 40, seed=4)) for _ in range(2))
    assert once == again
    assert once[:3] == real
    assert len({one.key for one in once}) == 40
    assert all(one.day > 12 for one in once[3:])
    assert list(islice(variations.stream(real, 40, seed=5), 3, 10)) != once[3:10]


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["enrich", *map(str, words)])
    enrich.main()
    figures: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return figures


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_stories(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = [("m", briefs.MINE), ("m", briefs.MINE_AGAIN), ("f", briefs.FERRY), ("f", briefs.FERRY_AGAIN)]
    rows = [{"id": f"{n}", "story": story, "text": " ".join(brief)} for n, (story, brief) in enumerate(told)]
    figures = run(capsys, monkeypatch, "stories", lines(tmp_path / "stories.jsonl", rows))
    assert [figures[name] for name in ("r_at_5", "map", "pair_f1", "b3_f1")] == [1.0, 1.0, 1.0, 1.0]


def test_near_duplicates(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = [
        {"src": src, "kind": kind, "text": f"{headline}. {text}"}
        for src, (headline, body) in enumerate([briefs.MINE, briefs.FERRY, briefs.THEATRE])
        for kind, text in (("orig", body), ("cut", briefs.cut(body, 0.6)))
    ]
    figures = run(capsys, monkeypatch, "near_duplicates", lines(tmp_path / "near.jsonl", rows))
    assert (figures["pairs"], figures["precision"], figures["recall"]) == (3, 1.0, 1.0)


def test_sections_and_languages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [
        {"category": c, "text": f"{words} {n}"}
        for n in range(10)
        for c, words in (("a", "goal team"), ("b", "bank tax"))
    ]
    assert run(capsys, monkeypatch, "sections", lines(tmp_path / "s.jsonl", rows))["accuracy"] == 1.0
    spoken = [
        {"language": "en", "text": "The government has postponed the vote on the budget."},
        {"language": "pl", "text": "Rząd przełożył głosowanie nad budżetem na poniedziałek."},
    ]
    assert run(capsys, monkeypatch, "languages", lines(tmp_path / "l.jsonl", spoken))["accuracy"] == 1.0


def test_a_stream_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrich_stream, "SIZES", (20, 40))
    monkeypatch.setattr(enrich_stream, "LINKED", 10)
    real = [Story(str(n), 10 + n, *brief) for n, brief in enumerate([briefs.MINE, briefs.FERRY, briefs.THEATRE])]
    plot = tmp_path / "plot.svg"
    first = enrich_stream.run(real, 20, 1, tmp_path / "kept", None, 0)
    second = enrich_stream.run(real, 45, 1, tmp_path / "kept", plot, 0)
    assert [point["size"] for point in second["points"]] == [20, 40, 45]
    assert second["points"][0] == first["points"][0]
    assert plot.read_text().startswith("<svg ")


def test_a_file_that_does_not_fit_is_a_clear_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="does not fit the task stories"):
        run(capsys, monkeypatch, "stories", lines(tmp_path / "x.jsonl", [{"text": "x"}]))
    with pytest.raises(SystemExit, match="does not fit the task languages"):
        run(capsys, monkeypatch, "languages", tmp_path / "absent.jsonl")
