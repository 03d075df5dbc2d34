"""Look-alikes: what is on a news site and is no article is told by its reason; what is short, old or odd and an article passes."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from services.ingest.extract import PageInput, draft
from shared.records import Draft

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
SITE = "https://herald.example"
MENU = "".join(
    f"<li><a href='/{name}'>{name.title()}</a></li>" for name in ("news", "sport", "culture", "about", "contact")
)
PROSE = (
    "The council met on Tuesday and agreed, after a long debate, to repair the old bridge before the winter comes.",
    "The mayor said that traffic would be led over the northern road until the end of October at the latest.",
    "A first estimate puts the price at four million, of which the province is asked to carry a third.",
    "Residents of the lower town had asked for the works for years, most recently in a petition with 900 names.",
)
TEASERS = [
    (
        "Harbour reopens after storm",
        "The harbour took its first ferry on Monday, six days after the storm had closed it.",
    ),
    (
        "School strike enters second week",
        "Teachers and the ministry meet again on Thursday, and neither side expects an end.",
    ),
    (
        "Museum buys lost altar",
        "The altar, thought burnt in 1944, was found in a barn two valleys away from its chapel.",
    ),
    (
        "River below lowest mark",
        "For the first time since records began the gauge at the mill stands below fifty centimetres.",
    ),
    (
        "Orchestra names conductor",
        "A conductor of thirty-one takes over the town's orchestra when the season opens in autumn.",
    ),
    (
        "Bakers ask for cheaper power",
        "The guild of bakers says that one oven in four will be cold by the end of the year.",
    ),
]


def site(main: str, title: str = "The Herald", head: str = "") -> str:
    """A page of the paper around some main content."""
    return (
        f"<!doctype html><html lang='en'><head><title>{title}</title><meta property='og:site_name' content='The Herald'>{head}</head>"
        f"<body><header><a href='/'>The Herald</a><nav><ul>{MENU}</ul></nav></header><main>{main}</main>"
        "<footer><p>The Herald, Mill Lane 4, founded in 1887. All rights are with the editors.</p></footer></body></html>"
    )


def paragraphs(*texts: str) -> str:
    return "".join(f"<p>{text}</p>" for text in texts)


def read(markup: str, path: str) -> Draft:
    return draft(PageInput(markup.encode(), SITE + path, "text/html; charset=utf-8", NOW))


def cards(tag: str = "div", heading: str = "h2", dates: bool = True) -> str:
    made = []
    for number, (headline, opening) in enumerate(TEASERS):
        day = f"<time datetime='2026-04-{10 + number}'>{10 + number} April 2026</time>" if dates else ""
        made.append(
            f"<{tag} class='card'><img src='/i/{number}.jpg' width=300 height=200 alt=''>"
            f"<{heading}><a href='/news/{number}-story'>{headline}</a></{heading}>{day}<p>{opening}</p></{tag}>"
        )
    return "".join(made)


ABOUT = (
    "The Herald has been written by people of this valley for people of this valley since 1887, six days a week.",
    "Our newsroom has eleven editors and two photographers, and an office above the old mill that is open to all.",
    "We belong to our readers: four thousand of them hold a share, and none holds more than one share in a hundred.",
)
YOAST = json.dumps(
    {
        "@context": "https://schema.org",
        "@graph": [{"@type": ["WebPage", "AboutPage"], "name": "About", "datePublished": "2019-02-01"}],
    }
)
OTHERS = {
    "about": (site(f"<h1>About us</h1>{paragraphs(*ABOUT)}", "About us | The Herald"), "/about-us", "static-page"),
    "about, as a publishing system marks it": (
        site(
            f"<article><h1>Who makes this paper</h1>{paragraphs(*ABOUT)}</article>",
            "Who makes this paper | The Herald",
            f"<meta property='og:type' content='article'><script type='application/ld+json'>{YOAST}</script>",
        ),
        "/who-makes-it",
        "static-page",
    ),
    "imprint": (site(f"<h1>Impressum</h1>{paragraphs(*ABOUT)}", "Impressum"), "/service/impressum.html", "static-page"),
    "privacy, in Polish": (site(f"<h1>Polityka prywatności</h1>{paragraphs(*ABOUT)}"), "/polityka-prywatnosci", "static-page"),
    "contacts, in Russian": (site(f"<h1>Контакты</h1>{paragraphs(*ABOUT)}"), "/kontakty", "static-page"),
    "terms with the day they were changed": (
        site(f"<h1>Terms of use</h1><p>Last updated: 3 March 2025</p>{paragraphs(*ABOUT)}"),
        "/terms-of-use",
        "static-page",
    ),
    "front": (site(cards()), "/", "front-page"),
    "front without an opening line of any story": (
        site("".join(f"<h2><a href='/n/{n}'>{headline}</a></h2>" for n, (headline, _) in enumerate(TEASERS))),
        "/index.html",
        "front-page",
    ),
    "section": (site(f"<h1>Politics</h1>{cards()}", "Politics | The Herald"), "/politics", "listing-page"),
    "section of articles": (site(f"<h1>Politics</h1>{cards('article', 'h3')}"), "/politics/", "listing-page"),
    "section without dates": (site(f"<h1>Sport</h1>{cards(dates=False)}"), "/sport", "listing-page"),
    "tag": (site(f"<h1>bridge</h1>{cards('li', 'h3')}", "bridge"), "/tag/bridge", "listing-page"),
    "author": (site(f"<h1>Ann Example</h1><p>{ABOUT[0]}</p>{cards('section', 'h4')}"), "/author/ann-example", "listing-page"),
    "search": (site(f"<h1>Results for bridge</h1><form><input name=q></form>{cards()}"), "/search?q=bridge", "listing-page"),
    "login": (
        site("<h1>Log in</h1><form><p>Use the address you gave us when you subscribed to the paper.</p><input name=u>"
             "<input type=password name=p><button>Go</button></form><p>Forgot your password? We send you a new one.</p>",
             "Log in | The Herald"),
        "/account/login?next=/news/1-story",
        "login-page",
    ),
    "sign in before an article": (
        site("<h2>Sign in to your account to go on</h2><form><input type='password'></form><p>No account? It is free of charge.</p>",
             "Sign in to The Herald"),
        "/news/2026/bridge",
        "login-page",
    ),
    "consent": (
        site("<h1>We value your privacy</h1><p>We and our 812 partners store cookies on your device and read them, so that we can "
             "show you advertisements that fit you.</p><p>You may change your mind at any time in the settings of this page, or "
             "read more about each of the partners and what they do with what they learn.</p><button>Accept all</button>"),
        "/news/2026/bridge",
        "consent-page",
    ),
    "gone": (site("<h1>Page not found</h1><p>What you were looking for is not here, or is here no longer.</p>"), "/x", "soft-404"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_article_is_told(name: str) -> None:
    markup, path, reason = OTHERS[name]
    found = read(markup, path).verdict
    assert (found.kind, found.reason) == ("not-an-article", reason)


DATA = json.dumps(
    {
        "@type": "NewsArticle",
        "headline": "About us: a town looks at itself",
        "datePublished": "2026-04-01",
        "author": "Ann Example",
    }
)
LIVE = json.dumps(
    {"@type": "LiveBlogPosting", "headline": "Bridge vote, live", "datePublished": "2026-04-01T08:00:00Z"}
)
SIDE = f"<aside><h3>Latest</h3>{cards('div', 'h4')}</aside>"
ARTICLES = {
    "two sentences and nothing else": (site(f"<h1>Bridge to close</h1>{paragraphs(PROSE[0])}"), "/news/bridge-to-close"),
    "two short sentences beside teasers": (
        site(f"<article><h1>Bridge to close</h1><p class=date>3 April 2026</p>"
             f"<p>The bridge closes in May. It opens in June.</p></article>{SIDE}"),
        "/news/bridge-to-close",
    ),
    "a brief in Russian": (
        site("<h1>Мост закроют в мае</h1><p>3 апреля 2026, 10:15</p><p>Городской совет решил закрыть старый мост на месяц. "
             "Движение пойдёт по северной дороге.</p>"),
        "/novosti/most-zakroyut",
    ),
    "a brief in Arabic": (
        site("<h1>إغلاق الجسر القديم في مايو</h1><p>٣ أبريل ٢٠٢٦</p><p>قرر مجلس المدينة إغلاق الجسر القديم لمدة شهر. "
             "وستمر حركة المرور عبر الطريق الشمالي.</p>"),
        "/akhbar/jisr",
    ),
    "an article whose name is that of a static page": (
        site(f"<article><h1>About us: a town looks at itself</h1>{paragraphs(*PROSE)}</article>", "About us",
             f"<script type='application/ld+json'>{DATA}</script>"),
        "/culture/about-us",
    ),
    "a dated article called Contact": (
        site(f"<article><h1>Contact</h1><time datetime='2026-04-01'>1 April 2026</time>{paragraphs(*PROSE)}</article>", "Contact"),
        "/film/2026/contact-seen-again",
    ),
    "an article beside a form to sign in": (
        site(f"<article><h1>Bridge to close</h1>{paragraphs(PROSE[0])}</article><form><input type=password></form>"),
        "/news/bridge-to-close",
    ),
    "an article with its section in the address": (
        site(f"<article><h1>Bridge to close</h1>{paragraphs(*PROSE)}</article>{SIDE}"),
        "/category/politics/bridge-to-close",
    ),
    "a live blog": (
        site("<h1>Bridge vote, live</h1>" + "".join(
            f"<section><h3><a href='#{n}'>{10 + n}:30 The vote, part {n}</a></h3><p>{text}</p></section>" for n, text in enumerate(PROSE)),
            "Bridge vote, live", f"<script type='application/ld+json'>{LIVE}</script>"),
        "/live/bridge-vote",
    ),
    "an article in parts under headings of its own": (
        site("<article><h1>Bridge to close</h1>" + "".join(f"<h2>Part {n} of the story</h2><p>{t}</p>" for n, t in enumerate(PROSE))
             + "</article>"),
        "/news/bridge-to-close",
    ),
    "an article about cookies": (
        site(f"<article><h1>Cookies</h1><p class=date>1 April 2026</p>{paragraphs(*PROSE)}</article>", "Cookies | The Herald"),
        "/food/best-cookies-in-town",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ARTICLES)
def test_what_is_an_article_passes(name: str) -> None:
    markup, path = ARTICLES[name]
    found = read(markup, path)
    assert (found.verdict.kind, found.verdict.reason) == ("article", None)
    assert found.blocks
