"""Printed dates and the instants they mean."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.feed_dates import utc


@pytest.mark.parametrize(
    ("printed", "instant"),
    [
        ("2024-05-14T09:30:00+03:00", "2024-05-14T06:30:00+00:00"),
        ("2024-05-14T09:30:00.123Z", "2024-05-14T09:30:00+00:00"),
        ("2024-05-14T09:30:00+0300", "2024-05-14T06:30:00+00:00"),
        ("2024-05-14T09:30-05:30", "2024-05-14T15:00:00+00:00"),
        ("2024-05-14 09:30", "2024-05-14T09:30:00+00:00"),
        ("2024-05-14", "2024-05-14T00:00:00+00:00"),
        ("2024-05", "2024-05-01T00:00:00+00:00"),
        ("20240514T093000", None),
        ("20240514", "2024-05-14T00:00:00+00:00"),
        ("Tue, 14 May 2024 09:30:00 +0300", "2024-05-14T06:30:00+00:00"),
        ("Tue, 14 May 2024 09:30:00 GMT+3", "2024-05-14T06:30:00+00:00"),
        ("Tue, 14 May 2024 09:30:00 MSK", "2024-05-14T06:30:00+00:00"),
        ("Tue, 14 May 2024 09:30:00 CEST", "2024-05-14T07:30:00+00:00"),
        ("14 May 99 09:30 EST", "1999-05-14T14:30:00+00:00"),
        ("14 May 24 09:30 UT", "2024-05-14T09:30:00+00:00"),
        ("May 14, 2024 9:30", "2024-05-14T09:30:00+00:00"),
        ("14.05.2024, 09:30", "2024-05-14T09:30:00+00:00"),
        ("14 мая 2024 г. в 09:30", "2024-05-14T09:30:00+00:00"),
        ("2 красавіка 2024", "2024-04-02T00:00:00+00:00"),
        ("5 липня 2024, 10:15", "2024-07-05T10:15:00+00:00"),
        ("1715688000", "2024-05-14T12:00:00+00:00"),
        ("Tue, 14 May 2024 23:59:60 GMT", "2024-05-14T23:59:59+00:00"),
        ("31 Feb 2024 09:30:00 GMT", None),
        ("Tue, 14 May 2024 09:30:00 XYZ", None),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("2024-13-01", None),
        ("yesterday", None),
        ("14 of many", None),
        ("", None),
        (None, None),
        ("2024-05-14" + " " * 3 + "x" * 200, None),
    ],
)
def test_printed_dates(printed: str | None, instant: str | None) -> None:
    assert utc(printed) == instant


MONTHS = {
    "be": "студзеня лютага сакавіка красавіка траўня чэрвеня ліпеня жніўня верасня кастрычніка лістапада снежня",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "uk": "січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня",
    "en": "January February March April May June July August September October November December",
}


@pytest.mark.parametrize("language", sorted(MONTHS))
def test_month_names_in_four_languages(language: str) -> None:
    for number, name in enumerate(MONTHS[language].split(), 1):
        assert utc(f"3 {name} 2024") == f"2024-{number:02}-03T00:00:00+00:00", name


@given(
    st.integers(-2_200_000_000, 7_000_000_000),
    st.integers(-14 * 60, 14 * 60),
)
def test_iso_and_rfc_822_give_the_same_instant(seconds: int, minutes: int) -> None:
    at = dt.datetime.fromtimestamp(seconds, dt.timezone(dt.timedelta(minutes=minutes)))
    wanted = at.astimezone(dt.UTC).isoformat()
    assert utc(at.isoformat()) == wanted
    assert utc(at.strftime("%a, %d %b %Y %H:%M:%S %z")) == wanted


@given(st.text(max_size=100))
def test_any_text_is_an_instant_or_none(text: str) -> None:
    found = utc(text)
    assert found is None or dt.datetime.fromisoformat(found).utcoffset() == dt.timedelta(0)
