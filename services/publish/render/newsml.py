"""IPTC NewsML-G2, power conformance: one event as a newsItem with XHTML content. Withdrawn is `stat:canceled`.

The schemes it uses are written in its own catalog, so nobody has to fetch one to read it.
"""

from __future__ import annotations

from lxml import etree, html

from services.publish.render.html import body_html
from services.publish.render.shapes import (
    WITHDRAWN_NOTICE,
    Format,
    RenderInput,
    article_uri,
    block_text,
    language_tag,
    outward,
    outward_annotations,
    printable,
    stamp,
    web_url,
)
from services.publish.render.xml import Element, child, default_namespace, document
from shared.records import Annotations, Article

_NS = "http://iptc.org/std/nar/2006-10-01/"
_XHTML = "http://www.w3.org/1999/xhtml"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_CODES = "http://cv.iptc.org/newscodes/"
_SCHEMES = {
    "ninat": f"{_CODES}ninature/",
    "stat": f"{_CODES}pubstatusg2/",
    "drol": f"{_CODES}descriptionrole/",
    "medtop": f"{_CODES}mediatopic/",
    "cpnat": f"{_CODES}cpnature/",
    "bwrel": "urn:briefwire:relation:",
}
_STATUS = {"usable": "usable", "held": "withheld", "withdrawn": "canceled"}


def write(event: RenderInput) -> bytes:
    """The newsItem as XML."""
    article, annotations = outward(event), outward_annotations(event)
    root = etree.Element(_tag("newsItem"), nsmap=default_namespace(_NS))
    language = language_tag(article.language)
    for name, value in (
        ("guid", article_uri(article.id)),
        ("version", str(article.revision)),
        ("standard", "NewsML-G2"),
        ("standardversion", "2.34"),
        ("conformance", "power"),
    ):
        root.set(name, value)
    if language:
        root.set(_XML_LANG, language)
    catalog = child(root, _tag("catalog"))
    for alias, scheme in _SCHEMES.items():
        child(catalog, _tag("scheme"), alias=alias, uri=scheme)
    _item_meta(child(root, _tag("itemMeta")), event, article, annotations)
    _content_meta(child(root, _tag("contentMeta")), article, annotations)
    _content(child(root, _tag("contentSet")), event, article)
    return document(root)


def _item_meta(meta: Element, event: RenderInput, article: Article, annotations: Annotations) -> None:
    child(meta, _tag("itemClass"), qcode="ninat:text")
    provider = child(meta, _tag("provider"), literal=article.source)
    child(provider, _tag("name"), article.site_name or article.source)
    child(meta, _tag("versionCreated"), stamp(event.at))
    child(meta, _tag("pubStatus"), qcode=f"stat:{_STATUS[article.state]}")
    child(meta, _tag("generator"), "Briefwire")
    child(meta, _tag("title"), article.headline)
    if event.withdrawn:
        child(meta, _tag("edNote"), WITHDRAWN_NOTICE)
    page = web_url(article.url)
    if page:
        _link(meta, "web", article.headline, href=page)
    for similar in annotations.similar:
        _link(meta, similar.relation, similar.headline, residref=article_uri(similar.article_id))
    for one in article.related:
        url = web_url(one.target or (one.snapshot.url if one.snapshot else None))
        if url:
            _link(meta, one.relation, one.snapshot.headline if one.snapshot else one.heading, href=url)


def _link(meta: Element, relation: str, title: str | None, **target: str) -> None:
    child(meta, _tag("link"), rel=f"bwrel:{relation}", title=title, **target)


def _content_meta(meta: Element, article: Article, annotations: Annotations) -> None:
    if article.published:
        child(meta, _tag("contentCreated"), stamp(article.published.at))
    if article.modified:
        child(meta, _tag("contentModified"), stamp(article.modified.at))
    child(child(meta, _tag("infoSource"), literal=article.source), _tag("name"), article.site_name or article.source)
    for author in article.authors:
        child(child(meta, _tag("creator"), literal=author), _tag("name"), author)
    if article.source_item_id:
        child(meta, _tag("altId"), article.source_item_id)
    if language_tag(article.language):
        child(meta, _tag("language"), tag=language_tag(article.language))
    for tag in article.tags:
        child(meta, _tag("keyword"), tag)
    _subjects(meta, article, annotations)
    child(meta, _tag("headline"), article.headline)
    if article.authors:
        child(meta, _tag("by"), ", ".join(article.authors))
    if article.lead:
        child(meta, _tag("description"), article.lead, role="drol:summary")


def _subjects(meta: Element, article: Article, annotations: Annotations) -> None:
    if article.section:
        subject = child(meta, _tag("subject"), type="cpnat:abstract", literal=article.section, creator=article.source)
        child(subject, _tag("name"), article.section)
    status = article.category_status
    if status.value != "unknown" or status.label:
        subject = child(meta, _tag("subject"), type="cpnat:abstract", literal=f"categoryStatus:{status.value}")
        child(subject, _tag("name"), status.raw or status.value)
    for category in annotations.categories:
        known = category.scheme == "medtop" and category.code.isdigit()
        subject = child(
            meta,
            _tag("subject"),
            type="cpnat:abstract",
            qcode=f"medtop:{category.code}" if known else None,
            literal=None if known else f"{category.scheme}:{category.code}",
            confidence=str(min(max(round(category.score * 100), 0), 100)),
        )
        child(subject, _tag("name"), category.label)


def _content(content: Element, event: RenderInput, article: Article) -> None:
    words = sum(len(block_text(block).split()) for block in article.blocks)
    inline = child(content, _tag("inlineXML"), contenttype="application/xhtml+xml", wordcount=str(words))
    page = etree.SubElement(inline, f"{{{_XHTML}}}html", nsmap=default_namespace(_XHTML))
    head, body = child(page, f"{{{_XHTML}}}head"), child(page, f"{{{_XHTML}}}body")
    child(head, f"{{{_XHTML}}}title", article.headline)
    for part in html.fragments_fromstring(printable(body_html(event)) or "<p></p>"):
        if isinstance(part, str):
            body.text = part
        else:
            body.append(_xhtml(part))


def _xhtml(element: Element) -> Element:
    for one in element.iter():
        one.tag = f"{{{_XHTML}}}{one.tag}"
    return element


def _tag(name: str) -> str:
    return f"{{{_NS}}}{name}"


FORMAT = Format(
    "newsml",
    "application/vnd.iptc.g2.newsitem+xml",
    "xml",
    write,
    ("removed", "origins", "category_status.evidence", "annotations.story", "annotations.names"),
)
