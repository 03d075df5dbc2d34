"""What a text means, as a short vector: near for texts about the like, indifferent to words that say little."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import train_senses
from services.enrich import senses
from services.enrich.categories import train
from services.enrich.words import plain


def near(one: str, other: str) -> float:
    return float(senses.of(Counter(plain(one))) @ senses.of(Counter(plain(other))))


def test_texts_about_the_like_are_nearer() -> None:
    football = "The striker scored twice and the goalkeeper was injured"
    assert near(football, "Midfielder wins the match with a late penalty") > 0.5
    assert near(football, "Central bank raises interest rates again") < 0.3


@pytest.mark.parametrize("text", ["", "1987 12,5", "Ґданьск"])
def test_a_text_without_a_known_word_means_nothing(text: str) -> None:
    assert not senses.of(Counter(plain(text))).any()
    assert senses.spoken(Counter(plain(text))).places == []


def test_the_parts_add_up() -> None:
    counts = Counter(plain("Parliament votes on the budget; zzyzx abstains on the budget"))
    found = senses.spoken(counts)
    words = list(counts)
    assert "zzyzx" not in [words[place] for place in found.places]
    assert np.allclose(found.parts.sum(axis=0), senses.of(counts), atol=1e-6)
    assert np.linalg.norm(senses.of(counts)) == pytest.approx(1.0, abs=1e-5)


def test_a_section_is_told_by_words_never_seen_in_training() -> None:
    model = train([
        ("The striker scored twice in the match", "sport"), ("The coach praised his goalkeeper", "sport"),
        ("The bank raises its interest rate", "economy"), ("Shares fell as inflation rose", "economy"),
    ])  # fmt: skip
    assert model.predict("Tennis tournament: champions in semifinals").best == "sport"
    assert model.predict("Investors, currencies and bond yields").best == "economy"


def test_the_table_is_made_of_common_words_of_letters(tmp_path: Path) -> None:
    lines = [
        f"{word} {' '.join(str((n + d) % 7 - 3) for d in range(senses.DIMS))}"
        for n, word in enumerate(["the", "1987", "bank", "x,y", "goal", "rare"])
    ]
    (tmp_path / "vectors.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = train_senses.build(tmp_path / "vectors.txt", 3)
    assert table.words == "the bank goal"
    vectors = np.frombuffer(table.vectors, "i1").reshape(3, senses.DIMS)
    assert np.abs(vectors).max() == 127
    assert np.abs(vectors[0].astype(int)).mean() < np.abs(vectors[2].astype(int)).mean()
