"""Pages that mean harm, each a function of nothing, and a runner that meets them one by one under limits.

`python -m tests.ingest.extract.hostile` extracts every page in a child of its own, with CPU_S seconds of CPU and MEMORY bytes of
address space, and prints a JSON line a page: name, outcome (a Draft's verdict, a reason code, or how the child died).
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import resource
import sys
import zlib
from collections.abc import Callable
from random import Random

from services.ingest.extract import PageInput, draft
from shared.errors import Rejected

CPU_S, MEMORY = 20, 3_000_000_000
NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
PROSE = "The council met on Tuesday and agreed, after a long debate, to repair the bridge before the winter comes. "


def page(body: str, head: str = "") -> bytes:
    """A small page around a body."""
    return f"<!doctype html><html><head><title>A bridge</title>{head}</head><body>{body}</body></html>".encode()


def article(extra: str = "") -> str:
    """An article of some length."""
    return "<article><h1>A bridge</h1>" + "".join(f"<p>{n}. {PROSE * 2}</p>" for n in range(6)) + extra + "</article>"


def noise(size: int) -> bytes:
    """Bytes without meaning, always the same."""
    return Random(7).randbytes(size)


CASES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "white space": lambda: b" \n\t" * 1000,
    "one byte": lambda: b"<",
    "twenty megabytes": lambda: page("<p>" + PROSE * 200_000 + "</p>"),
    "one text of 12 MB": lambda: page("<p>" + "word " * 2_400_000 + "</p><p>after</p>"),
    "300 nested tags": lambda: page("<div>" * 300 + article() + "</div>" * 300),
    "3,000 nested tags": lambda: page("<div>" * 3000 + article() + "</div>" * 3000),
    "100,000 nested tags": lambda: page("<div>" * 100_000 + article() + "</div>" * 100_000),
    "nested inline tags": lambda: page("<p>" + "<b>" * 5000 + PROSE + "</p>" + article()),
    "nested lists": lambda: page(article("<ul><li>x" * 800)),
    "nested tables": lambda: page(article("<table><tr><td>x" * 400)),
    "nested quotes": lambda: page(article("<blockquote><p>x" * 900)),
    "300,000 attributes": lambda: page(
        "<p " + " ".join(f"a{n}='1'" for n in range(300_000)) + ">" + PROSE + "</p>" + article()
    ),
    "one attribute of 5 MB": lambda: page(f"<p class='{'x ' * 2_500_000}'>" + PROSE + "</p>" + article()),
    "60,000 paragraphs": lambda: page("<p>x</p>" * 60_000),
    "half a million tags": lambda: page("<i>" * 500_000),
    "100,000 links": lambda: page("".join(f"<a href='/{n}'>link number {n}</a> " for n in range(100_000))),
    "10,000 headings": lambda: page("<h2>Similar articles</h2>" * 10_000 + article()),
    "unclosed comment": lambda: page("<!-- " + article()),
    "unclosed script": lambda: page("<script>var a = 1; " + article()),
    "unclosed title": lambda: b"<title>" + page(article()),
    "unclosed attribute": lambda: page('<a href="' + article()),
    "script in text": lambda: page("<script>document.write('<p>" + PROSE * 50 + "</p>')</script>" + article()),
    "declared utf-8, is windows-1251": lambda: (
        page(article().replace("bridge", "мост"), "<meta charset=utf-8>").decode().encode("cp1251")
    ),
    "declared latin-1, is utf-8": lambda: page(
        "<p>" + "Мост откроют зимой. " * 50 + "</p>", "<meta charset=iso-8859-1>"
    ),
    "utf-16 with mark": lambda: page(article()).decode().encode("utf-16"),
    "utf-16 without mark": lambda: page(article()).decode().encode("utf-16-le"),
    "declared utf-16, is utf-8": lambda: page(article("<p>Où est le pont ?</p>"), "<meta charset=utf-16>"),
    "unknown charset": lambda: page(article(), "<meta charset=klingon>"),
    "bytes of no charset": lambda: page("<p>").replace(b"<p>", b"<p>\xff\xfe\x81\x00\xc3\x28" * 500),
    "NULs": lambda: b"\x00" * 100_000,
    "NULs in text": lambda: page(article().replace("bridge", "bri\x00dge")),
    "lone surrogates": lambda: (
        page(article("<p>&#xD800; &#xDFFF; &#x110000; &#0;</p>"))
        + b'<script type="application/ld+json">{"@type":"NewsArticle","headline":"\\ud800 bridge"}</script>'
    ),
    "control characters": lambda: page(article("<p>" + "".join(map(chr, range(1, 32))) + "</p>")),
    "binary": lambda: noise(300_000),
    "a picture": lambda: b"\x89PNG\r\n\x1a\n" + noise(50_000),
    "gzip not decoded": lambda: gzip.compress(page(article()) * 20),
    "deflate not decoded": lambda: zlib.compress(page(article()) * 20),
    "entity bomb": lambda: (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "' + b"&a;" * 5000 + b'">]>' + page("&b;" * 5000)
    ),
    "external entity": lambda: b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + page(article("<p>&e;</p>")),
    "deep JSON-LD": lambda: page(article(), f"<script type='application/ld+json'>{'[' * 100_000}</script>"),
    "wide JSON-LD": lambda: page(
        article(), "<script type='application/ld+json'>[" + '{"@type":"Article"},' * 50_000 + "1]</script>"
    ),
    "JSON-LD of wrong types": lambda: page(
        article(),
        "<script type='application/ld+json'>"
        '{"@type":["NewsArticle",5],"headline":{"a":[1]},"author":[[{"name":{}}],7],"datePublished":[],"url":3,'
        '"publisher":"x","mainEntityOfPage":[1],"articleBody":7,"keywords":{"x":1},"articleSection":[[["a"]]]}</script>',
    ),
    "absurd dates": lambda: page(
        article(),
        "<meta property=article:published_time content=9999-99-99T99:99:99Z><meta name=date content='31.02.2020'>"
        "<meta name=pubdate content='0001-01-01T00:00:00+23:59'>",
    ),
    "bad URLs": lambda: page(
        article("<p><a href='http://[::1'>x</a><img src='http://['></p>"), "<base href='http://[bad'>"
    ),
    "huge numbers in a date": lambda: page(article(), f"<meta name=date content='{'9' * 100_000}'>"),
    "regular expression bait": lambda: page(
        "<p>" + "a " * 50_000 + "</p><p class='" + "aA" * 50_000 + "'>x</p>" + article()
    ),
    "xml": lambda: b"<?xml version='1.0' encoding='utf-8'?><rss><channel><item><title>x</title></item></channel></rss>",
    "json": lambda: b'{"title": "x", "body": "' + PROSE.encode() * 10 + b'"}',
    "frameset": lambda: b"<html><frameset><frame src=a.html></frameset></html>",
    "select of 100,000": lambda: page("<select>" + "<option>x" * 100_000 + "</select>" + article()),
}


def outcome(content: bytes, content_type: str | None = None) -> str:
    """What becomes of a page, in a word."""
    try:
        found = draft(PageInput(content, "https://news.example/2026/bridge", content_type, NOW))
    except Rejected as error:
        return f"rejected {error.reason}"
    return found.verdict.kind if found.verdict.kind == "article" else f"{found.verdict.kind} {found.verdict.reason}"


def confined(content: bytes) -> str:
    """The outcome in a child that may use CPU_S and MEMORY and no more."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        try:
            os.write(writer, outcome(content).encode())
        except BaseException as error:
            os.write(writer, f"raised {type(error).__name__}: {error}"[:500].encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return said if os.waitstatus_to_exitcode(status) == 0 else f"died {os.waitstatus_to_exitcode(status)}"


def main() -> None:
    for name in sys.argv[1:] or CASES:
        print(json.dumps({"name": name, "outcome": confined(CASES[name]())}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
