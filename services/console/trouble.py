"""Exceptions from the store, the broker, the network and the disk in; one sentence with the next step and an exit code out."""

from __future__ import annotations

import errno

import redis
from sqlalchemy.exc import DBAPIError

from shared.errors import OperatorError, Rejected, Retryable

EXPECTED = (DBAPIError, redis.RedisError, OSError, Retryable, Rejected)
"""What may come up in any command and is nobody's mistake in the code."""

_FREE_SPACE = "Free some space, then run the command again; nothing that was stored is lost."

_ALLOW = "Here that is --allow-host HOST:PORT; for the workers, allow_hosts under [fetch] in briefwire.toml."
_ADVICE = {
    "bad-url": "Give the whole address, such as https://news.example/rss.xml.",
    "scheme-refused": "Only http and https addresses can be fetched.",
    "address-refused": _ALLOW,
    "port-refused": _ALLOW,
    "too-large": "Raise max_mb under [fetch] in briefwire.toml if it has to be that large.",
    "bad-secret": "A secret is whsec_ followed by Base64; leave --secret out and one is made.",
}  # fmt: skip
_FETCH_ADVICE = "Check the address in a browser, then try again."
_LATER_ADVICE = "Check the address and your network, then try again."


def told(error: BaseException) -> OperatorError | None:
    """The error as an operator should hear it; None where it is not one of the expected ones: then it is a bug."""
    match error:
        case Retryable():
            return OperatorError(_sentence(error), _LATER_ADVICE, code=3)
        case Rejected():
            code = 2 if error.reason in _ADVICE or error.reason.startswith("bad-") else 1
            return OperatorError(_sentence(error), _ADVICE.get(error.reason, _FETCH_ADVICE), code=code)
        case DBAPIError():
            return _store(error)
        case redis.RedisError():
            return OperatorError(f"The broker does not answer: {_flat(error)}.", "Is `briefwire up` running?", code=3)
        case BrokenPipeError():
            return None
        case OSError():
            return _system(error)
    return None


def _store(error: DBAPIError) -> OperatorError | None:
    text = _flat(error.orig or error)
    low = text.lower()
    if "disk is full" in low or "no space left" in low:
        return OperatorError("The disk that holds the data folder is full.", _FREE_SPACE, code=4)
    if "readonly" in low or "unable to open" in low or "permission" in low:
        return OperatorError(
            f"The store cannot be written: {text}.", "Check the data folder's owner, or use --data.", code=4
        )
    if "locked" in low:
        return OperatorError("The store is locked by another process.", "Try again in a moment.", code=4)
    if "disk i/o error" in low:  # what SQLite says when its index of the log cannot grow
        return OperatorError("The store cannot be read or written; most often the disk is full.", _FREE_SPACE, code=4)
    if "not a database" in low or "malformed" in low:
        return OperatorError(f"The store in the data folder is damaged: {text}.", "Restore it from a backup.", code=4)
    if error.connection_invalidated or "connect" in low or "could not translate" in low or "resolve" in low:
        return OperatorError(
            f"The store is not reachable: {text}.", "Check the URL under [store] and that it runs.", code=3
        )
    return None


def _system(error: OSError) -> OperatorError | None:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OperatorError(f"The disk is full{where}.", _FREE_SPACE, code=4)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OperatorError(
            f"No permission{where}: {error.strerror}.", "Check the owner, or choose another place.", code=4
        )
    return None


def _sentence(error: Retryable | Rejected) -> str:
    text = error.detail or error.reason
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _flat(error: object) -> str:
    return " ".join(str(error).split()).rstrip(".")
