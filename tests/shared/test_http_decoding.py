"""Content-Encoding: every encoding in use, in every cut into pieces; output that never comes in more than small pieces."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shared.decoding import decoded
from shared.errors import Rejected, Retryable


def _bare(data: bytes) -> bytes:
    pack = zlib.compressobj(wbits=-15)
    return pack.compress(data) + pack.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    " gzip , identity": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": _bare,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "identity": bytes,
    "": bytes,
}
SAMPLES = [b"", b"x", "Новости ".encode() * 1000, bytes(range(256)) * 300, bytes(1 << 20)]


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_decoding_undoes_encoding_however_it_is_cut(name: str, size: int) -> None:
    for sample in SAMPLES:
        if size > 7 or len(sample) < 10_000:
            assert b"".join(decoded(_pieces(ENCODERS[name](sample), size), name)) == sample


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_several_members_are_one_body(name: str) -> None:
    both = ENCODERS[name](b"one ") + ENCODERS[name](b"two")
    for size in (1, 5, 1000):
        assert b"".join(decoded(_pieces(both, size), name)) == b"one two"


def test_what_follows_gzip_data_is_passed_over() -> None:
    assert b"".join(decoded(_pieces(gzip.compress(b"page") + b"\0\0\0", 5), "gzip")) == b"page"


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_comes_in_small_pieces(name: str) -> None:
    packed = ENCODERS[name](bytes(50 << 20))
    largest = max(len(piece) for piece in decoded(_pieces(packed, 65536), name))
    assert largest <= 2 << 20


@pytest.mark.parametrize("name", ["gzip", "deflate", "Deflate", "br", "zstd"])
def test_no_end_is_told_from_the_end(name: str) -> None:
    packed = ENCODERS[name](bytes(range(256)) * 40)
    for missing in (1, len(packed) // 2):
        with pytest.raises(Retryable, match="cut-short"):
            list(decoded(iter([packed[:-missing]]), name))


@pytest.mark.parametrize("name", ["gzip", "br", "zstd", "deflate"])
def test_other_data_is_broken(name: str) -> None:
    with pytest.raises(Retryable, match="encoding-broken"):
        list(decoded(iter([b"<!doctype html><p>plain text</p>" * 9]), name))


def test_a_zstd_window_beyond_the_limit_is_refused() -> None:
    settings = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    packed = packer.compress(bytes(1 << 20)) + packer.flush()
    with pytest.raises(Retryable, match="encoding-broken"):
        list(decoded(iter([packed]), "zstd"))


@pytest.mark.parametrize("name", ["lzma", "compress", "gzip, gzip", "gzip,br", "aes128gcm", "gzip;q=1"])
def test_other_encodings_are_refused(name: str) -> None:
    with pytest.raises(Rejected, match="encoding-refused"):
        decoded(iter([b""]), name)


def _ending(name: str, pieces: list[bytes]) -> str:
    try:
        return f"{sum(map(len, decoded(iter(pieces), name)))} bytes"
    except Retryable as error:
        return error.reason


@given(st.sampled_from(["gzip", "deflate", "br", "zstd"]), st.lists(st.binary(max_size=40), max_size=6))
def test_any_data_ends_in_a_fate(name: str, pieces: list[bytes]) -> None:
    assert _ending(name, pieces).endswith(("bytes", "cut-short", "encoding-broken"))
