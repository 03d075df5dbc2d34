"""RSS, Atom and JSON Feed as readers take them, and what feed validators ask for beyond being well formed."""

from __future__ import annotations

import datetime as dt
import re
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any

import feedparser
import msgspec
import pytest
from lxml import etree

from services.publish.render import FeedInfo, RenderInput, render, render_feed
from shared.records import Moment, Paragraph
from tests.publish.records import AT, event, withdrawn
from tests.publish.test_render_conformance import RECORDS

ATOM = "{http://www.w3.org/2005/Atom}"
INFO = FeedInfo(
    "Economy & <ports>",
    "https://wire.example/feeds/1?key=a&b=c",
    "https://wire.example/partners/1",
    AT,
    "What the harbour sends",
    "en",
    hub="https://wire.example/hub",
    next_url="https://wire.example/feeds/1?before=12",
)


def fifty() -> list[RenderInput]:
    return [
        event(
            id=f"art_{number}",
            url=f"https://harbour.example/fares/{number}",
            headline=f"Fare {number} & <more>",
            blocks=(Paragraph(f"Body {number} — «новое»."),),
            lead=None,
        )
        for number in range(50)
    ]


def whole(name: str, events: list[RenderInput] | None = None) -> Any:
    return etree.fromstring(render_feed(name, INFO, fifty() if events is None else events).body)


@pytest.mark.parametrize("name", ["rss", "atom"])
def test_a_reader_takes_fifty_of_fifty(name: str) -> None:
    read = feedparser.parse(render_feed(name, INFO, fifty()).body)
    assert (read.bozo, read.feed.title) == (False, "Economy & <ports>")
    assert len({entry.id for entry in read.entries}) == 50
    for number, entry in enumerate(read.entries):
        assert unescape(entry.title) == f"Fare {number} & <more>"
        assert entry.link == f"https://harbour.example/fares/{number}"
        assert f"Body {number} — «новое»." in entry.content[0].value
        assert entry.published_parsed[:6] == (2026, 3, 5, 14, 20, 0)
        assert [author.name for author in entry.authors] or entry.author
    links = {link.rel: link.href for link in read.feed.links}
    assert (links["self"], links["hub"], links["next"]) == (INFO.url, INFO.hub, INFO.next_url)


@pytest.mark.parametrize("name", ["rss", "atom"])
@pytest.mark.parametrize("record", sorted(RECORDS))
def test_every_record_is_read_without_complaint(name: str, record: str) -> None:
    read = feedparser.parse(render(name, RECORDS[record]).body)
    assert not read.bozo
    pushed = feedparser.parse(render_feed(name, INFO, [RECORDS[record]]).body)
    assert (pushed.bozo, len(pushed.entries)) == (False, 1)


def test_rss_as_validators_want_it() -> None:
    channel = whole("rss").find("channel")
    assert [element.tag for element in channel[:5]] == ["title", "link", "description", "language", "lastBuildDate"]
    guids = [guid.text for guid in channel.iter("guid")]
    assert len(set(guids)) == 50
    assert {guid.get("isPermaLink") for guid in channel.iter("guid")} == {"false"}
    for date in [channel.findtext("lastBuildDate"), *(item.findtext("pubDate") for item in channel.iter("item"))]:
        assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)
        assert parsedate_to_datetime(date).tzinfo == dt.UTC
    links = {link.get("rel"): link.get("type") for link in channel.iter(ATOM + "link")}
    assert links == {"self": "application/rss+xml", "hub": None, "next": "application/rss+xml"}
    for item in channel.iter("item"):
        tags = [
            element.tag
            for element in item
            if element.tag not in ("category", "{http://purl.org/dc/elements/1.1/}creator")
        ]
        assert len(tags) == len(set(tags)), "no element twice that may stand once"


def test_atom_as_validators_want_it() -> None:
    feed = whole("atom")
    for element in (feed, *feed.findall(ATOM + "entry")):
        for name in ("id", "title", "updated"):
            assert len(element.findall(ATOM + name)) == 1
        alternates = [link for link in element.findall(ATOM + "link") if link.get("rel") == "alternate"]
        assert len(alternates) == 1
        assert element.find(ATOM + "author") is not None
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", element.findtext(ATOM + "updated"))
    assert len({entry.findtext(ATOM + "id") for entry in feed.findall(ATOM + "entry")}) == 50
    assert {link.get("rel") for link in feed.findall(ATOM + "link")} == {"alternate", "self", "hub", "next"}
    assert {content.get("type") for content in feed.iter(ATOM + "content")} == {"html"}


def test_atom_entry_document_stands_alone() -> None:
    entry = etree.fromstring(render("atom", event()).body)
    assert entry.tag == ATOM + "entry"
    assert entry.get("{http://www.w3.org/XML/1998/namespace}lang") == "en"
    assert render("atom", event()).content_type == "application/atom+xml;type=entry;charset=utf-8"
    assert render_feed("atom", INFO, []).content_type == "application/atom+xml; charset=utf-8"


@pytest.mark.parametrize("name", ["rss", "atom"])
def test_a_withdrawn_article_keeps_its_id_and_loses_its_words(name: str) -> None:
    before = feedparser.parse(render_feed(name, INFO, [event()]).body).entries[0]
    after = feedparser.parse(render_feed(name, INFO, [withdrawn()]).body).entries[0]
    assert before.id == after.id
    assert after.title == "Withdrawn: Ferry fares rise in May"
    assert "withdrawn" in after.content[0].value
    assert "lagoon" not in str(after)


@pytest.mark.parametrize("name", ["rss", "atom", "jsonfeed"])
def test_a_feed_holds_each_article_once_by_its_newest_event(name: str) -> None:
    old, new = event(), msgspec.structs.replace(event("updated", headline="Fares, revised"), position=99)
    other = event(id="art_8", headline="Another")
    for order in ([old, other, new], [new, other, old]):
        body = render_feed(name, INFO, order).body.decode()
        assert "Ferry fares rise" not in body
        shown = re.findall("Another|Fares, revised", body)
        assert shown == ["Another", "Fares, revised"] if order[0] is old else ["Fares, revised", "Another"]


def test_entries_of_one_second_have_been_updated_apart() -> None:
    events = [msgspec.structs.replace(one, position=number) for number, one in enumerate(fifty())]
    stamps = [one.text for one in whole("atom", events).iterfind(f"{ATOM}entry/{ATOM}updated")]
    assert stamps == sorted(set(stamps))
    assert (len(stamps), stamps[7]) == (50, "2026-03-05T14:30:15.000007Z")


def test_a_date_ahead_of_its_event_is_not_passed_on_to_feeds() -> None:
    ahead = event(published=Moment("May 1, 2027", "2027-05-01T00:00:00+00:00", "UTC", "assumed", "day"))
    assert feedparser.parse(render("rss", ahead).body).entries[0].published == "Thu, 05 Mar 2026 14:30:15 GMT"


def test_a_feed_keeps_its_id_from_page_to_page() -> None:
    pages = [msgspec.structs.replace(INFO, url=f"https://wire.example/feeds/1?before={n}") for n in (1, 2)]
    ids = {etree.fromstring(render_feed("atom", page, []).body).findtext(ATOM + "id") for page in pages}
    assert ids == {"https://wire.example/feeds/1"}
    named = msgspec.structs.replace(INFO, id="urn:x:1")
    assert etree.fromstring(render_feed("atom", named, []).body).findtext(ATOM + "id") == "urn:x:1"


def test_signs_in_rss_titles_are_numeric_references() -> None:
    body = render("rss", event(headline="R&D <b>up</b>", tags=("Q&A",))).body
    assert b"<title>R&#x26;D &#x3C;b&#x3E;up&#x3C;/b&#x3E;</title>" in body
    assert b"<category>Q&#x26;A</category>" in body
    assert etree.fromstring(body).findtext("channel/item/title") == "R&D <b>up</b>"


@pytest.mark.parametrize("name", ["rss", "atom"])
@pytest.mark.parametrize("record", sorted(RECORDS))
def test_nothing_that_a_validator_warns_of(name: str, record: str) -> None:
    root = whole(name, [RECORDS[record]])
    for element in root.iter():
        text = (element.text or "").strip()
        assert not re.search("[\x7f-\x9f\ufffd]", text)
        if element.tag.endswith(("}summary", "}content", "title", "category", "}name", "}creator", "guid")):
            assert text or element.get("term")
        for value in [element.get("href") or "", *([text] if element.tag in ("link", "guid") else [])]:
            assert re.fullmatch(r"[0-9a-zA-Z;/?:@&=+$.\-_!~*'()%,]*(#[0-9a-zA-Z;/?:@&=+$.\-_!~*'()%,]*)?", value)


@pytest.mark.parametrize("name", ["rss", "atom"])
def test_an_empty_feed_is_a_feed(name: str) -> None:
    read = feedparser.parse(render_feed(name, INFO, []).body)
    assert (read.bozo, read.entries, read.feed.title) == (False, [], "Economy & <ports>")


def test_languages_that_are_no_tags_are_left_out() -> None:
    odd = event(language="Belarusian (latin)")
    assert b"xml:lang" not in render("atom", odd).body
    assert b"<language>" not in render("rss", odd).body
    assert b'xml:lang="en-GB"' in render("atom", event(language="en_GB")).body
