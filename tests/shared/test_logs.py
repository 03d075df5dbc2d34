"""What a process writes into its log: ids of what was being worked on, JSON that holds, and never a secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from shared import logs, queue
from shared.settings import LogSettings

log = logging.getLogger("briefwire.test")
KEY = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The loggers of this process as they were."""
    places = [logging.getLogger(name) for name in ("", "briefwire", "briefwire.pieces")]
    before = [(place, place.level, list(place.handlers)) for place in places]
    yield
    logging.captureWarnings(False)
    for place, level, handlers in before:
        place.setLevel(level)
        place.handlers[:] = handlers


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_json_line_carries_the_ids_of_what_was_being_worked_on(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin("enrich", LogSettings(format="json"))
    with logs.about(task="enrich_articles", article_ids=["art_1", "art_2"]):
        log.warning("slow: %d ms", 900)
        log.info("one", extra={"event": 7})
    log.info("after")
    slow, one, after = lines(capsys)
    assert (slow["message"], slow["level"], slow["part"], slow["logger"]) == (
        "slow: 900 ms",
        "warning",
        "enrich",
        "briefwire.test",
    )
    assert (slow["article_ids"], slow["task"], one["event"]) == (["art_1", "art_2"], "enrich_articles", 7)
    assert "article_ids" not in after


def test_an_exception_is_one_line_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin("web", LogSettings(format="json"))
    try:
        raise ValueError(f"the key\n{KEY} does not fit")
    except ValueError:
        log.exception("a bug in %s", "sign")
    (line,) = lines(capsys)
    assert "Traceback" in line["exception"]
    assert KEY not in json.dumps(line)


def test_a_text_line_says_what_it_is_about_and_long_lists_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin("extract", LogSettings())
    with logs.about(entry_ids=[1, 2, 3, 4, 5]):
        log.warning("gone")
    said = capsys.readouterr().err
    assert "extract WARNING gone [entry_ids=1,2,3,+2]" in said


def test_pieces_are_told_only_where_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for asked in (False, True):
        logs.begin("deliver", LogSettings(format="json", pieces=asked))
        logs.piece("attempt", article_id="art_1", event=9)
    (line,) = lines(capsys)
    assert (line["message"], line["article_id"], line["event"]) == ("attempt", "art_1", 9)


def test_levels_are_those_of_the_settings_and_libraries_are_quieter(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin("web", LogSettings(format="json", level="debug"))
    log.debug("ours")
    logging.getLogger("urllib3").info("theirs")
    logs.begin("web", LogSettings(format="json", level="error"))
    log.warning("not wanted")
    assert [line["message"] for line in lines(capsys)] == ["ours"]


@pytest.mark.parametrize(
    "text",
    [
        f"secret {KEY}",
        "Authorization: Bearer s3cr3tvalue",
        "{'authorization': 'Bearer s3cr3tvalue', 'accept': '*/*'}",
        "postgresql://wire:s3cr3tvalue@db/wire cannot be reached",
        "redis://:s3cr3tvalue@cache:6379/0",
        "GET https://chat.example/hook?room=7&token=s3cr3tvalue&x=1",
        'smtp_password = "s3cr3tvalue"',
        "password=s3cr3tvalue",
        "bw_s3cr3tvalue is not known",
        "Cookie: session=s3cr3tvalue",
        "webhook-signature: v1,s3cr3tvalue",
    ],
)
def test_no_line_holds_a_secret(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "json"):
        logs.begin("web", LogSettings(format=form))
        log.warning("%s", text)
        log.warning("told along", extra={"detail": text, "token": "s3cr3tvalue", "nested": {"headers": [text]}})
    said = capsys.readouterr().err
    assert "s3cr3tvalue" not in said
    assert KEY not in said
    assert "***" in said


@pytest.mark.parametrize(
    "text",
    [
        "the secret of the harbour",
        "https://news.example/a:b",
        "listening on http://127.0.0.1:8600/",
        "12:30:00 token economy",
        "a password reset",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert logs.without_secrets(text) == text


def test_a_task_names_itself_and_its_keys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    logs.begin("extract", LogSettings(format="json"))

    def extract_pages(keys: list[int]) -> None:
        log.warning("odd")

    queue.unless_stopped("extract", extract_pages)([4, 5])
    (line,) = lines(capsys)
    assert (line["task"], line["entry_ids"]) == ("extract_pages", [4, 5])
