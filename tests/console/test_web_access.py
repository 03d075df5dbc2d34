"""Who may do what at the desk: sign-in, roles, CSRF, tokens, one-time links, and every route that changes something."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from sqlalchemy import select
from starlette.routing import Route

from services.console import accounts, web
from services.console.actions import ACTIONS
from services.console.web import guard
from shared import clock
from shared.errors import OperatorError
from shared.models import AccountRow, AuditRow, SessionRow, TokenRow
from shared.store import desk as rows
from shared.store.engine import Store
from tests.console.desk_world import PASSWORD, Site, Visitor, World

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
OPEN = {"/sign-in", "/welcome"}  # changed by whoever has the password or the link; both are tested below


LEAST = {"/access": "admin", "/sources": "operator", "/do": "operator"}
"""The least role of routes by how their path begins; what is not named here is for everybody who is signed in."""


def changing(site: Site, world: World) -> list[tuple[str, str]]:
    """(path, least role) of every route that changes something, with real targets; each action of the table is one."""
    targets = world.targets()
    found = [(f"/do/{a.name}/{targets[a.kind]}", a.role) for a in ACTIONS.values()]
    walked = [route for route in web.routes(site.desk) if isinstance(route, Route) and "POST" in (route.methods or ())]
    assert {"/do/{action}/{target:path}", "/sign-out", "/access/tokens", "/sources/{source_id:int}/test"} <= {
        route.path for route in walked
    }
    for route in walked:
        if route.path not in OPEN and not route.path.startswith("/do/"):
            path = with_targets(route.path, world)
            found.append((path, next((role for start, role in LEAST.items() if path.startswith(start)), "viewer")))
    assert {route.path for route in walked} - OPEN - {"/do/{action}/{target:path}"} != set()
    return found


def with_targets(path: str, world: World) -> str:
    """A route's path with something real in the place of each parameter."""
    real = {"{name}": "viewer", "{token_id:int}": "1", "{source_id:int}": str(world.source), "{action}": "pause-source",
            "{target:path}": str(world.source)}  # fmt: skip
    for parameter, value in real.items():
        path = path.replace(parameter, value)
    assert "{" not in path, "a new parameter: say what stands for it"
    return path


def snapshot(store: Store) -> list[tuple[object, ...]]:
    """Everything that a change would leave a trace in."""
    with store.read() as c:
        audit = [tuple(row) for row in c.execute(select(AuditRow.id, AuditRow.action))]
        people = [
            tuple(row)
            for row in c.execute(select(AccountRow.name, AccountRow.role, AccountRow.state, AccountRow.password))
        ]
        return [*audit, *people, *(tuple(row) for row in c.execute(select(TokenRow.name, TokenRow.revoked_at)))]


def test_every_change_is_refused_without_session_role_or_token(site: Site, world: World, store: Store) -> None:
    stranger, viewer, operator, admin = (
        site.visitor(),
        site.visitor("viewer"),
        site.visitor("operator"),
        site.visitor("admin"),
    )
    before = snapshot(store)
    routes = changing(site, world)
    assert len(routes) > len(ACTIONS) + 6
    for path, role in routes:
        assert stranger.post(path, data={"reason": "r"}).status_code == 401, path
        assert admin.post(path, data={"reason": "r"}).status_code == 403, path
        assert admin.post(path, data={"reason": "r", "csrf": operator.csrf}).status_code == 403, path
        foreign = {"Origin": "https://elsewhere.example"}
        assert admin.post(path, data={"csrf": admin.csrf}, headers=foreign).status_code == 403, path
        assert (
            admin.post(path, data={"csrf": admin.csrf}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        ), path
        if role != "viewer":
            assert viewer.post(path, data={"csrf": viewer.csrf, "reason": "r"}).status_code == 403, path
        if role == "admin":
            assert operator.post(path, data={"csrf": operator.csrf, "reason": "r"}).status_code == 403, path
    assert snapshot(store) == before


def test_a_form_of_our_own_page_is_taken(site: Site, world: World) -> None:
    """As a browser sends it. Under the policy no-referrer it would say "Origin: null", which is what strangers send too."""
    operator = site.visitor("operator")
    form = {"csrf": operator.csrf, "reason": "r"}
    own = {"Origin": site.url, "Sec-Fetch-Site": "same-origin"}
    assert operator.post(f"/do/pause-source/{world.source}", data=form, headers=own).status_code == 303
    assert operator.post(f"/do/pause-source/{world.source}", data=form, headers={"Origin": "null"}).status_code == 403
    assert operator.get("/sources").headers["referrer-policy"] == "same-origin"


def test_no_route_changes_anything_by_get(site: Site, world: World, store: Store) -> None:
    admin = site.visitor("admin")
    before = snapshot(store)
    for route in web.routes(site.desk):
        if isinstance(route, Route) and "POST" in (route.methods or ()):
            path = with_targets(route.path, world)
            assert admin.get(path).status_code in (200, 404, 405), path
    assert snapshot(store) == before


def test_pages_ask_strangers_to_sign_in_and_come_back(site: Site) -> None:
    stranger = site.visitor()
    answer = stranger.get("/sources?x=1")
    assert answer.url.endswith("/sign-in?next=/sources%3Fx%3D1")
    assert stranger.get("/metrics", headers={"Authorization": "Bearer nothing"}).status_code == 401
    site.account("operator", "operator")
    back = stranger.post("/sign-in", data={"name": "operator", "password": PASSWORD, "next": "/sources?x=1"})
    assert (back.status_code, back.headers["location"]) == (303, "/sources?x=1")
    cookie = back.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert stranger.get("/sign-in?next=//evil.example").url == f"{site.url}/"


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:x", "", "/a\nb", "/\t/e.example"]
)
def test_nobody_is_sent_elsewhere(path: str) -> None:
    assert guard.local(path) == "/"
    assert guard.local("/sources?x=1#a") == "/sources?x=1#a"


def test_wrong_passwords_are_refused_and_slowed_down(site: Site) -> None:
    site.account("operator", "operator")
    stranger = site.visitor()
    for _ in range(site.desk.limiter.most):
        assert stranger.sign_in("operator", "wrong password here").status_code == 401
    blocked = stranger.sign_in("operator")
    assert blocked.status_code == 429
    assert int(blocked.headers["retry-after"]) > 0
    assert stranger.get("/").url.endswith("/sign-in?next=/")


def test_the_limiter_forgets_after_its_window_and_stays_small() -> None:
    limiter = accounts.Limiter(most=3, window_s=60, size=50)
    for second in range(3):
        limiter.failed(["name:a", "address:x"], NOW + dt.timedelta(seconds=second))
    assert limiter.wait_s(["name:b", "address:x"], NOW + dt.timedelta(seconds=3)) == 57
    assert limiter.wait_s(["name:a"], NOW + dt.timedelta(seconds=61)) == 0
    assert limiter.wait_s(["name:b"], NOW) == 0
    limiter.passed("name:a")
    assert limiter.wait_s(["name:a"], NOW + dt.timedelta(seconds=3)) == 0
    for number in range(200):
        limiter.failed([f"name:{number}"], NOW)
    assert len(limiter._failed) == 50


def test_sessions_end(store: Store) -> None:
    with store.write() as c:
        session = accounts.accept(c, accounts.add(c, "ilze", "operator", NOW), PASSWORD, NOW)
        assert accounts.recognise(c, session.cookie, NOW) == session.identity
        assert accounts.recognise(c, session.cookie + "x", NOW) is None
        assert accounts.recognise(c, session.cookie, NOW + accounts.IDLE) is None
        accounts.touch(c, session.cookie, NOW + dt.timedelta(hours=1))
        assert accounts.recognise(c, session.cookie, NOW + accounts.IDLE) is not None
        accounts.touch(c, session.cookie, NOW + accounts.SESSION)
        assert accounts.recognise(c, session.cookie, NOW + accounts.SESSION) is None
        again = accounts.sign_in(c, "ilze", PASSWORD, NOW)
        assert again is not None
        accounts.sign_out(c, again.cookie)
        assert accounts.recognise(c, again.cookie, NOW) is None


def test_a_disabled_account_is_out_at_once(store: Store) -> None:
    with store.write() as c:
        session = accounts.accept(c, accounts.add(c, "ilze", "operator", NOW), PASSWORD, NOW)
        accounts.set_state(c, "ilze", "disabled")
        assert accounts.recognise(c, session.cookie, NOW) is None
        assert accounts.sign_in(c, "ilze", PASSWORD, NOW) is None
        accounts.set_state(c, "ilze", "active")
        assert accounts.sign_in(c, "ilze", PASSWORD, NOW) is not None


def test_nothing_secret_is_kept(store: Store) -> None:
    with store.write() as c:
        link = accounts.add(c, "ilze", "operator", NOW)
        session = accounts.accept(c, link, PASSWORD, NOW)
        token = accounts.issue(c, "prometheus", ["read"], "ilze", NOW)
        kept = repr(
            [
                tuple(row)
                for table in (AccountRow, SessionRow, TokenRow)
                for row in c.execute(select(*table.__table__.columns))
            ]
        )
    assert "argon2id" in kept
    for secret in (link, session.cookie, token, PASSWORD):
        assert secret not in kept


def test_a_link_works_once_and_not_for_ever(store: Store) -> None:
    with store.write() as c:
        link = accounts.add(c, "ilze", "viewer", NOW)
        assert accounts.invited(c, link, NOW + accounts.INVITE) is None
        with pytest.raises(OperatorError, match="10 to 200"):
            accounts.accept(c, link, "short", NOW)
        accounts.accept(c, link, PASSWORD, NOW)
        with pytest.raises(OperatorError, match="used or has expired"):
            accounts.accept(c, link, PASSWORD, NOW)


def test_the_last_administrator_stays(store: Store) -> None:
    with store.write() as c:
        accounts.accept(c, accounts.add(c, "ilze", "admin", NOW), PASSWORD, NOW)
        for leave in (
            lambda: accounts.set_role(c, "ilze", "viewer"),
            lambda: accounts.set_state(c, "ilze", "disabled"),
        ):
            with pytest.raises(OperatorError, match="last administrator"):
                leave()
        accounts.accept(c, accounts.add(c, "jonas", "admin", NOW), PASSWORD, NOW)
        accounts.set_role(c, "ilze", "viewer")
        assert rows.account(c, "ilze")["role"] == "viewer"  # type: ignore[index]  # it is there


@pytest.mark.parametrize("name", ["", "Ilze", "a b", "<b>", "x" * 61, "../x"])
def test_odd_names_are_refused(store: Store, name: str) -> None:
    with store.write() as c:
        with pytest.raises(OperatorError):
            accounts.add(c, name, "viewer", NOW)
        with pytest.raises(OperatorError):
            accounts.issue(c, name, ["read"], "x", NOW)


def test_the_first_link_makes_an_administrator(site: Site, tmp_path: Path, store: Store) -> None:
    with store.write() as c:
        link = accounts.first_link(c, tmp_path, site.url, clock.now())
        assert accounts.first_link(c, tmp_path, site.url, clock.now()) == link
    assert link is not None
    file = tmp_path / accounts.LINK_FILE
    assert file.read_text().strip() == link
    assert file.stat().st_mode & 0o077 == 0
    visitor = site.visitor()
    assert "Welcome" in visitor.get(link).text
    key = link.partition("key=")[2]
    different = visitor.post("/welcome", data={"key": key, "password": PASSWORD, "again": PASSWORD + "x"})
    assert different.status_code == 400
    done = visitor.post("/welcome", data={"key": key, "password": PASSWORD, "again": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert visitor.get("/access").status_code == 200
    assert not file.exists()
    assert visitor.get(link).status_code == 404
    with store.write() as c:
        assert accounts.first_link(c, tmp_path, site.url, clock.now()) is None


def test_administrators_make_accounts_and_tokens(site: Site, store: Store) -> None:
    admin = site.visitor("admin")
    assert (
        admin.post("/access/accounts", data={"csrf": admin.csrf, "name": "jonas", "role": "operator"}).status_code
        == 303
    )
    link = admin.get("/access").text.split("<output>")[1].split("</output>")[0]
    assert "<output>" not in admin.get("/access").text  # shown once
    newcomer = site.visitor()
    newcomer.post("/welcome", data={"key": link.partition("key=")[2], "password": PASSWORD, "again": PASSWORD})
    assert newcomer.get("/quarantine").status_code == 200
    assert admin.post("/access/accounts/jonas", data={"csrf": admin.csrf, "role": "viewer"}).status_code == 303
    assert newcomer.get("/do/pause-source/1").status_code == 403
    assert admin.post("/access/accounts/jonas", data={"csrf": admin.csrf, "state": "disabled"}).status_code == 303
    assert newcomer.get("/").url.endswith("/sign-in?next=/")
    assert admin.post("/access/accounts/nobody/invite", data={"csrf": admin.csrf}).status_code == 404
    with store.read() as c:
        assert [line["action"] for line in rows.audits(c, who="admin")] == [
            "change-account",
            "change-account",
            "add-account",
        ]


def test_a_password_is_changed_with_the_old_one(site: Site) -> None:
    viewer, elsewhere = site.visitor("viewer"), site.visitor("viewer")
    new = {"password": "another long sentence", "again": "another long sentence"}
    assert viewer.post("/account/password", data={"csrf": viewer.csrf, "present": "wrong"} | new).status_code == 400
    assert viewer.post("/account/password", data={"csrf": viewer.csrf, "present": PASSWORD} | new).status_code == 303
    assert viewer.get("/sources").url.endswith("/sources")
    assert elsewhere.get("/sources").url.endswith("/sign-in?next=/sources")
    assert elsewhere.sign_in("viewer").status_code == 401
    assert elsewhere.sign_in("viewer", new["password"]).status_code == 303


def bearer(site: Site, name: str, *scopes: str) -> Visitor:
    """A program with a token of these scopes."""
    with site.desk.store.write() as c:
        token = accounts.issue(c, name, scopes, "admin", clock.now())
    program = site.visitor()
    program.headers["Authorization"] = f"Bearer {token}"
    return program


def test_tokens_do_what_their_scopes_say(site: Site, world: World, store: Store) -> None:
    reader, doer, pusher = (
        bearer(site, "reader", "read"),
        bearer(site, "doer", "operate"),
        bearer(site, "pusher", "push"),
    )
    assert reader.get("/metrics").status_code == 200
    assert reader.get("/api/numbers").json()["seen"] == 2
    assert pusher.get("/metrics").status_code == 403
    pause = f"/do/pause-source/{world.source}"
    assert reader.post(pause).status_code == 403
    assert pusher.post(pause).json()["error"] == "This needs the role operator."
    assert doer.post(pause, data={"reason": "from a script"}).json()["done"].endswith("is paused.")
    assert doer.post(f"/do/rotate-secret/{world.partner}", data={"reason": "r"}).status_code == 403
    assert doer.post("/access/tokens", data={"name": "more", "scope-read": "1"}).status_code == 403
    with store.read() as c:
        assert rows.audits(c, who="token:doer")[0]["reason"] == "from a script"


def test_revoked_and_outlived_tokens_are_refused(site: Site, store: Store) -> None:
    admin, reader = site.visitor("admin"), bearer(site, "reader", "read")
    with store.read() as c:
        token_id = rows.tokens(c)[0]["id"]
    assert admin.post(f"/access/tokens/{token_id}/revoke", data={"csrf": admin.csrf}).status_code == 303
    assert reader.get("/metrics").status_code == 401
    with store.write() as c:
        token = accounts.issue(c, "short", ["read"], "admin", NOW, days=1)
        assert accounts.recognise_token(c, token, NOW + dt.timedelta(hours=23)) is not None
        assert accounts.recognise_token(c, token, NOW + dt.timedelta(days=1)) is None


def test_an_oversized_form_is_refused(site: Site, world: World) -> None:
    operator = site.visitor("operator")
    form = {"csrf": operator.csrf, "reason": "x" * (guard.FORM_LIMIT + 1)}
    assert operator.post(f"/do/pause-source/{world.source}", data=form).status_code == 403
    many = "&".join(["csrf=" + operator.csrf, *(f"a{n}=1" for n in range(100))])
    assert operator.post(f"/do/pause-source/{world.source}", data=many).status_code == 403
