"""Environment and briefwire.toml in, one frozen Settings out. Read once, at the door; unknown keys fail at start.

Order: defaults, then `briefwire.toml` (in the data folder or the working folder, or named by BRIEFWIRE_CONFIG), then the
environment: BRIEFWIRE_DATA, BRIEFWIRE_STORE_URL, BRIEFWIRE_BROKER_URL, BRIEFWIRE_ALERT_SECRET, BRIEFWIRE_SMTP_PASSWORD (each may end
in _FILE to be read from a file), BRIEFWIRE_STORE_MAX_MB, BRIEFWIRE_WEB_PORT.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from shared.errors import OperatorError


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: SQLAlchemy URL of a PostgreSQL database; empty means SQLite in the data folder.

    `pages`: an fsspec URL that takes the fetched pages instead of the database ("file:///srv/pages", "s3://bucket/pages").
    `max_mb`: what a SQLite file may grow to; 0: as far as the disk reaches. A full store loses nothing, it only stops.
    """

    url: str = ""
    pages: str = ""
    max_mb: float = 0.0


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: a Redis URL; empty means the embedded broker in the data folder. `master`: what Sentinels call it, with their URL."""

    url: str = ""
    master: str = ""


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: how others reach this web application ("https://wire.example"); without it we ask no WebSub hub to call us."""

    url: str = ""
    host: str = "127.0.0.1"
    port: int = 8600


class HostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for one host instead of the general `gap_s` and `at_once`."""

    gap_s: float | None = None
    at_once: int | None = None


class FetchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the wire behaves as a guest. `allow_hosts` are internal "host:port" that may be spoken to all the same.

    `revisit_pace` stretches (above 1) or shrinks the waits until a page is looked at again; 0 never looks again.
    `gone_confirm_s`: after a first 404 or 410, how long until the second look that makes it a withdrawal.
    `at_once`: requests in flight to one host. `hosts`: exceptions by host ("news.example"). `in_flight`: hosts and sources that
    one fetch worker waits for at a time. `obey`: of noarchive, nofollow, noindex, those that are obeyed.
    """

    contact: str = ""
    allow_hosts: tuple[str, ...] = ()
    gap_s: float = 1.0
    at_once: int = 1
    hosts: dict[str, HostSettings] = {}
    in_flight: int = 256
    obey: tuple[Literal["noarchive", "nofollow", "noindex"], ...] = ("noarchive", "nofollow", "noindex")
    deadline_s: float = 20.0
    max_mb: float = 10.0
    poll_min_s: float = 300.0
    poll_max_s: float = 86_400.0
    robots: bool = True
    revisit_pace: float = 1.0
    gone_confirm_s: float = 600.0


class IngestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`backfill_days`: an entry older than this when first seen is back-fill. `profiles`: folders of your own profiles."""

    backfill_days: float = 7.0
    profiles: tuple[str, ...] = ()
    zone: str = "UTC"


class EnrichSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`languages`: what your sources write in. `window_days`: how far back duplicate and same_story look.

    `train_every_s`: articles filed meanwhile are learnt from together. `media_topics`: suggest IPTC Media Topics.
    """

    languages: tuple[str, ...] = (
        "en",
        "ru",
        "be",
        "uk",
        "de",
        "fr",
        "es",
        "it",
        "pl",
        "pt",
        "nl",
        "sv",
        "lt",
        "lv",
        "cs",
    )
    window_days: int = 14
    train_every_s: float = 600.0
    media_topics: bool = True


class DeliverSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    deadline_s: float = 20.0
    schedule_s: tuple[float, ...] = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)


class WorkerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Threads of fetch and deliver; processes of extract and enrich (0: one a core, at most four)."""

    fetch: int = 32
    deliver: int = 32
    extract: int = 0
    enrich: int = 0


class KeepSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many days the logs are kept; 0: for ever. Articles, revisions and deliveries always are."""

    attempts_days: float = 0.0
    events_days: float = 0.0
    pages_days: float = 0.0


class AlertSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to tell of troubles, and from when on. Nobody is told unless `webhook`, or `email_to` and `smtp_host`, are set.

    `settle_s`: a trouble must have stood so long, and its end too; `every_s`: at most one message in so many seconds.
    `queue_s`, `partner_s`: what may wait so long before a stage, and for a partner. `smtp_ca`: a PEM file of further authorities.
    """

    webhook: str = ""
    webhook_secret: str = ""
    email_to: tuple[str, ...] = ()
    email_from: str = ""
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_ca: str = ""
    settle_s: float = 60.0
    every_s: float = 60.0
    queue_s: float = 900.0
    partner_s: float = 3600.0
    disk_mb: float = 500.0


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`format`: lines for people, or one JSON object a line. `pieces`: also a line for each event and each attempt."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"
    pieces: bool = False


class TraceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`endpoint`: an OTLP/HTTP address that takes traces ("http://127.0.0.1:4318/v1/traces"); empty: none are made."""

    endpoint: str = ""
    headers: dict[str, str] = {}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything an operator may set. `data` is the folder that holds all state of an embedded installation."""

    data: str = "briefwire-data"
    store: StoreSettings = StoreSettings()
    broker: BrokerSettings = BrokerSettings()
    web: WebSettings = WebSettings()
    fetch: FetchSettings = FetchSettings()
    ingest: IngestSettings = IngestSettings()
    enrich: EnrichSettings = EnrichSettings()
    deliver: DeliverSettings = DeliverSettings()
    workers: WorkerSettings = WorkerSettings()
    alerts: AlertSettings = AlertSettings()
    logs: LogSettings = LogSettings()
    traces: TraceSettings = TraceSettings()
    keep: KeepSettings = KeepSettings()

    @property
    def folder(self) -> Path:
        return Path(self.data).expanduser().resolve()

    @property
    def store_url(self) -> str:
        return self.store.url or f"sqlite:///{self.folder / 'briefwire.sqlite3'}"

    @property
    def broker_socket(self) -> Path:
        return self.folder / "broker.sock"

    def processes(self, configured: int) -> int:
        """How many processes to run where `configured` may be 0 for "as the machine has"."""
        return configured or max(1, min(4, os.cpu_count() or 1))

    def pool_size(self, kind: str) -> int:
        """Threads or processes of one worker of that kind: fetch, extract, enrich, deliver."""
        return self.processes(int(getattr(self.workers, kind)))


def load(environ: Mapping[str, str] | None = None, *, config: Path | None = None, data: Path | None = None) -> Settings:
    """The settings of this process.

    Args:
        environ: the environment, os.environ unless given.
        config: a TOML file; unless given, BRIEFWIRE_CONFIG, then briefwire.toml in the data folder, then in the working folder.
        data: the data folder, above all other ways to name it.

    Raises:
        OperatorError: a file that cannot be read, an unknown key, a value of the wrong type.
    """
    env = os.environ if environ is None else environ
    named = config or (Path(env["BRIEFWIRE_CONFIG"]) if env.get("BRIEFWIRE_CONFIG") else None)
    folder = str(data) if data else secret(env, "BRIEFWIRE_DATA")
    raw = _read(named or _first_existing(folder), required=named is not None)
    if folder:
        raw["data"] = folder
    _override(raw, "store", "url", secret(env, "BRIEFWIRE_STORE_URL"))
    _override(raw, "broker", "url", secret(env, "BRIEFWIRE_BROKER_URL"))
    _override(raw, "alerts", "webhook_secret", secret(env, "BRIEFWIRE_ALERT_SECRET"))
    _override(raw, "alerts", "smtp_password", secret(env, "BRIEFWIRE_SMTP_PASSWORD"))
    most = env.get("BRIEFWIRE_STORE_MAX_MB")
    _override(raw, "store", "max_mb", float(most) if most and most.replace(".", "", 1).isdecimal() else most)
    port = env.get("BRIEFWIRE_WEB_PORT")
    _override(raw, "web", "port", int(port) if port and port.isdecimal() else port)
    try:
        return msgspec.convert(raw, Settings)
    except msgspec.ValidationError as error:
        raise OperatorError(f"The settings are not valid: {error}.", "Correct that key in briefwire.toml; "
                            "docs/operating.md lists every key.") from None  # fmt: skip


def _first_existing(folder: str | None) -> Path | None:
    places = [Path(folder or Settings().data) / "briefwire.toml", Path("briefwire.toml")]
    return next((place for place in places if place.is_file()), None)


def _read(path: Path | None, *, required: bool) -> dict[str, object]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not required:
            return {}
        raise OperatorError(f"There is no settings file at {path}.", "Check BRIEFWIRE_CONFIG.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise OperatorError(f"{path} cannot be read: {error}.", "Correct it, then try again.") from None


def secret(env: Mapping[str, str], name: str) -> str | None:
    """The variable, or what stands in the file that `name`_FILE names; None where neither is set."""
    if env.get(name):
        return env[name]
    file = env.get(f"{name}_FILE")
    try:
        return Path(file).read_text(encoding="utf-8").strip() if file else None
    except OSError as error:
        raise OperatorError(f"{name}_FILE cannot be read: {error}.", "Mount the file or unset the variable.") from None


def _override(raw: dict[str, object], section: str, key: str, value: object) -> None:
    if value is not None:
        table = raw.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
