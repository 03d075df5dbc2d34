"""Keys, headers and a body in; the id of a signed request out, or Rejected: Standard Webhooks as both sides of the wire need it.

`whsec_` keys are v1 (HMAC-SHA256), `whpk_` and `whsk_` keys v1a (ed25519). Signing stands in `services.publish.sign`.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hmac
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks import Webhook

from shared.errors import Rejected

TOLERANCE = dt.timedelta(seconds=300)

SECRET, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"


def verify(keys: Sequence[str], headers: Mapping[str, str], body: bytes, now: dt.datetime) -> str:
    """The webhook id, when one signature fits one key and the time is within 300 s of `now`.

    Args:
        keys: `whsec_`, `whpk_` or `whsk_` keys that are trusted.
        headers: names in any case.

    Raises Rejected: "signature-missing" (a header is absent), "timestamp-invalid", "timestamp-out-of-tolerance",
    "signature-invalid".
    """
    lower = {name.lower(): value for name, value in headers.items()}
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    webhook_id, stamp, signatures = (lower.get(name, "") for name in names)
    if not (webhook_id and stamp and signatures):
        raise Rejected("signature-missing", "A signed request carries " + ", ".join(names) + ".")
    at = _instant(stamp)
    if abs(now - at) > TOLERANCE:
        raise Rejected("timestamp-out-of-tolerance", f"{stamp} is more than 300 s from our clock.")
    given = signatures.split(" ")
    if not any(_fits(key, given, webhook_id, at, body) for key in keys):
        raise Rejected("signature-invalid", "No signature fits a trusted key.")
    return webhook_id


def hmac_signature(secret: str, webhook_id: str, at: dt.datetime, body: bytes) -> str:
    """The v1 signature of one attempt. Rejected: "body-not-utf8", "bad-secret"."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("body-not-utf8", "Verifiers read the body as UTF-8, and this one is not.") from error
    signature: str = Webhook(raw_key(secret, SECRET)).sign(webhook_id, at, text)
    return signature


def signed_content(webhook_id: str, at: dt.datetime, body: bytes) -> bytes:
    """The bytes that a v1a signature covers."""
    return f"{webhook_id}.{int(at.timestamp())}.".encode() + body


def private_key(secret: str) -> Ed25519PrivateKey:
    """The ed25519 key in a `whsk_` text. Rejected("bad-secret") when it is none."""
    # Both spellings are about: the 32-byte seed alone, and the seed followed by the public key.
    raw = raw_key(secret, PRIVATE)
    if len(raw) not in (32, 64):
        raise Rejected("bad-secret", f"A {PRIVATE} key holds 32 or 64 bytes, this one {len(raw)}.")
    return Ed25519PrivateKey.from_private_bytes(raw[:32])


def raw_key(key: str, prefix: str) -> bytes:
    """The bytes of a key after its prefix. Rejected("bad-secret") when it does not decode."""
    try:
        raw = base64.b64decode(key.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Rejected("bad-secret", f"A {prefix} key is base64 after its prefix.") from error
    if not key.startswith(prefix) or not raw:
        raise Rejected("bad-secret", f"A key here starts with {prefix} and is not empty.")
    return raw


def _fits(key: str, given: list[str], webhook_id: str, at: dt.datetime, body: bytes) -> bool:
    if key.startswith((PUBLIC, PRIVATE)):
        public = _public_key(key)
        content = signed_content(webhook_id, at, body)
        return any(_ed25519_fits(public, one, content) for one in given if one.startswith("v1a,"))
    expected = hmac_signature(key, webhook_id, at, body).encode("ascii")
    return any(hmac.compare_digest(expected, one.encode("utf-8", "replace")) for one in given)


def _ed25519_fits(public: Ed25519PublicKey, signature: str, content: bytes) -> bool:
    try:
        public.verify(base64.b64decode(signature.removeprefix("v1a,"), validate=True), content)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _instant(stamp: str) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(int(stamp), dt.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Rejected("timestamp-invalid", f"{stamp[:40]!r} is not a Unix time in whole seconds.") from error


def _public_key(key: str) -> Ed25519PublicKey:
    if key.startswith(PRIVATE):
        return private_key(key).public_key()
    raw = raw_key(key, PUBLIC)
    if len(raw) != 32:
        raise Rejected("bad-secret", f"A {PUBLIC} key holds 32 bytes, this one {len(raw)}.")
    return Ed25519PublicKey.from_public_bytes(raw)
