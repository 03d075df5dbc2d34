"""A draft in, a plain HTML page out: what the engine must read back as the same draft."""

from __future__ import annotations

from html import escape

from shared.records import Block, Code, Draft, Embed, Heading, ListBlock, Mark, Paragraph, Quote, Table

_TAGS = {"strong": "strong", "em": "em", "code": "code", "sub": "sub", "sup": "sup", "strike": "s", "underline": "u"}


def html_of(found: Draft) -> bytes:
    """The record as a page of the plainest kind."""
    body = "\n".join(map(block_html, found.blocks))
    url = escape(found.canonical_url or "")
    date = f'<time datetime="{found.published.utc}">{found.published.utc}</time>' if found.published else ""
    return (
        f'<!doctype html><html lang="{found.language or "en"}"><head><meta charset="utf-8"><title>{escape(found.headline or "")}'
        f'</title><link rel="canonical" href="{url}"></head><body><article><h1>{escape(found.headline or "")}</h1>{date}\n'
        f"<div class='body'>{body}</div></article></body></html>"
    ).encode()


def block_html(block: Block) -> str:
    """One block."""
    match block:
        case Paragraph():
            return f"<p>{marked(block.text, block.marks)}</p>"
        case Heading():
            return f"<h{block.level}>{marked(block.text, block.marks)}</h{block.level}>"
        case ListBlock():
            return _list(block)
        case Quote():
            return (
                "<blockquote>"
                + "".join(f"<p>{escape(part)}</p>" for part in block.text.split("\n\n"))
                + "</blockquote>"
            )
        case Code():
            return f"<pre>{escape(block.text)}</pre>"
        case Table():
            rows = (("th" if number < block.header else "td", row) for number, row in enumerate(block.rows))
            return (
                "<table>"
                + "".join("<tr>" + "".join(f"<{t}>{escape(c)}</{t}>" for c in r) + "</tr>" for t, r in rows)
                + "</table>"
            )
        case Embed():
            return f'<iframe src="{escape(block.url)}"></iframe>'


def _list(block: ListBlock) -> str:
    tag = "ol" if block.ordered else "ul"
    inner = {
        n: "".join(_list(nested.list) for nested in block.nested if nested.item == n) for n in range(len(block.items))
    }
    marks = block.marks or ((),) * len(block.items)
    items = (f"<li>{marked(t, m)}{inner[n]}</li>" for n, (t, m) in enumerate(zip(block.items, marks, strict=True)))
    return f"<{tag}>{''.join(items)}</{tag}>"


def marked(text: str, marks: tuple[Mark, ...]) -> str:
    """Text with its marks as elements; marks here never cross."""
    out, at = "", 0
    for mark in marks:
        if mark.start < at:
            continue
        tag = _TAGS.get(mark.kind)
        begin = f"<{tag}>" if tag else f'<a href="{escape(mark.href or "")}">'
        out += escape(text[at : mark.start]) + begin + escape(text[mark.start : mark.end]) + f"</{tag or 'a'}>"
        at = mark.end
    return (out + escape(text[at:])).replace("\n", "<br>")
