"""The brief the product was asked for, whole: from a served site to records, partners, revisions. And a look-alike of ours."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.console.demo.receiver import Receiver
from services.publish import sign
from services.publish.render import RenderInput, render
from shared import clock, records
from shared.store import articles, events, intake
from tests.conftest import BESIDE
from tests.wire.harness import Wire, host_of

SECRET = sign.new_secret(bytes(range(32)))
BRIEFWIRE = [sys.executable, "-c", "from services.console.cli import main; main()"]
LOOKALIKE = Path(__file__).parent / "lookalike"
UTC = dt.UTC


class Case(msgspec.Struct, frozen=True):
    """A site folder with expected records. `host` is the older page, which prints the newer one as similar."""

    folder: Path
    profile: str
    host: str
    target: str
    unchanged: str
    improved: str
    worsened: str


CASES = {
    "seed": Case(
        BESIDE / "seed-site", "belarus-in-focus", "minsk-will-not-engage-conflicts-post-soviet-space",
        "minsk-attempts-make-image-losses-military-exercises-opening-western-values", "status-same", "status-up", "status-down",
    ),
    "lookalike": Case(
        LOOKALIKE, "harbour-briefs", "lindmark-keeps-out-strait-dispute", "lindmark-offers-its-lighthouse-for-talks",
        "trend-flat", "trend-up", "trend-down",
    ),
}  # fmt: skip


class FolderSite:
    """Serves a folder: /x is x, x.html or x/index.html; `{base}` in the feed is our address. `edits` replace text in pages."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.edits = folder, dict[str, str]()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = site.read(self.path)
                kind = "application/rss+xml" if self.path.endswith(".xml") else "text/html; charset=utf-8"
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: Any) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def read(self, path: str) -> bytes | None:
        name = path.lstrip("/").partition("?")[0]
        for place in (self.folder / name, self.folder / f"{name}.html", self.folder / name / "index.html"):
            if place.is_file():
                text = place.read_text(encoding="utf-8").replace("{base}", self.url)
                for old, new in self.edits.items():
                    text = text.replace(old, new)
                return text.encode()
        return None

    def page(self, slug: str) -> str:
        found = next(self.folder.rglob(f"{slug}.html"))
        return f"{self.url}/{found.relative_to(self.folder).with_suffix('')}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    found = CASES[request.param]
    if not found.folder.is_dir():
        pytest.skip("no seed site beside the checkout")
    return found


@pytest.fixture
def site(case: Case) -> Iterator[FolderSite]:
    made = FolderSite(case.folder / "site")
    yield made
    made.stop()


def expected(case: Case, slug: str, site: FolderSite) -> Any:
    """The expected record with this server's address before its URLs."""

    def absolute(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: absolute(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [absolute(v) for v in value]
        return site.url + value if key in ("url", "target") and isinstance(value, str) else value

    return absolute(json.loads((case.folder / "expected" / f"{slug}.json").read_text(encoding="utf-8")))


def differences(want: Any, got: Any, path: str = "") -> list[str]:
    """Where the record lacks what is expected; more fields are allowed."""
    if isinstance(want, dict) and isinstance(got, dict):
        return [line for k, v in want.items() for line in differences(v, got.get(k, "absent"), f"{path}.{k}")]
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        return [
            line for i, (a, b) in enumerate(zip(want, got, strict=True)) for line in differences(a, b, f"{path}[{i}]")
        ]
    return [] if want == got else [f"{path}: expected {want!r}, got {got!r}"]


def printed(site: FolderSite, slug: str, tmp_path: Path, case: Case, *options: str) -> Any:
    """What `briefwire source test` prints for a page."""
    (tmp_path / "briefwire.toml").write_text(f"[ingest]\nprofiles = [{json.dumps(str(case.folder / 'profiles'))}]\n"
                                             if (case.folder / "profiles").is_dir() else "")  # fmt: skip
    command = [*BRIEFWIRE, "--data", str(tmp_path), "source", "test", site.page(slug),
               "--allow-host", host_of(site.url), "--json", *options]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_both_pages_become_the_expected_records(case: Case, site: FolderSite, tmp_path: Path) -> None:
    for slug in (case.host, case.target):
        record = printed(site, slug, tmp_path, case, "--profile", case.profile)
        want = expected(case, slug, site)
        want.pop("source_item_id", None)  # a page tested by itself has its id only where the profile reads it
        assert differences(want, record) == []


def test_without_a_profile_section_and_status_are_unknown_and_the_body_is_the_same(
    case: Case, site: FolderSite, tmp_path: Path
) -> None:
    record = printed(site, case.host, tmp_path, case)
    want = expected(case, case.host, site)
    assert (record["section"], record["category_status"]["value"]) == (None, "unknown")
    assert record["published"]["zone_source"] == "assumed"
    assert differences(want["blocks"], record["blocks"]) == []
    assert record["headline"] == want["headline"]


def test_the_status_follows_the_icon(case: Case, site: FolderSite, tmp_path: Path) -> None:
    marks = {case.improved: "improved", case.unchanged: "unchanged", case.worsened: "worsened"}
    for mark, value in marks.items():
        site.edits = {f'{case.unchanged}"': f'{mark}"'}
        record = printed(site, case.host, tmp_path, case, "--profile", case.profile)
        assert (record["category_status"]["value"], record["category_status"]["evidence"]) == (value, f"class {mark}")


def test_the_text_rendering_holds_every_line_of_the_brief(case: Case, site: FolderSite, tmp_path: Path) -> None:
    record = printed(site, case.host, tmp_path, case, "--profile", case.profile)
    article = msgspec.convert(record, records.Article, strict=False)
    now = dt.datetime(2026, 1, 1, tzinfo=UTC)
    text = render("text", RenderInput("article.published", now, 1, article)).body.decode()
    rendered = iter(text.splitlines())
    for line in (case.folder / "brief.txt").read_text(encoding="utf-8").splitlines():
        if line.strip():
            assert any(line == other for other in rendered), line


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_whole_way(case: Case, site: FolderSite, tmp_path: Path) -> None:
    wants, other = Receiver(SECRET), Receiver(SECRET)
    with contextlib.ExitStack() as stack:
        for receiver in (wants, other):
            receiver.start()
            stack.callback(receiver.stop)
        hosts = [host_of(url) for url in (site.url, wants.url, other.url)]
        profiles = [str(case.folder / "profiles")] if (case.folder / "profiles").is_dir() else []
        wire = Wire(tmp_path / "data", hosts, ingest={"profiles": profiles}, fetch={"revisit_pace": 1e-9})
        stack.callback(wire.close)
        wire.up()
        wire.add_partner(wants.url, "wants", SECRET)
        wire.add_partner(other.url, "other", SECRET, backfill=False)
        wire.add_source(f"{site.url}/rss.xml", profile=case.profile)
        wire.wait(lambda: wire.idle() and len(wants.accepted) >= 2, 90, "both briefs")
        _check_stored(wire, case, site)
        assert other.accepted == []
        _check_quiet_block(wire, case, site)
        _check_pushed_text(wire, case, wants)


def _check_stored(wire: Wire, case: Case, site: FolderSite) -> None:
    by_slug = _articles(wire)
    for slug in (case.host, case.target):
        stored = json.loads(records.to_json(by_slug[slug][0]))
        assert differences(expected(case, slug, site), stored) == []
        assert stored["backfill"] is True
    (related,) = by_slug[case.host][0].related
    assert related.target_id == by_slug[case.target][0].id  # the snapshot and the page of its own are one article
    assert len(by_slug) == 2


def _check_quiet_block(wire: Wire, case: Case, site: FolderSite) -> None:
    """A change inside the printed block alone makes no revision; a change of the article's own text does."""
    site.edits = {"Similar articles": "More of the same", "October 02, 2017": "October 03, 2017"}
    _look_again(wire)
    assert {slug: len(history) for slug, (_, history) in _articles(wire).items()} == {case.host: 1, case.target: 1}
    site.edits = {"<p>": "<p>Correction: ", "Correction: The": "The"}
    _look_again(wire)
    assert all(len(history) == 2 for _, history in _articles(wire).values())
    site.edits = {}


def _look_again(wire: Wire) -> None:
    """Has every page fetched again, and waits until that came to something."""
    with wire.store.write() as connection:
        asked = clock.now()
        intake.look_again(connection, asked)
    wire.wait(lambda: _fetched_since(wire, asked) >= 2 and wire.idle(), 60, "the second look")


def _fetched_since(wire: Wire, since: dt.datetime) -> int:
    with wire.store.read() as connection:
        return intake.pages_since(connection, since)


def _articles(wire: Wire) -> dict[str, tuple[records.Article, list[Any]]]:
    with wire.store.read() as connection:
        rows = articles.newest(connection, 10)
        return {
            str(row["url"]).rpartition("/")[2]: (found[0], articles.history(connection, row["id"]))
            for row in rows
            if (found := articles.revision(connection, row["id"])) is not None
        }


def _check_pushed_text(wire: Wire, case: Case, receiver: Receiver) -> None:
    """The brief as plain text becomes the same record as far as a text can carry it."""
    text = (case.folder / "brief.txt").read_bytes()
    with wire.store.write() as connection:
        source = intake.add_source(connection, name="desk", url="", kind="push", profile=None, now=clock.now())
        entry = records.Entry("brief", None, title="brief.txt")
        page = intake.NewPage(text, None, None, 200, "text/plain; charset=utf-8", clock.now())
        intake.push_entry(connection, source, intake.NewEntry(entry, None, backfill=True), page, clock.now())
    before = len(receiver.accepted)
    wire.wait(lambda: wire.idle() and len(receiver.accepted) > before, 60, "the pushed text")
    with wire.store.read() as connection:
        row = next(row for row in articles.newest(connection, 10) if row["url"] is None)
        found = articles.revision(connection, row["id"])
        assert found is not None
        assert [e.kind for e in events.of_article(connection, row["id"])] == ["article.published"]
    pushed = json.loads(records.to_json(found[0]))
    want = json.loads((case.folder / "expected" / f"{case.host}.json").read_text(encoding="utf-8"))
    for field in ("headline", "language", "lead", "blocks", "authors"):
        assert differences(want[field], pushed[field]) == []
    assert (pushed["url"], pushed["section"], pushed["category_status"]["value"]) == (None, None, "unknown")
    assert pushed["published"]["raw"] == want["published"]["raw"]
    assert pushed["related"][0]["snapshot"]["headline"] == want["related"][0]["snapshot"]["headline"]
