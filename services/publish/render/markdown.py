"""Markdown (CommonMark with tables): what a page builder or an editor takes.

Words are escaped so that none of them turns into markup, whatever they start with.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from html import escape

from services.publish.render.html import link_target
from services.publish.render.inline import TAGS, paragraphs, sound, steps
from services.publish.render.shapes import (
    FINDINGS,
    PROVENANCE,
    WITHDRAWN_NOTICE,
    Format,
    RenderInput,
    headed,
    lead_apart,
    outward,
    placed,
    printable,
    status_label,
    title,
    web_url,
)
from shared.records import (
    Article,
    Block,
    Code,
    Embed,
    Heading,
    Image,
    ListBlock,
    Mark,
    Paragraph,
    Quote,
    Related,
    Snapshot,
    Table,
)

_SPECIAL = re.compile(r"[\\`*_\[\]<>&~|#!]")
_LINE_START = re.compile(r"^([ \t]*)(?:([-+=:])|(\d{1,9})([.)]))", re.MULTILINE)
_SIGNS = {"strong": "**", "em": "*"}


def write(event: RenderInput) -> bytes:
    """The article as UTF-8 Markdown."""
    article = outward(event)
    parts = [f"# {_line(title(event))}"]
    if event.withdrawn:
        parts.append(_words(WITHDRAWN_NOTICE))
    parts += [*_heading(article), _words(lead_apart(article) or ""), *_body(article.blocks, article.images)]
    parts += [*_related(article.related), *_foot(article)]
    return ("\n\n".join(part for part in parts if part) + "\n").encode()


def _heading(article: Article) -> Iterator[str]:
    label = status_label(article)
    if label:
        yield f"{_words(label)} {article.category_status.value}"
    if article.published:
        yield _words(article.published.raw)
    if article.modified:
        yield f"Updated: {_line(article.modified.raw)}"
    if article.authors:
        yield f"By {_line(', '.join(article.authors))}"


def _foot(article: Article) -> Iterator[str]:
    if article.section:
        yield f"Section: {_line(article.section)}"
    if article.tags:
        yield f"Tags: {_line(', '.join(article.tags))}"
    yield f"Source: {_link(web_url(article.url), article.site_name or article.source)}"


def _body(blocks: tuple[Block, ...], images: tuple[Image, ...]) -> Iterator[str]:
    previous: Block | Image | None = None
    for one in placed(blocks, images):
        if isinstance(previous, ListBlock) and isinstance(one, ListBlock):
            yield "<!-- -->"  # two lists in a row would run into one
        yield _image(one) if isinstance(one, Image) else _block(one)
        previous = one


def _block(block: Block) -> str:
    match block:
        case Paragraph(text=text, marks=marks):
            return _marked(text, marks)
        case Heading(text=text, level=level, marks=marks):
            return f"{'#' * min(max(level, 2), 6)} {_marked(text, marks, one_line=True)}"
        case ListBlock():
            return "\n".join(_items(block, ""))
        case Quote():
            return _quote(block)
        case Code(text=text):
            return _fenced(printable(text))
        case Table():
            return _table(block)
        case Embed(url=url, text=text):
            return _link(web_url(url), text or url)


def _items(block: ListBlock, indent: str) -> Iterator[str]:
    for number, item in enumerate(block.items):
        sign = f"{number + 1}. " if block.ordered else "- "
        inner = indent + " " * len(sign)
        marks = block.marks[number] if number < len(block.marks) else ()
        yield indent + sign + _marked(item, marks).replace("\n", "\n" + inner)
        for nested in block.nested:
            if nested.item == number:
                yield from _items(nested.list, inner)


def _quote(block: Quote) -> str:
    pieces = [_marked(text, marks) for text, marks in paragraphs(block.text, block.marks)]
    if block.cite:
        pieces.append(f"— {_line(block.cite)}")
    return "\n".join(f"> {line}".rstrip() for line in "\n\n".join(pieces).split("\n"))


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _table(block: Table) -> str:
    width = max((len(row) for row in block.rows), default=0)
    if not width:
        return _words(block.caption or "")
    # The first row of a Markdown table is its head; a table without one gets an empty head.
    rows = list(block.rows) if block.header else [(), *block.rows]
    lines = [_row(row, width) for row in rows]
    lines.insert(1, "| " + " | ".join(["---"] * width) + " |")
    caption = [_words(block.caption), ""] if block.caption else []
    return "\n".join([*caption, *lines])


def _row(cells: tuple[str, ...], width: int) -> str:
    padded = [_line(cell) for cell in cells] + [""] * (width - len(cells))
    return "| " + " | ".join(padded) + " |"


def _image(image: Image) -> str:
    source = web_url(image.url)
    shown = f"![{_line(image.alt or '')}](<{source}>)" if source else ""
    lines = [image.caption, image.credit and f"Image: {image.credit}", image.rights]
    return "\\\n".join([line for line in [shown, *(_line(line) for line in lines if line)] if line])


def _related(related: tuple[Related, ...]) -> Iterator[str]:
    for heading, one in headed(related):
        if heading:
            yield f"## {_line(heading)}"
        if one.snapshot:
            yield from _snapshot(one.snapshot, one.target)
        elif web_url(one.target):
            yield _link(web_url(one.target), one.target or "")


def _snapshot(snapshot: Snapshot, target: str | None) -> Iterator[str]:
    yield f"### {_link(web_url(snapshot.url or target), snapshot.headline)}"
    if snapshot.published:
        yield _words(snapshot.published.raw)
    if snapshot.lead and not snapshot.blocks:
        yield _words(snapshot.lead)
    yield from _body(snapshot.blocks, snapshot.images)


def _link(url: str | None, words: str) -> str:
    return f"[{_line(words)}](<{url}>)" if url else _line(words)


def _marked(text: str, marks: tuple[Mark, ...], *, one_line: bool = False) -> str:
    edges = sorted(edge for mark in sound(text, marks) for edge in (mark.start, mark.end))
    out = []
    for step in steps(text, marks):
        if step.mark is None:
            out.append(_escaped(step.words))
        else:
            out.append(_sign(step.mark, step.kind == "open", _plain_signs(step.mark, text, edges)))
    return _laid_out("".join(out), one_line=one_line)


def _plain_signs(mark: Mark, text: str, edges: list[int]) -> bool:
    """Whether * and ** are sure to be read as meant: round whole words, with no other mark's edge within or beside."""
    inner, before, after = text[mark.start : mark.end], text[mark.start - 1 : mark.start], text[mark.end : mark.end + 1]
    alone = bisect_right(edges, mark.end) - bisect_left(edges, mark.start) == 2
    whole = inner[0].isalnum() and inner[-1].isalnum() and (not before or before.isspace())
    return alone and whole and "\n" not in inner and (not after or after.isspace() or after in ".,;:")


def _sign(mark: Mark, opening: bool, plain: bool) -> str:
    if mark.kind == "link":
        target = link_target(mark)
        if target is None:
            return ""
        return "[" if opening else f"](<{target}>)"
    if plain and mark.kind in _SIGNS:
        return _SIGNS[mark.kind]
    tag = TAGS.get(mark.kind)
    return f"<{'' if opening else '/'}{tag}>" if tag else ""


def _words(text: str) -> str:
    return _laid_out(_escaped(text), one_line=False)


def _line(text: str) -> str:
    return _laid_out(_escaped(text), one_line=True)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(
        lambda found: "\\" + found.group() if found.group() not in "&<" else escape(found.group()), printable(text)
    )


def _laid_out(text: str, *, one_line: bool) -> str:
    """Nothing at the start of a line may begin a list, a heading or indented code; a newline becomes a hard break."""
    if one_line:
        return re.sub(r"\s*\n\s*", " ", text).strip(" \t")
    lines = [line.strip(" \t") for line in text.split("\n")]
    lines = [_LINE_START.sub(_guarded, line) for line in lines if line.strip()]
    return "\\\n".join(lines)


def _guarded(found: re.Match[str]) -> str:
    space, sign, number, dot = found.groups()
    return f"{space}\\{sign}" if sign else f"{space}{number}\\{dot}"


FORMAT = Format(
    "markdown",
    "text/markdown; charset=utf-8",
    "md",
    write,
    ("language", "revision", *PROVENANCE, *FINDINGS),
)
