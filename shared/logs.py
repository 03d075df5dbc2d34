"""How every process writes its log: lines for people or one JSON object a line, with the ids of what was being worked on.

    begin("feeder", settings.logs) -> every logger writes to standard error in the form that the settings name
    with about(task=..., article_ids=[...]): ... -> whatever is logged within carries these
    piece("attempt", article_id=..., event=...) -> a line for one piece, where the settings ask for them

Secrets never reach a log: keys, tokens and passwords are blotted out of every line, wherever they came from.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime as dt
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from shared.settings import LogSettings

_SECRETS = re.compile(
    r"(?P<kept>"
    r"\b(?:whsec_|whsk_|bw_)"  # keys that sign and tokens of the desk
    r"|\b(?:authorization|x-hub-signature|webhook-signature|cookie|set-cookie)['\"]?\s*[:=]\s*['\"]?(?:bearer\s+|basic\s+)?"
    r"|\b(?:password|passwd|secret|token|api_?key|access_?key|smtp_password|webhook_secret)['\"]?\s*[:=]\s*['\"]?"
    r"|\bbearer\s+"
    r")(?P<secret>(?:v1a?,)?[^\s'\"&,;@)}\]]+)",
    re.IGNORECASE,
)
_PASSWORDS = re.compile(
    r"(?P<kept>://[^/\s:@'\"]*:)(?P<secret>[^/\s@]+)(?=@)"
)  # of an address with a name and a password in it
_NAMES = re.compile(r"(?i).*(?:password|passwd|secrets?|token|api_?key|authorization|cookie)")
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_about: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("about", default={})  # noqa: B039 - never changed in place
_pieces = logging.getLogger("briefwire.pieces")


def begin(part: str, settings: LogSettings) -> None:
    """This process is that part of the wire: its log goes to standard error in the form that the settings name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(part) if settings.format == "json" else TextLines(part))
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, _level(settings)))  # other people's libraries talk much
    logging.getLogger("briefwire").setLevel(_level(settings))
    _pieces.setLevel(logging.INFO if settings.pieces else logging.WARNING)


def _level(settings: LogSettings) -> int:
    return logging.getLevelNamesMapping()[settings.level.upper()]


@contextlib.contextmanager
def about(**ids: Any) -> Iterator[None]:
    """What is logged within is about these."""
    token = _about.set(_about.get() | ids)
    try:
        yield
    finally:
        _about.reset(token)


def pieces() -> bool:
    """Whether a line for each piece is wanted."""
    return _pieces.isEnabledFor(logging.INFO)


def piece(what: str, **ids: Any) -> None:
    """One piece of work that came to an end: its ids, and what it came to."""
    if pieces():
        _pieces.info(what, extra={"ids": ids})


def without_secrets(text: str) -> str:
    """The text with keys, tokens and passwords blotted out."""
    return _SECRETS.sub(r"\g<kept>***", _PASSWORDS.sub(r"\g<kept>***", text))


def _ids(record: logging.LogRecord) -> dict[str, Any]:
    """What the line is about: of the work around it, of its own `ids`, and what else was given along with it."""
    extra = {key: value for key, value in vars(record).items() if key not in _USUAL and key != "ids"}
    own: dict[str, Any] = vars(record).get("ids", {})
    return _about.get() | extra | own


class TextLines(logging.Formatter):
    """2026-05-04 12:00:00,000 feeder INFO message [article_id=art_1 event=7]"""

    def __init__(self, part: str) -> None:
        super().__init__(f"%(asctime)s {part} %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{key}={_short(value)}" for key, value in _ids(record).items())
        first, _, rest = super().format(record).partition("\n")
        return without_secrets(first + (f" [{ids}]" if ids else "") + (f"\n{rest}" if rest else ""))


class JsonLines(logging.Formatter):
    """One object a line: at, level, part, logger, message, the ids, and an exception with its traceback."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"), "level": record.levelname.lower(),
            "part": self.part, "process": record.process, "logger": record.name, "message": record.getMessage(),
        }  # fmt: skip
        line |= {key: value for key, value in _ids(record).items() if key not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        plain = msgspec.to_builtins(line, builtin_types=(dt.datetime,), enc_hook=str)
        return msgspec.json.encode(_clean(plain), enc_hook=str).decode()


def _clean(value: Any) -> Any:
    """Every text in it without secrets, so that what is blotted out never breaks the JSON around it."""
    match value:
        case str():
            return without_secrets(value)
        case dict():
            return {key: "***" if _NAMES.fullmatch(str(key)) else _clean(one) for key, one in value.items()}
        case list() | tuple():
            return [_clean(one) for one in value]
    return value


def _short(value: object) -> str:
    if isinstance(value, list | tuple) and len(value) > 3:
        return ",".join(map(str, value[:3])) + f",+{len(value) - 3}"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
