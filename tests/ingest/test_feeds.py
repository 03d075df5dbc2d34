"""Feeds in, entries out: recorded feeds with their expectation beside them, and documents that mean harm."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import sources
from services.ingest import feeds
from shared import records
from shared.errors import Rejected

RECORDED = Path(__file__).parent / "recorded_feeds"
CASES = sorted(path.name for path in RECORDED.iterdir() if not path.name.endswith(".expected.json"))
URL = "https://gazette.example/feed"


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDED / f"{name}.expected.json").read_text(encoding="utf-8"))
    return found


def test_every_recorded_feed_has_its_expectation() -> None:
    assert len(CASES) > 40
    assert all((RECORDED / f"{name}.expected.json").exists() for name in CASES)


@pytest.mark.parametrize("name", CASES)
def test_recorded(name: str) -> None:
    wanted = expected(name)
    body = (RECORDED / name).read_bytes()
    if "rejected" in wanted:
        with pytest.raises(Rejected) as caught:
            feeds.parse(body, wanted["url"], wanted.get("content_type"))
        assert caught.value.reason == wanted["rejected"]
        assert wanted["says"] in caught.value.detail
        return
    feed = json.loads(records.to_json(feeds.parse(body, wanted["url"], wanted.get("content_type"))))
    for field in wanted.keys() & set(records.Feed.__struct_fields__) - {"entries"}:
        assert feed[field] == wanted[field], field
    assert len(feed["entries"]) == len(wanted["entries"])
    for entry, wish in zip(feed["entries"], wanted["entries"], strict=True):
        assert {name: entry[name] for name in wish} == wish


def rss(items: str) -> bytes:
    return f'<rss version="2.0"><channel><title>T</title>{items}</channel></rss>'.encode()


def item(number: int) -> str:
    return f'<item><guid isPermaLink="false">{number}</guid><link>https://gazette.example/{number}</link></item>'


def test_a_feed_survives_pickling_and_json() -> None:
    """It crosses the border of a child process and is kept as JSON."""
    feed = feeds.parse(rss(item(1)), URL, None)
    assert pickle.loads(pickle.dumps(feed)) == feed
    assert records.from_json(records.to_json(feed), records.Feed) == feed


def test_a_refusal_survives_pickling() -> None:
    with pytest.raises(Rejected) as caught:
        feeds.parse(b"<html></html>", URL, None)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.reason, again.detail) == (caught.value.reason, caught.value.detail)


def test_fifty_thousand_entries_are_cut_to_the_first_ten_thousand() -> None:
    feed = feeds.parse(rss("".join(map(item, range(50_000)))), URL, None)
    assert len(feed.entries) == feeds.MAX_ENTRIES
    assert [entry.key for entry in feed.entries[:2]] == ["0", "1"]
    assert feed.entries[-1].key == str(feeds.MAX_ENTRIES - 1)


def test_a_json_feed_is_cut_too() -> None:
    items = [{"id": str(number)} for number in range(feeds.MAX_ENTRIES + 5)]
    body = json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": items}).encode()
    assert len(feeds.parse(body, URL, None).entries) == feeds.MAX_ENTRIES


def outcome(body: bytes) -> tuple[records.Feed | None, str | None]:
    """The feed, or the reason of its refusal; any other error is a bug and fails the test."""
    try:
        return feeds.parse(body, URL, "text/xml; charset=x-unknown"), None
    except Rejected as refusal:
        return None, refusal.reason


def lol(levels: int) -> str:
    inner = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, levels))
    return f'<!DOCTYPE rss [<!ENTITY l0 "lol">{inner}]>'


def test_a_billion_laughs_expand_to_nothing() -> None:
    body = lol(10).encode() + rss("<item><title>ha &l9;</title><link>https://gazette.example/1</link></item>")
    (entry,) = feeds.parse(body, URL, None).entries
    assert "lol" not in (entry.title or "")
    assert len(entry.title or "") < 100


def test_an_external_entity_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    head = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY e SYSTEM "{secret.as_uri()}">]>'
    feed = feeds.parse(head.encode() + rss("<item><title>x&e;y</title></item>"), URL, None)
    assert "secret" not in records.to_json(feed).decode().replace("&e;", "")


def test_a_body_that_is_a_path_or_address_is_only_text(tmp_path: Path) -> None:
    """feedparser opens what looks like a file name or a URL when it is given a string; ours are bytes."""
    target = tmp_path / "feed.xml"
    target.write_bytes(rss(item(1)))
    for body in (str(target).encode(), target.as_uri().encode(), b"http://127.0.0.1:9/feed"):
        with pytest.raises(Rejected, match="not-a-feed"):
            feeds.parse(body, URL, None)


@pytest.mark.parametrize(
    "body",
    [
        b"<rss>" * 5000,
        rss("<item>" * 3000),
        rss("<item><title>" + "<b>" * 3000 + "deep</title></item>"),
        rss("<item " + " ".join(f'a{n}="x"' for n in range(3000)) + "></item>"),
        b"<rss version='2.0'><channel><item><title>&#xFFFFFFFF;&#0;&#x110000;</title></item></channel></rss>",
        b"<feed version='0.3'><entry><content type='x/y' mode='base64'>!</content></entry></feed>",
        b"<rss version='2.0'><channel><item><pubDate>" + b"1" * 100_000 + b"</pubDate></item></channel></rss>",
        b"<rss version='2.0'><channel><ttl>nan</ttl></channel></rss>",
        b"<rss version='2.0'><channel><ttl>inf</ttl></channel></rss>",
        b"<rss version='2.0'><channel><ttl>9e999</ttl></channel></rss>",
        b'{"version":"https://jsonfeed.org/version/1.1","items":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "<rss version='2.0'><channel><item><title>\ud800</title></item></channel></rss>".encode(
            "utf-8", "surrogatepass"
        ),
    ],
    ids=lambda body: repr(body[:30]),
)
def test_hostile_documents_are_read_or_refused(body: bytes) -> None:
    feed, refusal = outcome(body)
    if feed is None:
        assert refusal in ("not-a-feed", "broken-feed")
    else:
        assert feed.ttl_s is None
        assert records.from_json(records.to_json(feed), records.Feed) == feed


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"<rss version='2.0'><channel><item>", b"<?xml version='1.0'?><feed>", b"{"]),
)
def test_any_bytes_are_read_or_refused(noise: bytes, head: bytes) -> None:
    feed, refusal = outcome(head + noise)
    if feed is None:
        assert refusal in ("empty", "not-a-feed", "broken-feed")
    else:
        assert records.from_json(records.to_json(feed), records.Feed) == feed


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=12))
def test_keys_are_unique_and_no_address_is_lost(pairs: list[tuple[str, str]]) -> None:
    items = "".join(
        f'<item><guid isPermaLink="false">{guid}</guid><link>https://gazette.example/{page}</link></item>'
        for guid, page in pairs
    )
    entries = feeds.parse(rss(items), URL, None).entries
    assert len({entry.key for entry in entries}) == len(entries)
    assert {entry.url for entry in entries} == {f"https://gazette.example/{page}" for _, page in pairs}


def test_a_long_guid_is_replaced_by_its_hash() -> None:
    long = "x" * 5000
    entry = feeds.parse(rss(f'<item><guid isPermaLink="false">{long}</guid></item>'), URL, None).entries[0]
    assert entry.key.startswith("sha256:")
    assert len(entry.key) < feeds.MAX_KEY


def test_a_key_without_guid_and_address_follows_the_text() -> None:
    one, two, again = (feeds.key("", None, title, "s") for title in ("a", "b", "a"))
    assert one == again != two


def test_without_a_base_relative_links_are_left_out() -> None:
    entry = feeds.parse(rss("<item><title>x</title><link>/relative</link></item>"), None, None).entries[0]
    assert entry.url is None


def test_summaries_are_bounded() -> None:
    entry = feeds.parse(rss(f"<item><description>{'word ' * 5000}</description></item>"), URL, None).entries[0]
    assert len(entry.summary or "") == feeds.MAX_SUMMARY


def test_entries_are_plain_records() -> None:
    entry = feeds.parse(rss(item(1)), URL, None).entries[0]
    assert entry == msgspec.structs.replace(entry, key="1", url="https://gazette.example/1")


def test_agreement_with_feedparser_keeps_its_floor() -> None:
    """Where the two differ on our recorded feeds, the expectation beside the feed says why ours is meant."""
    agreement = sources.measured(RECORDED).figures()["agreement"]
    assert agreement["link"] == 1.0
    assert min(agreement.values()) > 0.9
