"""Secrets, an id, a time and a body in; the Standard Webhooks headers out, and the same checked again.

Two schemes, told apart by the prefix of the key: `whsec_` (v1, HMAC-SHA256, a secret both sides hold) and `whsk_` (v1a,
ed25519, a secret key only we hold; partners get its `whpk_` public key). Randomness and `now` are arguments.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.errors import Rejected
from shared.signatures import PRIVATE, PUBLIC, SECRET, TOLERANCE, hmac_signature, private_key, signed_content, verify

__all__ = [
    "TOLERANCE",
    "delivery_id",
    "fresh",
    "hub_signature",
    "new_key_pair",
    "new_secret",
    "public_key",
    "sign",
    "verify",
]

SECRET_BYTES = 24
"""The least the specification allows; `new_secret` takes up to 64."""


def new_secret(randomness: bytes) -> str:
    """A `whsec_` secret from 24 to 64 random bytes. Raises ValueError on any other length."""
    if not SECRET_BYTES <= len(randomness) <= 64:
        raise ValueError(f"a secret takes 24 to 64 random bytes, got {len(randomness)}")
    return SECRET + base64.b64encode(randomness).decode("ascii")


def new_key_pair(randomness: bytes) -> tuple[str, str]:
    """A (`whsk_`, `whpk_`) pair from 32 random bytes. Raises ValueError on any other length."""
    public = Ed25519PrivateKey.from_private_bytes(randomness).public_key().public_bytes_raw()
    return _prefixed(PRIVATE, randomness + public), _prefixed(PUBLIC, public)


def fresh(like: str, randomness: bytes) -> tuple[str, str]:
    """A new secret of the kind of `like` (a key, or "v1", "v1a") from 32 random bytes, and what the partner verifies with."""
    if like.startswith((PRIVATE, "v1a")):
        return new_key_pair(randomness)
    made = new_secret(randomness)
    return made, made


def public_key(private: str) -> str:
    """The `whpk_` key a partner verifies with. Raises Rejected("bad-secret") when `private` is no `whsk_` key."""
    return _prefixed(PUBLIC, private_key(private).public_key().public_bytes_raw())


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
    if secret.startswith(PRIVATE):
        signed = private_key(secret).sign(signed_content(webhook_id, at, body))
        return "v1a," + base64.b64encode(signed).decode("ascii")
    return hmac_signature(secret, webhook_id, at, body)


def _prefixed(prefix: str, raw: bytes) -> str:
    return prefix + base64.b64encode(raw).decode("ascii")
