"""Shingles and sketches: the same text gives the same hashes, a cut one stands in the whole."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.enrich import fingerprints
from services.enrich.fingerprints import MOST, bottom, containment, shingles
from tests.enrich import briefs

texts = st.lists(st.sampled_from("alpha beta gamma delta epsilon zeta eta theta".split()), max_size=40).map(" ".join)  # noqa: SIM905


@given(texts, texts)
def test_containment_is_symmetric_and_a_share(a: str, b: str) -> None:
    one, other = shingles(a), shingles(b)
    assert containment(one, other) == containment(other, one)
    assert 0.0 <= containment(one, other) <= 1.0


@given(texts)
def test_a_text_contains_itself(text: str) -> None:
    assert containment(shingles(text), shingles(text)) == (1.0 if text else 0.0)


@given(st.text(max_size=200))
def test_hashes_are_distinct_sorted_and_of_63_bits(text: str) -> None:
    hashes = shingles(text)
    assert (np.diff(hashes) > 0).all()
    assert ((hashes >= 0) & (hashes < 2**63)).all()


def test_case_marks_and_spaces_make_no_difference() -> None:
    assert bottom("The “Issa” river,\nnow   dead.") == bottom('the "issa" River now Dead')


def test_word_order_does() -> None:
    assert containment(shingles("one two three four"), shingles("four three two one")) == 0.0


def test_a_beginning_is_contained_in_the_whole() -> None:
    whole = briefs.FERRY[1]
    assert containment(shingles(briefs.cut(whole, 0.4)), shingles(whole)) == 1.0


def test_a_short_text_is_one_shingle_and_an_empty_one_none() -> None:
    assert len(shingles("Two words")) == 1
    assert len(shingles("")) == 0
    assert bottom("") == ()
    assert containment(shingles(""), shingles("a b c")) == 0.0


def test_the_sketch_is_the_smallest_hashes() -> None:
    hashes = shingles(briefs.MINE[1])
    assert bottom(briefs.MINE[1], 8) == tuple(hashes[:8].tolist())
    assert bottom(hashes, 8) == bottom(briefs.MINE[1], 8)


def test_a_huge_text_keeps_an_even_sample() -> None:
    long = " ".join(f"w{number}x" for number in range(9000))
    half = " ".join(f"w{number}x" for number in range(4500, 9000))
    assert len(shingles(long)) == MOST
    assert containment(shingles(long), shingles(half)) == pytest.approx(1.0, abs=0.02)


def test_packing_keeps_order_and_containment() -> None:
    one, other = shingles(briefs.MINE[1]), shingles(briefs.cut(briefs.MINE[1], 0.5))
    packed = [fingerprints.unpack(fingerprints.pack(side)) for side in (one, other)]
    assert (np.diff(packed[0]) >= 0).all()
    assert containment(*packed) == containment(one, other)
    with pytest.raises(ValueError, match="no row"):
        fingerprints.unpack(b"abc")


def test_hashes_are_the_same_in_another_process() -> None:
    code = "from services.enrich.fingerprints import bottom, term_hash; print(bottom('a b c d'), term_hash('issa'))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == f"{bottom('a b c d')} {fingerprints.term_hash('issa')}"
