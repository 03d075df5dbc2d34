"""What the XML formats share: making elements from text that may hold anything, and writing them out."""

from __future__ import annotations

from lxml import etree

from services.publish.render.shapes import printable

Element = etree._Element


def default_namespace(namespace: str) -> dict[str, str]:
    """A namespace map that spells this namespace without a prefix."""
    return {None: namespace}  # type: ignore[dict-item]  # the stubs know no default namespace


def child(parent: Element, tag: str, text: str | None = None, /, **attributes: str | None) -> Element:
    """A new last child; attributes that are None are left out, and nothing XML forbids gets in."""
    element = etree.SubElement(parent, tag)
    if text is not None:
        element.text = printable(text)
    for name, value in attributes.items():
        if value is not None:
            element.set(name, printable(value))
    return element


def document(root: Element) -> bytes:
    """The whole as UTF-8 with an XML declaration."""
    written: bytes = etree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written
