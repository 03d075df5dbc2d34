"""An installation in; what is configured, reachable, missing or at fault out, each with the next step in words."""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from sqlalchemy.engine import make_url

from services.console import redrive, show, traces, trouble
from services.console.alerts import channels
from services.console.opening import Opening
from services.ingest import profiles, schedule
from shared import broker, clock, http, pipeline, urls
from shared.errors import OperatorError, Rejected, Retryable
from shared.store import alerts, drift, intake, ledger, partners, quarantine, switches, workers

_LITTLE_MB = 500
_START_S = 60.0  # for so long after a start, workers may not have been seen yet


class Check(msgspec.Struct, frozen=True):
    """One finding. hint: nothing is wrong, but something is worth knowing or doing; fault: something does not work."""

    name: str
    state: Literal["ok", "hint", "fault"]
    what: str
    next_step: str = ""


def examine(opening: Opening) -> list[Check]:
    """Every check, in the order in which a person would look. Raises OperatorError only for settings that cannot be read."""
    _ = opening.settings
    checks: list[Callable[[], Iterator[Check]]] = [
        lambda: _settings(opening), lambda: _folder(opening), lambda: _running(opening), lambda: _broker(opening),
        lambda: _store(opening), lambda: _web(opening), lambda: _profiles(opening), lambda: _alerts(opening),
        lambda: _traces(opening),
    ]  # fmt: skip
    return [one for check in checks for one in _told(check)]


def _told(check: Callable[[], Iterator[Check]]) -> list[Check]:
    """The findings; trouble that stops a check is a finding too."""
    try:
        return list(check())
    except OperatorError as error:
        return [Check("trouble", "fault", error.what, error.next_step)]
    except trouble.EXPECTED as error:
        told = trouble.told(error)
        if told is None:
            raise
        return [Check("trouble", "fault", told.what, told.next_step)]


def _settings(opening: Opening) -> Iterator[Check]:
    settings, file = opening.settings, opening.settings_file()
    yield Check("settings", "ok", f"read from {file}" if file else "defaults; there is no briefwire.toml")
    yield Check("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")
    if settings.fetch.contact:
        yield Check("contact", "ok", settings.fetch.contact)
    else:
        yield Check("contact", "hint", "sites cannot tell who fetches from them",
                    'Set contact = "https://…" or an e-mail address under [fetch] in briefwire.toml.')  # fmt: skip


def _folder(opening: Opening) -> Iterator[Check]:
    folder = opening.settings.folder
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(there, os.W_OK):
        yield Check("data", "fault", f"{there} cannot be written", "Correct its owner, or choose another with --data.")
        return
    free_mb = shutil.disk_usage(there).free // 1_000_000
    if free_mb < _LITTLE_MB:
        yield Check("data", "fault", f"{folder}: only {free_mb} MB are free", "Free some space.")
    elif folder.exists():
        yield Check("data", "ok", f"{folder}, {free_mb:,} MB free")
    else:
        yield Check("data", "hint", f"{folder} is not there yet", "`briefwire up` makes it.")


def is_running(folder: Path) -> bool:
    """Whether some `briefwire up` holds the data folder."""
    try:
        handle = os.open(folder / "up.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _running(opening: Opening) -> Iterator[Check]:
    if is_running(opening.settings.folder):
        yield Check("up", "ok", "`briefwire up` runs on this folder")
    else:
        yield Check(
            "up", "hint", "`briefwire up` does not run on this folder on this machine", "Start it with `briefwire up`."
        )


def _broker(opening: Opening) -> Iterator[Check]:
    settings = opening.settings
    where = _without_password(settings.broker.url) or f"embedded, {broker.socket_path(settings)}"
    if broker.answers(settings):
        yield Check("broker", "ok", f"answers ({where})")
    elif (pid := broker.frozen(settings)) is not None:
        yield Check(
            "broker",
            "fault",
            f"lives, as process {pid}, but does not answer: frozen or overloaded",
            "`briefwire up` starts it anew within half a minute; nothing is lost.",
        )
    elif settings.broker.url or is_running(settings.folder):
        yield Check(
            "broker",
            "fault",
            f"does not answer ({where})",
            "Check that it runs; broker.log in the data folder may say why.",
        )
    elif broker.binary():
        yield Check("broker", "ok", f"embedded, starts with `briefwire up` ({broker.binary()})")
    else:
        yield Check(
            "broker",
            "fault",
            "no broker is at hand",
            "Install valkey-server or redis-server, or set a Redis URL under [broker].",
        )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _store(opening: Opening) -> Iterator[Check]:
    url = make_url(opening.settings.store_url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        yield Check("store", "hint", "there is none yet", "`briefwire up` or the first `source add` makes it.")
        return
    with opening.read() as connection:
        yield Check("store", "ok", f"answers ({url.render_as_string(hide_password=True)})")
        books, beats = ledger.books(connection), workers.all_beats(connection)
        sources, endpoints = intake.sources(connection), partners.endpoints(connection)
        held = drift.held(connection)
        held_back, off = quarantine.count(connection, quarantine.Query()), switches.off(connection)
        stuck = alerts.stuck(connection)
    if is_running(opening.settings.folder):
        yield _workers(beats, just_started=_just_started(opening.settings.folder))
    yield from _switches(off)
    yield from _sources(sources)
    yield from _held(held)
    yield from _partners(endpoints)
    if held_back:
        yield Check(
            "quarantine",
            "hint",
            f"{redrive.in_words(held_back)} in quarantine, for a person to decide",
            "`briefwire quarantine list` shows them and why.",
        )
    if books.balanced:
        yield Check("books", "ok", "both balance")
    else:
        yield Check(
            "books", "fault", "they do not balance", "`briefwire ledger` shows where; keep the data folder as it is."
        )
    if stuck:
        yield Check("alerts", "fault", f"a message by {stuck[0]['channel']} was not taken: {stuck[0]['error']}",
                    "`briefwire alerts test` tries each way of telling people.")  # fmt: skip


def _switches(off: dict[str, dict[str, Any]]) -> Iterator[Check]:
    """What people stopped and may have forgotten."""
    for key, row in off.items():
        drain = key == switches.DRAIN
        what = f"{'the wire is drained' if drain else f'stage {key} is paused'} since {show.moment(row['at'])} by {row['who']}"
        ends = "briefwire resume" if drain else f"briefwire stage resume {key}"
        yield Check("paused", "hint", what + (f": {row['reason']}" if row["reason"] else ""), f"`{ends}` ends it.")


def silent_queues(beats: Sequence[dict[str, Any]], now: dt.datetime) -> list[str]:
    """Queues of which no worker has given a sign of life for longer than it may be."""
    last: dict[str, dt.datetime] = {}
    for beat in beats:
        last[beat["kind"]] = max(beat["at"], last.get(beat["kind"], beat["at"]))
    return [queue for worker in pipeline.WORKERS for queue in worker.queues
            if queue not in last or (now - last[queue]).total_seconds() > worker.deaf_s]  # fmt: skip


def _workers(beats: Sequence[dict[str, Any]], *, just_started: bool) -> Check:
    silent = silent_queues(beats, clock.now())
    if silent and just_started:
        return Check("workers", "hint", f"still starting: {', '.join(silent)}", "Look again in half a minute.")
    if stopped := sorted({beat["worker"] for beat in workers.frozen(beats)}):
        return Check("workers", "fault", f"stopped, so that it lives and does nothing: {', '.join(stopped)}",
                     "Let it go on (SIGCONT); `briefwire up` ends and starts it anew where it is the last of its kind.")  # fmt: skip
    if silent:
        return Check(
            "workers", "fault", f"no sign of life from: {', '.join(silent)}", "Read the logs folder in the data folder."
        )
    return Check("workers", "ok", f"all {len(pipeline.QUEUES)} queues are being worked on")


def _just_started(folder: Path) -> bool:
    """Whether broker or web process, which leave a file when they start, did so within the last minute."""
    left = [place for name in ("web.url", "broker.pid") if (place := folder / name).is_file()]
    return any(time.time() - place.stat().st_mtime < _START_S for place in left)


def _sources(rows: Sequence[dict[str, Any]]) -> Iterator[Check]:
    if not rows:
        yield Check("sources", "hint", "none yet", "`briefwire source add URL` adds one.")
        return
    yield Check("sources", "ok", f"{len(rows)}, of which {sum(row['state'] == 'active' for row in rows)} active")
    for row in rows:
        if row["state"] == "stopped" or (row["failures"] >= 3 and row["state"] == "active"):
            yield Check("source", "fault", f"{row['name']} {row['state']}: {row['last_error']}",
                        f"Check its address; then `briefwire source resume {row['name']}`.")  # fmt: skip
        elif silence := late(row, clock.now()):
            yield Check("source", "hint", silence,
                        f"Look at {row['url']}; `briefwire source poll {row['name']}` asks now.")  # fmt: skip


def late(row: dict[str, Any], now: dt.datetime) -> str | None:
    """In words, that an active source brings nothing for longer than its own habit allows; None where it does."""
    fresh = schedule.freshness(schedule.remembered(row["rhythm"]).rhythm, row["new_at"], now)
    if row["state"] != "active" or not fresh.overdue or fresh.silent_s is None or fresh.allowed_s is None:
        return None
    return f"{row['name']} has brought nothing new for {_hours(fresh.silent_s)}; its longest pauses are {_hours(fresh.allowed_s / 1.5)}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.0f} hours" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def _held(rows: Sequence[dict[str, Any]]) -> Iterator[Check]:
    """Sources whose records changed shape, with an example."""
    for row in rows:
        example = next((one["url"] for one in row["examples"] if one["url"]), None)
        shown = f" For example {example}." if example else ""
        yield Check("drift", "fault", f"{row['source']} is held, {row['waiting']} entries wait: {' '.join(row['why'])}{shown}",
                    f"`briefwire source drift {row['source']}` shows more; correct its profile, then "
                    f"`briefwire source release {row['source']}`.")  # fmt: skip


def _partners(rows: Sequence[dict[str, Any]]) -> Iterator[Check]:
    if not rows:
        yield Check("partners", "hint", "none yet", "`briefwire partner add URL` adds one.")
        return
    yield Check("partners", "ok", f"{len(rows)}, of which {sum(row['state'] == 'active' for row in rows)} active")
    for row in rows:
        if row["state"] == "disabled":
            name = row["partner"]
            yield Check("partner", "fault", f"{name} is disabled: {row['reason']}",
                        f"Settle it with them; `briefwire partner test {name}`, then `briefwire partner resume {name}`.")  # fmt: skip


def _web(opening: Opening) -> Iterator[Check]:
    """Asks the web process at the address that it wrote down itself."""
    kept = opening.settings.folder / "web.url"
    if not is_running(opening.settings.folder) or not kept.is_file():
        return
    shown = kept.read_text(encoding="utf-8").strip().rstrip("/")
    bad: Literal["hint", "fault"] = "hint" if _just_started(opening.settings.folder) else "fault"
    try:
        answer = opening.door([urls.host_key(shown)]).send(http.Request(f"{shown}/health", deadline_s=3.0))
    except (Retryable, Rejected) as error:
        yield Check("web", bad, f"{shown}/ does not answer: {error.detail}", "Read logs/web.log in the data folder.")
        return
    yield Check("web", "ok" if answer.status == 200 else bad, f"{shown}/ answers {answer.status}")


def _alerts(opening: Opening) -> Iterator[Check]:
    ways = channels(opening.settings.alerts)
    if ways:
        yield Check("alerts", "ok", f"people are told of troubles by {' and '.join(ways)}")
    else:
        yield Check(
            "alerts", "hint", "nobody is told of troubles", "Set email_to and smtp_host, or webhook, under [alerts]."
        )


def _traces(opening: Opening) -> Iterator[Check]:
    wanted = opening.settings.traces
    if (missing := traces.why_not(wanted)) is not None:
        yield Check("traces", "fault", missing.what, missing.next_step)
    elif wanted.endpoint:
        yield Check("traces", "ok", f"go to {urls.host_key(wanted.endpoint)}")


def _profiles(opening: Opening) -> Iterator[Check]:
    known = profiles.load([Path(folder) for folder in opening.settings.ingest.profiles])
    yield Check("profiles", "ok", ", ".join(known.names()))
