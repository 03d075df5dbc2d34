"""A partner by command: several endpoints and subscriptions, why and what if, the proof of withdrawals, the log verified."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from services.console import redrive
from services.publish import certify
from shared import clock, settings, vault
from shared.models import ArticleRow, AttemptRow, EndpointRow
from shared.store import engine, partners
from tests.console.command import Said, within
from tests.publish.stocked import Stock
from tests.publish.test_certify import Receiver
from tests.publish.test_partner_docs import OURS
from tests.websubbing import Loopback

Run = Callable[..., Said]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return within(tmp_path / "data", monkeypatch, capsys)


@pytest.fixture
def stock(run: Run, tmp_path: Path) -> Iterator[Stock]:
    """The store that the commands work on, from outside."""
    assert (
        run("partner", "add", "https://desk.example/in", "--name", "desk", "--no-check", "--filter", "words > 1").code
        == 0
    )
    store = engine.Store(settings.load({}, data=tmp_path / "data").store_url)
    yield Stock(store)
    store.close()


def attempt(stock: Stock, article_id: str, outcome: str, endpoint: int = 1, **values: Any) -> None:
    """Everything that is due of the article at the endpoint was tried, and it went so."""
    with stock.store.write() as c:
        rows = [
            row
            for row in partners.deliveries_of(c, article_id)
            if row["endpoint_id"] == endpoint and row["state"] == "due"
        ]
        partners.begin_attempts(c, [row["id"] for row in rows])
        partners.record(c, endpoint, [partners.Tried(row, outcome, stock.now, 7, **values) for row in rows])


def test_endpoints_come_change_and_go(run: Run, stock: Stock, tmp_path: Path) -> None:
    said = run("partner", "endpoint", "add", "desk", tmp_path / "files", "--format", "rss", "--layout", "{kind}/{article_id}.{extension}",
               "--filter", 'section = "Economy"', "--json")  # fmt: skip
    assert (said.code, said.json["endpoint"], said.json["kind"], said.json["secret"]) == (0, 2, "storage", None)
    assert "revision" in said.json["cannot_hold"]
    more = run(
        "partner",
        "endpoint",
        "add",
        "desk",
        "https://desk.example/v1a",
        "--no-check",
        "--sign",
        "v1a",
        "--per-minute",
        "120",
    )
    assert "whpk_" in more.out
    listed = run("partner", "endpoint", "list", "desk", "--json").json
    assert [(row["endpoint"], row["per_minute"], row["layout"], row["subscriptions"]) for row in listed] == [
        (1, None, None, 1), (2, None, "{kind}/{article_id}.{extension}", 1), (3, 120, None, 1),
    ]  # fmt: skip
    changed = run("partner", "endpoint", "change", "3", "--per-minute", "0", "--concurrency", "2").out
    assert "at once: 2, a minute at most: no limit" in changed
    assert run("partner", "endpoint", "change", "2", "--layout", "usual").code == 0
    assert "a link above bytes: 20000" in run("partner", "endpoint", "change", "3", "--link-above", "20000").out
    assert run("partner", "endpoint", "remove", "2", "--reason", "moved").code == 0
    assert [row["endpoint"] for row in run("partner", "endpoint", "list", "--json").json] == [1, 3]
    assert run("partner", "endpoint", "remove", "3", "--reason", "moved").code == 0
    last = run("partner", "endpoint", "remove", "1", "--reason", "x")
    assert (last.code, "only endpoint" in last.err) == (2, True)
    assert {line["action"] for line in run("audit", "--json").json} >= {
        "add-endpoint",
        "change-endpoint",
        "remove-endpoint",
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("http://10.0.0.8/in",), "10.0.0.8"),
        (("https://desk.example:9000/in",), "Port 9000 is refused"),
        (("/srv/wire", "--layout", "{nothing}"), "The layout is not usable"),
        (("/srv/wire", "--layout", "../{article_id}"), "The layout is not usable"),
        (("/srv/wire", "--secret", "whsec_eA=="), "not signed"),
        (("/srv/wire", "--filter", "words >"), "expected a value at column 8"),
        (("/srv/wire", "--format", "pdf"), "no format named pdf"),
        (("https://desk.example/in", "--no-check", "--layout", "{kind}"), "Only files have a layout"),
        (("https://desk.example/in", "--no-check", "--sign", "v9"), "There is no signature v9"),
        (("/srv/wire", "--per-minute", "60001"), "from 0 to 60000"),
        (("/srv/wire", "--days", "99999"), "from 0 to 3650"),
    ],
)
def test_an_endpoint_that_cannot_be_is_told_why_and_nothing_is_left(
    run: Run, stock: Stock, options: tuple[str, ...], said: str
) -> None:
    answer = run("partner", "endpoint", "add", "desk", *options)
    assert (answer.code, said in answer.err) == (2, True), answer
    assert len(run("partner", "endpoint", "list", "--json").json) == 1


def test_subscriptions_come_change_and_go(run: Run, stock: Stock) -> None:
    assert (
        run("partner", "subscription", "add", "desk", "--filter", 'language = "ru"', "--coalesce", "--no-follow").code
        == 0
    )
    rows = run("partner", "subscription", "list", "desk", "--json").json
    assert [(row["subscription"], row["filter"], row["coalesce"], row["follow"]) for row in rows] == [
        (1, "words > 1", False, True), (2, 'language = "ru"', True, False),
    ]  # fmt: skip
    assert [row["feed"] for row in rows] == ["/feeds/{key}/1.{ending}", "/feeds/{key}/2.{ending}"]
    changed = run("partner", "subscription", "change", "2", "--filter", "", "--backfill", "--follow")
    assert "everything, back-fill too, newest revision only" in changed.out
    nothing = run("partner", "subscription", "change", "2", "--follow")
    assert (nothing.code, "Nothing was named" in nothing.err) == (2, True)
    wrong = run("partner", "subscription", "change", "2", "--filter", 'section = "Economy" or wrds > 3')
    assert (wrong.code, "column 24" in wrong.err, "words" in wrong.err) == (2, True, True)
    assert "1 left" in run("partner", "subscription", "remove", "2", "--reason", "x").out
    assert "withdrawals only" in run("partner", "subscription", "remove", "1", "--reason", "x").out
    assert run("partner", "subscription", "remove", "1", "--reason", "x").code == 2


def test_the_last_days_are_asked_for_by_command(run: Run, stock: Stock) -> None:
    stock.publish(1)
    assert "the last 7 days first" in run("partner", "add", "/srv/wire", "--name", "files", "--days", "7").out
    assert "the last 3 days are sent first" in run("partner", "subscription", "change", "1", "--days", "3").out
    with stock.store.read() as c:
        waits = c.execute(select(EndpointRow.history_since).order_by(EndpointRow.id)).scalars().all()
    now = clock.now()
    assert [round((now - at) / dt.timedelta(days=1)) for at in waits if at] == [3, 7]


def test_pause_resume_replay_and_rotation_of_one_of_several(run: Run, stock: Stock) -> None:
    run("partner", "endpoint", "add", "desk", "https://desk.example/v1a", "--no-check", "--sign", "v1a")
    (one,) = stock.publish(1)
    attempt(stock, one, "delivered", 2, status=204)
    assert run("partner", "pause", "desk", "--endpoint", "2").code == 0
    assert [row["state"] for row in run("partner", "endpoint", "list", "--json").json] == ["active", "paused"]
    assert run("partner", "resume", "desk").code == 0
    which = run("partner", "replay", "desk", "--from", "1", "--to", "1")
    assert (which.code, "several endpoints: 1, 2" in which.err) == (2, True)
    assert "1 deliveries" in run("partner", "replay", "desk", "--from", "1", "--to", "1", "--endpoint", "2").out
    (turned,) = run("partner", "rotate-secret", "desk", "--endpoint", "2", "--reason", "yearly", "--json").json
    assert turned["secret"].startswith("whpk_")
    with stock.store.read() as c:
        sealed = c.execute(select(EndpointRow.secrets).where(EndpointRow.id == 2)).scalar_one()
    held = vault.unseal(stock_folder(stock), sealed)
    assert [secret[:5] for secret in held] == ["whsk_", "whsk_"]


def stock_folder(stock: Stock) -> Path:
    return Path(str(stock.store.engine.url.database)).parent


def test_explain_says_why_and_why_not(run: Run, stock: Stock) -> None:
    run(
        "partner",
        "endpoint",
        "add",
        "desk",
        "/srv/wire",
        "--format",
        "rss",
        "--filter",
        'section = "Sport" and words > 100000',
    )
    (one,) = stock.publish(1)
    attempt(stock, one, "retry", status=503, reason="http-503", due_at=stock.now)
    first = run("partner", "explain", "desk", one)
    assert first.code == 0
    assert "not yet: published r1" in first.out
    assert "Subscription 1 matches." in first.out
    assert "due, position 1, 1 attempt, last answer 503 http-503" in first.out
    assert "did not go: published r1" in first.out
    assert 'section = "Sport"   <- it has: ' in first.out
    attempt(stock, one, "delivered", status=204, omitted=("tags", "revision"))
    went, did_not = run("partner", "explain", "desk", one[:12], "--json").json["answers"]
    assert (went["went"], went["standing"], went["omitted"]) == (True, "delivered", ["tags", "revision"])
    assert (did_not["went"], did_not["standing"]) == (False, "filtered")
    assert [clause["clause"] for clause in did_not["subscriptions"][0]["missed"]] == [
        'section = "Sport"',
        "words > 100000",
    ]
    run("partner", "add", "/srv/late", "--name", "late")
    late = run("partner", "explain", "late", one)
    assert (late.code, "joined after this event" in late.out) == (1, True)
    assert run("partner", "explain", "nobody", one).code == 2
    assert run("partner", "explain", "desk", "art_none").code != 0


def test_explain_tells_filters_as_they_were_from_filters_as_they_are(run: Run, stock: Stock) -> None:
    (one,) = stock.publish(1)
    attempt(stock, one, "delivered", status=204)
    run("partner", "subscription", "change", "1", "--filter", 'section = "Sport"')
    assert "the filters were others" in run("partner", "explain", "desk", one).out
    stock.publish(2)
    run("partner", "subscription", "change", "1", "--filter", "")
    again = run("partner", "explain", "desk", "art_0000000000000002")
    assert (again.code, "As the filters are now it would go" in again.out) == (1, True)
    stock.hold(one)
    stock.revise(one, "Fare 1 falls")
    assert "The desk holds the article" in run("partner", "explain", "desk", one).out


def test_backtest_counts_and_names_what_would_change(run: Run, stock: Stock) -> None:
    stock.publish(1, 2, 3, section="Economy")
    stock.publish(4, section="Sport", language="ru")
    run("partner", "subscription", "change", "1", "--filter", 'section = "Economy"')
    found = run("partner", "backtest", "desk", 'section = "Sport" or headline = "Fare 2 rises"', "--json").json
    assert (found["articles"], found["added"], found["dropped"], found["both"], found["neither"]) == (4, 1, 2, 1, 0)
    assert [one["article_id"] for one in found["adds"]] == ["art_0000000000000004"]
    assert [one["headline"] for one in found["drops"]] == ["Fare 3 rises", "Fare 1 rises"]
    said = run("partner", "backtest", "desk", "", "--examples", "1")
    assert (said.code, "adds 1, drops 0; 3 match both, 0 neither" in said.out) == (0, True)
    wrong = run("partner", "backtest", "desk", "section ~ 3")
    assert (wrong.code, "column 9" in wrong.err) == (2, True)
    assert run("partner", "subscription", "list", "--json").json[0]["filter"] == 'section = "Economy"'
    run("partner", "subscription", "add", "desk", "--filter", 'language = "ru"')
    assert run("partner", "backtest", "desk", "").code == 2
    narrower = run("partner", "backtest", "desk", 'section = "Nothing"', "--subscription", "1", "--json").json
    assert (narrower["dropped"], narrower["both"]) == (3, 1)  # what the other subscription brings stays


def test_withdrawals_name_who_has_not_confirmed(run: Run, stock: Stock) -> None:
    run("partner", "add", "https://other.example/in", "--name", "other", "--no-check")
    run("partner", "add", "https://never.example/in", "--name", "never", "--no-check", "--filter", "words > 100000")
    one, two = stock.publish(1, 2)
    for endpoint in (1, 2):
        attempt(stock, one, "delivered", endpoint, status=204)
    assert run("partner", "withdrawals").code == 0
    assert run("article", "withdraw", one, "--reason", "a court order").code == 0
    stock.plan()
    attempt(stock, one, "delivered", 1, status=200)
    attempt(stock, one, "retry", 2, status=500, reason="http-500", due_at=stock.now + dt.timedelta(hours=1))
    said = run("partner", "withdrawals")
    assert said.code == 1
    assert "a court order" in said.out
    assert "desk, endpoint 1: got it" in said.out
    assert "; confirmed " in said.out
    assert "other, endpoint 2: got it" in said.out
    assert "NOT YET: is being told (1 attempt, http-500), next try" in said.out
    assert "never" not in said.out
    found = run("partner", "withdrawals", one, "--json").json
    assert (found["open"], [h["standing"] for h in found["withdrawals"][0]["holders"]]) == (1, ["confirmed", "waiting"])
    assert run("article", "withdraw", two, "--reason", "x").code == 0
    stock.plan()
    assert len(run("partner", "withdrawals", "--open", "--json").json["withdrawals"]) == 1  # nobody had got the second
    attempt(stock, one, "dead", 2, status=500, reason="http-500")
    assert "never accepted, in quarantine" in run("partner", "withdrawals", "--open").out
    run("partner", "remove", "other")
    assert run("partner", "withdrawals", "--open").code == 0
    assert "cannot be told: the endpoint was removed" in run("partner", "withdrawals", one).out


def test_the_log_is_verified_and_names_the_first_broken_attempt(run: Run, stock: Stock, tmp_path: Path) -> None:
    run("partner", "add", "/srv/wire", "--name", "files")
    for article_id in stock.publish(1, 2, 3):
        attempt(stock, article_id, "delivered", 1, status=204)
        attempt(stock, article_id, "delivered", 2, status=201)
    whole = run("log", "verify")
    assert (whole.code, "6 attempts of 2 endpoints" in whole.out) == (0, True)
    noted = tmp_path / "heads.json"
    noted.write_text(run("log", "verify", "--json").out, encoding="utf-8")
    (fourth,) = stock.publish(4)
    attempt(stock, fourth, "delivered", 1, status=204)
    assert run("log", "verify", "--against", noted).code == 0
    with stock.store.write() as c:
        ids = list(
            c.execute(select(AttemptRow.id).where(AttemptRow.endpoint_id == 1).order_by(AttemptRow.id)).scalars()
        )
        c.execute(update(AttemptRow).where(AttemptRow.id == ids[1]).values(status=500))
    broken = run("log", "verify")
    assert (broken.code, f"endpoint 1 (desk) is broken: attempt {ids[1]}" in broken.err) == (1, True)
    assert run("log", "verify", "--partner", "files").code == 0
    with stock.store.write() as c:
        c.execute(update(AttemptRow).where(AttemptRow.id == ids[1]).values(status=204))
        c.execute(delete(AttemptRow).where(AttemptRow.id == ids[-1]))
    short = run("log", "verify", "--json")
    assert (
        short.code,
        short.json["endpoints"][0]["broken"],
        "missing at the end" in short.json["endpoints"][0]["what"],
    ) == (1, 0, True)


def test_a_log_that_was_written_anew_is_found_by_what_was_noted(run: Run, stock: Stock, tmp_path: Path) -> None:
    (one,) = stock.publish(1)
    attempt(stock, one, "delivered", status=204)
    noted = tmp_path / "heads.json"
    noted.write_text(run("log", "verify", "--json").out, encoding="utf-8")
    with stock.store.write() as c:
        row = dict(c.execute(select(*AttemptRow.__table__.columns)).mappings().one())
        chain = partners.chained("", row | {"status": 200})
        c.execute(update(AttemptRow).values(status=200, chain=chain))
        c.execute(update(EndpointRow).values(chain=chain))
    assert run("log", "verify").code == 0
    told = run("log", "verify", "--against", noted)
    assert (told.code, "written anew" in told.err) == (1, True)
    noted.write_text(json.dumps({"endpoints": [{"endpoint": 77, "head": "ab"}]}), encoding="utf-8")
    assert "Endpoint 77" in run("log", "verify", "--against", noted).err
    noted.write_text("[]", encoding="utf-8")
    assert run("log", "verify", "--against", noted).code == 2


def test_an_article_is_restored_by_command(run: Run, stock: Stock) -> None:
    (one,) = stock.publish(1)
    run("article", "withdraw", one, "--reason", "by mistake")
    assert "restored" in run("article", "restore", one, "--reason", "it was a mistake").out
    with stock.store.read() as c:
        assert c.execute(select(ArticleRow.state)).scalar_one() == "usable"
    assert run("article", "restore", one, "--reason", "again").code == 2


def test_certify_grades_and_exits(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certify, "PAUSE_S", 0.01)
    receiver = Loopback(Receiver(""))
    allow = ("--allow-host", receiver.url.removeprefix("http://"))
    try:
        good = run("partner", "certify", receiver.url, "--secret", OURS, *allow)
        assert (good.code, f"{len(certify.CHECKS)} of {len(certify.CHECKS)} checks passed" in good.out) == (0, True)
        receiver.answer = Receiver("takes stale ones")
        bad = run("partner", "certify", receiver.url, "--secret", OURS, "--json", *allow)
        assert (bad.code, bad.json["ok"]) == (1, False)
        assert [one["name"] for one in bad.json["graded"] if not one["passed"]] == ["stale", "from-the-future"]
        assert "FAIL  stale" in run("partner", "certify", receiver.url, "--secret", OURS, *allow).out
    finally:
        receiver.close()
    assert run("partner", "certify", receiver.url, "--secret", OURS, *allow).code == 3
    assert run("partner", "certify", "http://127.0.0.1:8080/", "--secret", OURS).code == 2
    assert run("partner", "certify", receiver.url, "--secret", "whsec_!").code == 2


def test_the_quarantine_is_sent_again_by_query_after_a_dry_run(run: Run, stock: Stock) -> None:
    run("partner", "add", "https://other.example/in", "--name", "other", "--no-check")
    for article_id, reason in zip(stock.publish(1, 2, 3), ("http-500", "http-500", "http-400"), strict=True):
        for endpoint in (1, 2):
            attempt(stock, article_id, "dead", endpoint, status=500, reason=reason)
    assert len(run("quarantine", "list", "--json").json) == 6
    asked = ("--partner", "desk", "--why", "http-500")
    assert len(run("quarantine", "list", *asked, "--json").json) == 2
    dry = run("quarantine", "retry", *asked, "--dry-run", "--json").json
    assert (dry["counts"], dry["done"]) == ({"delivery": 2}, [])
    assert {(one["of"], one["reason"]) for one in dry["pieces"]} == {("desk", "http-500")}
    told = run("quarantine", "retry", *asked, "--dry-run").out
    assert "In quarantine, reason http-500, partner desk: 2 deliveries." in told
    assert told.count("delivery:") == 2
    unasked = run("quarantine", "retry", *asked)
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert len(run("quarantine", "list", "--json").json) == 6
    assert "2 pieces are on the way again." in run("quarantine", "retry", *asked, "--reason", "disk", "--yes").out
    assert len(run("quarantine", "list", "--json").json) == 4
    (line,) = run("audit", "--limit", "1", "--json").json
    assert (line["action"], line["reason"]) == ("retry-query", "disk")
    assert line["target"].startswith("2 deliveries in quarantine (reason http-500, partner desk, delivery:")


def test_what_fits_a_query_is_given_up_and_the_rest_stays(run: Run, stock: Stock) -> None:
    ids = stock.publish(1, 2, 3)
    for article_id in ids:
        attempt(stock, article_id, "dead", 1, status=400, reason="http-400")
    assert len(run("quarantine", "list", "--endpoint", "1", "--words", ids[0], "--json").json) == 1
    assert run("quarantine", "list", "--until", "2001-01-01", "--json").json == []
    assert len(run("quarantine", "list", "--since", "2001-01-01 10:00", "--json").json) == 3
    assert run("quarantine", "list", "--source", "nobody").out == "Nothing there fits that.\n"
    assert run("quarantine", "drop", "--words", ids[0], "--yes").code == 2  # a reason is needed
    done = run("quarantine", "drop", "--words", ids[0], "--reason", "too late", "--yes", "--json").json
    assert (done["counts"], done["done"]) == ({"delivery": 1}, ["1 dropped."])
    assert len(run("quarantine", "list", "--json").json) == 2
    left = run("quarantine", "list", "--limit", "1").out
    assert "The newest 1 of 2 deliveries; --limit shows more." in left
    assert run("quarantine", "retry", "--kind", "delivery", "--limit", "1", "--yes", "--json").json["counts"] == {
        "delivery": 1
    }


@pytest.mark.parametrize("words", [("retry",), ("retry", "--kind", "post"), ("list", "--since", "soon"),
                                   ("retry", "--endpoint", "x"), ("drop", "--reason", "x"), ("retry", "7", "--why", "x")])  # fmt: skip
def test_a_query_that_is_none_moves_nothing(run: Run, stock: Stock, words: tuple[str, ...]) -> None:
    said = run("quarantine", *words)
    assert (said.code, said.out) == (2, "")


def test_many_pieces_go_a_thousand_at_a_time(run: Run, stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrive, "AT_ONCE", 2)
    for article_id in stock.publish(1, 2, 3):
        attempt(stock, article_id, "dead", 1, status=500, reason="http-500")
    done = run("quarantine", "retry", "--kind", "delivery", "--yes", "--json").json["done"]
    assert done == ["2 pieces are on the way again.", "1 piece is on the way again."]
