"""An article for people: its record printed, the rules that gave it explained. Records in, lines on standard output out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from services.console import show
from shared.records import (
    Annotations,
    Article,
    Category,
    CategoryStatus,
    Draft,
    Embed,
    Heading,
    ListBlock,
    Moment,
    Origin,
    Quote,
    Related,
    Table,
    block_text,
)
from shared.text import shorten

_VALUE = 80


def record(article: Article, notes: Annotations | None = None, *, body: bool = True) -> None:
    """Headline, facts and body of a record."""
    show.say(article.headline, style="bold")
    for name, value in facts(article, notes):
        show.out().print(Text.assemble((f"  {name:<12} ", "dim"), show.clean(value)), soft_wrap=True)
    if body:
        show.say("")
        for line in lines(article):
            show.say(line)
        for one in article.related:
            show.say(_related(one))


def facts(article: Article, notes: Annotations | None) -> Iterable[tuple[str, str]]:
    """Name and value of what is known about an article, in a fixed order; what is unknown is said to be."""
    status = article.category_status
    yield "id", f"{article.id} r{article.revision} {article.state}"
    yield "url", article.url or "none"
    yield "source", article.source + (f", item {article.source_item_id}" if article.source_item_id else "")
    yield "published", _moment(article.published)
    if article.modified:
        yield "modified", _moment(article.modified)
    yield "section", article.section or "unknown"
    yield "status", status.value + (f" ({status.evidence})" if status.evidence else "")
    yield "language", f"{article.language or 'unknown'} ({article.language_evidence or 'not looked at yet'})"
    if article.authors:
        yield "authors", ", ".join(article.authors)
    if article.tags:
        yield "tags", ", ".join(article.tags)
    for image in article.images:
        yield (
            "image",
            " · ".join(part for part in (image.url, image.caption, image.credit and f"credit: {image.credit}") if part),
        )
    for category in notes.categories if notes else ():
        yield "suggested" if category.suggestion else "category", _category(category)
    for kind, title in _NAMES:
        named = [f"{one.text} ({one.times})" for one in (notes.names if notes else ()) if one.kind == kind]
        if named:
            yield title, ", ".join(named)
    if notes and notes.story:
        yield "story", notes.story


def lines(article: Article) -> Iterable[str]:
    """The body as text, a blank line after each block."""
    if article.lead and (not article.blocks or block_text(article.blocks[0]) != article.lead):
        yield f"{article.lead}\n"
    for block in article.blocks:
        match block:
            case Heading():
                yield f"{'#' * block.level} {block.text}\n"
            case ListBlock():
                marks = (
                    (f"{n}." for n in range(1, len(block.items) + 1)) if block.ordered else ("-" for _ in block.items)
                )
                yield "\n".join(f"{mark} {item}" for mark, item in zip(marks, block.items, strict=True)) + "\n"
            case Quote():
                yield "\n".join(f"> {line}" for line in block.text.splitlines()) + "\n"
            case Table():
                yield "\n".join(" | ".join(row) for row in block.rows) + "\n"
            case Embed():
                yield f"[{block.provider or 'embedded'}: {block.url}]\n"
            case _:
                yield f"{block_text(block)}\n"


_NAMES = (("person", "people"), ("organisation", "bodies"), ("place", "places"), (None, "other names"))


def _category(one: Category) -> str:
    because = f", because of {', '.join(one.reasons)}" if one.reasons else ""
    return f"{one.label} ({one.scheme}:{one.code}, by {one.method}, {one.score:.2f}{because})"


def _related(one: Related) -> str:
    headline = one.snapshot.headline if one.snapshot else one.target or "?"
    return f"{one.heading or 'Related'} (as the publisher prints it): {headline}\n  {one.target or 'no link'}"


def _moment(at: Moment | None) -> str:
    if at is None:
        return "unknown"
    return f"{at.utc} (printed: {at.raw}; zone {at.zone}, {at.zone_source}; to the {at.precision})"


def _brief(value: Any) -> str:
    """A field's value on one line: moments with their zone and where it came from, blocks by their number."""
    match value:
        case Moment():
            return _moment(value)
        case CategoryStatus():
            return f"{value.value} ({value.evidence or 'no sign'})"
        case tuple() if value and not all(isinstance(one, str) for one in value):
            return f"{len(value)} {'entry' if len(value) == 1 else 'entries'}"
        case tuple():
            return shorten(", ".join(value), _VALUE)
        case _:
            return shorten(str(value or ""), _VALUE)


def _lost(origin: Origin) -> str:
    return shorten("; ".join(f"{lost.rule}: {lost.value}" for lost in origin.lost))


def explanation(found: Draft, profile: str | None) -> None:
    """Each field's value, the rule that gave it and what it was chosen over; what the profile missed, what was left out and why."""
    show.say("")
    show.say(
        f"Profile: {profile or 'none'}. Character set: {found.charset or 'unknown'} ({found.charset_evidence or 'no evidence'})."
    )
    rows = [
        (name, _brief(getattr(found, name, None)), origin.rule, _lost(origin))
        for name, origin in sorted(found.origins.items())
    ]
    if rows:
        show.print_table(("field", "value", "given by", "chosen over"), rows)
    verdict = found.verdict
    said = f" ({verdict.reason})" if verdict.reason else ""
    show.say(
        f"Verdict: {verdict.kind}{said}; access: {verdict.access} ({verdict.access_reason or 'nothing says otherwise'})."
    )
    if found.missed:
        show.say(f"The profile found nothing for: {', '.join(found.missed)}.")
    if found.removed:
        show.print_table(("left out", "why"), [(one.text, one.reason) for one in found.removed])
