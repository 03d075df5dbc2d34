"""The commands on a store of their own: what they change, what they print for people and for scripts, what the audit keeps."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.console import cli, show
from services.console.demo.receiver import Receiver
from services.console.demo.site import DemoSite
from services.publish import sign
from shared import clock, settings, urls, vault
from shared.records import Annotations, Article, CategoryStatus, Entry, Paragraph
from shared.store import articles, engine, events, intake, partners
from tests.console.command import Said, within

Run = Callable[..., Said]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return within(data, monkeypatch, capsys)


@pytest.fixture
def site() -> Iterator[DemoSite]:
    running = DemoSite(initial=3)
    running.start()
    yield running
    running.stop()


def follow(run: Run, name: str = "news", url: str = "https://news.example/rss.xml") -> None:
    assert run("source", "add", url, "--kind", "feed", "--no-check", "--name", name).code == 0


def deliver_to(run: Run, url: str | Path = "https://desk.example/in", name: str = "desk", *more: str) -> None:
    assert run("partner", "add", url, "--name", name, "--no-check", *more).code == 0


def listed(run: Run, *command: str) -> Any:
    said = run(*command, "--json")
    assert said.code == 0, said
    return said.json


def store_of(data: Path) -> engine.Store:
    return engine.Store(settings.load({}, data=data).store_url)


# Sources


def test_a_site_is_looked_at_and_the_choice_explained(run: Run, site: DemoSite) -> None:
    said = run(
        "source",
        "add",
        f"{site.url}/",
        "--name",
        "kelmora",
        "--profile",
        "demo",
        "--allow-host",
        urls.host_key(site.url),
    )
    assert said.code == 0, said
    assert f"Added kelmora: feed {site.feed_url}" in said.out
    assert "The page names this RSS feed in its head." in said.out
    assert "Also there: listing" in said.out
    assert f'allow_hosts = ["{urls.host_key(site.url)}"]' in said.err
    assert [(row["name"], row["kind"], row["profile"]) for row in listed(run, "source", "list")] == [
        ("kelmora", "feed", "demo")
    ]


def test_one_address_is_followed_once(run: Run) -> None:
    follow(run)
    said = run("source", "add", "https://news.example/rss.xml", "--kind", "feed", "--no-check", "--name", "again")
    assert said.code == 4
    assert "followed already, as news" in said.err


def test_a_source_is_paused_resumed_polled_and_removed(run: Run, data: Path) -> None:
    follow(run)
    assert run("source", "pause", "news").code == 0
    assert listed(run, "source", "list")[0]["state"] == "paused"
    assert "it is paused" in run("source", "poll", "news").err
    assert run("source", "resume", "news").code == 0
    assert run("source", "poll", "news").code == 0
    assert run("source", "remove", "news").code == 0
    assert listed(run, "source", "list") == []
    follow(run)  # the name is free again
    gone = run("source", "pause", "other")
    assert (gone.code, "There is no source named other." in gone.err) == (2, True)
    actions = [line["action"].removesuffix("-source") for line in listed(run, "audit")]
    assert actions == ["add", "remove", "poll", "resume", "pause", "add"]
    assert all(line["who"] for line in listed(run, "audit"))


def test_an_unknown_profile_names_the_known_ones(run: Run) -> None:
    said = run("source", "add", "https://news.example/", "--kind", "feed", "--no-check", "--profile", "x")
    assert said.code == 2
    assert "belarus-in-focus, demo" in said.err


def test_a_text_pushed_twice_is_one_entry(run: Run, data: Path, tmp_path: Path) -> None:
    text = tmp_path / "brief.txt"
    text.write_text("A headline\n\nA text.\n", encoding="utf-8")
    first, second = (listed(run, "source", "push", str(text), "--source", "desk") for _ in range(2))
    assert (first["new"], second["new"], first["entry"]) == (True, False, second["entry"])
    with store_of(data).read() as connection:
        pages = intake.pages(connection, [1])
    assert pages[1]["body"] == text.read_bytes()
    assert pages[1]["content_type"].startswith("text/plain")


@pytest.mark.parametrize(("content", "code"), [(b"", 2), (b"\xff\xfe\xff", 2)])
def test_what_is_no_text_is_not_taken_in(run: Run, tmp_path: Path, content: bytes, code: int) -> None:
    (tmp_path / "x").write_bytes(content)
    assert run("source", "push", tmp_path / "x", "--source", "desk").code == code
    assert run("source", "push", tmp_path / "missing", "--source", "desk").code == 2


# Partners


def test_a_new_partner_gets_a_secret_that_is_told_once(run: Run, data: Path) -> None:
    said = run(
        "partner",
        "add",
        "https://desk.example/in",
        "--no-check",
        "--json",
        "--filter",
        'section = "Economy"',
        "--backfill",
    )
    made = said.json
    assert made["name"] == "desk.example"
    with store_of(data).read() as connection:
        row = partners.of_partner(connection, "desk.example")[0]
    assert vault.unseal(data, row["secrets"]) == (made["secret"],)
    assert made["secret"] not in json.dumps(listed(run, "partner", "list"))
    wish = row["subscriptions"][0]
    assert (wish["filter"], wish["backfill"], wish["coalesce"]) == ('section = "Economy"', True, False)


def test_a_folder_takes_no_secret(run: Run, tmp_path: Path) -> None:
    assert run("partner", "add", tmp_path / "out", "--secret", sign.new_secret(bytes(32))).code == 2
    deliver_to(run, tmp_path / "out", "archive")
    assert [(row["kind"], row["url"]) for row in listed(run, "partner", "list")] == [("storage", str(tmp_path / "out"))]


@pytest.mark.parametrize("wrong", [("ftpx://host/x",), ("https://",), ("https://desk.example/", "--format", "paper")])
def test_what_no_partner_can_be(run: Run, wrong: tuple[str, ...]) -> None:
    said = run("partner", "add", "--no-check", *wrong)
    assert said.code == 2
    assert said.err.startswith("Error: ")


def test_a_partner_is_paused_resumed_and_removed(run: Run, data: Path) -> None:
    deliver_to(run)
    assert run("partner", "pause", "desk").code == 0
    assert listed(run, "partner", "list")[0]["state"] == "paused"
    assert run("partner", "resume", "desk").code == 0
    assert listed(run, "partner", "list")[0]["state"] == "active"
    assert run("partner", "remove", "desk").code == 0
    assert listed(run, "partner", "list") == []
    deliver_to(run)
    assert run("partner", "pause", "nobody").code == 2


def test_a_test_event_reaches_the_partner_signed(run: Run, data: Path) -> None:
    partner = Receiver(secret := sign.new_secret(bytes(range(32))), keep_bodies=True)
    partner.start()
    try:
        data.mkdir()
        (data / "briefwire.toml").write_text(f'[fetch]\nallow_hosts = ["{urls.host_key(partner.url)}"]\n')
        assert run("partner", "add", partner.url, "--name", "desk", "--secret", secret).code == 0
        said = run("partner", "test", "desk")
    finally:
        partner.stop()
    assert (said.code, "desk took it: 200" in said.out) == (0, True)
    assert [(one.type, one.accepted) for one in partner.received] == [("briefwire.test", True)]
    assert run("partner", "test", "desk").code == 3


def test_a_test_file_is_written(run: Run, tmp_path: Path) -> None:
    deliver_to(run, tmp_path / "out", "archive")
    assert run("partner", "test", "archive").code == 0
    assert json.loads((tmp_path / "out" / "briefwire-test.json").read_text())["type"] == "briefwire.test"


# Articles, books, quarantine

NOW = dt.datetime(2026, 5, 4, 9, 30, tzinfo=dt.UTC)
URL = "https://news.example/a-brief"


def record(
    article_id: str = "art_00000000000000aa", url: str = URL, headline: str = "Harbour [bold]reopens[/bold]\x1b[2J"
) -> Article:
    return Article(
        id=article_id, source="news", source_item_id="7", url=url, requested_url=url, final_url=url, revision=1, state="usable",
        content_hash="0" * 64, headline=headline, language="en", language_evidence="the text", authors=("A. Writer",),
        published=None, modified=None, section="Economy", category_status=CategoryStatus("improved"), lead="It does.",
        blocks=(Paragraph("It does."), Paragraph("Ships came in.")), images=(), tags=(), related=(),
    )  # fmt: skip


@pytest.fixture
def delivered(run: Run, data: Path) -> Path:
    """A store with one article, stored and on its way to one partner: as the stages would have left it."""
    follow(run)
    deliver_to(run)
    store = store_of(data)
    with store.write() as connection:
        source_id = intake.source(connection, "news")["id"]
        intake.add_entries(connection, source_id, [intake.NewEntry(Entry("7", URL), "news.example", False)], NOW)
        intake.keep_page(connection, 1, intake.NewPage(b"<html>", URL, URL, 200, "text/html", NOW))
        articles.create(connection, record(), "identity", source_id, 1, 1, NOW)
        intake.finish_entry(connection, 1, "stored", article_id=record().id)
        articles.annotate(connection, [(record(), Annotations(story="sto_1"))])
        articles.set_article(connection, record().id, enriched_revision=1, due_at=None)
        events.append(connection, [events.NewEvent("article.published", record().id, 1, False)], NOW)
        event = events.unplanned(connection, 10)[0]
        partners.plan(connection, [partners.Planned(1, event, "msg_1")], 1, NOW)
        partners.begin_attempts(connection, [1])
        row = partners.sendable(connection, 1, clock.now(), 10)[0] | {"begun": 0}
        partners.record(
            connection, 1, [partners.Tried(row, "dead", NOW, 120, status=500, reason="http-500", response="no")]
        )
    store.close()
    return data


PARTS = (
    "Harbour [bold]reopens[/bold]",
    "Ships came in.",
    "status       improved",
    "story        sto_1",
    "by source news as entry 1",
    "revision 1 (new)",
    "number 1: article.published",
    "attempt 1: dead 500 http-500, 120 ms",
    "is quarantined (http-500)",
)


def test_an_article_is_shown_with_its_whole_way(run: Run, delivered: Path) -> None:
    by_id, by_start, by_url = (run("article", "show", wanted) for wanted in (record().id, "art_00000000000000a", URL))
    assert by_id.code == 0, by_id
    assert by_id.out == by_start.out == by_url.out
    for part in PARTS:
        assert part in by_id.out
    assert "\x1b" not in by_id.out
    whole = listed(run, "article", "show", URL)
    assert whole["article"]["blocks"][1] == {"kind": "paragraph", "text": "Ships came in."}
    assert whole["annotations"]["story"] == "sto_1"
    assert whole["deliveries"][0]["attempts_made"][0]["status"] == 500
    assert [step["stage"] for step in whole["way"]] == ["seen", "fetched", "stored", "event", "sent", "delivery"]
    assert listed(run, "trace", URL)["way"] == whole["way"]
    assert [row["id"] for row in listed(run, "article", "list", "--section", "Economy")] == [record().id]
    assert listed(run, "article", "list", "--state", "withdrawn") == []


def test_an_article_that_is_not_there(run: Run, delivered: Path) -> None:
    for wanted in ("art_ffff", "https://news.example/other", "%_%_%_%_%_%"):
        said = run("article", "show", wanted)
        assert (said.code, "There is no article" in said.err) == (1, True)


def test_the_books_balance_and_a_forged_one_is_found(run: Run, delivered: Path) -> None:
    said = run("ledger")
    assert (said.code, "The books balance" in said.out) == (0, True)
    store = store_of(delivered)
    with store.write() as connection:
        intake.set_source(connection, 1, seen=2)
    store.close()
    forged = run("ledger", "--json")
    assert forged.code == 1
    assert (forged.json["balanced"], forged.json["intake"][0]["balanced"]) == (False, False)
    assert "NOT BALANCED" in run("ledger").out
    assert run("doctor").code == 1


def test_waiting_for_the_ledger_ends_when_the_time_is_up(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("A headline\n\nA text.\n")
    run("source", "push", tmp_path / "text", "--source", "desk")
    said = run("ledger", "--wait", "0.2", "--json")
    assert (said.code, said.json["settled"], said.json["balanced"]) == (0, False, True)


def test_a_quarantined_delivery_is_retried_or_dropped_and_the_books_follow(run: Run, delivered: Path) -> None:
    held_back = listed(run, "quarantine", "list")
    assert [(one["key"], one["of"], one["reason"]) for one in held_back] == [("delivery:1", "desk", "http-500")]
    assert run("quarantine", "retry", "delivery:1", "--reason", "their disk was full").code == 0
    assert listed(run, "quarantine", "list") == []
    assert listed(run, "ledger")["delivery"][0]["due"] == 1
    assert listed(run, "audit")[0]["reason"] == "their disk was full"
    said = run("quarantine", "retry", "delivery:1")
    assert (said.code, "Nothing in quarantine is called delivery:1." in said.err) == (1, True)


def test_a_delivered_one_is_not_sent_again_by_mistake(run: Run, delivered: Path) -> None:
    store = store_of(delivered)
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE delivery SET state = 'delivered'")
    store.close()
    assert run("quarantine", "retry", "delivery:1").code == 1


def test_an_article_that_stands_still_is_enriched_again(run: Run, delivered: Path) -> None:
    store = store_of(delivered)
    with store.write() as connection:
        articles.set_article(connection, record().id, enriched_revision=0, reason="crashed")
    store.close()
    keys = {one["key"]: one["reason"] for one in listed(run, "quarantine", "list")}
    assert keys[f"article:{record().id}"] == "crashed"
    assert "stands still: crashed" in run("trace", URL).out
    assert run("quarantine", "retry", f"article:{record().id}").code == 0
    assert listed(run, "ledger")["settled"] is False
    assert run("quarantine", "retry", f"article:{record().id}").code == 1


def test_the_desk_s_hand(run: Run, delivered: Path) -> None:
    assert run("article", "hold", URL).code == 2  # a reason is needed
    assert "is held" in run("article", "hold", URL, "--reason", "being checked").out
    assert listed(run, "article", "show", URL)["state"]["held"] is True
    assert "is released" in run("article", "release", URL).out
    assert "goes out at 2090-01-01 12:00 UTC" in run("article", "embargo", URL, "--until", "2090-01-01 12:00").out
    assert run("article", "embargo", URL, "--until", "tomorrow").code == 2
    assert run("article", "withdraw", URL, "--reason", "a court order").code == 0
    assert run("article", "withdraw", URL, "--reason", "again").code == 2
    assert listed(run, "article", "list", "--state", "withdrawn")[0]["id"] == record().id
    assert [line["action"] for line in listed(run, "audit")][:4] == [
        "withdraw-article", "embargo-article", "release-article", "hold-article",
    ]  # fmt: skip
    way = [step["what"] for step in listed(run, "trace", URL)["way"]]
    assert [what for what in way if what.startswith("number 2: article.withdrawn")]


def test_a_secret_is_rotated_and_a_range_replayed(run: Run, delivered: Path) -> None:
    before = listed(run, "partner", "list")[0]
    new = listed(run, "partner", "rotate-secret", "desk", "--reason", "yearly")[0]["secret"]
    with store_of(delivered).read() as connection:
        kept = vault.unseal(delivered, partners.of_partner(connection, "desk")[0]["secrets"])
    assert (kept[0], len(kept)) == (new, 2)
    assert (before["delivered"], before["quarantined"]) == (0, 1)
    assert run("partner", "replay", "desk", "--from", "2", "--to", "1").code == 2
    assert run("partner", "replay", "desk", "--from", "1", "--to", "1").code == 0


def test_a_delivery_that_was_overtaken_is_not_sent_again(run: Run, delivered: Path) -> None:
    store = store_of(delivered)
    with store.write() as connection:
        events.append(connection, [events.NewEvent("article.updated", record().id, 2, False)], NOW)
        event = events.unplanned(connection, 10)[0]
        partners.plan(connection, [partners.Planned(1, event, "msg_2")], 2, NOW)
        row = partners.sendable(connection, 1, clock.now(), 10)[0]
        partners.record(connection, 1, [partners.Tried(row, "delivered", NOW, 1, status=200)])
    store.close()
    assert "superseded" in run("quarantine", "retry", "delivery:1").out
    line = listed(run, "ledger")["delivery"][0]
    assert (line["superseded"], line["delivered"], line["balanced"]) == (1, 1, True)


def test_a_quarantined_entry_is_extracted_again_from_its_bytes_or_given_up(run: Run, delivered: Path) -> None:
    def quarantine() -> None:
        store = store_of(delivered)
        with store.write() as connection:
            intake.finish_entry(connection, 1, "quarantined", reason="not-an-article")
        store.close()

    quarantine()
    assert run("quarantine", "retry", "entry:1").out == "entry:1: The entry is tried again now.\n"
    assert listed(run, "ledger")["intake"][0]["waiting"] == 1
    quarantine()
    assert run("quarantine", "drop", "entry:1").code == 2  # a reason is needed
    assert run("quarantine", "drop", "entry:1", "--reason", "an advertisement").code == 0
    line = listed(run, "ledger")["intake"][0]
    assert (line["gone"], line["balanced"]) == (1, True)
    for key, code in (("entry:1", 1), ("entry:99", 1), ("entry:x", 1), ("letter:1", 2), ("x", 2)):
        assert run("quarantine", "drop", key, "--reason", "again").code == code


# The command line itself


def test_queues_without_a_broker(run: Run) -> None:
    follow(run)
    said = run("queues", "--json")
    assert said.code == 3
    assert said.json[0] == {"queue": "fetch", "messages": None, "due": 1, "waiting": 0, "paused": []}
    assert run("workers").code == 1


def test_doctor_on_nothing_and_on_an_installation(run: Run) -> None:
    fresh = run("doctor", "--json")
    assert (fresh.code, fresh.json["ok"]) == (0, True)
    follow(run)
    names = {check["name"]: check for check in listed(run, "doctor")["checks"]}
    assert names["books"]["state"] == "ok"
    assert "`briefwire partner add URL`" in names["partners"]["next_step"]
    assert "contact" in names["contact"]["next_step"]


@pytest.mark.parametrize(("given", "ahead"), [
    (["up", "--data", "x"], ["--data", "x", "up"]),
    (["source", "list", "--config=y", "--json", "--no-color"], ["--config=y", "--no-color", "source", "list", "--json"]),
    (["source", "push", "--", "--data"], ["source", "push", "--", "--data"]),
    (["up", "--data"], ["--data", "up"]),
])  # fmt: skip
def test_global_options_may_stand_anywhere(given: list[str], ahead: list[str]) -> None:
    assert cli.hoisted(given) == ahead


@pytest.mark.parametrize("command", [
    (), ("up",), ("demo",), ("doctor",), ("ledger",), ("queues",), ("workers",), ("trace",), ("audit",), ("source",), ("source", "add"),
    ("source", "list"), ("source", "test"), ("source", "push"), ("partner", "add"), ("partner", "list"), ("partner", "test"),
    ("article", "list"), ("article", "show"), ("quarantine", "list"), ("quarantine", "retry"),
])  # fmt: skip
def test_every_command_has_help_with_an_example(run: Run, command: tuple[str, ...]) -> None:
    said = run(*command, "--help")
    assert said.code == 0
    example = " ".join(("  briefwire", *command)) if command not in ((), ("source",)) else "Commands:"
    assert example in said.out


def test_no_color_means_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    follow(run)
    assert "\x1b[" in run("ledger").out
    assert "\x1b[3" not in run("--no-color", "ledger").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in run("ledger").out


def test_tables_are_whole_where_nobody_watches(run: Run) -> None:
    url = "https://news.example/" + "x" * 300
    follow(run, "long", url)
    assert url in run("source", "list").out


def test_a_narrow_terminal_breaks_no_value(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://news.example/" + "section/" * 12
    follow(run, "long", url)
    monkeypatch.setenv("COLUMNS", "60")
    said = run("source", "list")
    assert re.search(rf"^url +{re.escape(url)}$", said.out, re.MULTILINE)
    assert "last error" not in said.out  # nothing to say
    book = run("ledger").out
    assert max(map(len, book.splitlines())) <= 60
    assert "balanced" in book


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert show.clean("a\x1b[31mb\u202ec\x07\x9bd\u00a0e") == "a[31mbcd\u00a0e"
