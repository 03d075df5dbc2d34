"""A second invented site and ten more ways in which its pages change: what the drift rule was not made on.

    page        a number                                   -> a Page of the site: what its feed says, and the HTML
    LAYOUTS     name -> a function, page bytes in and out
    PROFILE     a profile that reads the site

Its articles are of every length and form, as a real site's are: briefs of two sentences, features, live reports, lists, stories in
pictures, translations. Authors, standfirsts, sections and pictures come and go; one page in twenty-five has no feed date.
"""

from __future__ import annotations

import datetime as dt
import html
import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from bs4 import BeautifulSoup

from services.console.demo import bulk
from services.console.demo.content import briefs, plain
from services.ingest.profiles import Profile, Rule
from shared.records import Entry

SITE = "http://ostmere-courier.example"
TITLE = "The Ostmere Courier"
START = dt.datetime(2026, 2, 2, 5, 0, tzinfo=dt.UTC)
SEED = 4711
_FORMS = ("news",) * 8 + ("brief",) * 4 + ("feature",) * 3 + ("live", "list", "pictures", "translation", "news")

PROFILE = Profile("courier", TITLE, ("ostmere-courier.example",), "Europe/Tallinn", START.date(), {
    "headline": Rule("#story h1"), "published": Rule("#story time", attr="datetime"), "authors": Rule("#story .who a"),
    "section": Rule("#story .crumb"), "body": Rule("#story .prose"),
})  # fmt: skip


class Page(NamedTuple):
    """What the feed says of an article, and its page."""

    entry: Entry
    body: bytes


def page(i: int) -> Page:
    """Page number `i` of the site."""
    draw = random.Random(f"courier/{i}")
    one, at = bulk.brief(i, SEED), START + i * dt.timedelta(hours=2, minutes=17)
    path = f"/{one.section}/{at:%Y/%m}/{one.slug}"
    body = _BODIES[draw.choice(_FORMS)](i, draw)
    entry = Entry(f"courier-{i}", SITE + path, title=one.headline,
                  summary=plain(body.split("</p>")[0])[:200] if draw.random() < 0.8 else None,
                  published_utc=None if draw.random() < 0.04 else at.isoformat())  # fmt: skip
    return Page(entry, _template(i, one, at, SITE + path, body, draw).encode())


def _texts(i: int, draw: random.Random) -> list[str]:
    """Paragraphs of plain text."""
    parts = [
        plain(part)
        for part in bulk.brief(i, SEED).body.split("\n\n")
        if part.strip().startswith(("<p", "“")) or part.strip()
    ]
    return [part for part in parts if part and not draw.random() < 0.05] or parts


def _paragraphs(texts: list[str]) -> str:
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts)


def _news(i: int, draw: random.Random) -> str:
    return _paragraphs(_texts(i, draw))


def _brief(i: int, draw: random.Random) -> str:
    text = " ".join(_texts(i, draw))
    return _paragraphs([". ".join(text.split(". ")[: draw.choice((2, 3))]).rstrip(".") + "."])


def _feature(i: int, draw: random.Random) -> str:
    parts = []
    for n in range(draw.choice((3, 4, 6))):
        parts.append(f"<h2>{bulk.name(i * 31 + n)} and what became of it</h2>{_news(500_000 + i * 10 + n, draw)}")
    quote = html.escape(_texts(700_000 + i, draw)[0][:140])
    return _news(i, draw) + f"<blockquote><p>{quote}</p></blockquote>" + "".join(parts)


def _live(i: int, draw: random.Random) -> str:
    lines = []
    for n in range(draw.choice((6, 9, 14))):
        text = _texts(800_000 + i * 20 + n, draw)[0]
        lines.append(f"<h3>{20 - n}:{draw.randrange(10, 59)}</h3><p>{html.escape(text)}</p>")
    return _paragraphs(_texts(i, draw)[:1]) + "".join(lines)


def _list(i: int, draw: random.Random) -> str:
    items = "".join(
        f"<li>{bulk.name(i * 17 + n)}: {html.escape(_texts(900_000 + i * 9 + n, draw)[0][:90])}</li>" for n in range(8)
    )
    return (
        _paragraphs(_texts(i, draw)[:2])
        + f"<p>What is known so far:</p><ul>{items}</ul>"
        + _paragraphs(_texts(i, draw)[2:])
    )


def _pictures(i: int, draw: random.Random) -> str:
    shots = "".join(
        f"<figure><img src='/p/{i}-{n}.jpg' width='900' height='600' alt=''><figcaption>{bulk.name(i * 13 + n)} in the morning."
        f" Photo: {bulk.name(n + i)}</figcaption></figure>" for n in range(5)
    )  # fmt: skip
    return _paragraphs(_texts(i, draw)[:2]) + shots


def _translation(i: int, draw: random.Random) -> str:
    other = [one for one in briefs() if one.language != "en"]
    texts = [plain(block) for block in draw.choice(other).blocks if block.startswith("<p>")]
    draw.shuffle(texts)
    return _paragraphs([f"{text} {bulk.name(i)} {n}." for n, text in enumerate(texts[:5])])


_BODIES: dict[str, Callable[[int, random.Random], str]] = {
    "news": _news, "brief": _brief, "feature": _feature, "live": _live, "list": _list, "pictures": _pictures,
    "translation": _translation,
}  # fmt: skip


def _template(i: int, one: Any, at: dt.datetime, url: str, body: str, draw: random.Random) -> str:
    headline = html.escape(one.headline)
    data = {"@context": "https://schema.org", "@type": "NewsArticle", "headline": one.headline, "datePublished": at.isoformat(),
            "mainEntityOfPage": url}  # fmt: skip
    who = "" if draw.random() < 0.3 else f'<span class="who">By <a href="/people/{i}">{one.author}</a></span>'
    lead = f'<p class="standfirst">{html.escape(_texts(600_000 + i, draw)[0])}</p>' if draw.random() < 0.4 else ""
    crumb = (
        ""
        if draw.random() < 0.1
        else f'<a class="crumb" href="/{one.section}">{one.section.replace("-", " ").title()}</a>'
    )
    more = "".join(
        f'<li><a href="/x/{i - n}">{html.escape(bulk.brief(i - n, SEED).headline)}</a></li>'
        for n in range(1, 6)
        if i >= n
    )
    menu = "".join(
        f'<li><a href="/{name}">{name.title()}</a></li>' for name in ("world", "home", "money", "sport", "letters")
    )
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{headline} | {TITLE}</title>
<link rel="canonical" href="{url}"><meta property="og:title" content="{headline}"><meta property="og:type" content="article">
<meta property="og:site_name" content="{TITLE}"><script type="application/ld+json">{json.dumps(data)}</script></head>
<body class="paper"><header class="top"><a class="logo" href="/">{TITLE}</a><nav class="menu"><ul>{menu}</ul></nav></header>
<main><article id="story">{crumb}<h1 class="big">{headline}</h1>{lead}<div class="meta">{who}
<time datetime="{at.isoformat()}">{at:%d %B %Y, %H:%M}</time></div><div class="prose">{body}</div></article>
<aside class="more"><h2>More from the Courier</h2><ul>{more}</ul></aside></main>
<footer class="foot"><p>© {TITLE}. All rights reserved. <a href="/terms">Terms</a> <a href="/privacy">Privacy</a></p></footer>
</body></html>"""


# Ten more ways


def changed(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    """A change to a parsed page as one to its bytes."""

    def mutate(body: bytes) -> bytes:
        soup = BeautifulSoup(body, "lxml")
        change(soup)
        return str(soup).encode()

    return mutate


def _put(soup: Any, selector: str, markup: str) -> None:
    element = soup.select_one(selector)
    element.clear()
    element.append(BeautifulSoup(markup, "html.parser"))


def log_in(soup: Any) -> None:
    _put(soup, ".prose", "<p>This article is for members of the Courier. <a href='/login'>Log in</a> or "
         "<a href='/join'>become a member</a> to go on reading. Members get every story, the archive and the letter.</p>")  # fmt: skip


def dates_lost(soup: Any) -> None:
    for element in soup.select("time, script"):
        element.decompose()


def title_of_section(soup: Any) -> None:
    soup.select_one("h1").string = "News and analysis"
    soup.title.string = "News and analysis"
    for element in soup.select('meta[property="og:title"], script'):
        element.decompose()


def lazy(soup: Any) -> None:
    _put(soup, ".prose", "<div class='spinner' data-src='/api/body'></div>")


def notice_instead(soup: Any) -> None:
    _put(soup, ".prose", "<p>Our pages are being rebuilt these days, and older and newer stories may not show as they "
         "should. We ask for your patience.</p><p>Readers who miss a story can "
         "write to the desk, which sends it by post within the week.</p>")  # fmt: skip


def maintenance(soup: Any) -> None:
    _put(soup, "body", "<h1>We will be back soon</h1><p>The site is under maintenance.</p>")


def front_story(soup: Any) -> None:
    front = bulk.brief(2, SEED)
    soup.select_one("h1").string = front.headline
    soup.select_one('meta[property="og:title"]')["content"] = front.headline
    soup.select_one("script").decompose()
    _put(soup, ".prose", _news(2, random.Random(2)))


def app_only(soup: Any) -> None:
    first = soup.select_one(".prose p").get_text().split(". ")[0][:110]
    _put(soup, ".prose", f"<p>{html.escape(first)}…</p><p><a href='/app'>Continue in the app</a></p>")


def always_today(soup: Any) -> None:
    now = "2026-05-30T12:00:00+00:00"
    soup.select_one("script").decompose()
    soup.select_one("time")["datetime"] = now
    soup.select_one("time").string = "30 May 2026, 12:00"


def cut(body: bytes) -> bytes:
    start = body.index(b'<div class="prose">')
    return body[: start + (body.index(b"</article>") - start) * 6 // 10]


LAYOUTS: dict[str, Callable[[bytes], bytes]] = {
    "log in to read": changed(log_in), "dates lost": changed(dates_lost), "section's name for a headline": changed(title_of_section),
    "body loaded later": changed(lazy), "a notice for a body": changed(notice_instead), "maintenance": changed(maintenance),
    "the front story everywhere": changed(front_story), "in the app only": changed(app_only),
    "dated as of now": changed(always_today), "cut off": cut,
}  # fmt: skip
