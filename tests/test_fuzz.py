"""A little fuzzing at every run of the tests: each reader of strangers' bytes, for two seconds, from our own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fuzz

pytest.importorskip("atheris", reason="Atheris has no wheel for this Python or machine")


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz.SEEDS)
def test_what_strangers_send_is_read_or_refused(name: str, tmp_path: Path) -> None:
    found = fuzz.fuzz(name, 2, tmp_path, seed=7)
    assert (found["findings"], found["runs"] > 0) == ([], True)
