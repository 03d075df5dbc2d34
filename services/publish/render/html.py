"""HTML: a whole page for one article, and the body alone for the formats that carry HTML inside. Sanitised by nh3."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from html import escape

import nh3

from services.publish.render.inline import TAGS, paragraphs, steps
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
    uri,
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
    Moment,
    Paragraph,
    Quote,
    Related,
    Snapshot,
    Table,
)

ALLOWED_TAGS = {
    *TAGS.values(),
    *("a", "blockquote", "br", "caption", "cite", "div", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6"),
    *("img", "li", "ol", "p", "pre", "table", "tbody", "td", "th", "thead", "time", "tr", "ul"),
}
ALLOWED_ATTRIBUTES = {"a": {"href"}, "img": {"src", "alt"}, "time": {"datetime"}, "p": {"class"}, "div": {"class"}}


def write(event: RenderInput) -> bytes:
    """A page that stands by itself: headline, dates, byline, body, related, and the facts at its foot."""
    article = outward(event)
    language = f' lang="{_attribute(article.language)}"' if article.language else ""
    canonical = web_url(article.url)
    link = f'<link rel="canonical" href="{_attribute(canonical)}">\n' if canonical else ""
    headline = escape(printable(title(event)))
    body = sanitised("".join(_page(article, event)))
    return (
        f'<!DOCTYPE html>\n<html{language}>\n<head>\n<meta charset="utf-8">\n<title>{headline}</title>\n{link}</head>\n'
        f"<body>\n<article>\n{body}</article>\n</body>\n</html>\n"
    ).encode()


def body_html(event: RenderInput) -> str:
    """The article's body and the publisher's related articles as a sanitised fragment, without the headline."""
    article = outward(event)
    if event.withdrawn:
        return sanitised(f"<p>{escape(WITHDRAWN_NOTICE)}</p>\n")
    return sanitised("".join([*_lead(article), *_blocks(article.blocks, article.images), *_related(article.related)]))


def sanitised(markup: str) -> str:
    """The markup with nothing in it but ALLOWED_TAGS, ALLOWED_ATTRIBUTES and web or mail links."""
    return nh3.clean(
        markup,
        tags=ALLOWED_TAGS,
        attributes=ALLOWED_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel=None,
    )


def _page(article: Article, event: RenderInput) -> Iterator[str]:
    yield f"<h1>{_words(title(event))}</h1>\n"
    if event.withdrawn:
        yield f"<p>{escape(WITHDRAWN_NOTICE)}</p>\n"
    label = status_label(article)
    if label:
        yield f'<p class="status">{_words(label)} {article.category_status.value}</p>\n'
    yield from _dated(article.published, "published")
    yield from _dated(article.modified, "modified")
    if article.authors:
        yield f'<p class="byline">{_words(", ".join(article.authors))}</p>\n'
    yield from _lead(article)
    yield from _blocks(article.blocks, article.images)
    yield from _related(article.related)
    yield from _foot(article)


def _foot(article: Article) -> Iterator[str]:
    if article.section:
        yield f'<p class="section">{_words(article.section)}</p>\n'
    if article.tags:
        yield f'<p class="tags">{_words(", ".join(article.tags))}</p>\n'
    name = article.site_name or article.source
    url = web_url(article.url)
    yield f'<p class="source">{_linked(url, name) if url else _words(name)}</p>\n'


def _dated(moment: Moment | None, kind: str) -> Iterator[str]:
    if moment is not None:
        at = moment.at.astimezone(dt.UTC).isoformat()
        yield f'<p class="{kind}"><time datetime="{_attribute(at)}">{_words(moment.raw)}</time></p>\n'


def _lead(article: Article) -> Iterator[str]:
    lead = lead_apart(article)
    if lead:
        yield f'<p class="lead">{_words(lead)}</p>\n'


def _blocks(blocks: tuple[Block, ...], images: tuple[Image, ...]) -> Iterator[str]:
    for one in placed(blocks, images):
        yield _image(one) if isinstance(one, Image) else block_html(one)


def block_html(block: Block) -> str:
    """One block as markup, not yet sanitised."""
    match block:
        case Paragraph(text=text, marks=marks):
            return f"<p>{_marked(text, marks)}</p>\n"
        case Heading(text=text, level=level, marks=marks):
            tag = f"h{min(max(level, 2), 6)}"
            return f"<{tag}>{_marked(text, marks)}</{tag}>\n"
        case ListBlock():
            return _list(block) + "\n"
        case Quote():
            return _quote(block)
        case Code(text=text):
            return f"<pre><code>{escape(printable(text))}</code></pre>\n"
        case Table():
            return _table(block)
        case Embed(url=url, provider=provider, text=text):
            target = web_url(url)
            words = text or (f"{provider}: {url}" if provider else url)
            return f"<p>{_linked(target, words) if target else _words(words)}</p>\n"


def _list(block: ListBlock) -> str:
    items = []
    for number, item in enumerate(block.items):
        marks = block.marks[number] if number < len(block.marks) else ()
        inner = "".join(_list(nested.list) for nested in block.nested if nested.item == number)
        items.append(f"<li>{_marked(item, marks)}{inner}</li>")
    tag = "ol" if block.ordered else "ul"
    return f"<{tag}>{''.join(items)}</{tag}>"


def _quote(block: Quote) -> str:
    pieces = "".join(f"<p>{_marked(text, marks)}</p>" for text, marks in paragraphs(block.text, block.marks))
    cite = f"<p><cite>{_words(block.cite)}</cite></p>" if block.cite else ""
    return f"<blockquote>{pieces}{cite}</blockquote>\n"


def _table(block: Table) -> str:
    caption = f"<caption>{_words(block.caption)}</caption>" if block.caption else ""
    head = "".join(_row(row, "th") for row in block.rows[: block.header])
    body = "".join(_row(row, "td") for row in block.rows[block.header :])
    return f"<table>{caption}{f'<thead>{head}</thead>' if head else ''}<tbody>{body}</tbody></table>\n"


def _row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_words(cell)}</{tag}>" for cell in cells) + "</tr>"


def _image(image: Image) -> str:
    source = web_url(image.url)
    shown = f'<img src="{_attribute(source)}" alt="{_attribute(image.alt or "")}">' if source else ""
    lines = [image.caption, image.credit and f"Image: {image.credit}", image.rights]
    caption = "<br>".join(_words(line) for line in lines if line)
    return f"<figure>{shown}{f'<figcaption>{caption}</figcaption>' if caption else ''}</figure>\n"


def _related(related: tuple[Related, ...]) -> Iterator[str]:
    for heading, one in headed(related):
        if heading:
            yield f"<h2>{_words(heading)}</h2>\n"
        yield from _snapshot(one.snapshot, one.target) if one.snapshot else _pointer(one.target)


def _pointer(target: str | None) -> Iterator[str]:
    url = web_url(target)
    if url:
        yield f"<p>{_linked(url, url)}</p>\n"


def _snapshot(snapshot: Snapshot, target: str | None) -> Iterator[str]:
    url = web_url(snapshot.url or target)
    yield f"<h3>{_linked(url, snapshot.headline) if url else _words(snapshot.headline)}</h3>\n"
    yield from _dated(snapshot.published, "published")
    if snapshot.lead and not snapshot.blocks:
        yield f"<p>{_words(snapshot.lead)}</p>\n"
    yield from _blocks(snapshot.blocks, snapshot.images)


def _marked(text: str, marks: tuple[Mark, ...]) -> str:
    out = []
    for step in steps(text, marks):
        if step.mark is None:
            out.append(_words(step.words))
        else:
            out.append(_open(step.mark) if step.kind == "open" else _close(step.mark))
    return "".join(out)


def _open(mark: Mark) -> str:
    if mark.kind == "link":
        target = link_target(mark)
        return f'<a href="{_attribute(target)}">' if target else ""
    return f"<{TAGS[mark.kind]}>" if mark.kind in TAGS else ""


def _close(mark: Mark) -> str:
    if mark.kind == "link":
        return "</a>" if link_target(mark) else ""
    return f"</{TAGS[mark.kind]}>" if mark.kind in TAGS else ""


def link_target(mark: Mark) -> str | None:
    """Where a link mark leads, when that is the web or a mailbox."""
    href = mark.href or ""
    return uri(href) if href.lower().startswith("mailto:") else web_url(href)


def _linked(url: str, words: str) -> str:
    return f'<a href="{_attribute(url)}">{_words(words)}</a>'


def _words(text: str) -> str:
    return escape(printable(text), quote=False).replace("\n", "<br>")


def _attribute(text: str) -> str:
    return escape(printable(text))


FORMAT = Format("html", "text/html; charset=utf-8", "html", write, ("revision", *PROVENANCE, *FINDINGS))
