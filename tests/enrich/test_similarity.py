"""Judging two articles: one text, one story, background or nothing, with reasons; the same from both sides."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.enrich import fingerprints, similarity
from services.enrich.similarity import Judgement, Profile, judge, printed_terms, salient, signature
from tests.enrich import briefs


def profile(headline: str, text: str, language: str | None = "en") -> Profile:
    return similarity.weigh(signature(headline, text, language), {}, 0, fingerprints.shingles(f"{headline}\n{text}"))


def judged(a: tuple[str, str], b: tuple[str, str]) -> Judgement:
    own = signature(*a, "en")
    return judge(
        profile(*a), profile(*b), printed_terms(own, {term: fingerprints.term_hash(term) for term in own.terms})
    )


@pytest.mark.parametrize(
    ("one", "other"), [(briefs.FERRY, briefs.FERRY_AGAIN), (briefs.MINE, briefs.MINE_AGAIN)], ids=["ferry", "mine"]
)
def test_an_event_told_in_other_words_is_one_story(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert judged(one, other).relation == "same_story"


def test_reasons_name_what_both_share() -> None:
    reasons = judged(briefs.MINE, briefs.MINE_AGAIN).reasons
    assert "name Tessaly Metals" in reasons
    assert "name Judge Marta Oleander" in reasons or "name Marta Oleander" in reasons
    assert any(reason in reasons for reason in ("number 48", "number 60"))


def test_strangers_do_not_belong_together() -> None:
    for other in (briefs.MINE, briefs.THEATRE, briefs.MINE_AGAIN):
        assert judged(briefs.FERRY, other).relation is None


def test_a_republished_text_is_a_duplicate_under_another_headline() -> None:
    found = judged(briefs.FERRY, ("Trouble at sea", briefs.FERRY[1]))
    assert found.relation == "duplicate"
    assert found.score > 0.9
    assert found.reasons[0].endswith("of the wording")


@pytest.mark.parametrize("share", [0.35, 0.5, 0.8])
def test_a_cut_text_is_a_duplicate(share: float) -> None:
    assert judged(briefs.MINE, (briefs.MINE[0], briefs.cut(briefs.MINE[1], share))).relation == "duplicate"


def test_an_update_with_a_new_lead_is_a_duplicate() -> None:
    update = f"Divers sealed the leak on Thursday, the owner said. {briefs.FERRY[1]}"
    assert judged(briefs.FERRY, ("Ferry off Halmeer: leak sealed", update)).relation == "duplicate"


def test_templated_briefs_of_different_weeks_are_not_duplicates() -> None:
    one, other = briefs.weekly(12, 312.5, 248.0, 271.5), briefs.weekly(13, 305.0, 251.5, 266.0)
    assert judged(one, other).relation != "duplicate"
    assert judged(one, briefs.weekly(12, 312.5, 248.0, 271.5)).relation == "duplicate"


@given(st.text(max_size=120), st.text(max_size=120), st.text(max_size=120))
def test_judging_is_symmetric(headline: str, one: str, other: str) -> None:
    a, b = profile(headline, one), profile(headline, other)
    there, back = judge(a, b), judge(b, a)
    assert there.relation == back.relation
    assert there.score == pytest.approx(back.score)
    assert there.cosine == pytest.approx(back.cosine)


@given(st.text(min_size=1, max_size=200))
def test_a_text_is_like_itself(text: str) -> None:
    own = profile("", text)
    found = judge(own, own)
    assert found.cosine == pytest.approx(1.0 if own.kinds else 0.0, abs=0.01)


@pytest.mark.parametrize("text", ["", "  ", "…", "Two words", "?"])
def test_texts_with_next_to_nothing_in_them_are_judged(text: str) -> None:
    assert judged(("", text), briefs.FERRY).relation is None
    assert judged(("", ""), ("", text)).relation in (None, "duplicate")


def test_five_megabytes_are_judged_by_their_beginning() -> None:
    long = briefs.FERRY[1] + " And so on and so forth." * 200_000
    own = profile(briefs.FERRY[0], long)
    assert own.size < 50_000
    assert judge(own, profile(*briefs.MINE)).relation is None


def test_a_text_in_two_scripts_keeps_the_names_of_both() -> None:
    names = signature("", "Сустрэча ў Мінску: як сказаў Ігар Новік, the mayor of Port Ersk agreed.", "be").names
    assert {"Мінску", "Ігар Новік", "Port Ersk"} <= set(names)


def test_names_are_told_from_capitals_at_the_start_of_sentences() -> None:
    found = signature("", "Nobody came. Everybody stayed with Marta Oleander in Orvany. Nobody left Orvany.", "en")
    assert found.names == ("Orvany", "Marta Oleander")


def test_a_headline_in_capitals_makes_no_names() -> None:
    assert (
        "loses"
        not in " ".join(signature("BANK LOSES MILLIONS IN ORVANY", "The bank in Orvany lost it.", "en").names).lower()
    )


def test_numbers_keep_their_marks() -> None:
    assert signature("", "Up 3.5 per cent to 1,200 and then 3.5 again", "en").numbers == ("3.5", "1,200")


def test_common_words_weigh_less_than_rare_ones_even_in_an_empty_store() -> None:
    weights = salient(profile("", "the said would tailings tailings", "en"))
    by_term = {term: weights.get(fingerprints.term_hash(term), 0.0) for term in ("the", "said", "tailings")}
    assert by_term["tailings"] > 3 * max(by_term["the"], by_term["said"])


def test_what_is_common_in_the_store_weighs_less() -> None:
    sig, hashes = signature("", "kirrow tailings", "en"), fingerprints.shingles("kirrow tailings")
    weights = salient(similarity.weigh(sig, {"kirrow": 40}, 50, hashes))
    assert weights[fingerprints.term_hash("kirrow")] < weights[fingerprints.term_hash("tailings")]


def test_salient_terms_are_the_heaviest() -> None:
    own = profile(*briefs.MINE)
    few, many = salient(own, 5), salient(own, 40)
    assert list(many)[:5] == list(few)
    assert list(many.values()) == sorted(many.values(), reverse=True)


def test_a_dense_field_asks_for_more() -> None:
    own, other = profile(*briefs.MINE), profile(*briefs.MINE_AGAIN)
    crowd = [profile(briefs.MINE[0] + f" {n}", briefs.MINE[1]) for n in range(5)]
    alone = similarity.compare(own, [other], {})[0]
    crowded = similarity.compare(own, [other, *crowd], {})[0]
    assert crowded.score < alone.score


def test_profiles_survive_the_store() -> None:
    own = profile(*briefs.FERRY)
    assert similarity.from_bytes(similarity.to_bytes(own)) == own
    with pytest.raises(msgspec.DecodeError):
        similarity.from_bytes(b"no profile")


def test_no_candidates_no_judgements() -> None:
    assert similarity.compare(profile(*briefs.FERRY), [], {}) == []


def test_short_templates_with_another_number_are_no_copies() -> None:
    paid = (
        "Mthly div {0} cts vs {0} cts prior. Pay March 31, record March 16. Note: Harbour Coastal Insured Income Fund."
    )
    one, other = (profile("Harbour Coastal sets payout", paid.format(cents)) for cents in ("7.1", "6.4"))
    assert judge(one, other).relation == "same_story"
    assert judge(one, one).relation == "duplicate"


def test_a_frame_filled_with_other_names_and_numbers_is_no_copy() -> None:
    frame = (
        "The {0} bank said it lent the money market {1} mln crowns in the morning session. This compares with its forecast "
        "of a shortage of around {2} mln crowns. The bank bought bills outright at {3} pct, and dealers expect it to enter "
        "the market again in the afternoon under the usual conditions, a spokesman for the {0} bank said."
    )
    one, other = (profile("", frame.format(*fill)) for fill in (("Orvany", 37, 700, 10.4), ("Halmeer", 24, 500, 10.9)))
    assert judge(one, other).relation != "duplicate"
    assert judge(one, one).relation == "duplicate"


def test_an_edited_text_counts_as_a_copy_only_near_its_original() -> None:
    whole, edited = profile(*briefs.FERRY), profile("", briefs.cut(briefs.FERRY[1], 0.8) + " " + briefs.MINE[1][:300])
    shared = similarity.wording(whole, edited)
    assert shared.contained < 0.85
    near, far = (similarity.compare(whole, [edited], {}, apart=[days])[0].relation for days in (0, 7))
    assert near == "duplicate"
    assert far != "duplicate"


def test_names_tell_little_while_few_articles_are_counted() -> None:
    sig, hashes = signature("", "the tailings at Kirrow", "en"), fingerprints.shingles("the tailings at Kirrow")
    early, late = (salient(similarity.weigh(sig, {}, total, hashes)) for total in (0, 20_000))
    name = fingerprints.term_hash("kirrow")
    assert early[name] < late[name]
