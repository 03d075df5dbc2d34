"""What changed between two revisions: the redline and its class."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import changes
from services.ingest.changes import Kind, compare, redline
from shared.records import (
    Article,
    CategoryStatus,
    Heading,
    Image,
    ListBlock,
    Mark,
    Moment,
    Paragraph,
    Quote,
    Related,
    Snapshot,
    Table,
)

BODY = (
    "The government approved the budget on Monday. Ministers will receive the funds from the state bank.",
    "Growth of the economy reached 3 percent in the second quarter, the finance ministry said, and officials "
    "called the reform legal and necessary for the country.",
    "Anna Karal, who leads the opposition, did not attend the session.",
)


def article(*paragraphs: str, headline: str = "Budget passes", lead: str | None = None) -> Article:
    return Article(
        id="art_1",
        source="gazette",
        source_item_id=None,
        url="https://gazette.example/1",
        requested_url=None,
        final_url=None,
        revision=1,
        state="usable",
        content_hash="0" * 64,
        headline=headline,
        language="en",
        language_evidence=None,
        authors=("Ada Wren",),
        published=Moment("May 14, 2024", "2024-05-14T00:00:00+00:00", "UTC", "assumed", "day"),
        modified=None,
        section="Economy",
        category_status=CategoryStatus("improved", evidence="class status-up"),
        lead=lead,
        blocks=tuple(Paragraph(text) for text in paragraphs or BODY),
        images=(),
        tags=(),
        related=(),
    )


OLD = article()


def edited(find: str, put: str) -> Article:
    assert any(find in text for text in BODY)
    return article(*(text.replace(find, put, 1) for text in BODY))


def kind_of(new: Article, old: Article = OLD) -> Kind:
    return compare(old, new).kind


# The class


def test_the_same_article_has_not_changed() -> None:
    same = compare(OLD, article())
    assert (same.kind, same.redline, same.fields, same.kept) == ("none", (), (), 1.0)


def test_what_is_printed_beside_the_article_does_not_count() -> None:
    related = Related("publisher_similar", "Similar", 1, "https://gazette.example/2", Snapshot("Other story"))
    new = msgspec.structs.replace(OLD, related=(related,), revision=2, content_hash="1" * 64)
    assert kind_of(new) == "none"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("receive", "recieve"),
        ("economy", "ecnomy"),
        ("opposition", "oppositoin"),
        ("quarter, the", "quarter the"),
        ("the session", "the the session"),
        ("state bank", "statebank"),
    ],
)
def test_slips_are_typos_in_both_directions(wrong: str, right: str) -> None:
    assert kind_of(edited(wrong, right)) == "typo"
    assert kind_of(OLD, edited(wrong, right)) == "typo"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("3 percent", "4 percent"),
        ("3 percent", "3.1 percent"),
        ("3 percent", "-3 percent"),
        ("3 percent", "3% percent"),
        ("Monday", "Sunday"),
        ("Monday", "monday"),
        ("Anna Karal", "Anna Koral"),
        ("Anna Karal", "Ana Karal"),
        ("did not attend", "did attend"),
        ("did not attend", "did now attend"),
        ("will receive", "would receive"),
        ("legal", "illegal"),
        ("legal and", "legal or"),
        ("second quarter", "third quarter"),
        ("Growth", "Group"),
        ("approved", "rejected"),
        ("officials", "critics"),
        (", who leads the opposition,", ""),
    ],
)
def test_what_turns_the_meaning_is_substantial_in_both_directions(old: str, new: str) -> None:
    assert kind_of(edited(old, new)) == "substantial"
    assert kind_of(OLD, edited(old, new)) == "substantial"


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("Правительство утвердило бюджет на год и выделило деньги.", "Правительство утвердило бюжет на год и выделило деньги.", "typo"),
        ("Расходы выросли на пять миллионов рублей за год.", "Расходы выросли на пять миллиардов рублей за год.", "substantial"),
        ("Встреча пройдёт в июне, сообщили в ведомстве.", "Встреча пройдёт в июле, сообщили в ведомстве.", "substantial"),
        ("Решение суда признано законным по всем пунктам.", "Решение суда признано незаконным по всем пунктам.", "substantial"),
        ("Урад не падтрымаў праект закона аб адукацыі.", "Урад падтрымаў праект закона аб адукацыі.", "substantial"),
        ("Улады абвясцілі пра новыя выбары ў жніўні.", "Улады абвясцілі пра новыя выбары ў верасні.", "substantial"),
    ],
)  # fmt: skip
def test_cyrillic(old: str, new: str, kind: str) -> None:
    assert kind_of(article(new), article(old)) == kind


def test_a_rewritten_body_is_substantial() -> None:
    changed = compare(OLD, article("Quite another text about the harbour.", "And a second paragraph on ferries."))
    assert changed.kind == "substantial"
    assert changed.kept < 0.5


def test_many_slips_together_are_a_rewrite() -> None:
    words = [f"wordform{chr(97 + n)}" for n in range(20)]
    assert kind_of(article(" ".join(word + "x" for word in words)), article(" ".join(words))) == "substantial"


def test_a_new_headline() -> None:
    new = article(headline="Budget fails")
    found = compare(OLD, new)
    assert (found.kind, found.fields) == ("headline", ("headline",))
    assert kind_of(edited("receive", "recieve"), new) == "headline"
    assert kind_of(edited("3 percent", "5 percent"), new) == "substantial"


@pytest.mark.parametrize(
    "note",
    [
        "Correction: an earlier text gave a wrong sum.",
        "CORRECTION (May 15) - the sum was wrong.",
        "An earlier version of this article misstated the sum.",
        "This story was corrected to give the right sum.",
        "Исправлено: сумма указана верно.",
        "Удакладненне: сума была іншай.",
        "Виправлено: сума інша.",
    ],
)
def test_a_printed_correction(note: str) -> None:
    new = article(*BODY[:1], BODY[1].replace("3 percent", "4 percent"), BODY[2], note)
    found = compare(OLD, new)
    assert (found.kind, found.note) == ("correction", note)
    assert found.numbers[:2] == ("3", "4")


@pytest.mark.parametrize("text", ["The house of correction burnt down.", "Corrections officers went on strike today."])
def test_the_word_correction_alone_is_none(text: str) -> None:
    assert kind_of(article(*BODY, text)) == "substantial"


def test_a_note_that_stood_there_before_is_no_new_correction() -> None:
    old = article(*BODY, "Correction: the sum was wrong.")
    new = article(*(text.replace("receive", "recieve") for text in BODY), "Correction: the sum was wrong.")
    assert kind_of(new, old) == "typo"


@pytest.mark.parametrize(
    "new",
    [
        article(*(text.replace(" ", "\u00a0") for text in BODY)),
        msgspec.structs.replace(OLD, tags=("budget",)),
        msgspec.structs.replace(OLD, images=(Image("https://gazette.example/1.jpg"),)),
        msgspec.structs.replace(OLD, blocks=(Paragraph(BODY[0], (Mark(0, 3, "strong"),)), *OLD.blocks[1:])),
        msgspec.structs.replace(OLD, blocks=(Heading(BODY[0]), *OLD.blocks[1:])),
        msgspec.structs.replace(OLD, category_status=CategoryStatus("improved", evidence="icon up.svg")),
    ],
)
def test_cosmetic_changes(new: Article) -> None:
    assert kind_of(new) == "cosmetic"


@pytest.mark.parametrize(
    ("field", "value"),
    [("section", "Politics"), ("category_status", CategoryStatus("worsened")), ("authors", ("Tom Larch",))],
)
def test_weighty_fields_are_substantial(field: str, value: object) -> None:
    found = compare(OLD, msgspec.structs.replace(OLD, **{field: value}))
    assert (found.kind, found.fields) == ("substantial", (field,))


def test_numbers_and_names_are_listed() -> None:
    found = compare(OLD, edited("Anna Karal, who leads the opposition", "Ivan Bely, with 12 others"))
    assert {"Anna", "Karal", "Ivan", "Bely"} <= set(found.names)
    assert found.numbers == ("12",)


def test_every_kind_of_block_is_compared() -> None:
    def built(word: str) -> Article:
        blocks = (ListBlock(False, ("one item", word)), Quote(f"They said {word}"), Table((("cell", word),)))
        return msgspec.structs.replace(OLD, blocks=blocks)

    found = compare(built("maybe"), built("certainly"))
    assert found.kind == "substantial"
    assert sum(text.count("certainly") for op, text in found.redline if op == "ins") == 3


def test_a_lead_that_the_body_does_not_print_is_compared() -> None:
    assert kind_of(article(lead="A new lead in brief."), article(lead="A lead.")) == "substantial"
    assert kind_of(article(lead=BODY[0])) == "cosmetic"


def test_a_page_that_turned_into_something_else() -> None:
    other = article("Sign in to read.", headline="Welcome to our shop")
    assert changes.another_article(compare(OLD, other))
    assert not changes.another_article(compare(OLD, article(headline="Welcome to our shop")))
    assert not changes.another_article(compare(OLD, edited("approved", "rejected")))


# The redline


def test_a_replaced_phrase_is_one_piece() -> None:
    assert redline("He went to old town hall today.", "He went to new city hall today.") == (
        ("same", "He went to "),
        ("del", "old town"),
        ("ins", "new city"),
        ("same", " hall today."),
    )


def test_scattered_changes_are_found_one_by_one() -> None:
    words = [f"word{number}" for number in range(400)]
    old, new = " ".join(words), " ".join("other" if number % 40 == 7 else word for number, word in enumerate(words))
    assert [text for op, text in redline(old, new) if op == "ins"] == ["other"] * 10


def test_only_the_changed_paragraph_is_marked() -> None:
    line = redline("\n\n".join(BODY), "\n\n".join([BODY[0], "A new one.", BODY[2]]))
    assert line[0] == ("same", BODY[0] + "\n\n")
    assert line[-1][1].endswith(BODY[2])


def test_texts_of_two_words_end_in_time() -> None:
    old, new = ("ab " * 4000, "ba ab " * 2000)
    assert changes.before(redline(old, new)) == old


TEXTS = st.text(st.sampled_from("ab .,\n\u00a0Я5'’-"), max_size=40)


@given(TEXTS, TEXTS)
def test_applying_the_redline_gives_either_text(old: str, new: str) -> None:
    line = redline(old, new)
    assert changes.before(line) == old
    assert changes.after(line) == new
    assert all(text for _, text in line)
    assert all(first[0] != second[0] for first, second in itertools.pairwise(line))


@given(TEXTS)
def test_equal_texts_have_no_change(text: str) -> None:
    assert redline(text, text) == ((("same", text),) if text else ())


@given(st.lists(st.sampled_from(BODY), max_size=4), st.lists(st.sampled_from(BODY), max_size=4))
def test_the_redline_of_articles_gives_their_texts(before: list[str], after: list[str]) -> None:
    old, new = article(*before, headline="A"), article(*after, headline="B")
    found = compare(old, new)
    assert changes.before(found.redline) == changes.text_of(old)
    assert changes.after(found.redline) == changes.text_of(new)
    assert 0.0 <= found.kept <= 1.0


@given(st.sampled_from(BODY), st.integers(0, 40), st.sampled_from(["7", "2019", "Minsk", "Karal"]))
def test_a_number_or_name_that_comes_or_goes_is_never_a_typo(text: str, place: int, token: str) -> None:
    words = text.split()
    longer = " ".join([*words[:place], token, *words[place:]])
    assert kind_of(article(longer), article(text)) == "substantial"
    assert kind_of(article(text), article(longer)) == "substantial"


def test_long_and_different_texts_end_in_time() -> None:
    old, new = (" ".join(f"{letter}{number}" for number in range(6000)) for letter in "ab")
    line = redline(old, new)
    assert line == (("del", old), ("ins", new))
    assert compare(article(old), article(new)).kind == "substantial"
