"""The figures of the live page in; e-mails and signed webhooks about troubles that began or ended, out.

    figures -> conditions | beside what is known -> what to tell -> a message a channel, a row each | send | sent, or later

A trouble is told once when it has stood for a while and once when it has been gone for a while; what comes together goes in one
message. All of it stands in the ledger: a restart repeats nothing, and a message that could not be sent waits.
"""

from __future__ import annotations

import datetime as dt
import logging
import smtplib
import ssl
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.utils import format_datetime

import msgspec

from services.console.numbers import Numbers
from services.ingest import schedule
from services.publish import sign
from shared import clock, http
from shared.errors import Rejected, Retryable
from shared.models import Row
from shared.records import from_json
from shared.settings import AlertSettings, Settings
from shared.store import alerts as rows
from shared.store import installation, switches
from shared.store.engine import Store

log = logging.getLogger("briefwire.alerts")
GIVE_UP = dt.timedelta(days=1)
DEADLINE_S = 20.0


class Condition(msgspec.Struct, frozen=True):
    """Something that people want to be told of. `key` stays the same as long as it goes on; `href` is where to look."""

    key: str
    text: str
    href: str


class Line(msgspec.Struct, frozen=True):
    """One trouble in a message."""

    key: str
    text: str
    url: str
    began_at: dt.datetime
    ended_at: dt.datetime | None = None


class Notice(msgspec.Struct, frozen=True):
    """One message: what began, what ended, and how many troubles go on."""

    installation: str
    at: dt.datetime
    began: tuple[Line, ...]
    ended: tuple[Line, ...]
    open: int


class Told(msgspec.Struct, frozen=True):
    """What became of one message by one channel; `why` where it was not taken."""

    channel: str
    to: str
    why: str | None = None


def conditions(numbers: Numbers, limits: AlertSettings, stopped: Sequence[str] = ()) -> list[Condition]:
    """What is wrong by these figures. Pure. `stopped` are the stages that people paused: their work may grow old."""
    return [
        *_sources(numbers),
        *_partners(numbers, limits),
        *_stages(numbers, limits, stopped),
        *_house(numbers, limits),
    ]


def _sources(numbers: Numbers) -> list[Condition]:
    found = []
    for one in numbers.sources:
        if one.state == "stopped" or one.failures >= schedule.FAILING:
            said = f"Source {one.name} fails: {(one.error or one.state)[:160]}"
            found.append(Condition(f"source-failing:{one.name}", said, "/sources"))
        elif one.overdue:
            since = f"; its newest entry came {_age(one.new_s)} ago" if one.new_s is not None else ""
            said = f"Source {one.name} is overdue: silent for longer than usual{since}."
            found.append(Condition(f"source-overdue:{one.name}", said, "/sources"))
    return found


def _partners(numbers: Numbers, limits: AlertSettings) -> list[Condition]:
    found = []
    for one in numbers.endpoints:
        if one.state == "disabled":
            why = f"is disabled; {one.backlog} deliveries wait."
        elif one.state == "active" and one.breaker == "open":
            why = f"keeps failing; {one.backlog} deliveries wait."
        elif one.state == "active" and (one.lag_s or 0.0) > limits.partner_s:
            why = f"is {_age(one.lag_s)} behind; {one.backlog} deliveries wait."
        else:
            continue
        found.append(
            Condition(
                f"partner-failing:{one.endpoint_id}", f"Partner {one.partner} {why}", f"/partners/{one.endpoint_id}"
            )
        )
    return found


def _stages(numbers: Numbers, limits: AlertSettings, stopped: Sequence[str]) -> list[Condition]:
    """What waits to be delivered is its partner's trouble, not the stage's."""
    late = [one for one in numbers.stages
            if one.key != "deliver" and one.key not in stopped and (one.oldest_s or 0.0) > limits.queue_s]  # fmt: skip
    found = [Condition(f"queue-old:{one.key}", f"Before {one.key} something has waited for {_age(one.oldest_s)}; {one.depth} wait.", "/")
             for one in late]  # fmt: skip
    return found + [
        Condition(f"queue-deaf:{one.queue}", f"Nobody consumes the queue {one.queue}.", "/")
        for one in numbers.workers
        if one.deaf
    ]


def _house(numbers: Numbers, limits: AlertSettings) -> list[Condition]:
    found = []
    if numbers.books is not None and not numbers.books.balanced:
        found.append(Condition("books", f"The books do not balance: {', '.join(numbers.books.wrong[:5])}.", "/ledger"))
    if numbers.free_bytes is not None and numbers.free_bytes < limits.disk_mb * 1_000_000:
        found.append(Condition("disk", f"Only {numbers.free_bytes // 1_000_000} MB are free in the data folder.", "/"))
    return found


def _age(seconds: float | None) -> str:
    """A duration in one unit: 40 s, 12 min, 5 h, 3 d."""
    left = seconds or 0.0
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if left >= 2 * size:
            return f"{int(left / size)} {unit}"
    return f"{int(left)} s"


def take_note(store: Store, found: Sequence[Condition], settings: Settings, now: dt.datetime) -> None:
    """Keeps what began and what ended, and makes the messages that are to be sent; writes only where there is something to write."""
    with store.read() as connection:
        if not _changes(rows.known(connection), found, settings.alerts, now):
            return
    with store.write() as connection:
        before = rows.known(connection, lock=True)
        here = {one.key: one for one in found}
        back = {key for key, row in before.items() if key in here and row["ended_at"]}
        again = {key for key in back if not before[key]["told_at"]}  # nobody heard of it: it begins anew
        new = {key: (one.text[:500], one.href) for key, one in here.items() if key not in before or key in again}
        rows.begin(connection, new, now)
        rows.set_ended(connection, sorted(back - again), None, now)
        rows.set_ended(
            connection, [key for key, row in before.items() if key not in here and not row["ended_at"]], now, now
        )
        began, ended, missed = _to_tell(rows.known(connection, lock=True), settings.alerts, now)
        rows.drop(connection, [row["key"] for row in missed])
        last = rows.last_notice_at(connection)
        if (began or ended) and (last is None or (now - last).total_seconds() >= settings.alerts.every_s):
            notice = _notice(installation.name(connection), began, ended, len(here), settings, now)
            for channel in channels(settings.alerts):
                rows.add_notice(connection, channel, msgspec.json.encode(notice), now)
            rows.set_told(connection, [row["key"] for row in began], [row["key"] for row in ended], now)
            rows.forget_old(connection, now)


def _changes(before: dict[str, Row], found: Sequence[Condition], limits: AlertSettings, now: dt.datetime) -> bool:
    """Whether anything began, ended, came back, or is to be told."""
    here = {one.key for one in found}
    moved = any((key in here) == (row["ended_at"] is not None) for key, row in before.items())
    return moved or bool(here - before.keys()) or any(_to_tell(before, limits, now))


def _to_tell(known: dict[str, Row], limits: AlertSettings, now: dt.datetime) -> tuple[list[Row], list[Row], list[Row]]:
    """What stands for long enough to tell of, what has been gone for long enough, and what was gone before it was told."""
    settled = now - dt.timedelta(seconds=limits.settle_s)
    began = [row for row in known.values() if not row["told_at"] and not row["ended_at"] and row["began_at"] <= settled]
    gone = [row for row in known.values() if row["ended_at"] and row["ended_at"] <= settled]
    return began, [row for row in gone if row["told_at"]], [row for row in gone if not row["told_at"]]


def _notice(name: str, began: list[Row], ended: list[Row], still: int, settings: Settings, now: dt.datetime) -> Notice:
    base = (settings.web.url or f"http://{settings.web.host}:{settings.web.port}").rstrip("/")

    def lines(of: list[Row]) -> tuple[Line, ...]:
        return tuple(Line(row["key"], row["text"], base + row["href"], row["began_at"], row["ended_at"]) for row in of)

    return Notice(name, now, lines(began), lines(ended), still)


def channels(alerts: AlertSettings) -> list[str]:
    """The ways by which people are told."""
    mail = ["email"] if alerts.email_to and alerts.smtp_host else []
    return mail + (["webhook"] if alerts.webhook else [])


def send_due(store: Store, settings: Settings, door: http.Door, now: Callable[[], dt.datetime]) -> list[Told]:
    """Sends the messages that are due. One that is not taken is tried again, later each time, for a day."""
    with store.read() as connection:
        due = rows.due_notices(connection, now())
    if not due:
        return []
    with store.write() as connection:
        mine = rows.claim_notices(connection, due, now())
    told = []
    for row in mine:
        done = tell(row["channel"], f"alert_{row['id']}", from_json(row["body"], Notice), settings, door)
        with store.write() as connection:
            if done.why is None:
                rows.sent(connection, row, now())
            else:
                log.warning("an alert by %s was not sent: %s", row["channel"], done.why)
                rows.not_sent(connection, row, _again(row, now()), done.why)
        told.append(done)
    return told


def _again(row: Row, now: dt.datetime) -> dt.datetime | None:
    wait_s = min(3600.0, 30.0 * 2 ** min(row["failures"], 10))
    return now + dt.timedelta(seconds=wait_s) if now - row["made_at"] < GIVE_UP else None


def tell(channel: str, name: str, notice: Notice, settings: Settings, door: http.Door) -> Told:
    """Sends one message by one channel; never raises what the network or the other side may cause."""
    alerts = settings.alerts
    to = alerts.webhook if channel == "webhook" else ", ".join(alerts.email_to)
    try:
        if channel == "webhook":
            return Told(channel, to, _post(door, alerts, name, notice))
        _mail(alerts, email(notice, name, alerts))
    except (Retryable, Rejected) as error:
        return Told(channel, to, error.detail or error.reason)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return Told(channel, to, f"{type(error).__name__}: {error}")
    return Told(channel, to)


def _post(door: http.Door, alerts: AlertSettings, name: str, notice: Notice) -> str | None:
    body = msgspec.json.encode({"type": "briefwire.alert", "timestamp": notice.at, "data": notice})
    headers = {"content-type": "application/json"}
    if alerts.webhook_secret:
        headers |= sign.sign([alerts.webhook_secret], f"{name}_{notice.installation}"[:64], clock.now(), body)
    reply = door.send(
        http.Request(alerts.webhook, "POST", headers, body, redirects=0, deadline_s=DEADLINE_S, cut_body_ok=True)
    )
    return None if 200 <= reply.status < 300 else f"It answered {reply.status}."


def _mail(alerts: AlertSettings, message: EmailMessage) -> None:
    """Over TLS, unless the settings say otherwise; the certificate is always checked."""
    trust = ssl.create_default_context(cafile=alerts.smtp_ca or None)
    secure = alerts.smtp_tls == "tls"
    opened = smtplib.SMTP_SSL(alerts.smtp_host, alerts.smtp_port, timeout=DEADLINE_S, context=trust) if secure else smtplib.SMTP(
        alerts.smtp_host, alerts.smtp_port, timeout=DEADLINE_S)  # fmt: skip
    with opened as server:
        if alerts.smtp_tls == "starttls":
            server.starttls(context=trust)
        if alerts.smtp_user:
            server.login(alerts.smtp_user, alerts.smtp_password)
        server.send_message(message)


def email(notice: Notice, name: str, alerts: AlertSettings) -> EmailMessage:
    """The message as an e-mail, in plain text."""
    made = EmailMessage()
    made["From"] = alerts.email_from or alerts.email_to[0]
    made["To"] = ", ".join(alerts.email_to)
    made["Subject"] = subject(notice)
    made["Date"] = format_datetime(notice.at)
    made["Message-ID"] = f"<{name}.{notice.installation}@briefwire.invalid>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(text(notice))
    return made


def subject(notice: Notice) -> str:
    """One line: the trouble, where it is one; otherwise how many began and ended."""
    if len(notice.began) + len(notice.ended) == 1:
        line = (*notice.began, *notice.ended)[0]
        said = " ".join(line.text.split())
        return f"Briefwire: {'' if notice.began else 'over: '}{said}"[:150]
    counted = [f"{len(lines)} {word}" for lines, word in ((notice.began, "began"), (notice.ended, "ended")) if lines]
    return f"Briefwire: {', '.join(counted)}"


def text(notice: Notice) -> str:
    """What began and what ended, a paragraph each."""
    parts = [f"{line.text}\nSince {line.began_at:%Y-%m-%d %H:%M:%S} UTC. {line.url}" for line in notice.began]
    parts += [
        f"Over: {line.text}\nFrom {line.began_at:%Y-%m-%d %H:%M:%S} to {line.ended_at:%Y-%m-%d %H:%M:%S} UTC."
        for line in notice.ended
    ]
    parts.append(f"Troubles that go on: {notice.open}. `briefwire alerts list` shows them.")
    return "\n\n".join(parts) + "\n"


def _moment(at: dt.datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "now"


class Watch:
    """Looks at the figures again and again and has people told. One a process; several may run: rows are claimed."""

    def __init__(
        self, store: Store, settings: Settings, door: Callable[[], http.Door], now: Callable[[], dt.datetime]
    ) -> None:
        self.store, self.settings, self._door, self.now = store, settings, door, now

    def step(self, numbers: Numbers | None) -> list[Told]:
        """One round by the newest figures; without fresh ones only what is due is sent."""
        if numbers is not None and (self.now() - numbers.at).total_seconds() < 30.0:
            with self.store.read() as connection:
                stopped = tuple(switches.stopped(connection))
            take_note(self.store, conditions(numbers, self.settings.alerts, stopped), self.settings, self.now())
        return send_due(self.store, self.settings, self._door(), self.now)
