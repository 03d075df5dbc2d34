"""Secrets, an id, a time and a body in; the Standard Webhooks headers out, and the same checked again.

Two schemes, told apart by the prefix of the key: `whsec_` (v1, HMAC-SHA256, a secret both sides hold) and `whsk_` (v1a,
ed25519, a secret key only we hold; partners get its `whpk_` public key). Randomness and `now` are arguments.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks import Webhook

from shared.errors import Rejected

SECRET_BYTES = 24
"""The least the specification allows; `new_secret` takes up to 64."""

TOLERANCE = dt.timedelta(seconds=300)

_SECRET, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"


def new_secret(randomness: bytes) -> str:
    """A `whsec_` secret from 24 to 64 random bytes. Raises ValueError on any other length."""
    if not SECRET_BYTES <= len(randomness) <= 64:
        raise ValueError(f"a secret takes 24 to 64 random bytes, got {len(randomness)}")
    return _SECRET + base64.b64encode(randomness).decode("ascii")


def new_key_pair(randomness: bytes) -> tuple[str, str]:
    """A (`whsk_`, `whpk_`) pair from 32 random bytes. Raises ValueError on any other length."""
    public = Ed25519PrivateKey.from_private_bytes(randomness).public_key().public_bytes_raw()
    return _prefixed(_PRIVATE, randomness + public), _prefixed(_PUBLIC, public)


def public_key(private: str) -> str:
    """The `whpk_` key a partner verifies with. Raises Rejected("bad-secret") when `private` is no `whsk_` key."""
    return _prefixed(_PUBLIC, _private_key(private).public_key().public_bytes_raw())


def sign(secrets: Sequence[str], webhook_id: str, at: dt.datetime, body: bytes) -> dict[str, str]:
    """The three headers of one attempt.

    Args:
        secrets: `whsec_` or `whsk_` keys, newest first; each gives one signature, which is how rotation overlaps.
        webhook_id: the delivery's id (`delivery_id`); the same on every attempt.
        at: when the attempt is made, UTC-aware; cut to whole seconds.
        body: the bytes as sent, UTF-8.

    Raises Rejected: "bad-secret" (none given, or one that does not decode), "bad-webhook-id" (it may hold no full stop
    or space: the parts are joined by full stops), "body-not-utf8".
    """
    if not secrets:
        raise Rejected("bad-secret", "An endpoint needs at least one secret to sign with.")
    if not webhook_id or any(letter in webhook_id for letter in ". \t\r\n"):
        raise Rejected("bad-webhook-id", f"{webhook_id!r} cannot be signed.")
    signatures = [_signature(secret, webhook_id, at.astimezone(dt.UTC), body) for secret in secrets]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


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


def hub_signature(secret: str, body: bytes) -> str:
    """What a WebSub hub sends as `X-Hub-Signature` to a subscriber that gave it this secret."""
    return "sha256=" + hmac.new(secret.encode("utf-8"), body, hashlib.sha256).hexdigest()


def delivery_id(endpoint_id: str, article_id: str, revision: int, kind: str, occurrence: int) -> str:
    """The id of a delivery: `msg_` and 32 hexadecimal digits, the same for the same five values for ever.

    `occurrence` counts events of one kind for one revision (an article withdrawn, restored and withdrawn again).
    """
    parts = (endpoint_id, article_id, str(revision), kind, str(occurrence))
    # A length before each part: "a" + "bc" and "ab" + "c" must not meet.
    joined = "".join(f"{len(part)}:{part};" for part in parts)
    return "msg_" + hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _signature(secret: str, webhook_id: str, at: dt.datetime, body: bytes) -> str:
    if secret.startswith(_PRIVATE):
        signed = _private_key(secret).sign(_content(webhook_id, at, body))
        return "v1a," + base64.b64encode(signed).decode("ascii")
    return _hmac_signature(secret, webhook_id, at, body)


def _hmac_signature(secret: str, webhook_id: str, at: dt.datetime, body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("body-not-utf8", "Verifiers read the body as UTF-8, and this one is not.") from error
    signature: str = Webhook(_raw(secret, _SECRET)).sign(webhook_id, at, text)
    return signature


def _fits(key: str, given: list[str], webhook_id: str, at: dt.datetime, body: bytes) -> bool:
    if key.startswith((_PUBLIC, _PRIVATE)):
        public = _public_key(key)
        content = _content(webhook_id, at, body)
        return any(_ed25519_fits(public, one, content) for one in given if one.startswith("v1a,"))
    expected = _hmac_signature(key, webhook_id, at, body).encode("ascii")
    return any(hmac.compare_digest(expected, one.encode("utf-8", "replace")) for one in given)


def _ed25519_fits(public: Ed25519PublicKey, signature: str, content: bytes) -> bool:
    try:
        public.verify(base64.b64decode(signature.removeprefix("v1a,"), validate=True), content)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _content(webhook_id: str, at: dt.datetime, body: bytes) -> bytes:
    return f"{webhook_id}.{int(at.timestamp())}.".encode() + body


def _instant(stamp: str) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(int(stamp), dt.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Rejected("timestamp-invalid", f"{stamp[:40]!r} is not a Unix time in whole seconds.") from error


def _private_key(secret: str) -> Ed25519PrivateKey:
    # Both spellings are about: the 32-byte seed alone, and the seed followed by the public key.
    raw = _raw(secret, _PRIVATE)
    if len(raw) not in (32, 64):
        raise Rejected("bad-secret", f"A {_PRIVATE} key holds 32 or 64 bytes, this one {len(raw)}.")
    return Ed25519PrivateKey.from_private_bytes(raw[:32])


def _public_key(key: str) -> Ed25519PublicKey:
    if key.startswith(_PRIVATE):
        return _private_key(key).public_key()
    raw = _raw(key, _PUBLIC)
    if len(raw) != 32:
        raise Rejected("bad-secret", f"A {_PUBLIC} key holds 32 bytes, this one {len(raw)}.")
    return Ed25519PublicKey.from_public_bytes(raw)


def _raw(key: str, prefix: str) -> bytes:
    try:
        raw = base64.b64decode(key.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Rejected("bad-secret", f"A {prefix} key is base64 after its prefix.") from error
    if not key.startswith(prefix) or not raw:
        raise Rejected("bad-secret", f"A key here starts with {prefix} and is not empty.")
    return raw


def _prefixed(prefix: str, raw: bytes) -> str:
    return prefix + base64.b64encode(raw).decode("ascii")
