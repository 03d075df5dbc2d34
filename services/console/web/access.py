"""Sign-in, the one-time link, one's own account; for administrators: accounts and API tokens."""

from __future__ import annotations

import datetime as dt
import logging
import math

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console import accounts
from services.console.actions import Done
from services.console.web import guard
from services.console.web.desk import Desk
from services.console.web.guard import COOKIE, Call, Refused
from shared.errors import OperatorError
from shared.store import desk as rows
from shared.store import installation

log = logging.getLogger("briefwire.desk")


def sign_in_form(call: Call) -> Response:
    """The form; straight on for whoever is signed in."""
    after = guard.local(call.query("next"))
    return call.go(after) if call.who else call.page("sign_in.html", after=after, error="")


def sign_in(call: Call) -> Response:
    """Name and password against a session. Who fails too often waits."""
    name, after = call.form.get("name", "").strip().lower()[:100], guard.local(call.form.get("next", ""))
    keys = [f"name:{name}", f"address:{call.request.client.host if call.request.client else ''}"]
    now = call.desk.now()
    wait_s = call.desk.limiter.wait_s(keys, now)
    if wait_s > 0:
        response = call.page(
            "sign_in.html", 429, after=after, error=f"Too many tries. Wait {math.ceil(wait_s / 60)} min."
        )
        response.headers["Retry-After"] = str(math.ceil(wait_s))
        return response
    password = call.form.get("password", "")
    with call.desk.store.read() as connection:  # hashing takes its time: nobody must wait for the store meanwhile
        account = accounts.check(connection, name, password)
    if account is None:
        call.desk.limiter.failed(keys, now)
        return call.page("sign_in.html", 401, after=after, error="This name and password do not fit.")
    call.desk.limiter.passed(keys[0])
    with call.desk.store.write() as connection:
        session = accounts.begin_session(connection, account, password, now)
    return _with_cookie(call, session, after)


def sign_out(call: Call) -> Response:
    """Ends the session."""
    with call.desk.store.write() as connection:
        accounts.sign_out(connection, call.request.cookies.get(COOKIE, ""))
    response = call.go("/sign-in")
    response.delete_cookie(COOKIE, path="/")
    return response


def welcome_form(call: Call) -> Response:
    """A one-time link, opened: choose a password."""
    key = call.query("key")
    with call.desk.store.read() as connection:
        account = accounts.invited(connection, key, call.desk.now())
    if account is None:
        raise Refused(404, "This link has been used or has expired. Ask an administrator for a new one.")
    return call.page("welcome.html", account=account, key=key, error="", shortest=accounts.SHORTEST)


def welcome(call: Call) -> Response:
    """Uses the link up and signs in."""
    key, password = call.form.get("key", ""), call.form.get("password", "")
    now = call.desk.now()
    with call.desk.store.read() as connection:
        account = accounts.invited(connection, key, now)
    if account is not None and password != call.form.get("again", ""):
        return call.page(
            "welcome.html", 400, account=account, key=key, error="The two are not the same.", shortest=accounts.SHORTEST
        )
    with call.desk.store.write() as connection:
        session = accounts.accept(connection, key, password, now)
        installation.audit(
            connection, session.identity.name, "accept-invitation", f"account {session.identity.name}", "", now
        )
    (call.desk.settings.folder / accounts.LINK_FILE).unlink(missing_ok=True)
    return _with_cookie(call, session, "/")


def account_page(call: Call) -> Response:
    """One's own account."""
    return call.page("account.html", shortest=accounts.SHORTEST)


def change_password(call: Call) -> Response:
    """A new password for oneself; every session ends, this one is opened anew."""
    who, now = call.identity, call.desk.now()
    if who.account_id is None:
        raise Refused(403, "A token has no password.")
    if call.form.get("password", "") != call.form.get("again", ""):
        raise OperatorError("The two new passwords are not the same.", "Go back and type them again.")
    with call.desk.store.read() as connection:
        if not accounts.password_fits(connection, who.account_id, call.form.get("present", "")):
            raise OperatorError("That is not your present password.", "Go back and type it again.")
    with call.desk.store.write() as connection:
        accounts.set_password(connection, who.account_id, call.form["password"])
        session = accounts.sign_in(connection, who.name, call.form["password"], now)
        installation.audit(connection, who.name, "change-password", f"account {who.name}", "", now)
    if session is None:
        raise Refused(403, "The account may not sign in any more.")
    return _with_cookie(call, session, "/account")


def access_page(call: Call) -> Response:
    """Accounts and tokens."""
    with call.desk.store.read() as connection:
        people, programs = rows.accounts(connection), rows.tokens(connection)
    return call.page("access.html", people=people, programs=programs, roles=accounts.ROLES, scopes=accounts.SCOPES)


def add_account(call: Call) -> Response:
    """A new account; its one-time link is shown once."""
    name, role = call.form.get("name", "").strip().lower(), call.form.get("role", "")
    now = call.desk.now()
    with call.desk.store.write() as connection:
        secret = accounts.add(connection, name, role, now)
        installation.audit(connection, call.identity.name, "add-account", f"account {name}", role, now)
    return call.go(
        "/access",
        Done(f"The account {name} is there. Give this link to its owner; it works once.", _link(call, secret)),
    )


def invite_account(call: Call) -> Response:
    """A new one-time link, for somebody who has lost the password."""
    now = call.desk.now()
    with call.desk.store.write() as connection:
        row = rows.account(connection, call.path("name"))
        if row is None:
            raise guard.not_found("such account")
        secret = accounts.invite(connection, row["id"], now)
        installation.audit(connection, call.identity.name, "invite-account", f"account {row['name']}", "", now)
    return call.go(
        "/access", Done(f"With this link {row['name']} chooses a new password; it works once.", _link(call, secret))
    )


def change_account(call: Call) -> Response:
    """Another role, or disabled, or enabled again."""
    name, role, state = call.path("name"), call.form.get("role", ""), call.form.get("state", "")
    now = call.desk.now()
    with call.desk.store.write() as connection:
        if role:
            accounts.set_role(connection, name, role)
        if state in ("active", "disabled"):
            accounts.set_state(connection, name, state)
        installation.audit(
            connection, call.identity.name, "change-account", f"account {name}", f"{role} {state}".strip(), now
        )
    return call.go("/access", Done(f"The account {name} is changed."))


def add_token(call: Call) -> Response:
    """A new API token, shown once."""
    name, days = call.form.get("name", "").strip().lower(), call.form.get("days", "").strip()
    scopes = [scope for scope in accounts.SCOPES if call.form.get(f"scope-{scope}")]
    now = call.desk.now()
    with call.desk.store.write() as connection:
        lasts = min(int(days), 3650) if days.isascii() and days.isdigit() else None
        secret = accounts.issue(connection, name, scopes, call.identity.name, now, lasts)
        installation.audit(connection, call.identity.name, "add-token", f"token {name}", " ".join(scopes), now)
    return call.go("/access", Done(f"The token {name} is there. It is shown this once.", secret))


def revoke_token(call: Call) -> Response:
    """The token is refused from now on."""
    now = call.desk.now()
    with call.desk.store.write() as connection:
        row = next((r for r in rows.tokens(connection) if r["id"] == int(call.path("token_id"))), None)
        if row is None:
            raise guard.not_found("such token")
        rows.set_token(connection, row["id"], revoked_at=now)
        installation.audit(connection, call.identity.name, "revoke-token", f"token {row['name']}", "", now)
    return call.go("/access", Done(f"The token {row['name']} is refused from now on."))


def _link(call: Call, secret: str) -> str:
    base = call.desk.settings.web.url or str(call.request.base_url)
    return f"{base.rstrip('/')}/welcome?key={secret}"


def _with_cookie(call: Call, session: accounts.Session, to: str) -> Response:
    response = call.go(to)
    response.set_cookie(COOKIE, session.cookie, max_age=int(accounts.SESSION / dt.timedelta(seconds=1)), path="/", httponly=True,
                        samesite="lax", secure=call.request.url.scheme == "https")  # fmt: skip
    return response


def routes(desk: Desk) -> list[BaseRoute]:
    return [
        guard.get(desk, "/sign-in", sign_in_form, None),
        guard.post(desk, "/sign-in", sign_in, None),
        guard.post(desk, "/sign-out", sign_out, "viewer"),
        guard.get(desk, "/welcome", welcome_form, None),
        guard.post(desk, "/welcome", welcome, None),
        guard.get(desk, "/account", account_page),
        guard.post(desk, "/account/password", change_password, "viewer"),
        guard.get(desk, "/access", access_page, "admin"),
        guard.post(desk, "/access/accounts", add_account, "admin"),
        guard.post(desk, "/access/accounts/{name}/invite", invite_account, "admin"),
        guard.post(desk, "/access/accounts/{name}", change_account, "admin"),
        guard.post(desk, "/access/tokens", add_token, "admin"),
        guard.post(desk, "/access/tokens/{token_id:int}/revoke", revoke_token, "admin"),
    ]
