"""Marks, HTML and Markdown: whatever words and marks an article holds, readers see the same words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree, html
from markdown_it import MarkdownIt

from services.publish.render import render
from services.publish.render.html import block_html, sanitised
from services.publish.render.inline import paragraphs, sound, steps
from services.publish.render.markdown import write as markdown
from services.publish.render.shapes import printable
from shared.records import Heading, ListBlock, Mark, Paragraph, Quote
from tests.publish.records import event

KINDS = ["strong", "em", "link", "code", "sub", "sup", "strike", "underline", "blink"]
MARKS = st.lists(
    st.builds(
        Mark,
        st.integers(-2, 20),
        st.integers(-2, 20),
        st.sampled_from(KINDS),
        st.sampled_from([None, "https://a.example/x?y=(1)", "javascript:alert(1)", "mailto:desk@a.example"]),
    ),
    max_size=5,
).map(tuple)
AWKWARD = st.text(alphabet="ab1 -+*_`[](){}<>&#!|~=:.\\\n\"'\u00a0яЯ", max_size=20)


def words_of(markup: str) -> str:
    root: Any = html.fromstring(f"<div>{markup}</div>")
    return "".join(str(text) for text in root.itertext())


def flat(text: str) -> str:
    return "".join(text.split())


@given(st.text(max_size=20), MARKS)
def test_steps_nest_and_print_every_word_once(text: str, marks: tuple[Mark, ...]) -> None:
    stack: list[Mark] = []
    printed = ""
    for step in steps(text, marks):
        if step.kind == "text":
            printed += step.words
            assert {mark.kind for mark in stack} == {
                mark.kind for mark in marks if mark.start < len(printed) and len(printed) - 1 < mark.end and step.words
            } or not step.words
        elif step.kind == "open":
            assert step.mark is not None
            assert step.mark.kind not in {mark.kind for mark in stack}
            stack.append(step.mark)
        else:
            assert stack.pop() == step.mark
    assert printed == text
    assert stack == []


@given(st.text(max_size=20), MARKS)
def test_sound_marks_stay_sound(text: str, marks: tuple[Mark, ...]) -> None:
    kept = sound(text, marks)
    assert sound(text, tuple(kept)) == kept
    assert all(0 <= mark.start < mark.end <= len(text) for mark in kept)


@given(st.text(alphabet="ab \n\t", max_size=20))
def test_paragraphs_lose_nothing_but_blank_lines(text: str) -> None:
    pieces = paragraphs(text, (Mark(0, len(text), "em"),))
    assert flat("".join(piece for piece, _ in pieces)) == flat(text)
    for piece, marks in pieces:
        assert [(mark.start, mark.end) for mark in marks] == ([(0, len(piece))] if piece else [])


@given(st.text(max_size=40), MARKS)
def test_html_shows_the_words_of_any_paragraph(text: str, marks: tuple[Mark, ...]) -> None:
    shown = words_of(sanitised(block_html(Paragraph(text, marks))))
    assert flat(shown) == flat(printable(text))


@pytest.mark.parametrize("make", [Paragraph, Heading, Quote])
@given(text=AWKWARD, marks=MARKS)
def test_markdown_shows_the_words_of_any_block(make: Any, text: str, marks: tuple[Mark, ...]) -> None:
    block = Heading(text, 3, marks) if make is Heading else make(text, marks=marks)
    check_markdown(block, text)


@given(st.lists(AWKWARD.filter(str.strip), min_size=1, max_size=3), st.booleans())
def test_markdown_shows_the_words_of_any_list(items: list[str], ordered: bool) -> None:
    shown = check_markdown(ListBlock(ordered, tuple(items)), "".join(items))
    assert shown.count("<li>") == len(items)


def check_markdown(block: Any, text: str) -> str:
    source = markdown(event(blocks=(block, Paragraph("END")), lead=None, images=(), related=())).decode()
    shown: str = MarkdownIt("commonmark", {"html": True}).enable("table").render(source)
    body = words_of(shown).split("A. Reporter", 1)[1].split("END", 1)[0]
    assert flat(body) == flat(text)
    return shown


def test_marks_as_html_and_markdown() -> None:
    text = "Fares rise by a tenth, says the board (again)."
    marks = (
        Mark(0, 5, "strong"),
        Mark(14, 21, "em"),
        Mark(28, 37, "link", "https://a.example/b_c?d=(e)"),
        Mark(38, 45, "em"),
    )
    body = event(blocks=(Paragraph(text, marks),), lead=None)
    assert (
        '<p><strong>Fares</strong> rise by <em>a tenth</em>, says <a href="https://a.example/b_c?d=(e)">the board</a>'
        " <em>(again)</em>.</p>"
    ) in render("html", body).body.decode()
    assert ("**Fares** rise by *a tenth*, says [the board](<https://a.example/b_c?d=(e)>) <em>(again)</em>.") in render(
        "markdown", body
    ).body.decode()


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_a_paragraph_with_tens_of_thousands_of_marks_is_rendered(name: str) -> None:
    text = "Жabc " * 20_000
    marks = tuple(Mark(at, at + 7, KINDS[at % len(KINDS)], "https://a.example/") for at in range(0, 99_990, 5))
    body = render(name, event(blocks=(Paragraph(text, marks),), lead=None)).body.decode()
    assert body.count("Ж") == 20_000


def test_a_link_that_would_run_a_script_is_words_only() -> None:
    body = event(blocks=(Paragraph("Click here", (Mark(6, 10, "link", "javascript:alert(1)"),)),), lead=None)
    assert "<p>Click here</p>" in render("html", body).body.decode()
    assert "\nClick here\n" in render("markdown", body).body.decode()


def test_html_is_one_whole_page() -> None:
    root = etree.fromstring(render("html", event()).body, parser=etree.HTMLParser(recover=False))
    assert [root.findtext(".//title"), root.findtext(".//h1")] == ["Ferry fares rise in May"] * 2
    assert root.get("lang") == "en"
    assert root.find(".//link[@rel='canonical']") is not None
