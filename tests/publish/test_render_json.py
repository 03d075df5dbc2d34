"""Brief JSON, ninjs and JSON Feed against their schemas."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from services.publish.render import FeedInfo, RenderInput, render, render_feed
from services.publish.render.brief import Envelope, schema
from shared.records import Article
from tests.publish.records import ANNOTATIONS, ARTICLE, AT, event, withdrawn
from tests.publish.test_render_conformance import RECORDS
from tests.publish.test_render_shapes import LEGAL

NINJS = Path(__file__).parents[3] / "shared" / "conformance" / "ninjs-schema_3.1.json"
DOCUMENTED = Path(__file__).parents[2] / "docs" / "wire-format.md"

every_record = pytest.mark.parametrize("record", sorted(RECORDS))


def loaded(name: str, one: RenderInput) -> Any:
    return json.loads(render(name, one).body)


@every_record
def test_brief_fits_its_schema_and_reads_back(record: str) -> None:
    Draft202012Validator.check_schema(schema())
    one = RECORDS[record]
    Draft202012Validator(schema()).validate(loaded("brief", one))
    back = msgspec.json.decode(render("brief", one).body, type=Envelope)
    assert (back.data.article_id, back.data.position) == (one.article_id, 41)
    if not record.startswith(("hostile", "withdrawn")):
        assert (back.data.record, back.data.annotations) == (one.article, one.annotations)


def test_brief_envelope() -> None:
    shown = loaded("brief", event())
    assert list(shown) == ["type", "timestamp", "data"]
    assert (shown["type"], shown["timestamp"]) == ("article.published", "2026-03-05T14:30:15Z")
    assert list(shown["data"]) == ["article_id", "revision", "position", "occurrence", "record", "annotations"]
    assert shown["data"]["record"]["lead"].count("\u00a0") == 1


def test_the_schema_refuses_what_is_no_brief() -> None:
    validator = Draft202012Validator(schema())
    for path, value in ((("type",), 5), (("data", "revision"), "3"), (("data", "record", "state"), "gone")):
        broken = loaded("brief", event())
        inside = broken
        for step in path[:-1]:
            inside = inside[step]
        inside[path[-1]] = value
        assert not validator.is_valid(broken)


def formats() -> FormatChecker:
    """URIs by the letter of RFC 3986 and instants by RFC 3339, which the validator does not check by itself."""
    checker = FormatChecker(formats=())
    checker.checks("uri")(lambda value: bool(LEGAL.fullmatch(value) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", value)))
    checker.checks("date-time")(lambda value: dt.datetime.fromisoformat(value).utcoffset() is not None)
    return checker


@pytest.fixture(scope="module")
def ninjs() -> Draft202012Validator:
    if not NINJS.exists():
        pytest.skip("the ninjs schema is not beside this checkout")
    known = json.loads(NINJS.read_text())
    # Its remote reference is resolved to a schema that takes nothing, as we send no geometry.
    nothing: Resource[Any] = Resource.from_contents(False, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("https://geojson.org/schema/GeoJSON.json", nothing)
    return Draft202012Validator(known, registry=registry, format_checker=formats())


@every_record
def test_ninjs_fits_the_standard(ninjs: Draft202012Validator, record: str) -> None:
    ninjs.validate(loaded("ninjs", RECORDS[record]))


def test_the_standard_would_refuse_unknown_fields_and_bad_formats(ninjs: Draft202012Validator) -> None:
    whole = loaded("ninjs", event())
    assert ninjs.is_valid(whole)
    for change in (
        {"colour": "red"},
        {"uri": "паром"},
        {"uri": "no-scheme"},
        {"versionCreated": "2026-03-05T10:00:00"},
    ):
        assert not ninjs.is_valid({**whole, **change})


def test_ninjs_fields() -> None:
    shown = loaded("ninjs", event())
    assert (shown["uri"], shown["version"], shown["pubStatus"]) == ("urn:briefwire:article:art_7c1", "3", "usable")
    status = {"rel": "categoryStatus", "name": "arrow down", "literal": "worsened", "creator": "harbour"}
    assert status in shown["subjects"]
    topics = [subject for subject in shown["subjects"] if subject["rel"] == "category" and "uri" in subject]
    assert [topic["uri"] for topic in topics] == ["http://cv.iptc.org/newscodes/mediatopic/20000337"]
    assert topics[0]["confidence"] == 87
    partial = [one["name"] for one in shown["associations"] if one.get("representationType") == "partial"]
    assert partial == ["related-1", "related-2", "similar-1"]
    assert [body["contentType"] for body in shown["bodies"]] == ["text/html", "text/plain"]


def test_ninjs_of_a_withdrawal_is_canceled_and_bare() -> None:
    shown = loaded("ninjs", withdrawn())
    assert (shown["pubStatus"], shown["version"]) == ("canceled", "4")
    assert not {"bodies", "descriptions", "associations"} & set(shown)
    assert loaded("ninjs", event(state="held"))["pubStatus"] == "withheld"


def test_json_feed_as_a_whole() -> None:
    info = FeedInfo(
        "Economy",
        "https://w.example/f.json",
        "https://w.example/",
        AT,
        hub="https://w.example/hub",
        next_url="https://w.example/f.json?before=1",
    )
    gone_too = msgspec.structs.replace(withdrawn(), article=event(id="art_gone", state="withdrawn").article)
    shown = json.loads(render_feed("jsonfeed", info, [event(), gone_too]).body)
    assert shown["version"] == "https://jsonfeed.org/version/1.1"
    assert shown["hubs"] == [{"type": "WebSub", "url": "https://w.example/hub"}]
    assert (shown["feed_url"], shown["next_url"]) == ("https://w.example/f.json", "https://w.example/f.json?before=1")
    first, gone = shown["items"]
    assert (first["id"], gone["id"]) == ("urn:briefwire:article:art_7c1", "urn:briefwire:article:art_gone")
    assert (first["date_published"], first["date_modified"]) == ("2026-03-05T14:20:00Z", "2026-03-05T14:25:00Z")
    assert first["_briefwire"]["annotations"] == json.loads(msgspec.json.encode(ANNOTATIONS))
    assert gone["content_html"] == "<p>This article has been withdrawn.</p>\n"


def test_the_documented_example_is_what_we_send() -> None:
    text = DOCUMENTED.read_text(encoding="utf-8")
    example = text.split("```json\n", 1)[1].split("\n```", 1)[0]
    Draft202012Validator(schema()).validate(json.loads(example))
    for field in Article.__struct_fields__:
        assert f"`{field}`" in text, f"docs/wire-format.md does not explain {field}"
    assert ARTICLE.__struct_fields__ == Article.__struct_fields__


def test_a_large_record_is_a_link_where_the_partner_wants_that() -> None:
    wanted = msgspec.structs.replace(event(), link="https://wire.example/articles/art_7c1/3", link_above=1000)
    data = loaded("brief", wanted)["data"]
    assert (data["link"], data["revision"]) == ("https://wire.example/articles/art_7c1/3", 3)
    assert not {"record", "annotations"} & set(data)
    Draft202012Validator(schema()).validate(loaded("brief", wanted))
    assert "record" in loaded("brief", msgspec.structs.replace(wanted, link_above=20_000))["data"]
    assert "link" not in loaded("brief", event())["data"]
