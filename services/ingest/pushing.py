"""A pushed body and its content type in; an address to fetch or a page to extract out, or Rejected with what is wrong with it.

text/html, application/xhtml+xml   a page
text/plain                         a text: a headline, a blank line, paragraphs
application/json                   {"url"} | {"html", "url"?} | {"text", "url"?}, each with an "id" where there is one,
                                   or a record: {"headline", "text" or "html", ...}, see `services.ingest.recorded`
"""

from __future__ import annotations

import codecs
import hashlib
from email.message import Message

import msgspec

from services.ingest import recorded
from shared import urls
from shared.errors import Rejected
from shared.records import from_json

TYPES = ("text/html", "application/xhtml+xml", "text/plain", "application/json")
_LONGEST_ID = 200


class Pushed(msgspec.Struct, frozen=True):
    """What was pushed. `key` is its identity within the source; `body` is None where the address is to be fetched."""

    key: str
    url: str | None
    body: bytes | None = None
    content_type: str | None = None


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    url: str | None = None
    html: str | None = None
    text: str | None = None
    id: str | None = None


def read(body: bytes, content_type: str | None, *, url: str | None = None, item_id: str | None = None) -> Pushed:
    """What a push means.

    Args:
        url, item_id: the page's address and the pusher's own id of it, where the request named them beside the body.

    Raises:
        Rejected: "unsupported-type", "bad-json", "bad-charset", "bad-url", "bad-id", "empty".
    """
    kind, charset = _type(content_type)
    if kind not in TYPES:
        raise Rejected("unsupported-type", f"{kind or 'No Content-Type'} is not taken; send one of {', '.join(TYPES)}.")
    if kind == "application/json":
        return _from_record(body, url, item_id)
    if kind == "text/plain":
        return _text(_decoded(body, charset), url, item_id)
    return _page(body, content_type, url, item_id)


def _from_record(body: bytes, url: str | None, item_id: str | None) -> Pushed:
    if _is_record(body):
        return _stated(body, url, item_id)
    try:
        record = from_json(body, _Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a ValidationError is a DecodeError
        raise Rejected("bad-json", f"{error}.") from None
    if record.html is not None and record.text is not None:
        raise Rejected("bad-json", "Give html or text, not both.")
    url, item_id = record.url or url, record.id or item_id
    if record.text is not None:
        return _text(record.text, url, item_id)
    if record.html is not None:
        return _page(record.html.encode("utf-8", "replace"), "text/html; charset=utf-8", url, item_id)
    if url is None:
        raise Rejected("bad-json", 'Give "url", "html" or "text".')
    url = _address(url)
    return Pushed(url, url)


def _is_record(body: bytes) -> bool:
    try:
        return "headline" in from_json(body, dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _stated(body: bytes, url: str | None, item_id: str | None) -> Pushed:
    record = recorded.read(body)
    named = msgspec.structs.replace(record, url=record.url or url, id=record.id or item_id)
    return _page(msgspec.json.encode(named), recorded.CONTENT_TYPE, named.url, named.id)


def _text(text: str, url: str | None, item_id: str | None) -> Pushed:
    body = text.replace("\x00", "").encode("utf-8", "replace")
    return _page(body, "text/plain; charset=utf-8", url, item_id)


def _page(body: bytes, content_type: str | None, url: str | None, item_id: str | None) -> Pushed:
    if not body.strip():
        raise Rejected("empty", "There is nothing in it.")
    url = _address(url) if url else None
    if item_id is not None and not (item_id.isprintable() and 0 < len(item_id) <= _LONGEST_ID):
        raise Rejected("bad-id", f"An id has 1 to {_LONGEST_ID} printable characters.")
    key = url or item_id or f"push:{hashlib.sha256(body).hexdigest()}"
    return Pushed(key, url, body, content_type)


def _address(url: str) -> str:
    known = urls.absolute(None, url.strip())
    if known is None:
        raise Rejected("bad-url", f"{url[:200]!r} is no http or https URL.")
    return known


def _type(value: str | None) -> tuple[str, str]:
    message = Message()
    message["content-type"] = value or ""
    given = value.partition(";")[0].strip().lower() if value else ""
    return given, str(message.get_param("charset") or "utf-8")


def _decoded(body: bytes, charset: str) -> str:
    try:
        return body.decode(codecs.lookup(charset).name)
    except (LookupError, UnicodeError, ValueError):
        raise Rejected(
            "bad-charset", f"The text is not {charset[:40]}; name its charset in the Content-Type."
        ) from None
