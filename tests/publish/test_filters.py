"""The filter language: what matches, where it fails to parse, and the algebra of parsing, formatting and explaining."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from services.publish.filters import (
    FIELDS,
    OPERATORS,
    And,
    Backtest,
    Clause,
    Everything,
    Facts,
    Filter,
    FilterError,
    Kind,
    Not,
    Operator,
    Or,
    Value,
    backtest,
    compile_filter,
    explain,
    facts_of,
    fields,
    format_filter,
    matches,
    nearest_miss,
    parse,
)
from shared.records import Paragraph
from tests.publish.records import ANNOTATIONS, AT, event

FACTS = Facts(
    source="harbour",
    section="Belarus\u00a0– “West”",
    language="en",
    status="worsened",
    kind="updated",
    headline="Harbour board’s award for economists",
    text="Harbour board’s award for economists. Паромы подорожали; fares rise by 10%.",
    tags=("ferries", "Fares"),
    category=("medtop:20000337",),
    category_above=("medtop:20000337", "medtop:10000000"),
    relation=("same_story",),
    words=250,
    age_s=90_000.0,
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        'source = "harbour"',
        'SOURCE = "Harbour" AND NOT words < 100',
        'section = "Belarus – \\"West\\""',
        'language in ("ru", "en") and not words < 100',
        'language != "ru"',
        'status = "worsened"',
        "words >= 250 and words <= 250 and not words > 250",
        "words in (1, 250)",
        "words = 250.0",
        "age > 1d and age < 2d and age <= 25h and age >= 1500m and age = 90000s",
        'tags = "fares"',
        'tags in ("x", "FERRIES")',
        'tags contains "fare*"',
        'tags != "budget"',
        'category = "medtop:20000337"',
        'category under "medtop:10000000"',
        'category under "medtop:20000337"',
        'relation = "same_story"',
        'headline contains "award"',
        'headline contains "econom*"',
        'headline contains "*onomists"',
        'headline contains "board\'s award"',
        'text contains "паром*"',
        'text contains "10%"',
        "backfill = false",
        "story is unknown and section is known and tags is known and author is unknown",
        'not story = "s1"',
        'story != "s1"',
        '(language = "ru" or language = "en") and status = "worsened"',
        'language = "en" or language = "ru" and words < 1',
    ],
)
def test_matches(text: str) -> None:
    assert matches(text, FACTS)


@pytest.mark.parametrize(
    "text",
    [
        'headline contains "war"',
        'headline contains "econom"',
        'section contains "wes"',
        'story = "s1"',
        'story contains "s"',
        'category under "medtop:1000000"',
        'relation in ("duplicate", "related")',
        '(language = "en" or language = "ru") and words < 1',
        'not (language = "en" or words < 1)',
        "revision > 1",
        "not age > 1d",
    ],
)
def test_does_not_match(text: str) -> None:
    assert not matches(text, FACTS)


def test_an_unknown_status_is_unknown_by_either_name() -> None:
    for text in ('status = "unknown"', "status is unknown", "not status is known"):
        assert matches(text, Facts(status="unknown"))
        assert not matches(text, FACTS)
    assert matches("status is unknown", Facts())


def test_a_clause_over_an_unknown_age_is_false() -> None:
    unknown = Facts()
    assert not matches("age < 2d", unknown)
    assert not matches("age >= 2d", unknown)
    assert matches("not age < 2d", unknown)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("language =", "expected a value at column 11"),
        ("words < and", "expected a value, found and at column 9"),
        ('words < "many"', "words is compared with a number, such as 100 at column 9"),
        ("language = 5", 'language is compared with text in double quotes, such as "en" at column 12'),
        ("age < 5", "age is compared with a duration, such as 48h or 7d at column 7"),
        ('backfill = "yes"', "backfill is compared with true or false at column 12"),
        ('language > "en"', "language takes =, !=, in, is known, is unknown, contains, not > at column 10"),
        ('category contains "x"', "category takes =, !=, in, is known, is unknown, under, not contains at column 10"),
        ('langauge = "en"', "no field is called 'langauge' (did you mean language?) at column 1"),
        ('tag = "en"', "no field is called 'tag' (did you mean tags?) at column 1"),
        ('language = "en" language = "ru"', "expected and, or, or the end, found language at column 17"),
        ('(language = "en"', 'expected ")" at column 17'),
        ('language in "en"', 'expected "(", found "en" at column 13'),
        ('language in ("en" "ru")', 'expected ")", found "ru" at column 19'),
        ("language in ()", "expected a value, found ) at column 14"),
        ('language = "en', "a text that is not closed by a quote at column 12"),
        ("language is", "expected known or unknown at column 12"),
        ("language", "expected an operator at column 9"),
        ("and", "expected a field, found and at column 1"),
        ("not", "expected a field at column 4"),
        ("()", "expected a field, found ) at column 2"),
        ("words = 5 & words = 6", "unexpected '&' at column 11"),
        ("words = 5x", "unexpected '5' at column 9"),
        ("(" * 60 + "words = 5" + ")" * 60, "nested too deep at column 42"),
        ("not " * 60 + "words = 5", "nested too deep at column 165"),
        (" " * 10_001, "a filter has at most 10000 characters; this one goes on at column 10001"),
    ],
)
def test_a_filter_that_does_not_parse_shows_the_place(text: str, problem: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert caught.value.what == problem + "."
    line, caret = caught.value.next_step.strip("\n").split("\n")
    shown = len(caret) - 1 - 4
    start = max(0, caught.value.column - 60)
    assert line[4:][shown : shown + 1] == text[start + shown :][:1].replace("\n", " ")
    assert caught.value.code == 2


def test_precedence_and_shape() -> None:
    a, b, c = Clause("words", "=", (1,)), Clause("words", "=", (2,)), Clause("words", "=", (3,))
    assert parse("words=1 or words=2 and not words=3") == Or((a, And((b, Not(c)))))
    assert parse("words=1 and words=2 and words=3") == And((a, b, c))
    assert parse("words=1 and (words=2 and words=3)") == And((a, And((b, c))))
    assert parse("") == Everything


TEXT_VALUES = st.text(max_size=12)
NUMBERS = st.one_of(st.integers(0, 10**9), st.integers(0, 10**6).map(lambda number: number / 64))
VALUES: dict[Kind, st.SearchStrategy[Value]] = {
    "text": TEXT_VALUES,
    "words": TEXT_VALUES,
    "list": TEXT_VALUES,
    "codes": TEXT_VALUES,
    "number": NUMBERS.map(lambda number: int(number) if float(number).is_integer() else number),
    "duration": NUMBERS.map(lambda number: int(number) if float(number).is_integer() else number),
    "flag": st.booleans(),
}


@st.composite
def clauses(draw: st.DrawFn) -> Clause:
    name = draw(st.sampled_from(sorted(FIELDS)))
    kind = FIELDS[name].kind
    sign: Operator = draw(st.sampled_from(OPERATORS[kind]))
    if sign in ("is known", "is unknown"):
        return Clause(name, sign)
    least, most = (1, 3) if sign == "in" else (1, 1)
    return Clause(name, sign, tuple(draw(st.lists(VALUES[kind], min_size=least, max_size=most))))


def grown(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(inner.map(Not), several.map(And), several.map(Or))


FILTERS: st.SearchStrategy[Filter] = st.recursive(clauses(), grown, max_leaves=8)


@st.composite
def some_facts(draw: st.DrawFn) -> Facts:
    texts = st.one_of(st.none(), TEXT_VALUES)
    several = st.lists(TEXT_VALUES, max_size=2).map(tuple)
    return Facts(
        source=draw(TEXT_VALUES),
        section=draw(texts),
        story=draw(texts),
        headline=draw(TEXT_VALUES),
        tags=draw(several),
        category=draw(several),
        words=draw(st.integers(0, 1000)),
        age_s=draw(st.one_of(st.none(), st.floats(0, 10**7))),
        backfill=draw(st.booleans()),
    )


@given(FILTERS)
def test_parsing_what_was_formatted_gives_the_same_filter(filter_: Filter) -> None:
    assert parse(format_filter(filter_)) == filter_


@given(FILTERS, some_facts())
def test_not_not_changes_nothing_and_de_morgan_holds(filter_: Filter, facts: Facts) -> None:
    result = compile_filter(filter_)(facts)
    assert compile_filter(Not(Not(filter_)))(facts) is result
    assert compile_filter(Not(filter_))(facts) is not result
    other = Clause("words", "<", (500,))
    both = compile_filter(Not(And((filter_, other))))(facts)
    assert both is compile_filter(Or((Not(filter_), Not(other))))(facts)


@given(FILTERS, some_facts())
def test_explanation_agrees_with_the_filter_and_its_miss_names_a_clause(filter_: Filter, facts: Facts) -> None:
    explained = explain(filter_, facts)
    assert explained.result is compile_filter(filter_)(facts)
    assert bool(nearest_miss(explained)) is not explained.result
    assert all(not clause.parts for clause in nearest_miss(explained))


@given(st.text(max_size=40))
def test_any_text_parses_or_shows_a_place_within_it(text: str) -> None:
    try:
        column = 0 if parse(text) else -1
    except FilterError as error:
        column = error.column
    assert 0 <= column <= len(text) + 1


def test_explanation_names_every_clause_with_value_and_result() -> None:
    explained = explain(parse('language = "en" and not (words > 100 or tags = "x")'), FACTS)
    assert (explained.part, explained.result) == ("and", False)
    language, negated = explained.parts
    assert (language.part, language.value, language.result) == ('language = "en"', "en", True)
    words, tags = negated.parts[0].parts
    assert (negated.part, negated.parts[0].part) == ("not", "or")
    assert (words.part, words.value, words.result) == ("words > 100", 250, True)
    assert (tags.part, tags.value, tags.result) == ('tags = "x"', ("ferries", "Fares"), False)
    assert [clause.part for clause in nearest_miss(explained)] == ["words > 100"]


def test_flipping_one_clause_is_what_the_miss_names() -> None:
    text = 'source = "harbour" and (status = "improved" or words < 200) and language = "en"'
    assert [clause.part for clause in nearest_miss(explain(parse(text), FACTS))] == [
        'status = "improved"',
        "words < 200",
    ]


def test_fields_are_a_schema_that_facts_of_an_article_fit() -> None:
    schema = fields()
    Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == set(FIELDS)
    for name in ("section", "tags", "words", "backfill", "age"):
        assert schema["properties"][name]["description"]
    validator = Draft202012Validator(schema)
    validator.validate({"section": "Economy", "tags": ["a"], "words": 3, "age": "48h", "backfill": False})
    assert not validator.is_valid({"colour": "red"})
    assert not validator.is_valid({"age": "soon"})


def test_facts_of_an_article() -> None:
    facts = facts_of(
        event().article, ANNOTATIONS, "published", AT, {"medtop:20000337": ("medtop:20000538", "medtop:10000000")}
    )
    assert facts.section == "Economy"
    assert facts.category == ("medtop:20000337", "section:economy")
    assert matches('category under "medtop:10000000" and relation = "same_story"', facts)
    assert not matches('category = "medtop:20000344"', facts), "a suggestion is no category yet"
    assert facts.age_s == 615.0
    assert matches('text contains "season ticket" and text contains "Льготный" and status = "worsened"', facts)


def test_facts_of_an_article_without_date_or_body() -> None:
    bare = event(published=None, blocks=(Paragraph("Two words"),), lead=None)
    facts = facts_of(bare.article, bare.annotations, "updated", AT + dt.timedelta(days=1))
    assert (facts.age_s, facts.words, facts.kind) == (None, 2, "updated")


def test_backtest_lists_what_a_change_adds_and_drops() -> None:
    history = [(f"art_{number}", Facts(words=number * 100)) for number in range(6)]
    changed = backtest("words < 300", "words >= 200 and words < 500", history)
    assert changed == Backtest(adds=("art_3", "art_4"), drops=("art_0", "art_1"), both=1, neither=1)
    assert backtest("", "", history) == Backtest(both=6)
    with pytest.raises(FilterError):
        backtest("", "words <", history)
