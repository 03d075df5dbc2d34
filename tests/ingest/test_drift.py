"""The judgement on shapes: what counts, what does not, and what is known when little is."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from services.ingest import drift
from shared.records import Article, CategoryStatus, Entry, ListBlock, Mark, Moment, Paragraph

AT = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
MOMENT = Moment("4 May 2026", AT.isoformat(), "UTC", "stated", "minute")
PAGE = b"<html><body class='page'><main class='story'><h1 class='head'>x</h1><p class='text'>y</p></main></body></html>"


def article(n: int = 0, *, words: int = 120, **more: Any) -> Article:
    text = " ".join(f"word{n}x{i}" for i in range(words // 2))
    values: dict[str, Any] = {
        "id": "art_0000000000000001", "source": "s", "source_item_id": None, "url": None, "requested_url": None, "final_url": None,
        "revision": 1, "state": "usable", "content_hash": "", "headline": f"The harbour board decides case {n}", "language": "en",
        "language_evidence": None, "authors": ("Ann",), "published": MOMENT, "modified": None, "section": "Economy",
        "category_status": CategoryStatus(), "lead": None, "blocks": (Paragraph(text + "."), Paragraph(text + " end.")),
        "images": (), "tags": (), "related": (),
    }  # fmt: skip
    return Article(**(values | more))


def entry(n: int = 0) -> Entry:
    return Entry(
        f"k{n}", f"http://h.example/{n}", title=f"The harbour board decides case {n}", published_utc=AT.isoformat()
    )


def shape(n: int = 0, *, page: bytes = PAGE, missed: tuple[str, ...] = (), **more: Any) -> drift.Shape:
    return drift.shape_of(article(n, **more), missed, entry(n), page)


def known(count: int = 40) -> drift.State:
    """A source of which so many records were read, 100 to 160 words each."""
    state = drift.State()
    for n in range(1, count + 1):
        state = drift.after(state, "usual", shape(n, words=100 + 20 * (n % 4)))
    return state


def codes(state: drift.State, one: drift.Shape) -> set[str]:
    return {finding.code for finding in drift.judge(state, one).findings}


def test_another_record_of_the_same_kind_is_usual() -> None:
    verdict = drift.judge(known(), shape(99))
    assert verdict.findings == ()
    assert not verdict.learning


ODD = {
    "no-published": {"published": None},
    "no-body": {"blocks": ()},
    "too-short": {"words": 20},
    "missed-body": {"missed": ("body",)},
    "links": {"blocks": (Paragraph("one two three four five six seven eight", (Mark(0, 30, "link", "http://x.example"),)),) * 12},
    "page-cut": {"page": PAGE.removesuffix(b"</html>")},
    "not-the-feeds-title": {"headline": "Welcome to our new pages"},
    "not-the-feeds-date": {"published": msgspec.structs.replace(MOMENT, utc="2025-01-01T00:00:00+00:00")},
    "headline-is-site": {"headline": "The Daily Harbour Post", "site_name": "The Daily Harbour Post"},
    "others-headlines": {"blocks": (*article(99).blocks, Paragraph("The harbour board decides case 7"))},
    "text-repeats": {"blocks": (Paragraph("We and our partners use cookies to make these pages better for you."),)},
}  # fmt: skip


@pytest.mark.parametrize(("code", "change"), ODD.items(), ids=ODD)
def test_one_grave_finding_is_enough(code: str, change: dict[str, Any]) -> None:
    state = known()
    if code == "text-repeats":
        state = msgspec.structs.replace(state, shapes=(*state.shapes[2:], shape(200, **change), shape(201, **change)))
    verdict = drift.judge(state, shape(99, **change))
    assert code in {finding.code for finding in verdict.findings}
    assert verdict.odd
    assert all(text.endswith((".", "it.")) for text in verdict.reasons)


@pytest.mark.parametrize("change", [{"authors": ()}, {"section": None}, {"words": 80}, {"words": 190}], ids=str)
def test_a_lesser_thing_alone_is_not(change: dict[str, Any]) -> None:
    assert not drift.judge(known(), shape(99, **change)).odd


def test_a_lost_field_is_one_thing_whatever_the_profile_says() -> None:
    improved = CategoryStatus("improved")
    state = drift.State()
    for n in range(30):
        state = drift.after(state, "usual", shape(n, category_status=improved))
    verdict = drift.judge(state, shape(99, missed=("category_status",)))
    assert [finding.code for finding in verdict.findings] == ["no-status"]
    assert not verdict.odd


def test_lesser_things_only_support() -> None:
    lesser: dict[str, Any] = {"authors": (), "section": None}
    assert codes(known(), shape(99, **lesser)) == {"no-authors", "no-section"}
    assert drift.judge(known(), shape(99, **lesser)).outcome == "usual"
    assert drift.judge(known(), shape(99, words=60)).outcome == "doubtful"
    supported = drift.judge(known(), shape(99, words=60, **lesser))
    assert supported.odd
    assert len(supported.reasons) == 3
    assert "words" in supported.reasons[0]


def test_what_one_record_in_ten_lacks_is_no_proof() -> None:
    state = drift.State()
    for n in range(40):
        state = drift.after(state, "usual", shape(n, published=None if n % 10 == 3 else MOMENT))
    verdict = drift.judge(state, shape(99, published=None))
    assert verdict.outcome == "doubtful"
    assert verdict.reasons == ("No date; 36 of the last 40 articles had it.",)


def test_a_source_of_every_length_has_no_wrong_length() -> None:
    state = drift.State()
    for n in range(40):
        state = drift.after(state, "usual", shape(n, words=(30, 60, 150, 400, 1500)[n % 5]))
    for words in (24, 90, 2400):
        assert drift.judge(state, shape(99, words=words)).findings == ()


def test_another_layout_alone_is_no_reason_while_the_record_is_as_it_was() -> None:
    page = b"<html><body class='v2'><div class='a1'><div class='b1'><p class='c1'>y</p></div></div></body></html>"
    assert codes(known(), shape(99, page=page)) == {"layout"}
    assert not drift.judge(known(), shape(99, page=page)).odd


def test_a_list_that_was_always_there_is_missed() -> None:
    state, items = drift.State(), ListBlock(False, ("one thing", "another thing"))
    for n in range(40):
        blocks = article(n).blocks
        announced = (blocks[0], Paragraph("These are the points that were made:"), items, blocks[1])
        state = drift.after(state, "usual", shape(n, blocks=announced if n % 3 == 0 else blocks))
    lost = (article(99).blocks[0], Paragraph("These are the points that were made:"), article(99).blocks[1])
    assert codes(state, shape(99, blocks=lost)) == {"list-lost"}
    assert drift.judge(state, shape(99, blocks=lost)).odd


def test_what_was_never_there_is_not_missed() -> None:
    state = drift.State()
    for n in range(40):
        state = drift.after(state, "usual", shape(n, published=None, authors=()))
    assert drift.judge(state, shape(99, published=None, authors=())).findings == ()


@pytest.mark.parametrize("count", [0, 1, drift.READY - 1])
def test_of_a_source_that_is_hardly_known_nothing_is_claimed(count: int) -> None:
    verdict = drift.judge(known(count), shape(99, words=900, published=None, missed=("body",)))
    assert verdict.learning
    assert not verdict.odd


def test_the_same_text_everywhere_is_seen_from_the_start() -> None:
    wall = (Paragraph("We and our partners use cookies to make these pages better for you."),)
    state = drift.State()
    verdicts = []
    for n in range(4):
        one = shape(n, blocks=wall, headline=f"Headline number {n}")
        verdicts.append(drift.judge(state, one).odd)
        state = drift.after(state, "odd") if verdicts[-1] else drift.after(state, "usual", one)
    assert verdicts == [False, False, True, True]


def test_the_same_headline_over_other_texts_is_seen_from_the_start() -> None:
    state = drift.State()
    for n in range(2):
        state = drift.after(state, "usual", shape(n, headline="Our site"))
    assert drift.judge(state, shape(2, headline="Our site")).odd


def test_odd_pages_do_not_become_the_habit() -> None:
    state = known()
    for n in range(50, 60):
        state = drift.set_aside(drift.after(state, "odd"), n, shape(n, published=None), hears=True)
    assert drift.judge(state, shape(99, published=None)).odd


def test_the_memory_is_bounded() -> None:
    state = known(3 * drift.WINDOW)
    assert len(state.shapes) == drift.WINDOW
    assert len(state.outcomes) == drift.WINDOW
    assert len(msgspec.json.encode(state)) < 40_000


def outcomes(*last: drift.Outcome) -> drift.State:
    return msgspec.structs.replace(known(), outcomes=(*known().outcomes[:30], *last))


def test_a_source_is_held_when_it_is_more_than_chance() -> None:
    assert not drift.alarmed(outcomes("odd", "odd"))
    assert drift.alarmed(outcomes("odd", "odd", "odd"))
    assert drift.alarmed(outcomes("odd", "usual", "usual", "odd", "odd"))
    assert not drift.alarmed(outcomes("odd", "usual", "usual", "usual", "usual", "odd", "odd"))
    assert drift.alarmed(outcomes("failed", "failed", "failed"))
    assert drift.alarmed(outcomes("odd", "failed", "doubtful"))
    assert not drift.alarmed(outcomes("doubtful", "odd", "odd", "usual"))


def test_nothing_is_alarming_before_anything_is_known() -> None:
    assert not drift.alarmed(drift.State())
    assert not drift.alarmed(drift.State(outcomes=("failed",) * 6))
    assert not drift.alarmed(drift.State(outcomes=("learning",) * 3 + ("odd",) * 2))
    assert drift.alarmed(drift.State(outcomes=("learning",) * 3 + ("odd",) * 3))


@pytest.mark.parametrize("noise", ["failed", "odd", "doubtful"])
def test_a_source_whose_pages_are_often_so_is_not_held_for_that(noise: drift.Outcome) -> None:
    state = msgspec.structs.replace(known(), outcomes=(noise, "usual", "usual") * 10)
    assert not drift.alarmed(msgspec.structs.replace(state, outcomes=(*state.outcomes, noise, "usual", noise, noise)))
    assert drift.alarmed(msgspec.structs.replace(state, outcomes=(*state.outcomes, *[noise] * 6)))


def test_what_was_odd_alone_goes_on_after_usual_pages() -> None:
    state = drift.set_aside(drift.after(known(), "odd"), 7, shape(99), hears=True)
    for outcome in ("usual", "doubtful", "usual"):
        state = drift.after(state, outcome)
        assert drift.told(state) == ((), state)
    keys, state = drift.told(drift.after(state, "usual"))
    assert keys == (7,)
    assert state.alone == ()


def test_odd_pages_are_no_habit_but_repeat_each_other() -> None:
    wall = (Paragraph("We and our partners use cookies to make these pages better for you."),)
    state = known()
    for n in (50, 51):
        state = drift.set_aside(state, n, shape(n, blocks=wall), hears=True)
    assert "text-repeats" in codes(state, shape(99, blocks=wall))
    assert "text-repeats" not in codes(known(), shape(99, blocks=wall))


def test_released_it_is_judged_by_the_same_habits_or_by_none() -> None:
    state = outcomes("odd", "odd", "odd")
    again = drift.released(state, forget=False)
    assert again.shapes == state.shapes
    assert not drift.alarmed(again)
    assert drift.released(state, forget=True) == drift.State()


def test_what_is_usual_is_said_in_figures() -> None:
    usual = known(12).usual
    assert (usual.records, usual.words_low, usual.words_median, usual.words_high) == (12, 101, 131, 161)
    assert usual.fields["published"] == 1.0
    assert usual.fields["lists"] == 0.0


def test_a_feed_without_words_of_its_own_is_no_witness() -> None:
    bare = drift.shape_of(article(1), (), Entry("k", "http://h.example/1"), PAGE)
    assert (bare.titled, bare.told, bare.dated) == (None, None, None)


def test_any_page_has_a_shape() -> None:
    for page in (b"", b"\x00\xff" * 100, b"<html " + b"class='a b' " * 10_000, "<p class=слово>".encode("cp1251")):
        assert drift.shape_of(article(), (), entry(), page).words > 0
