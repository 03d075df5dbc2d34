"""A partner that fails at random gets each article's events in order, each under one id, until all are answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import order

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_order_holds_when_three_of_ten_posts_fail(tmp_path: Path) -> None:
    found = order.run(tmp_path, 400, 20, 0.3, timeout_s=200)
    assert (found["steps_back"], found["second_ids"], found["unanswered"]) == (0, 0, 0)
    assert found["delivered"] == 400
    assert found["posts"] > 400
