"""Alerts: what is told of which figures, once at its beginning and once at its end, by real SMTP with TLS and a signed post."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.console import alerts, numbers
from services.console.alerts import Condition
from services.console.demo.faults import Fault
from services.console.demo.receiver import Receiver
from services.publish import policy, sign
from shared import http, migrations, records
from shared.settings import AlertSettings, Settings, WebSettings
from shared.store import alerts as rows
from shared.store import desk, ledger
from shared.store.engine import Store
from tests.console.command import Said, within
from tests.console.postbox import Postbox
from tests.console.test_web_numbers import NOW, a_lane, a_reading, ago, derive
from tests.shared.hostile import Authority

SECRET = sign.new_secret(bytes(range(32)))
DISK = Condition("disk", "Only 12 MB are free in the data folder.", "/")
LATE = Condition("source-overdue:harbour", "Source harbour is overdue: silent for longer than usual.", "/sources")
USUAL = AlertSettings()


def keys(found: list[Condition]) -> list[str]:
    return [one.key for one in found]


# What is told of


def test_a_wire_without_trouble_is_told_nothing_of() -> None:
    assert alerts.conditions(derive(a_reading()), USUAL) == []


def test_each_kind_of_trouble_is_found() -> None:
    wrong = ledger.IntakeLine("harbour", 3, 1, 1, 0, 0, 0, balanced=False)
    slow = numbers.Slow(
        books=numbers.summary(ledger.Books((wrong,), ()), NOW), free_bytes=400_000_000, overdue=frozenset(["harbour"])
    )
    breaker = records.to_json(policy.Breaker(state="open", until=ago(-60))).decode()
    reading = a_reading(
        extract=desk.Waiting(4, ago(901)), enrich=desk.Waiting(4, ago(899)), deliver=desk.Waiting(9, ago(100_000)),
        sources=(desk.Source("harbour", "active", ago(7200), 0, None), desk.Source("market", "stopped", None, 9, "410 Gone")),
        lanes=(a_lane(breaker=breaker), a_lane(endpoint_id=8, waiting=desk.Waiting(2, ago(4000))),
               a_lane(endpoint_id=9, state="disabled"), a_lane(endpoint_id=10, state="paused", waiting=desk.Waiting(2, ago(9000)))),
    )  # fmt: skip
    found = alerts.conditions(derive(reading, slow=slow), USUAL)
    assert keys(found) == ["source-overdue:harbour", "source-failing:market", "partner-failing:7", "partner-failing:8",
                           "partner-failing:9", "queue-old:extract", "books", "disk"]  # fmt: skip
    assert "2 h ago" in found[0].text
    assert "15 min" in found[5].text


def test_a_queue_that_nobody_consumes_is_told_and_a_paused_stage_is_not() -> None:
    silent = derive(a_reading(beats=()))
    assert keys(alerts.conditions(silent, USUAL)) == [f"queue-deaf:{w.queue}" for w in silent.workers]
    old = derive(a_reading(extract=desk.Waiting(4, ago(5000))))
    assert keys(alerts.conditions(old, USUAL, ["deliver"])) == ["queue-old:extract"]
    assert alerts.conditions(old, USUAL, ["extract"]) == []


# Once at its beginning, once at its end


class Desk:
    """A store whose alerts go through real servers, at instants of the test."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings, self.at = store, settings, NOW
        self.door = http.Door(http.Policy(allow_hosts=frozenset(["127.0.0.1"])))

    def look(self, *found: Condition, after_s: float = 0.0) -> list[alerts.Told]:
        self.at += dt.timedelta(seconds=after_s)
        alerts.take_note(self.store, found, self.settings, self.at)
        return alerts.send_due(self.store, self.settings, self.door, lambda: self.at)

    def listed(self) -> list[dict[str, Any]]:
        with self.store.read() as connection:
            return rows.listed(connection, 100)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(SECRET, keep_bodies=True)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def told(store: Store, tmp_path: Path, receiver: Receiver) -> Iterator[Desk]:
    """By a signed webhook."""
    settings = Settings(data=str(tmp_path), web=WebSettings(url="https://wire.example"),
                        alerts=AlertSettings(webhook=receiver.url, webhook_secret=SECRET))  # fmt: skip
    made = Desk(store, settings)
    yield made
    made.door.close()


def posts(receiver: Receiver) -> list[tuple[list[str], list[str]]]:
    """(keys that began, keys that ended) of each post."""
    return [
        ([line["key"] for line in r.data["began"]], [line["key"] for line in r.data["ended"]])
        for r in receiver.received
        if r.data
    ]


def test_a_trouble_is_told_once_when_it_has_stood_and_once_when_it_is_over(told: Desk, receiver: Receiver) -> None:
    assert told.look(DISK) == []
    assert told.look(DISK, after_s=59) == []
    (done,) = told.look(DISK, after_s=1)
    assert (done.channel, done.why) == ("webhook", None)
    for _ in range(50):
        assert told.look(DISK, after_s=120) == []
    assert told.look() == []
    assert len(told.look(after_s=60)) == 1
    assert told.look(after_s=3600) == []
    assert posts(receiver) == [(["disk"], []), ([], ["disk"])]
    assert all(r.verified and r.type == "briefwire.alert" for r in receiver.received)
    first = receiver.received[0].data
    assert first is not None
    assert (first["began"][0]["url"], first["open"]) == ("https://wire.example/", 1)


def test_what_comes_and_goes_is_not_told(told: Desk, receiver: Receiver) -> None:
    for _ in range(20):
        told.look(DISK, after_s=30)
        told.look(after_s=30)
    told.look(after_s=120)
    assert posts(receiver) == []
    assert told.listed() == []


def test_a_trouble_that_is_back_before_its_end_was_told_never_ended(told: Desk, receiver: Receiver) -> None:
    told.look(DISK)
    told.look(DISK, after_s=60)
    for _ in range(5):
        told.look(after_s=30)
        told.look(DISK, after_s=30)
    assert posts(receiver) == [(["disk"], [])]
    told.look(after_s=1)
    told.look(after_s=60)
    told.look(LATE, DISK, after_s=60)
    told.look(LATE, DISK, after_s=60)
    assert posts(receiver)[1:] == [([], ["disk"]), (["disk", "source-overdue:harbour"], [])]


def test_a_flood_of_troubles_is_one_message_and_another_waits_its_turn(told: Desk, receiver: Receiver) -> None:
    flood = [Condition(f"source-overdue:{n}", f"Source {n} is overdue.", "/sources") for n in range(300)]
    told.look(*flood)
    told.look(*flood, DISK, after_s=30)
    told.look(*flood, DISK, after_s=30)
    told.look(*flood, DISK, after_s=30)  # the disk has stood long enough, but a message went out just now
    assert [len(began) for began, _ in posts(receiver)] == [300]
    told.look(*flood, DISK, after_s=30)
    assert [len(began) for began, _ in posts(receiver)] == [300, 1]


def test_a_message_that_is_not_taken_is_sent_later_under_the_same_id(told: Desk, receiver: Receiver) -> None:
    receiver.faults.set(Fault(status=503))
    told.look(DISK)
    (failed,) = told.look(DISK, after_s=60)
    assert failed.why == "It answered 503."
    with told.store.read() as connection:
        assert [row["error"] for row in rows.stuck(connection)] == ["It answered 503."]
    receiver.faults.set(None)
    assert told.look(DISK, after_s=29) == []
    (done,) = told.look(DISK, after_s=1)
    assert done.why is None
    assert len({r.webhook_id for r in receiver.received}) == 1
    with told.store.read() as connection:
        assert rows.stuck(connection) == []


def test_a_message_that_nobody_takes_is_given_up_after_a_day(told: Desk, receiver: Receiver) -> None:
    receiver.faults.set(Fault(status=503))
    told.look(DISK)
    tries = sum(len(told.look(DISK, after_s=3600)) for _ in range(60))
    assert 20 < tries < 40
    with told.store.read() as connection:
        assert [row["due_at"] for row in rows.stuck(connection)] == [None]


def test_two_watchers_tell_once(told: Desk, receiver: Receiver) -> None:
    other = Desk(told.store, told.settings)
    for seconds in (0, 60, 60):
        told.look(DISK, after_s=seconds)
        other.look(DISK, after_s=seconds)
    assert posts(receiver) == [(["disk"], [])]
    other.door.close()


def test_without_a_channel_troubles_are_only_listed(store: Store, tmp_path: Path) -> None:
    nobody = Desk(store, Settings(data=str(tmp_path)))
    nobody.look(DISK)
    nobody.look(DISK, after_s=60)
    (row,) = nobody.listed()
    assert (row["key"], row["told_at"], row["ended_at"]) == ("disk", nobody.at, None)
    nobody.door.close()


# E-mail


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def mail_settings(port: int, **values: Any) -> Settings:
    usual: dict[str, Any] = {
        "email_to": ("desk@news.example", "night@news.example"),
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
    }
    return Settings(alerts=AlertSettings(**(usual | values)))


def by_mail(settings: Settings) -> alerts.Told:
    line = alerts.Line("disk", "Only 12 MB are free.\r\nBcc: everybody@example.com", "https://wire.example/", NOW)
    notice = alerts.Notice("inst", NOW, (line,), (), 1)
    return alerts.tell("email", "alert_7", notice, settings, http.Door(http.Policy()))


@pytest.mark.parametrize("way", ["starttls", "tls"])
def test_mail_goes_over_tls_to_everybody_signed_in(authority: Authority, way: str) -> None:
    with Postbox(authority.server(), at_once=way == "tls") as postbox:
        settings = mail_settings(
            postbox.port, smtp_tls=way, smtp_ca=str(authority.ca_file), smtp_user="wire", smtp_password="pw"
        )
        assert by_mail(settings).why is None
    (mail,) = postbox.mails
    assert postbox.secure == [True]
    assert postbox.users == [("wire", "pw")]
    assert mail["To"] == "desk@news.example, night@news.example"
    assert mail["Subject"] == "Briefwire: Only 12 MB are free. Bcc: everybody@example.com"
    assert mail["Bcc"] is None
    assert mail["Message-ID"] == "<alert_7.inst@briefwire.invalid>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "Since 2026-05-04 12:00:00 UTC. https://wire.example/" in mail.get_content()


def test_a_certificate_that_nobody_vouches_for_gets_no_mail_and_no_password(authority: Authority) -> None:
    with Postbox(authority.server(self_signed=True)) as postbox:
        settings = mail_settings(postbox.port, smtp_ca=str(authority.ca_file), smtp_user="wire", smtp_password="pw")
        why = by_mail(settings).why
    assert why is not None
    assert "certificate" in why.lower()
    assert (postbox.mails, postbox.users) == ([], [])


def test_a_server_without_tls_gets_mail_only_where_the_settings_say_so() -> None:
    with Postbox() as postbox:
        assert by_mail(mail_settings(postbox.port)).why is not None
        assert postbox.mails == []
        assert by_mail(mail_settings(postbox.port, smtp_tls="none")).why is None
        postbox.refuse = "451 later"
        assert "451" in str(by_mail(mail_settings(postbox.port, smtp_tls="none")).why)
    assert len(postbox.mails) == 1


def test_several_changes_are_counted_in_the_subject() -> None:
    line = alerts.Line("a", "A.", "u", NOW)
    over = msgspec.structs.replace(line, ended_at=NOW)
    assert alerts.subject(alerts.Notice("i", NOW, (line, line), (over,), 2)) == "Briefwire: 2 began, 1 ended"
    assert alerts.subject(alerts.Notice("i", NOW, (), (over,), 0)) == "Briefwire: over: A."


# The command line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    opened = Store(Settings(data=str(made)).store_url)
    migrations.upgrade(opened)
    opened.close()
    return made


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    return within(folder, monkeypatch, capsys)


def test_each_way_of_telling_can_be_tried(
    folder: Path, run: Callable[..., Said], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = run("alerts", "test")
    assert (nobody.code, "[alerts]" in nobody.err) == (4, True)
    with Postbox() as postbox:
        (folder / "briefwire.toml").write_text(
            f'[fetch]\nallow_hosts = ["127.0.0.1"]\n[alerts]\nwebhook = "{receiver.url}/incoming?token=hidden"\n'
            f'email_to = ["desk@news.example"]\nsmtp_host = "127.0.0.1"\nsmtp_port = {postbox.port}\nsmtp_tls = "none"\n'
        )
        monkeypatch.setenv("BRIEFWIRE_ALERT_SECRET", SECRET)
        said = run("alerts", "test")
        assert said.code == 0, said
        assert (said.out.count("taken"), "hidden" in said.out) == (2, False)
        postbox.refuse = "550 nobody here"
        assert run("alerts", "test").code == 1
    assert receiver.received[0].verified
    assert len(postbox.mails) == 1


def test_troubles_are_listed_with_when_people_were_told(folder: Path, run: Callable[..., Said]) -> None:
    assert "No trouble" in run("alerts", "list").out
    nobody = Desk(Store(Settings(data=str(folder)).store_url), Settings(data=str(folder)))
    nobody.look(DISK)
    nobody.look(DISK, after_s=60)
    said = run("alerts", "list", "--json")
    assert (said.code, said.json[0]["key"], said.json[0]["ended_at"]) == (1, "disk", None)
    nobody.look()
    assert run("alerts", "list").code == 0
    nobody.store.close()
    nobody.door.close()
