"""Coverage-guided fuzzing of everything that reads a stranger's bytes, for as long as it is given.

    python -m benchmarks.fuzz [NAME ...] [--seconds 60]

Each reader runs in a process of its own under Atheris (libFuzzer), from our own recorded files. It may answer, or refuse with
Rejected (a filter: OperatorError); any other exception, an input that takes over 10 s, or 2 GB of memory, is a finding: its
bytes are kept in the folder that is named. The last line is one JSON object: for each reader runs, coverage (edges), findings.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
URL = "https://news.example/a"
SLOW_S, MEMORY_MB = 10, 2048
SEEDS = {
    "feed": ["tests/ingest/recorded_feeds/*.xml", "tests/ingest/recorded_feeds/*.json"],
    "sitemap": ["tests/ingest/recorded_feeds/*.xml"],
    "listing": ["services/console/demo/templates/*"],
    "page": ["services/console/demo/templates/*", "tests/ingest/profiles/*.html"],
    "profile": ["services/console/demo/templates/*"],
    "robots": [], "opml": [], "filter": [], "webhook": [], "push": [], "text": [], "discovery": ["services/console/demo/templates/*"],
}  # fmt: skip
WRITTEN = {
    "robots": ["User-agent: *\nDisallow: /x\nCrawl-delay: 2\nSitemap: https://news.example/s.xml\n"],
    "opml": ['<opml version="2.0"><body><outline text="a"><outline xmlUrl="https://a.example/rss"/></outline></body></opml>'],
    "filter": ['section = "Economy" and (words > 100 or not language in ("en", "ru"))', "category under medtop:04000000 and age < 2d"],
    "webhook": ["v1,YWJj v1a,YWJj|1700000000|msg_1|{}"],
    "push": ['{"headline": "A", "text": "b", "published": "2026-05-04"}', '{"url": "https://a.example"}'],
    "text": ["Title\n\nCategory status: improved\nMay 4, 2026\n\nText.\n- item\n\nSimilar articles\n\nOther\nMay 3, 2026\n"],
    "sitemap": ['<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>https://a.example/1</loc></url></urlset>'],
}  # fmt: skip


def readers() -> dict[str, Callable[[bytes], Any]]:
    """Name -> the function under test; imported here, so that the child can instrument what they import."""
    from services.ingest import discover, feeds, listings, opml, profiles, pushing, recorded, robots, sitemaps
    from services.ingest.extract import PageInput, draft, draft_text
    from services.publish import filters
    from shared import signatures

    demo = profiles.load().named("demo", NOW.date())
    secret = "whsec_" + "QUFB" * 8

    def webhook(data: bytes) -> None:
        signature, _, rest = data.decode("utf-8", "replace").partition("|")
        stamp, _, rest = rest.partition("|")
        name, _, body = rest.partition("|")
        headers = {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": signature}
        signatures.verify([secret], headers, body.encode("utf-8", "replace"), NOW)

    def push(data: bytes) -> None:
        pushed = pushing.read(data, "application/json")
        if pushed.content_type == recorded.CONTENT_TYPE and pushed.body is not None:
            recorded.draft_record(pushed.body, NOW, "UTC")

    return {
        "feed": lambda data: feeds.parse(data, URL, None),
        "sitemap": lambda data: sitemaps.parse(data, URL),
        "listing": lambda data: listings.parse(data, URL),
        "page": lambda data: draft(PageInput(data, URL, "text/html", NOW)),
        "profile": lambda data: draft(PageInput(data, URL, "text/html", NOW), demo),
        "robots": lambda data: robots.decide(robots.rules(200, data), URL, "Briefwire/0.1"),
        "opml": opml.load,
        "filter": lambda data: filters.compiled(data.decode("utf-8", "replace")),
        "webhook": webhook,
        "push": push,
        "text": lambda data: draft_text(data.decode("utf-8", "replace"), NOW, "UTC"),
        "discovery": lambda data: discover.discover(data, URL, {"content-type": "text/html"}),
    }


def child(name: str, arguments: list[str]) -> None:
    """Fuzzes one reader in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(
        include=["services", "shared", "feedparser", "protego"], enable_loader_override=False
    ):
        function = readers()[name]
    from shared.errors import OperatorError, Rejected

    expected = (Rejected, OperatorError) if name == "filter" else (Rejected,)

    def once(data: bytes) -> None:
        try:
            function(data)
        except expected:
            return

    atheris.Setup([sys.argv[0], *arguments], once)
    atheris.Fuzz()


def fuzz(name: str, seconds: int, folder: Path, seed: int = 0) -> dict[str, Any]:
    """One reader for that long, in a child; what came of it. The same seed tries the same inputs; 0 takes another each time."""
    corpus, found = folder / name / "corpus", folder / name / "found"
    for made in (corpus, found):
        made.mkdir(parents=True, exist_ok=True)
    _seed(name, corpus)
    flags = [f"-max_total_time={seconds}", f"-seed={seed}", f"-timeout={SLOW_S}", f"-rss_limit_mb={MEMORY_MB}",
             f"-artifact_prefix={found}/", "-max_len=20000", "-print_final_stats=1", "-close_fd_mask=1"]  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.fuzz", "--child", name, *flags, str(corpus)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=seconds + 120, check=False
    )
    if not re.search(r"stat::number_of_executed_units", done.stderr):
        raise RuntimeError(done.stderr[-4000:])
    findings = sorted(str(path) for path in found.iterdir())
    if findings:
        sys.stderr.write(done.stderr[-4000:])
    return {"runs": _number(r"number_of_executed_units:\s+(\d+)", done.stderr), "coverage": _number(r"cov: (\d+)", done.stderr),
            "findings": findings}  # fmt: skip


def _seed(name: str, corpus: Path) -> None:
    files = [
        path
        for pattern in SEEDS[name]
        for path in sorted(ROOT.glob(pattern))
        if not path.name.endswith(".expected.json")
    ]
    for n, content in enumerate(
        [*(path.read_bytes() for path in files), *(text.encode() for text in WRITTEN.get(name, []))]
    ):
        (corpus / f"seed{n}").write_bytes(content)


def _number(pattern: str, text: str) -> int:
    return max((int(n) for n in re.findall(pattern, text)), default=0)


def main() -> None:
    if "--child" in sys.argv:
        at = sys.argv.index("--child")
        child(sys.argv[at + 1], sys.argv[at + 2 :])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SEEDS)}; all of them unless given")
    parser.add_argument("--seconds", type=int, default=60, help="for each")
    options = parser.parse_args()
    if unknown := set(options.names) - set(SEEDS):
        parser.error(f"no such reader: {', '.join(sorted(unknown))}")
    folder = Path(tempfile.mkdtemp(prefix="briefwire-fuzz-"))
    out = {}
    for name in options.names or SEEDS:
        out[name] = fuzz(name, options.seconds, folder)
        print(f"{name}: {out[name]}", flush=True)
    print(
        json.dumps(
            {"seconds": options.seconds, "findings": sum(len(one["findings"]) for one in out.values()), "readers": out}
        )
    )
    raise SystemExit(any(one["findings"] for one in out.values()))


if __name__ == "__main__":
    main()
