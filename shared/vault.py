"""Partners' secrets at rest: encrypted with a key that is not in the store (Fernet: AES-128-CBC and HMAC-SHA256).

The key is the file `secret.key` in the data folder, made with the first secret, readable by its owner only; or
BRIEFWIRE_SECRET_KEY (or the file that BRIEFWIRE_SECRET_KEY_FILE names), where several machines share one store.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from shared import settings
from shared.errors import OperatorError


def seal(folder: Path, secrets: Sequence[str]) -> str:
    """The secrets as one encrypted text."""
    return _key(folder).encrypt(json.dumps(list(secrets)).encode()).decode("ascii")


def unseal(folder: Path, sealed: str) -> tuple[str, ...]:
    """The secrets again. Raises OperatorError where the key does not fit."""
    try:
        return tuple(json.loads(_key(folder).decrypt(sealed.encode("ascii"))))
    except InvalidToken:
        raise OperatorError("The partners' secrets cannot be decrypted with this key.",
                            f"Restore the {folder / 'secret.key'} that belongs to this store.", code=4) from None  # fmt: skip


def _key(folder: Path) -> Fernet:
    named = settings.secret(os.environ, "BRIEFWIRE_SECRET_KEY")
    if named:
        return _fernet(named)
    path = folder / "secret.key"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return Fernet(path.read_bytes())
    with os.fdopen(handle, "wb") as file:
        key = Fernet.generate_key()
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return Fernet(key)


def _fernet(key: str) -> Fernet:
    try:
        return Fernet(key.encode("utf-8"))
    except ValueError:
        raise OperatorError("BRIEFWIRE_SECRET_KEY is not a key.", "Give 32 random bytes in URL-safe Base64, 44 characters; "
                            "docs/deployment.md shows how to make one.") from None  # fmt: skip
