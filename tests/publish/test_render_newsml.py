"""NewsML-G2: the parts in the order of the standard, and IPTC's own reader where it is installed."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from services.publish.render import render
from tests.publish.records import event, withdrawn
from tests.publish.test_render_conformance import RECORDS

G2 = "{http://iptc.org/std/nar/2006-10-01/}"
XHTML = "{http://www.w3.org/1999/xhtml}"

# The order of the elements in the standard's schema, for those that occur here.
ITEM = ["catalog", "itemMeta", "contentMeta", "contentSet"]
ITEM_META = ["itemClass", "provider", "versionCreated", "pubStatus", "generator", "title", "edNote", "link"]
ADMINISTRATIVE = ["contentCreated", "contentModified", "infoSource", "creator", "altId"]
DESCRIPTIVE = ["language", "keyword", "subject", "headline", "by", "description"]


def read(record: str) -> Any:
    return etree.fromstring(render("newsml", RECORDS[record]).body)


def names(element: Any) -> list[str]:
    return [child.tag.removeprefix(G2) for child in element]


@pytest.mark.parametrize("record", sorted(RECORDS))
def test_elements_stand_in_the_order_of_the_standard(record: str) -> None:
    item = read(record)
    assert names(item) == ITEM
    for part, order in (("itemMeta", ITEM_META), ("contentMeta", ADMINISTRATIVE + DESCRIPTIVE)):
        places = [order.index(name) for name in names(item.find(G2 + part))]
        assert places == sorted(places)
    assert {"itemClass", "provider", "versionCreated"} <= set(names(item.find(G2 + "itemMeta")))


@pytest.mark.parametrize("record", sorted(RECORDS))
def test_every_qcode_has_its_scheme_in_the_catalog(record: str) -> None:
    item = read(record)
    aliases = {scheme.get("alias") for scheme in item.iter(G2 + "scheme")}
    used = {
        value.split(":", 1)[0]
        for element in item.iter(G2 + "*")
        for name, value in element.attrib.items()
        if name in ("qcode", "rel", "role", "type")
    }
    assert used <= aliases


def test_fields() -> None:
    item = read("everything")
    assert (item.get("guid"), item.get("version")) == ("urn:briefwire:article:art_7c1", "3")
    assert item.find(f"{G2}itemMeta/{G2}pubStatus").get("qcode") == "stat:usable"
    topics = [one.get("qcode") for one in item.iter(G2 + "subject") if one.get("qcode")]
    assert topics == ["medtop:20000337", "medtop:20000344"]
    links = {(link.get("rel"), link.get("href") or link.get("residref")) for link in item.iter(G2 + "link")}
    assert ("bwrel:publisher_similar", "https://harbour.example/strike") in links
    assert ("bwrel:same_story", "urn:briefwire:article:art_5") in links
    assert len(item.findall(f".//{XHTML}table//{XHTML}th")) == 2


def test_a_withdrawal_is_canceled_with_a_note() -> None:
    item = etree.fromstring(render("newsml", withdrawn()).body)
    assert item.find(f"{G2}itemMeta/{G2}pubStatus").get("qcode") == "stat:canceled"  # type: ignore[union-attr]
    assert item.findtext(f"{G2}itemMeta/{G2}edNote") == "This article has been withdrawn."
    assert render("newsml", event(state="held")).body.count(b"stat:withheld") == 1


@pytest.mark.parametrize("record", sorted(RECORDS))
def test_iptcs_own_reader_reads_it(record: str) -> None:
    reader = pytest.importorskip("NewsMLG2")
    item = reader.NewsMLG2Document(render("newsml", RECORDS[record]).body).get_item()
    one = RECORDS[record]
    assert (item.guid, item.version) == ("urn:briefwire:article:art_7c1", str(one.revision))
    assert str(item.itemmeta.pubstatus.qcode) == ("stat:canceled" if one.withdrawn else "stat:usable")
