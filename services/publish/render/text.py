"""Plain text as a desk reads it: headline, status, date, body, then the publisher's related articles printed alike.

What the page printed stays verbatim; the only things added are labels at the start of a line.
"""

from __future__ import annotations

from collections.abc import Iterator

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
)
from shared.records import (
    Article,
    Block,
    Code,
    Embed,
    Heading,
    Image,
    ListBlock,
    Moment,
    Paragraph,
    Quote,
    Related,
    Snapshot,
    Table,
)


def write(event: RenderInput) -> bytes:
    """The article as UTF-8 text, sections parted by blank lines."""
    article = outward(event)
    parts = [title(event) if event.withdrawn else article.headline]
    if event.withdrawn:
        parts.append(WITHDRAWN_NOTICE)
    parts += [_heading(article), lead_apart(article) or "", *_body(article.blocks, article.images)]
    parts += [*_related(article.related), _foot(article)]
    return (printable("\n\n".join(part for part in parts if part)) + "\n").encode()


def _heading(article: Article) -> str:
    lines = []
    label = status_label(article)
    if label:
        lines.append(label)
        if article.category_status.value != "unknown":
            lines.append(f"[{article.category_status.value}]")
    lines += _date(article.published)
    lines += [f"Updated: {line}" for line in _date(article.modified)]
    if article.authors:
        lines.append(f"By {', '.join(article.authors)}")
    return "\n".join(lines)


def _date(moment: Moment | None) -> list[str]:
    return [moment.raw] if moment else []


def _foot(article: Article) -> str:
    lines = [
        ("Section", article.section),
        ("Tags", ", ".join(article.tags)),
        ("Source", article.site_name or article.source),
        ("Link", article.url),
    ]
    return "\n".join(f"{name}: {value}" for name, value in lines if value)


def _body(blocks: tuple[Block, ...], images: tuple[Image, ...]) -> Iterator[str]:
    for one in placed(blocks, images):
        yield _image(one) if isinstance(one, Image) else _block(one)


def _block(block: Block) -> str:
    match block:
        case Paragraph(text=text) | Heading(text=text) | Code(text=text):
            return text
        case ListBlock():
            return "\n".join(_items(block, ""))
        case Quote(text=text, cite=cite):
            lines = [*text.split("\n"), *([f"— {cite}"] if cite else [])]
            return "\n".join(f"> {line}".rstrip() for line in lines)
        case Table(rows=rows, caption=caption):
            return "\n".join([*([caption] if caption else []), *(" | ".join(row) for row in rows)])
        case Embed(url=url, text=text):
            return f"{text}\n{url}" if text else url


def _items(block: ListBlock, indent: str) -> Iterator[str]:
    for number, item in enumerate(block.items):
        sign = f"{number + 1}. " if block.ordered else "- "
        yield indent + sign + item.replace("\n", "\n" + indent + " " * len(sign))
        for nested in block.nested:
            if nested.item == number:
                yield from _items(nested.list, indent + " " * len(sign))


def _image(image: Image) -> str:
    first = image.credit or image.alt or image.url
    return "\n".join([f"Image: {first}", *(line for line in (image.caption, image.rights) if line)])


def _related(related: tuple[Related, ...]) -> Iterator[str]:
    for heading, one in headed(related):
        yield heading or ""
        if one.snapshot:
            yield from _snapshot(one.snapshot)
        if one.target and not (one.snapshot and one.snapshot.blocks):
            yield one.target


def _snapshot(snapshot: Snapshot) -> Iterator[str]:
    yield "\n".join([snapshot.headline, *_date(snapshot.published)])
    yield from _body(snapshot.blocks, snapshot.images)
    if snapshot.lead and not snapshot.blocks:
        yield snapshot.lead


FORMAT = Format(
    "text",
    "text/plain; charset=utf-8",
    "txt",
    write,
    ("language", "revision", "images.url", "images.alt", *PROVENANCE, *FINDINGS),
)
