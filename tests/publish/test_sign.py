"""Signatures: the published vectors, the reference library as the other side, and everything that must be refused."""

from __future__ import annotations

import base64
import datetime as dt
import subprocess
from shutil import which

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from services.publish.sign import delivery_id, hub_signature, new_key_pair, new_secret, public_key, sign, verify
from shared.errors import Rejected

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = dt.datetime.fromtimestamp(1614265330, dt.UTC)
BODY = b'{"test": 2432232314}'
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

# The ed25519 counterpart in use among implementations of the specification, for the same id, time and body.
SEED_AND_PUBLIC = base64.b64decode(
    "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def key(raw: bytes) -> str:
    return "whsk_" + base64.b64encode(raw).decode()


def test_v1_vector() -> None:
    assert sign([SECRET], ID, AT, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": V1,
    }


@pytest.mark.parametrize("length", [32, 64])
def test_v1a_vector_with_either_spelling_of_the_key(length: int) -> None:
    private = key(SEED_AND_PUBLIC[:length])
    headers = sign([private], ID, AT, BODY)
    assert headers["webhook-signature"] == V1A
    assert verify([public_key(private)], headers, BODY, AT) == ID


def test_time_zone_of_the_caller_does_not_matter() -> None:
    elsewhere = AT.astimezone(dt.timezone(dt.timedelta(hours=3)))
    assert sign([SECRET], ID, elsewhere, BODY) == sign([SECRET], ID, AT, BODY)


def test_rotation_signs_with_every_secret_and_either_verifies() -> None:
    old, new = new_secret(b"o" * 24), new_secret(b"n" * 32)
    private, public = new_key_pair(b"s" * 32)
    headers = sign([new, old, private], ID, AT, BODY)
    assert [part.split(",")[0] for part in headers["webhook-signature"].split(" ")] == ["v1", "v1", "v1a"]
    for trusted in (old, new, public, private):
        assert verify([trusted], headers, BODY, AT) == ID


def test_reference_library_accepts_what_we_sign() -> None:
    now = dt.datetime.now(dt.UTC)
    body = '{"headline":"Паром — дороже\u00a0всех"}'.encode()
    assert Webhook(SECRET).verify(body, sign([new_secret(b"x" * 24), SECRET], ID, now, body)) is not None


@pytest.mark.parametrize("offset", [-301, 301])
def test_stale_and_early_timestamps_are_refused(offset: int) -> None:
    headers = sign([SECRET], ID, AT, BODY)
    with pytest.raises(Rejected, match="timestamp-out-of-tolerance"):
        verify([SECRET], headers, BODY, AT + dt.timedelta(seconds=offset))
    assert verify([SECRET], headers, BODY, AT + dt.timedelta(seconds=offset - offset // 301)) == ID


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"webhook-signature": ""}, "signature-missing"),
        ({"webhook-id": "msg_other"}, "signature-invalid"),
        ({"webhook-timestamp": "1614265331"}, "signature-invalid"),
        ({"webhook-timestamp": "soon"}, "timestamp-invalid"),
        ({"webhook-timestamp": "9" * 30}, "timestamp-invalid"),
        ({"webhook-signature": "v1,"}, "signature-invalid"),
        ({"webhook-signature": "v1a,%%% v2,abc Я"}, "signature-invalid"),
    ],
)
def test_forged_headers_are_refused(change: dict[str, str], reason: str) -> None:
    headers = {**sign([SECRET, key(SEED_AND_PUBLIC)], ID, AT, BODY), **change}
    for trusted in (SECRET, key(SEED_AND_PUBLIC)):
        with pytest.raises(Rejected, match=reason):
            verify([trusted], headers, BODY, AT)


def test_forged_body_and_foreign_keys_are_refused() -> None:
    headers = sign([SECRET], ID, AT, BODY)
    for keys, body in (([SECRET], BODY + b" "), ([new_secret(b"z" * 24)], BODY), ([new_key_pair(b"z" * 32)[1]], BODY)):
        with pytest.raises(Rejected, match="signature-invalid"):
            verify(keys, headers, body, AT)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_%%%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsk_AAAA", "whpk_AAAA"]
)
def test_bad_secrets_are_named(secret: str) -> None:
    with pytest.raises(Rejected, match="bad-secret"):
        sign([secret], ID, AT, BODY)


def test_what_cannot_be_signed() -> None:
    with pytest.raises(Rejected, match="bad-secret"):
        sign([], ID, AT, BODY)
    with pytest.raises(Rejected, match="bad-webhook-id"):
        sign([SECRET], "msg.1", AT, BODY)
    with pytest.raises(Rejected, match="body-not-utf8"):
        sign([SECRET], ID, AT, b"\xff")
    with pytest.raises(ValueError, match="24 to 64"):
        new_secret(b"short")


@given(body=st.text(), number=st.binary(min_size=24, max_size=64), when=st.integers(0, 4_000_000_000))
def test_signing_then_verifying_gives_the_id(body: str, number: bytes, when: int) -> None:
    raw = body.encode("utf-8", "replace")
    at = dt.datetime.fromtimestamp(when, dt.UTC)
    secret, private = new_secret(number), key(number[:24] + b"12345678")
    headers = sign([secret, private], "msg_1", at, raw)
    assert verify([secret], headers, raw, at) == verify([public_key(private)], headers, raw, at) == "msg_1"


def test_hub_signature() -> None:
    # RFC 4231, test case 2.
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert hub_signature("Jefe", b"what do ya want for nothing?") == "sha256=" + expected


def test_delivery_id_is_the_same_for_ever() -> None:
    # Written down once; a partner's memory of ids outlives any release of ours.
    assert delivery_id("ep_1", "art_1", 2, "updated", 0) == "msg_7d23dd27c241d542ed53c26e50532e53"


@given(
    st.tuples(st.text(), st.text(), st.integers(1), st.text(), st.integers(0)),
    st.tuples(st.text(), st.text(), st.integers(1), st.text(), st.integers(0)),
)
def test_delivery_ids_meet_only_for_equal_parts(
    one: tuple[str, str, int, str, int], other: tuple[str, str, int, str, int]
) -> None:
    assert (delivery_id(*one) == delivery_id(*other)) == (one == other)


def test_delivery_id_keeps_borders() -> None:
    assert delivery_id("a", "bc", 1, "k", 0) != delivery_id("ab", "c", 1, "k", 0)
    assert delivery_id("a", "b", 11, "k", 0) != delivery_id("a", "b", 1, "1k", 0)


@pytest.mark.skipif(which("node") is None, reason="node is not installed")
def test_node_computes_the_same_signature() -> None:
    script = """
      const crypto = require("node:crypto")
      const [secret, id, stamp, body] = process.argv.slice(1)
      const key = Buffer.from(secret.slice("whsec_".length), "base64")
      const mac = crypto.createHmac("sha256", key).update(`${id}.${stamp}.${body}`).digest("base64")
      process.stdout.write("v1," + mac)
    """
    headers = sign([SECRET], ID, AT, BODY)
    shown = subprocess.run(
        ["node", "-e", script, SECRET, ID, headers["webhook-timestamp"], BODY.decode()],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert shown.stdout == headers["webhook-signature"]
