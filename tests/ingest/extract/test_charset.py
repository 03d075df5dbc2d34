"""Bytes become the right text, with the evidence, or are refused; nothing is ever replaced."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.extract.charset import decode
from shared.errors import Rejected

RUSSIAN = "<p>Мост через реку откроют зимой, сказал мэр города. Работы идут по плану.</p>" * 8


@pytest.mark.parametrize(
    ("content", "header", "charset", "evidence"),
    [
        (codecs.BOM_UTF8 + RUSSIAN.encode(), "text/html; charset=windows-1251", "utf-8", "bom"),
        (RUSSIAN.encode("utf-16"), None, "utf-16", "bom"),
        (RUSSIAN.encode("cp1251"), "text/html; charset=windows-1251", "windows-1251", "header"),
        (RUSSIAN.encode("koi8-r"), 'text/html; charset="koi8-r"', "koi8-r", "header"),
        (b"<meta charset=windows-1251>" + RUSSIAN.encode("cp1251"), "text/html", "windows-1251", "meta"),
        (
            b"<meta http-equiv=content-type content='text/html; charset=koi8-r'>" + RUSSIAN.encode("koi8-r"),
            None,
            "koi8-r",
            "meta",
        ),
        (
            b"<?xml version='1.0' encoding='windows-1251'?>" + RUSSIAN.encode("cp1251"),
            None,
            "windows-1251",
            "xml-declaration",
        ),
        (RUSSIAN.encode(), None, "utf-8", "valid-utf-8"),
        (RUSSIAN.encode(), "text/html; charset=iso-8859-1", "utf-8", "valid-utf-8"),
        (b"<meta charset=utf-16>" + RUSSIAN.encode(), None, "utf-8", "meta"),
    ],
)
def test_evidence(content: bytes, header: str | None, charset: str, evidence: str) -> None:
    found = decode(content, header)
    assert (found.charset, found.evidence) == (charset, evidence)
    assert found.text.endswith(RUSSIAN)


def test_a_wrong_claim_of_utf8_is_detected() -> None:
    found = decode(b"<meta charset=utf-8>" + RUSSIAN.encode("cp1251"), "text/html; charset=utf-8")
    assert found.text.endswith(RUSSIAN)
    assert found.evidence == "detected"


def test_a_pasted_byte_of_windows_in_utf8() -> None:
    content = RUSSIAN.encode() + b"<p>\x93quoted\x94</p>"
    found = decode(content, "text/html; charset=utf-8")
    assert found.text == RUSSIAN + "<p>“quoted”</p>"
    assert found.evidence == "utf-8-with-windows-1252"


def test_latin1_means_windows_1252() -> None:
    assert decode(b"<p>\x80 5 \x85</p>", "text/html; charset=iso-8859-1").text == "<p>€ 5 …</p>"


@given(st.binary(max_size=400))
def test_never_a_replacement(content: bytes) -> None:
    try:
        found = decode(content, None)
    except Rejected:
        return
    assert (
        "\ufffd" not in found.text or "\ufffd".encode() in content or b"\xff\xfd" in content or b"\xfd\xff" in content
    )
