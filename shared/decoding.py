"""Raw pieces of a body and its Content-Encoding in, decoded pieces out, each small however far the data expands.

Nobody needs to hold a bomb to see that it is one: a consumer that counts can stop between two pieces.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import brotli
import zstandard

from shared.errors import Rejected, Retryable

_PIECE = 65536
_SIP = 64  # bytes of zstd input at a time: at 128 KiB a block of 4 bytes they cannot become more than 2 MiB
_WINDOW = 8 * 1024 * 1024  # the largest zstd window that RFC 9659 allows over HTTP


def decoded(raw: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The pieces of `raw` decoded as the header Content-Encoding says; some may be empty.

    Raises:
        Rejected: "encoding-refused" for an unknown encoding and for more than one.
        Retryable: "encoding-broken" when the data is not so encoded, "cut-short" when it ends in the middle.
    """
    codings = [name for part in encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if not codings:
        return raw
    decode = _DECODERS.get(codings[0])
    if decode is None or len(codings) > 1:
        raise Rejected(
            "encoding-refused", f"The encoding {encoding[:100]!r} is not one of gzip, deflate, br, zstd, used once."
        )
    return _guarded(decode, raw, codings[0])


def _guarded(decode: Callable[[Iterator[bytes]], Iterator[bytes]], raw: Iterator[bytes], name: str) -> Iterator[bytes]:
    try:
        yield from decode(raw)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise Retryable("encoding-broken", f"The body is not valid {name} data: {error}.") from error


def _gunzip(raw: Iterator[bytes]) -> Iterator[bytes]:
    """One or more members; what follows the last one is passed over, as other readers do."""
    stream = zlib.decompressobj(31)
    began = False
    for piece in raw:
        rest = piece
        while rest:
            if stream.eof:
                if not rest.startswith(b"\x1f"):
                    return
                stream = zlib.decompressobj(31)
            began = True
            yield stream.decompress(rest, _PIECE)
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
    yield stream.flush()
    if began and not stream.eof:
        raise _cut()


def _inflate(raw: Iterator[bytes]) -> Iterator[bytes]:
    """zlib data, or the bare deflate data that some servers send under this name."""
    head = b""
    for piece in raw:
        head += piece
        if len(head) >= 2:
            break
    if not head:
        return
    wrapped = len(head) >= 2 and head[0] & 15 == 8 and int.from_bytes(head[:2], "big") % 31 == 0
    stream = zlib.decompressobj(15 if wrapped else -15)
    for piece in _after(head, raw):
        rest = piece
        while rest and not stream.eof:
            yield stream.decompress(rest, _PIECE)
            rest = stream.unconsumed_tail
    yield stream.flush()
    if not stream.eof:
        raise _cut()


def _after(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _unbrotli(raw: Iterator[bytes]) -> Iterator[bytes]:
    stream = brotli.Decompressor()
    began = False
    for piece in raw:
        began = began or bool(piece)
        more: bytes = stream.process(piece, output_buffer_limit=_PIECE)
        while more or not stream.can_accept_more_data():  # it may accept more and still hold output back
            yield more
            more = stream.process(b"", output_buffer_limit=_PIECE)
    if began and not stream.is_finished():
        raise _cut()


def _unzstd(raw: Iterator[bytes]) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    stream = reader.decompressobj()
    began = False
    for piece in raw:
        for start in range(0, len(piece), _SIP):
            rest = piece[start : start + _SIP]
            while rest:
                if stream.eof:
                    stream = reader.decompressobj()
                began = True
                yield stream.decompress(rest)
                rest = stream.unused_data if stream.eof else b""
    if began and not stream.eof:
        raise _cut()


def _cut() -> Retryable:
    return Retryable("cut-short", "The encoded body ends in the middle.")


_DECODERS: dict[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
