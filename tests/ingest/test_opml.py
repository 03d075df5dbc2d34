"""Source lists in and out as OPML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import opml
from services.ingest.opml import Subscription
from shared.errors import Rejected

LIST = """<?xml version="1.0" encoding="utf-8"?>
<opml version="1.1"><head><title>Mine</title></head><body>
 <outline text="Coast">
  <outline text="Gazette &amp; Co" title="The Gazette" type="rss" xmlUrl="https://gazette.example/feed" htmlUrl="https://gazette.example/"/>
  <outline text="Ports"><outline xmlurl="https://ports.example/atom" text="Ports"/></outline>
  <outline text="An empty folder"/>
 </outline>
 <outline xmlUrl="https://alone.example/rss"/>
 <outline text="Again" xmlUrl="https://alone.example/rss"/>
 <outline text="A file" xmlUrl="file:///etc/passwd"/>
</body></opml>"""


def test_feeds_with_their_folders() -> None:
    assert opml.load(LIST.encode()) == (
        Subscription("https://gazette.example/feed", "The Gazette", "https://gazette.example/", ("Coast",)),
        Subscription("https://ports.example/atom", "Ports", None, ("Coast", "Ports")),
        Subscription("https://alone.example/rss"),
    )


def test_another_charset() -> None:
    text = '<?xml version="1.0" encoding="koi8-r"?><opml><body><outline text="Мост" xmlUrl="https://a.example/"/></body></opml>'
    assert opml.load(text.encode("koi8-r"))[0].title == "Мост"


def test_a_cut_off_list_gives_what_was_whole() -> None:
    assert len(opml.load(LIST.encode()[:420])) >= 1


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Cn"]), min_size=1, max_size=12)
SUBSCRIPTIONS = st.lists(
    st.builds(
        Subscription,
        url=st.integers(0, 10**6).map(lambda number: f"https://site.example/{number}"),
        title=st.none() | WORDS,
        page_url=st.sampled_from([None, "https://site.example/", "https://site.example/новости"]),
        folders=st.lists(st.sampled_from(["Coast", "Гарады", 'a "b" & <c>']), max_size=3).map(tuple),
    ),
    max_size=12,
    unique_by=lambda subscription: subscription.url,
)


@given(SUBSCRIPTIONS)
def test_export_and_import_are_inverse(subscriptions: list[Subscription]) -> None:
    back = opml.load(opml.dump(subscriptions))
    wanted = [Subscription(s.url, s.title or s.url, s.page_url, s.folders) for s in subscriptions]
    assert sorted(back, key=lambda s: s.url) == sorted(wanted, key=lambda s: s.url)


def test_export_is_opml_2_with_a_title() -> None:
    document = opml.dump([], title="Coast & sea").decode()
    assert document.startswith("<?xml version='1.0' encoding='utf-8'?>")
    assert '<opml version="2.0">' in document
    assert "<title>Coast &amp; sea</title>" in document


def test_control_characters_do_not_break_the_export() -> None:
    document = opml.dump([Subscription("https://a.example/", "bell \x07 and\nline")])
    assert opml.load(document)[0].title == "bell and line"


def test_entities_are_not_resolved() -> None:
    head = '<!DOCTYPE opml [<!ENTITY e SYSTEM "file:///etc/hostname"><!ENTITY l "https://evil.example/">]>'
    body = f'{head}<opml><body><outline text="&e;" xmlUrl="https://a.example/"/></body></opml>'
    assert all(found.title is None for found in opml.load(body.encode()))


def test_a_billion_laughs_end_quietly() -> None:
    inner = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    body = f'<!DOCTYPE opml [<!ENTITY l0 "lol">{inner}]><opml><body><outline text="&l9;" xmlUrl="https://a.example/"/></body></opml>'
    assert all("lol" not in (found.title or "") for found in opml.load(body.encode()))


def test_a_list_is_bounded() -> None:
    outlines = "".join(f'<outline xmlUrl="https://a.example/{n}"/>' for n in range(opml.MAX_OUTLINES + 50))
    found = opml.load(f"<opml><body>{outlines}</body></opml>".encode())
    assert opml.MAX_OUTLINES - 10 < len(found) <= opml.MAX_OUTLINES


@pytest.mark.parametrize(
    ("body", "reason", "says"),
    [
        (b"", "empty", "no content"),
        (b"<html><body>Sign in</body></html>", "not-opml", "HTML page"),
        (b"<rss version='2.0'><channel/></rss>", "not-opml", "This is a feed itself"),
        (b"just words", "not-opml", "plain text"),
        (b'{"a": 1}', "not-opml", "JSON"),
    ],
)
def test_refusals_say_what_it_is(body: bytes, reason: str, says: str) -> None:
    with pytest.raises(Rejected) as caught:
        opml.load(body)
    assert caught.value.reason == reason
    assert says in caught.value.detail
