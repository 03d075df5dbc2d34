"""Names, passwords, cookies and tokens in; who it is and what they may do out. Nothing secret is kept but as a digest.

    invite(account)         a one-time link; with it a person chooses a password
    sign_in(name, password) a session: cookie value and CSRF token
    recognise(cookie)       the identity behind a session
    issue(name, scopes)     an API token, shown once
    recognise_token(bearer) the identity behind a token

Passwords are hashed by argon2id. Cookies, links and tokens are 256 random bits, so one SHA-256 of them is enough to keep.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import os
import re
import secrets
import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

import argon2
import msgspec
from sqlalchemy import Connection

from shared.errors import OperatorError
from shared.models import Row
from shared.store import desk

Role = Literal["viewer", "operator", "admin"]
Scope = Literal["read", "operate", "push"]

ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
SCOPES: tuple[Scope, ...] = ("read", "operate", "push")
LINK_FILE = "first-sign-in.txt"

SESSION = dt.timedelta(hours=12)
IDLE = dt.timedelta(hours=2)
INVITE = dt.timedelta(hours=48)
SHORTEST, LONGEST = 10, 200
TOUCH = dt.timedelta(minutes=1)  # how exactly we know when a session or a token was last used

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,59}")
_hasher = argon2.PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
_slots = threading.BoundedSemaphore(2)  # a check takes 32 MB: a flood of sign-ins must not take the machine's memory
_NOBODY = _hasher.hash(secrets.token_urlsafe(16))
"""Checked where there is no such account, so that the answer takes as long as for one that exists."""


class Identity(msgspec.Struct, frozen=True):
    """Somebody at the desk.

    `csrf` is None for a token: a browser does not send one by itself, so it cannot be tricked to. `stale`: the last note of
    its use is old enough to write a new one.
    """

    name: str
    role: Role | None
    scopes: tuple[str, ...] = ()
    csrf: str | None = None
    account_id: int | None = None
    stale: bool = False

    def may(self, role: Role) -> bool:
        """Whether this identity has the role or a higher one."""
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)


class Session(msgspec.Struct, frozen=True):
    """A new session: the value for its cookie, which is kept nowhere else."""

    cookie: str
    identity: Identity


class Limiter:
    """Counts failed sign-ins in the memory of this process: after `most` within `window_s` a key must wait.

    Keys are account names and addresses; at most `size` are remembered, the oldest are forgotten first.
    """

    def __init__(self, *, most: int = 8, window_s: float = 300.0, size: int = 10_000) -> None:
        self.most, self.window_s, self.size = most, window_s, size
        self._failed: dict[str, list[dt.datetime]] = {}

    def wait_s(self, keys: Iterable[str], now: dt.datetime) -> float:
        """Seconds until one of the keys may try again; 0 where all may."""
        return max((self._wait_s(key, now) for key in keys), default=0.0)

    def failed(self, keys: Iterable[str], now: dt.datetime) -> None:
        """Remembers a failed try."""
        for key in keys:
            recent = [*self._recent(key, now), now]
            self._failed.pop(key, None)
            self._failed[key] = recent
        while len(self._failed) > self.size:
            self._failed.pop(next(iter(self._failed)))

    def passed(self, key: str) -> None:
        """Forgets the failures of a name that has signed in."""
        self._failed.pop(key, None)

    def _recent(self, key: str, now: dt.datetime) -> list[dt.datetime]:
        return [at for at in self._failed.get(key, []) if (now - at).total_seconds() < self.window_s]

    def _wait_s(self, key: str, now: dt.datetime) -> float:
        recent = self._recent(key, now)
        return 0.0 if len(recent) < self.most else self.window_s - (now - recent[-self.most]).total_seconds()


def digest(secret: str) -> str:
    """What is kept of a cookie, a link or a token."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def sign_in(connection: Connection, name: str, password: str, now: dt.datetime) -> Session | None:
    """A session, or None where the name, the password or the account's state do not allow one."""
    account = check(connection, name, password)
    return None if account is None else begin_session(connection, account, password, now)


def check(connection: Connection, name: str, password: str) -> Row | None:
    """The account that may sign in with this password. Only reads, but takes its time: never inside a writing transaction."""
    account = desk.account(connection, name)
    known = account is not None and account["password"] is not None and account["state"] == "active"
    kept = account["password"] if account is not None and known else _NOBODY
    return account if _fits(kept, password) and known else None


def begin_session(connection: Connection, account: Row, password: str, now: dt.datetime) -> Session:
    """A session for an account that `check` let in; a hash of older parameters is made anew."""
    if _hasher.check_needs_rehash(account["password"]):
        desk.set_account(connection, account["id"], password=_hasher.hash(password))
    return _open(connection, account, now)


def recognise(connection: Connection, cookie: str | None, now: dt.datetime) -> Identity | None:
    """Who the cookie belongs to; None where it is unknown, too old, or the account may not sign in."""
    if not cookie or len(cookie) > LONGEST:
        return None
    row = desk.session(connection, digest(cookie))
    if row is None or row["until"] <= now or row["seen_at"] + IDLE <= now or row["state"] != "active":
        return None
    stale = now - row["seen_at"] > TOUCH
    return Identity(row["name"], row["role"], csrf=row["csrf"], account_id=row["account_id"], stale=stale)


def touch(connection: Connection, cookie: str, now: dt.datetime) -> None:
    """Notes that the session is in use."""
    desk.touch_session(connection, digest(cookie), now)


def sign_out(connection: Connection, cookie: str) -> None:
    """Ends one session."""
    desk.drop_sessions(connection, token_hash=digest(cookie))


def csrf_fits(identity: Identity, given: str) -> bool:
    """Whether a form carries the token of its session."""
    return identity.csrf is not None and hmac.compare_digest(identity.csrf.encode(), given.encode("utf-8", "replace"))


def add(connection: Connection, name: str, role: str, now: dt.datetime) -> str:
    """A new account; returns the secret of its one-time link. OperatorError: the name is taken or not one, no such role."""
    if not _NAME.fullmatch(name):
        raise OperatorError("A name has up to 60 letters a to z, digits, and . _ @ -.", "Choose another.")
    if role not in ROLES:
        raise OperatorError(f"There is no role {role}.", f"Choose one of {', '.join(ROLES)}.")
    if desk.account(connection, name) is not None:
        raise OperatorError(f"There is an account named {name} already.", "Choose another name.")
    return invite(connection, desk.add_account(connection, name, role, now), now)


def invite(connection: Connection, account_id: int, now: dt.datetime) -> str:
    """The secret of a new one-time link for the account; an older link ends."""
    secret = secrets.token_urlsafe(32)
    desk.set_account(connection, account_id, invite_hash=digest(secret), invite_until=now + INVITE)
    return secret


def invited(connection: Connection, secret: str, now: dt.datetime) -> Row | None:
    """The account that a one-time link belongs to, while it may be used."""
    row = desk.account_by_invite(connection, digest(secret)) if secret else None
    return row if row and row["state"] == "active" and row["invite_until"] > now else None


def accept(connection: Connection, secret: str, password: str, now: dt.datetime) -> Session:
    """Uses up a one-time link: sets the password, ends the account's other sessions, signs in.

    Raises:
        OperatorError: the link was used or has expired, the password is too short or too long.
    """
    account = invited(connection, secret, now)
    if account is None:
        raise OperatorError("This link has been used or has expired.", "Ask an administrator for a new one.")
    set_password(connection, account["id"], password)
    desk.set_account(connection, account["id"], invite_hash=None, invite_until=None)
    return _open(connection, account, now)


def set_password(connection: Connection, account_id: int, password: str) -> None:
    """A new password; every session of the account ends. OperatorError: too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise OperatorError(
            f"A password has {SHORTEST} to {LONGEST} characters.", "Choose a longer one, a sentence for instance."
        )
    desk.set_account(connection, account_id, password=_hasher.hash(password))
    desk.drop_sessions(connection, account_id=account_id)


def password_fits(connection: Connection, account_id: int, password: str) -> bool:
    """Whether this is the account's present password."""
    row = desk.account_by_id(connection, account_id)
    return row is not None and row["password"] is not None and _fits(row["password"], password)


def set_role(connection: Connection, name: str, role: str) -> None:
    """Another role. OperatorError: no such account or role, or nobody would be left to administer."""
    if role not in ROLES:
        raise OperatorError(f"There is no role {role}.", f"Choose one of {', '.join(ROLES)}.")
    row = _named(connection, name)
    _spare_last_admin(connection, row, leaves=role != "admin")
    desk.set_account(connection, row["id"], role=role)


def set_state(connection: Connection, name: str, state: str) -> None:
    """Disables or enables an account; disabling ends its sessions. OperatorError as in `set_role`."""
    row = _named(connection, name)
    _spare_last_admin(connection, row, leaves=state != "active")
    desk.set_account(connection, row["id"], state=state)
    if state != "active":
        desk.drop_sessions(connection, account_id=row["id"])


def first_link(connection: Connection, folder: Path, base_url: str, now: dt.datetime) -> str | None:
    """While nobody can sign in yet: a link that makes its bearer the administrator, also kept in `LINK_FILE`.

    Returns None where somebody has a password already. Called again, it gives the same link as long as that is good.
    """
    file = folder / LINK_FILE
    if desk.has_password(connection):
        file.unlink(missing_ok=True)
        return None
    secret = _kept_secret(file)
    if invited(connection, secret, now) is None:
        row = desk.account(connection, "admin")
        secret = invite(connection, row["id"], now) if row else add(connection, "admin", "admin", now)
    link = f"{base_url}/welcome?key={secret}"
    _write_private(file, link + "\n")
    return link


def issue(connection: Connection, name: str, scopes: Collection[str], by: str, now: dt.datetime,
          days: int | None = None) -> str:  # fmt: skip
    """A new API token, which is shown once. OperatorError: the name is taken or not one, no such scope, none at all."""
    if not _NAME.fullmatch(name):
        raise OperatorError("A token's name has up to 60 letters a to z, digits, and . _ @ -.", "Choose another.")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise OperatorError("A token needs a scope.", f"Choose among {', '.join(SCOPES)}.")
    if any(row["name"] == name for row in desk.tokens(connection)):
        raise OperatorError(f"There is a token named {name} already.", "Choose another name.")
    secret = f"bw_{secrets.token_urlsafe(32)}"
    until = now + dt.timedelta(days=days) if days else None
    desk.add_token(connection, name=name, token_hash=digest(secret), scopes=" ".join(s for s in SCOPES if s in scopes),
                   created_by=by, created_at=now, until=until)  # fmt: skip
    return secret


def recognise_token(connection: Connection, bearer: str | None, now: dt.datetime) -> Identity | None:
    """Who a bearer token belongs to: scope read sees what a viewer sees, operate does what an operator does."""
    if not bearer or len(bearer) > LONGEST:
        return None
    row = desk.token(connection, digest(bearer))
    if row is None or row["revoked_at"] is not None or (row["until"] is not None and row["until"] <= now):
        return None
    scopes = tuple(row["scopes"].split())
    role: Role | None = "operator" if "operate" in scopes else "viewer" if "read" in scopes else None
    stale = row["used_at"] is None or now - row["used_at"] > TOUCH
    return Identity(f"token:{row['name']}", role, scopes, stale=stale)


def touch_token(connection: Connection, bearer: str, now: dt.datetime) -> None:
    """Notes that the token is in use."""
    row = desk.token(connection, digest(bearer))
    if row is not None:
        desk.set_token(connection, row["id"], used_at=now)


def _open(connection: Connection, account: Row, now: dt.datetime) -> Session:
    cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
    desk.drop_sessions(connection, before=now - SESSION)
    desk.add_session(connection, token_hash=digest(cookie), account_id=account["id"], csrf=csrf, created_at=now,
                     seen_at=now, until=now + SESSION)  # fmt: skip
    desk.set_account(connection, account["id"], seen_at=now)
    return Session(cookie, Identity(account["name"], account["role"], csrf=csrf, account_id=account["id"]))


def _fits(kept: str, password: str) -> bool:
    with _slots, contextlib.suppress(argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return _hasher.verify(kept, password[: LONGEST + 1])
    return False


def _named(connection: Connection, name: str) -> Row:
    row = desk.account(connection, name)
    if row is None:
        raise OperatorError(f"There is no account named {name}.", "The page Access lists them.")
    return row


def _spare_last_admin(connection: Connection, row: Row, *, leaves: bool) -> None:
    others = [a for a in desk.accounts(connection) if a["id"] != row["id"]]
    if leaves and row["role"] == "admin" and not any(a["role"] == "admin" and a["state"] == "active" for a in others):
        raise OperatorError("This is the last administrator.", "Make somebody else one first.")


def _kept_secret(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip().partition("key=")[2]
    except (OSError, UnicodeDecodeError):
        return ""


def _write_private(file: Path, text: str) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(text)
