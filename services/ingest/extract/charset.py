"""Bytes in, text out, with the evidence for the character set: BOM, header, meta, then detection.

Nothing is ever replaced: bytes that fit no reading are `Rejected("charset-undecodable")`, so that they wait in quarantine
instead of reaching a partner as question marks.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from bs4.dammit import UnicodeDammit

from shared.errors import Rejected

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.I)
_META = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.I)
_XML = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]+)", re.I)
# What browsers read these labels as (WHATWG Encoding): pages say latin-1 and mean Windows.
_WHATWG = {"iso-8859-1": "windows-1252", "latin-1": "windows-1252", "latin1": "windows-1252", "ascii": "windows-1252",
           "us-ascii": "windows-1252", "iso8859-1": "windows-1252", "iso-8859-9": "windows-1254", "gb2312": "gb18030",
           "gbk": "gb18030", "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "shift_jis": "cp932", "shift-jis": "cp932",
           "x-sjis": "cp932", "iso-8859-11": "windows-874", "tis-620": "windows-874"}  # fmt: skip
_SINGLE_BYTE = re.compile(r"(windows-|iso-?8859|koi8|cp125)", re.I)
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_SURE = 10
"""So many well-formed UTF-8 sequences do not come about by chance in a single-byte text."""
_SAMPLE, _CHUNK = 4096, 32_768
_CONTROL_BYTES = bytes((*range(9), *range(14, 27), *range(28, 32)))
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# Windows-1252 as browsers read it: the five bytes that Python leaves undefined stay control characters.
_CP1252 = {b: bytes((b,)).decode("cp1252") for b in range(0x80, 0xA0) if b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}


class Decoded:
    """A page's text, its character set (Python's name) and what spoke for it. `utf8` are the page's bytes where they are the
    text's as they are: the parser reads those, so the text is made of them only when a stage asks for it."""

    __slots__ = ("_text", "charset", "evidence", "utf8")

    def __init__(self, text: str | None, charset: str, evidence: str, utf8: bytes | None = None) -> None:
        self._text, self.charset, self.evidence, self.utf8 = text, charset, evidence, utf8

    @property
    def text(self) -> str:
        """The whole page as text."""
        if self._text is None:
            self._text = (self.utf8 or b"").decode()
        return self._text


def decode(content: bytes, content_type: str | None) -> Decoded:
    """The text of a page. A stated set that does not fit the bytes loses to the next; Rejected when none fits."""
    for label, evidence in _stated(content, content_type):
        if label == "utf-8" and evidence != "bom":
            if _well_formed(content):
                return Decoded(None, label, evidence, content)
            continue
        text = _strict(content, label)
        if text is not None:
            return Decoded(text.removeprefix("\ufeff"), label, evidence)
    return _mixed(content) or _detected(content)


def _stated(content: bytes, content_type: str | None) -> Iterator[tuple[str, str]]:
    """What is claimed, strongest first. Bytes that are valid UTF-8 beyond ASCII are UTF-8 whatever a page claims."""
    found = [(name, "bom") for bom, name in _BOMS if content.startswith(bom)][:1]
    if header := _HEADER.search(content_type or ""):
        found.append((_known(header[1]), "header"))
    if found and not _SINGLE_BYTE.match(found[0][0]):
        # Most pages are what their header says: the rest need not be looked for.
        yield found[0]
    if meta := _META.search(content, 0, 4096) or _META.search(content, 0, 65536):
        label = _known(meta[1].decode("ascii", "ignore"))
        # A page that can be read byte by byte to find "utf-16" is not UTF-16.
        found.append(("utf-8" if label.startswith("utf-16") else label, "meta"))
    if xml := _XML.search(content, 0, 1024):
        found.append((_known(xml[1].decode("ascii", "ignore")), "xml-declaration"))
    if found and found[0][1] != "bom" and _SINGLE_BYTE.match(found[0][0]) and len(_MULTIBYTE.findall(content)) >= _SURE:
        found.insert(0, ("utf-8", "valid-utf-8"))
    yield from found
    yield "utf-8", "valid-utf-8"


def _known(label: str) -> str:
    name = label.strip().lower()
    return _WHATWG.get(name, name)


def _well_formed(content: bytes) -> bool:
    """Whether bytes are UTF-8, without the memory that the text of a large page takes."""
    view, at = memoryview(content), 0
    try:
        while at < len(content):
            at += codecs.utf_8_decode(view[at : at + _CHUNK], "strict", at + _CHUNK >= len(content))[1]
    except UnicodeError:
        return False
    return True


def _strict(content: bytes, label: str) -> str | None:
    try:
        return content.decode(label)
    except (UnicodeError, LookupError, ValueError):
        return content.decode("latin-1").translate(_CP1252) if label == "windows-1252" else None


def _mixed(content: bytes) -> Decoded | None:
    """UTF-8 with a few pasted Windows-1252 bytes, a common slip of editors: each byte is read as what it was."""
    wrong = len(content) - len(content.decode("utf-8", "ignore").encode())
    if wrong * _SURE > len(_MULTIBYTE.findall(content)):
        return None
    try:
        return Decoded(UnicodeDammit.detwingle(content).decode("utf-8"), "utf-8", "utf-8-with-windows-1252")
    except UnicodeError:
        return None


def _detected(content: bytes) -> Decoded:
    """BeautifulSoup's detection; many control bytes mean that the bytes are no text at all."""
    sample = content[:_SAMPLE] + content[-_SAMPLE:]
    if len(sample) - len(sample.translate(None, _CONTROL_BYTES)) > len(sample) // 50:
        raise Rejected("charset-binary", "The bytes are no text but a picture, an archive or something compressed.")
    dammit = UnicodeDammit(content, is_html=True)
    text, charset = dammit.unicode_markup, dammit.original_encoding
    if text is None or charset is None or dammit.contains_replacement_characters or _CONTROL.search(text):
        raise Rejected("charset-undecodable", "No character set that the page states or that detection finds fits it.")
    return Decoded(text, charset, "detected")
