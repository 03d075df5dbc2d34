"""Sitemaps in, addresses out: plain, news, text, gzipped, index; broken and hostile ones."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import sitemaps
from shared import records
from shared.errors import Rejected

URL = "https://gazette.example/sitemap.xml"
PLAIN = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
NEWS = PLAIN + ' xmlns:n="http://www.google.com/schemas/sitemap-news/0.9"'
IMAGE = ' xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'


def urlset(inner: str, spaces: str = PLAIN, head: str = '<?xml version="1.0" encoding="UTF-8"?>') -> bytes:
    return f"{head}\n<urlset {spaces}>{inner}</urlset>".encode()


def loc(url: str) -> str:
    return f"<url><loc>{url}</loc></url>"


def test_a_plain_sitemap() -> None:
    feed = sitemaps.parse(
        urlset(
            "<url><loc> https://gazette.example/a?x=1&amp;y=2 </loc><lastmod>2024-05-14T09:30+03:00</lastmod>"
            "<changefreq>daily</changefreq><priority>0.5</priority></url><url><loc>/b</loc><lastmod>2024-05</lastmod></url>"
        ),
        URL,
    )
    assert (feed.kind, feed.title) == ("sitemap", None)
    first, second = feed.entries
    assert first.url == first.key == "https://gazette.example/a?x=1&y=2"
    assert (first.updated_raw, first.updated_utc) == ("2024-05-14T09:30+03:00", "2024-05-14T06:30:00+00:00")
    assert first.published_utc is None
    assert (second.url, second.updated_utc) == ("https://gazette.example/b", "2024-05-01T00:00:00+00:00")


def test_a_news_sitemap_gives_titles_dates_and_keywords() -> None:
    feed = sitemaps.parse(
        urlset(
            "<url><loc>https://gazette.example/a</loc><image:image><image:loc>https://gazette.example/a.jpg</image:loc>"
            "<image:title>A picture</image:title></image:image><n:news><n:publication><n:name>Gazette</n:name>"
            "<n:language>be</n:language></n:publication><n:publication_date>2024-05-14</n:publication_date>"
            "<n:title>Мост &amp; рака</n:title><n:keywords>sea, harbour,, sea</n:keywords></n:news></url>"
            + loc("https://gazette.example/b"),
            NEWS + IMAGE,
        ),
        URL,
    )
    assert (feed.kind, feed.title, feed.language) == ("news-sitemap", "Gazette", "be")
    first, second = feed.entries
    assert (first.title, first.url) == ("Мост & рака", "https://gazette.example/a")
    assert first.published_utc == "2024-05-14T00:00:00+00:00"
    assert first.categories == ("sea", "harbour")
    assert second.title is None


def test_an_index_lists_sitemaps() -> None:
    body = f"<sitemapindex {PLAIN}><sitemap><loc>https://gazette.example/s1.xml.gz</loc><lastmod>2024-05-14</lastmod>"
    feed = sitemaps.parse(f"{body}</sitemap></sitemapindex>".encode(), URL)
    assert feed.kind == "sitemap-index"
    assert [entry.url for entry in feed.entries] == ["https://gazette.example/s1.xml.gz"]
    assert feed.entries[0].updated_utc == "2024-05-14T00:00:00+00:00"


def children(*entries: tuple[str, str]) -> tuple[str, ...]:
    inner = "".join(
        f"<sitemap><loc>https://gazette.example/{name}.xml</loc><lastmod>{changed}</lastmod></sitemap>"
        for name, changed in entries
    )
    return sitemaps.worth_reading(sitemaps.parse(f"<sitemapindex>{inner}</sitemapindex>".encode(), URL), limit=2)


def test_which_sitemaps_of_an_index_are_read() -> None:
    one, two, three, news = (f"https://gazette.example/{name}.xml" for name in ("1", "2", "3", "news"))
    assert children(("1", "2024-05-01"), ("2", "2024-05-14"), ("3", "2023-01-01")) == (two, one)
    assert children(("news", ""), ("2", "2024-05-14"), ("3", "2023-01-01")) == (news, two)
    assert children(("1", ""), ("2", ""), ("3", "")) == (three, two)


def test_without_a_namespace_and_under_a_prefix() -> None:
    bare = sitemaps.parse(b"<urlset><url><loc>https://gazette.example/1</loc></url></urlset>", URL)
    prefix = b'<s:urlset xmlns:s="http://www.sitemaps.org/schemas/sitemap/0.9"><s:url><s:loc>https://gazette.example/1</s:loc></s:url></s:urlset>'
    assert [entry.url for entry in bare.entries] == [entry.url for entry in sitemaps.parse(prefix, URL).entries]


def test_the_text_form() -> None:
    feed = sitemaps.parse(
        b"https://gazette.example/1\r\n\r\nhttps://gazette.example/2\nhttps://gazette.example/1\n", URL
    )
    assert [entry.url for entry in feed.entries] == ["https://gazette.example/1", "https://gazette.example/2"]


def test_duplicates_and_foreign_schemes_are_left_out() -> None:
    twice = loc("https://gazette.example/1") * 2 + loc("ftp://gazette.example/2") + "<url><lastmod>2024</lastmod></url>"
    assert [entry.url for entry in sitemaps.parse(urlset(twice), URL).entries] == ["https://gazette.example/1"]


def test_gzip_bodies_are_unpacked() -> None:
    body = gzip.compress(urlset(loc("https://gazette.example/1")))
    assert len(sitemaps.parse(body, URL).entries) == 1


def test_another_charset() -> None:
    head = '<?xml version="1.0" encoding="windows-1251"?>'
    body = urlset("<url><loc>https://gazette.example/1</loc><n:news><n:title>Мост</n:title></n:news></url>", NEWS, head)
    recoded = body.decode().encode("windows-1251")
    assert sitemaps.parse(recoded, URL).entries[0].title == "Мост"


def test_a_cut_off_sitemap_gives_what_was_whole() -> None:
    body = urlset("".join(loc(f"https://gazette.example/{number}") for number in range(100)))
    entries = sitemaps.parse(body[:2000], URL).entries
    assert 10 < len(entries) < 100
    assert all(entry.url == f"https://gazette.example/{number}" for number, entry in enumerate(entries))


def test_a_cut_off_archive_gives_what_it_holds() -> None:
    body = gzip.compress(urlset("".join(loc(f"https://gazette.example/{n * 7919}") for n in range(1000))))
    assert 0 < len(sitemaps.parse(body[: len(body) // 2], URL).entries) < 1000


def test_sixty_thousand_addresses_are_cut_at_the_protocol_s_limit() -> None:
    body = urlset("".join(loc(f"https://gazette.example/{number}") for number in range(60_000)))
    assert len(sitemaps.parse(body, URL).entries) == sitemaps.MAX_ENTRIES


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    blank = b" " * 1_000_000
    return packer.compress(b"<urlset>") + b"".join(packer.compress(blank) for _ in range(megabytes)) + packer.flush()


def test_a_gzip_bomb_is_refused() -> None:
    packed = bomb(200)
    assert len(packed) < 400_000
    with pytest.raises(Rejected, match="too-large"):
        sitemaps.parse(packed, URL)


def test_a_billion_laughs_are_refused() -> None:
    inner = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    head = f'<!DOCTYPE urlset [<!ENTITY l0 "lol">{inner}]>'
    with pytest.raises(Rejected, match="cannot be read"):
        sitemaps.parse(urlset(loc("https://gazette.example/&l9;"), head=head), URL)


def test_an_external_entity_is_not_read() -> None:
    head = '<!DOCTYPE urlset [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
    body = urlset(loc("https://gazette.example/&e;") + loc("https://gazette.example/2"), head=head)
    assert [entry.url for entry in sitemaps.parse(body, URL).entries] == ["https://gazette.example/2"]


@pytest.mark.parametrize(
    ("body", "reason", "says"),
    [
        (b"", "empty", "no content"),
        (b" \n ", "empty", "no content"),
        (b"<!DOCTYPE html><html><head></head><body>404</body></html>", "not-a-sitemap", "HTML page"),
        (b"<rss version='2.0'><channel/></rss>", "not-a-sitemap", "--kind feed"),
        (b"<feed xmlns='http://www.w3.org/2005/Atom'/>", "not-a-sitemap", "--kind feed"),
        (b"<inventory/>", "not-a-sitemap", "<inventory>"),
        (b"Not here, sorry.", "not-a-sitemap", "plain text"),
        (b"\x1f\x8bnot gzip", "not-a-sitemap", "cannot be unpacked"),
        (b"<urlset", "not-a-sitemap", ""),
        (b"<urlset><url><loc", "not-a-sitemap", "cannot be read"),
    ],
)
def test_refusals_say_what_it_is(body: bytes, reason: str, says: str) -> None:
    with pytest.raises(Rejected) as caught:
        sitemaps.parse(body, URL)
    assert caught.value.reason == reason
    assert says in caught.value.detail


def test_an_empty_sitemap_is_one() -> None:
    assert sitemaps.parse(urlset(""), URL).entries == ()


def outcome(body: bytes) -> tuple[records.Feed | None, str | None]:
    """The feed, or the reason of its refusal; any other error is a bug and fails the test."""
    try:
        return sitemaps.parse(body, URL), None
    except Rejected as refusal:
        return None, refusal.reason


@given(st.binary(max_size=300), st.sampled_from([b"", b"<urlset><url><loc>", b"\x1f\x8b\x08", b"https://a.example/\n"]))
def test_any_bytes_are_read_or_refused(noise: bytes, head: bytes) -> None:
    feed, refusal = outcome(head + noise)
    if feed is None:
        assert refusal in ("empty", "not-a-sitemap")
    else:
        assert len({entry.key for entry in feed.entries}) == len(feed.entries)
