"""Printed dates of many hands, read without a locale."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.extract import dates


@pytest.mark.parametrize(
    ("raw", "utc", "zone", "precision"),
    [
        ("April 22, 2016 19:45", "2016-04-22T16:45:00+00:00", "configured", "minute"),
        ("22 April 2016", "2016-04-21T21:00:00+00:00", "configured", "day"),
        ("2016-04-22T19:45:10+02:00", "2016-04-22T17:45:10+00:00", "stated", "second"),
        ("2016-04-22T19:45:10.123Z", "2016-04-22T19:45:10+00:00", "stated", "second"),
        ("2016-04-22 19:45", "2016-04-22T16:45:00+00:00", "configured", "minute"),
        ("Fri, 22 Apr 2016 16:45:00 +0000", "2016-04-22T16:45:00+00:00", "stated", "second"),
        ("22.04.2016, 19:45 Uhr", "2016-04-22T16:45:00+00:00", "configured", "minute"),
        ("22/04/2016 7:45 pm", "2016-04-22T16:45:00+00:00", "configured", "minute"),
        ("12/31/2016", "2016-12-30T21:00:00+00:00", "configured", "day"),
        ("3 мая 2021 г., 09:05", "2021-05-03T06:05:00+00:00", "configured", "minute"),
        ("5 de marzo de 2020", "2020-03-04T21:00:00+00:00", "configured", "day"),
        ("le 14 juillet 2021 à 08h30", "2021-07-14T05:30:00+00:00", "configured", "minute"),
        ("14. Oktober 2021 um 18.30 Uhr", "2021-10-14T15:30:00+00:00", "configured", "minute"),
        ("2024年5月3日 14:02", "2024-05-03T11:02:00+00:00", "configured", "minute"),
        ("May 3, 2024 2 p.m. EDT", "2024-05-03T11:00:00+00:00", "configured", "hour"),
        ("May 3, 2024 2:10 p.m. EDT", "2024-05-03T18:10:00+00:00", "stated", "minute"),
        ("Updated 1st June 2023 at 12:05 AM", "2023-05-31T21:05:00+00:00", "configured", "minute"),
    ],
)
def test_read(raw: str, utc: str, zone: str, precision: str) -> None:
    moment = dates.parse(raw, "Europe/Minsk")
    assert moment is not None
    assert (moment.utc, moment.zone_source, moment.precision, moment.raw) == (utc, zone, precision, raw)


def test_no_zone_is_an_assumption() -> None:
    moment = dates.parse("April 22, 2016 19:45")
    assert moment is not None
    assert (moment.utc, moment.zone, moment.zone_source) == ("2016-04-22T19:45:00+00:00", "UTC", "assumed")


@pytest.mark.parametrize(
    "raw", ["", "yesterday", "31.02.2020", "2020-13-45", "Category status:", "12", "99:99", "room 2016"]
)
def test_no_date(raw: str) -> None:
    assert dates.parse(raw) is None


@given(st.text(max_size=120))
def test_any_text_is_a_date_or_none(raw: str) -> None:
    moment = dates.parse(raw, "Europe/Minsk")
    assert moment is None or moment.at.tzinfo is not None


@given(st.datetimes(min_value=dt.datetime(1991, 1, 1), max_value=dt.datetime(2099, 1, 1)))  # noqa: DTZ001
def test_iso_comes_back(when: dt.datetime) -> None:
    moment = dates.parse(when.replace(microsecond=0).isoformat() + "+00:00")
    assert moment is not None
    assert moment.at == when.replace(microsecond=0, tzinfo=dt.UTC)
