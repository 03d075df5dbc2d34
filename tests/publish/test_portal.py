"""The partner's page and API over a real socket: what each shows and does, who may not, and no word of others in its markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.fernet import Fernet

from services.publish import web
from services.publish.portal import own
from services.publish.portal.pages import LASTS
from services.publish.sign import new_key_pair, new_secret
from shared import queue, vault
from shared.api import Site
from shared.http import Door, Policy
from shared.store import installation, keys, lanes, partners
from shared.store.engine import Store
from tests.publish.stocked import Stock
from tests.serving import Client, Rung, serving, settings
from tests.websubbing import Loopback

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
AUTH = {"Authorization": "Bearer pull-key"}


@pytest.fixture
def stock(store: Store) -> Stock:
    return Stock(store)


@pytest.fixture
def rung() -> Rung:
    return Rung()


@pytest.fixture
def partner() -> Iterator[Loopback]:
    made = Loopback(lambda seen: (200, {}, EVIL.encode()))
    yield made
    made.close()


@pytest.fixture
def client(
    store: Store, tmp_path: Path, stock: Stock, rung: Rung, partner: Loopback, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    """A webhook endpoint of a partner with a hostile name, its pull key, and the wire's web face."""
    door = Door(Policy(allow_hosts=frozenset({"127.0.0.1"})))
    monkeypatch.setenv("BRIEFWIRE_SECRET_KEY", Fernet.generate_key().decode())
    monkeypatch.setattr(queue, "door", lambda: door)
    stock.endpoint("webhook", name=f"p {EVIL}"[:100], url=f"{partner.url}/in", secrets=vault.seal(tmp_path, [new_secret(b"p" * 24)]),
                   filter=f'not headline = "{EVIL.replace(chr(34), "")}"')  # fmt: skip
    with serving(web.routes(Site(settings(tmp_path), store, now=lambda: stock.now, ring=rung))) as made:
        yield made
    door.close()


class Browser:
    """A browser as far as it matters: cookies, forms with the token that the page holds, redirects followed."""

    def __init__(self, url: str, key: str = "pull-key") -> None:
        self.url, self.session = url, requests.Session()
        self.session.trust_env = False
        self.first = self.session.post(f"{url}/portal/sign-in", data={"key": key}, timeout=30)

    def get(self, path: str) -> requests.Response:
        return self.session.get(self.url + path, timeout=30)

    def token(self) -> str:
        return str(re.findall(r'name="csrf" value="([^"]+)"', self.get("/portal").text)[0])

    def post(self, path: str, **form: str) -> requests.Response:
        return self.session.post(self.url + path, data={"csrf": self.token(), **form}, timeout=30)


@pytest.fixture
def browser(client: Client) -> Browser:
    return Browser(client.url)


def ask(client: Client, method: str, path: str, **options: Any) -> Any:
    return client.send(method, path, headers=AUTH, **options)


def tried(stock: Stock, endpoint: int, **values: Any) -> list[str]:
    """Three articles, each tried once."""
    ids = stock.publish(1, 2, 3)
    with stock.store.write() as c:
        rows = partners.sendable(c, endpoint, stock.now, 10)
        partners.begin_attempts(c, [row["id"] for row in rows])
        partners.record(
            c, endpoint, [partners.Tried(row, "retry", stock.now, 5, due_at=stock.now, **values) for row in rows]
        )
    return ids


def audited(store: Store) -> list[str]:
    with store.read() as c:
        return [row["action"] for row in installation.audits(c, 50) if row["who"].startswith("partner ")]


class _Markup(HTMLParser):
    """Tags and attributes that no page of ours has."""

    def __init__(self) -> None:
        super().__init__()
        self.found = set[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag} & {"script", "img", "b", "svg", "iframe", "style", "object", "embed", "base"}
        self.found |= {name for name, value in attrs if name.startswith("on") or name in ("style", "srcdoc")}
        self.found |= {
            value for name, value in attrs if name in ("href", "action") and value and not value.startswith(("/", "#"))
        }


def markup(page: str) -> set[str]:
    """What of a page's markup is not ours."""
    reader = _Markup()
    reader.feed(page)
    return reader.found


# The API


def test_the_api_shows_how_delivery_stands_and_every_attempt(client: Client, stock: Stock, store: Store) -> None:
    ids = tried(stock, 1, status=500, reason="http-500", response=EVIL)
    found = ask(client, "GET", "/endpoint").json()
    assert (found["state"], found["position"], found["due"], found["signed_by"], found["per_minute"]) == (
        "active",
        3,
        3,
        "v1",
        None,
    )
    assert found["cannot_hold"] == []
    page = ask(client, "GET", "/endpoint/log?limit=2").json()
    rest = ask(client, "GET", f"/endpoint/log?before={page['before']}").json()
    assert [one["article_id"] for one in page["attempts"] + rest["attempts"]] == ids[::-1]
    assert (rest["before"], page["attempts"][0]["status"], page["attempts"][0]["response"]) == (None, 500, EVIL)
    assert len(ask(client, "GET", f"/endpoint/log?article_id={ids[0]}").json()["attempts"]) == 1
    assert ask(client, "GET", "/endpoint/log?outcome=delivered").json()["attempts"] == []
    for query in ("limit=0", "before=x", "outcome=fine", "article_id=%00"):
        assert ask(client, "GET", f"/endpoint/log?{query}").status_code == 400


def test_the_api_pauses_resumes_and_replays(client: Client, stock: Stock, store: Store, rung: Rung) -> None:
    tried(stock, 1, status=500)
    assert ask(client, "POST", "/endpoint/pause").status_code == 200
    assert ask(client, "POST", "/endpoint/pause").json()["error"] == "not-active"
    with store.read() as c:
        assert lanes.due_lanes(c, "endpoint", stock.now, 5) == []
    assert ask(client, "GET", "/events").status_code == 200  # who pauses itself may fetch
    assert ask(client, "POST", "/endpoint/resume").status_code == 200
    assert rung.calls[-1] == ("endpoint.due", ["endpoint:1"])
    assert ask(client, "POST", "/endpoint/resume").json()["error"] == "not-paused"
    with store.write() as c:
        partners.set_endpoint(c, 1, state="paused", reason=None)
    assert ask(client, "POST", "/endpoint/resume").json()["error"] == "paused-by-operator"
    with store.write() as c:
        partners.set_endpoint(c, 1, state="disabled", reason="http-410")
    assert ask(client, "POST", "/endpoint/resume").status_code == 200
    with store.write() as c:
        rows = partners.sendable(c, 1, stock.now, 10)
        partners.begin_attempts(c, [row["id"] for row in rows])
        partners.record(c, 1, [partners.Tried(row, "delivered", stock.now, 5, status=204) for row in rows])
    assert (
        ask(client, "POST", "/endpoint/replay", json={"first": 2, "last": 3}).json()["done"].startswith("2 deliveries")
    )
    bodies: tuple[Any, ...] = (
        {"first": 0, "last": 2},
        {"first": "1", "last": 2},
        {"first": 1},
        [],
        {"first": 1.5, "last": 2},
    )
    for body in bodies:
        assert ask(client, "POST", "/endpoint/replay", json=body).status_code == 400
    assert ask(client, "POST", "/endpoint/replay", json={"first": 3, "last": 2}).json()["error"] == "bad-range"
    assert ask(client, "POST", "/endpoint/replay", data="first=1").status_code == 415
    assert ask(client, "POST", "/endpoint/replay", json={"first": 1, "last": 2**53}).status_code == 400
    assert {"portal.pause", "portal.resume", "portal.replay"} <= set(audited(store))


def test_a_partner_narrows_and_never_widens(client: Client, stock: Stock, store: Store) -> None:
    (wish,) = ask(client, "GET", "/endpoint/filters").json()["subscriptions"]
    assert wish["own"] == ""
    answer = ask(client, "POST", f"/endpoint/filters/{wish['id']}", json={"filter": 'headline = "Fare 2 rises"'})
    assert answer.status_code == 200
    stock.publish(1, 2)
    assert ask(client, "GET", "/endpoint").json()["due"] == 1
    assert (
        ask(
            client,
            "POST",
            f"/endpoint/filters/{wish['id']}",
            json={"filter": 'headline = "x" or words > 0) or (words > 0'},
        ).status_code
        == 400
    )
    wrong = ask(client, "POST", f"/endpoint/filters/{wish['id']}", json={"filter": "section ~ 3"}).json()
    assert (wrong["error"], "column 9" in wrong["detail"]) == ("bad-filter", True)
    for body, status in (
        ({"filter": "words > 1" + " " * 4000}, 400),
        ({"filter": "\0"}, 400),
        ({}, 400),
        ({"filter": 3}, 400),
    ):
        assert ask(client, "POST", f"/endpoint/filters/{wish['id']}", json=body).status_code == status
    other = stock.endpoint("webhook", name="other", key="other", url="http://o.example/")
    with store.read() as c:
        theirs = partners.endpoint(c, other)["subscriptions"][0]["id"]  # type: ignore[index]  # it is there
    for number in (theirs, 999, "x", 10**20):
        assert ask(client, "POST", f"/endpoint/filters/{number}", json={"filter": ""}).status_code == 404
    assert ask(client, "POST", f"/endpoint/filters/{wish['id']}", json={"filter": ""}).status_code == 200


def test_keys_are_made_shown_once_and_revoked(client: Client, stock: Stock, store: Store) -> None:
    made = ask(client, "POST", "/endpoint/keys").json()
    listed = ask(client, "GET", "/endpoint/keys").json()["keys"]
    assert [(one["id"], one["this"]) for one in listed] == [(1, True), (made["id"], False)]
    assert made["key"] not in str(listed)
    assert client.get("/events", headers={"Authorization": f"Bearer {made['key']}"}).status_code == 200
    assert ask(client, "POST", f"/endpoint/keys/{made['id']}/revoke").status_code == 200
    assert client.get("/events", headers={"Authorization": f"Bearer {made['key']}"}).status_code == 401
    other = stock.endpoint("webhook", name="other", key="other", url="http://o.example/")
    with store.read() as c:
        theirs = keys.of(c, "pull", other)[0]["id"]
    for number in (theirs, made["id"], 999, "x"):
        assert ask(client, "POST", f"/endpoint/keys/{number}/revoke").status_code == 404
    for _ in range(own.MOST_KEYS - 1):
        assert ask(client, "POST", "/endpoint/keys").status_code == 200
    assert ask(client, "POST", "/endpoint/keys").json()["error"] == "too-many-keys"


def test_a_new_secret_is_of_the_same_kind_and_the_one_before_signs_along(
    client: Client, store: Store, tmp_path: Path
) -> None:
    shown = ask(client, "POST", "/endpoint/secret").json()["verify_with"]
    with store.read() as c:
        kept = vault.unseal(tmp_path, partners.endpoint(c, 1)["secrets"])  # type: ignore[index]  # it is there
    assert kept == (shown, new_secret(b"p" * 24))
    private, public = new_key_pair(b"q" * 32)
    with store.write() as c:
        partners.set_endpoint(c, 1, secrets=vault.seal(tmp_path, [private]))
    assert ask(client, "GET", "/endpoint").json()["verify_with"] == public
    shown = ask(client, "POST", "/endpoint/secret").json()["verify_with"]
    assert shown.startswith("whpk_")
    assert shown == ask(client, "GET", "/endpoint").json()["verify_with"] != public


def test_a_test_event_says_what_the_endpoint_answered(client: Client, partner: Loopback, stock: Stock) -> None:
    found = ask(client, "POST", "/endpoint/test").json()
    assert (found["ok"], found["status"], found["answer"]) == (True, 200, EVIL)
    (seen,) = partner.seen
    assert seen.headers["webhook-id"].startswith("msg_test_")
    stock.endpoint("pull", name="fetcher", key="fetcher")
    for path, body in (("test", None), ("replay", {"first": 1, "last": 1}), ("secret", None)):
        answer = client.post(f"/endpoint/{path}", headers={"Authorization": "Bearer fetcher"}, json=body)
        assert answer.json()["error"] in ("fetches-by-itself", "not-signed")


def test_without_its_key_nobody_sees_or_does_anything(client: Client, stock: Stock, store: Store) -> None:
    described = client.get("/openapi.json").json()["paths"]
    mine = [(path, method) for path, methods in described.items() for method in methods if path.startswith("/endpoint")]
    assert len(mine) == 12
    for path, method in mine:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            url = path.replace("{subscription}", "1").replace("{key}", "1")
            assert (
                client.send(
                    method.upper(), url, headers=headers, json={"filter": "", "first": 1, "last": 1}
                ).status_code
                == 401
            )
    assert audited(store) == []


def test_each_subscription_shows_what_it_takes_and_where_its_feed_is(
    client: Client, browser: Browser, stock: Stock, store: Store
) -> None:
    with store.write() as c:
        (wish,) = partners.endpoint(c, 1)["subscriptions"]  # type: ignore[index]  # it is there
        partners.set_subscription(c, wish["id"], filter="", status_changes=True)
    stock.publish(1)
    told = ask(client, "GET", "/endpoint").json()
    (shown,) = told["subscriptions"]
    assert shown["status_changes"] is True
    assert "turns of a section’s status" in browser.get("/portal/filters").text
    for address in (shown["feed"], told["feed"]):
        assert address in browser.get("/portal/filters").text
        feed = requests.get(address.format(key="pull-key", ending="json"), timeout=20)
        assert [item["title"] for item in feed.json()["items"]] == ["Fare 1 rises"]


# The pages


def test_every_page_opens_escapes_and_is_strict(client: Client, browser: Browser, stock: Stock) -> None:
    tried(stock, 1, status=500, reason=EVIL[:60], response=EVIL)
    ask(client, "POST", "/endpoint/filters/1", json={"filter": 'not tags = "<b onclick=alert(3)>"'})
    assert browser.first.url.endswith("/portal")
    for path in (
        "/portal",
        "/portal/log",
        f"/portal/log?article_id={EVIL}&outcome={EVIL}",
        "/portal/filters",
        "/portal/keys",
    ):
        page = browser.get(path)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert markup(page.text) == set()
        assert "p &#34;&gt;&lt;script&gt;" in page.text
    assert markup(EVIL) == {"script", "img", "onerror"}
    assert "alert(1)" in browser.get("/portal/log").text  # it is shown, as text


def test_the_page_does_what_the_api_does(
    client: Client, browser: Browser, stock: Stock, store: Store, rung: Rung
) -> None:
    assert "Nothing is sent to you until you resume" in browser.post("/portal/pause").text
    assert "paused by the partner" in browser.get("/portal").text
    assert "What waited is sent now" in browser.post("/portal/resume").text
    assert "You answered 200" in browser.post("/portal/test").text
    stock.publish(1)
    assert "0 deliveries go to you again" in browser.post("/portal/replay", first="1", last="1").text
    assert "at least 1" in browser.post("/portal/replay", first="x", last="").text
    wrong = browser.post("/portal/filters", subscription="1", filter="section ~ <i>")
    assert (wrong.status_code, "column 9" in wrong.text, "section ~ &lt;i&gt;" in wrong.text) == (400, True, True)
    assert "Your filter counts" in browser.post("/portal/filters", subscription="1", filter="words > 3").text
    made = browser.post("/portal/keys").text
    key = re.findall(r"<output>([^<]+)</output>", made)[0]
    assert key not in browser.get("/portal/keys").text
    assert Browser(client.url, key).first.url.endswith("/portal")
    assert "whsec_" in browser.post("/portal/secret").text
    assert "Key 2 opens nothing" in browser.post("/portal/keys/revoke", key="2").text
    assert {
        "portal.pause",
        "portal.resume",
        "portal.narrow",
        "portal.key.pull",
        "portal.key.revoke",
        "portal.rotate-secret",
    } <= set(audited(store))


def test_forms_without_their_token_or_from_elsewhere_change_nothing(
    client: Client, browser: Browser, store: Store
) -> None:
    token = browser.token()
    for path in ("pause", "resume", "test", "replay", "filters", "keys", "keys/revoke", "secret", "sign-out"):
        url = f"{client.url}/portal/{path}"
        for form, headers in (
            ({}, {}), ({"csrf": "wrong"}, {}), ({"csrf": "ü"}, {}), ({"csrf": token}, {"Origin": "https://evil.example"}),
            ({"csrf": token}, {"Sec-Fetch-Site": "cross-site"}), ({"csrf": token, "x": "y" * 70_000}, {}),
        ):  # fmt: skip
            answer = browser.session.post(url, data=form, headers=headers, timeout=30, allow_redirects=False)
            assert answer.status_code == 403, (path, form, headers)
            assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert audited(store) == []
    foreign = requests.post(
        f"{client.url}/portal/sign-in", data={"key": "pull-key"}, headers={"Origin": "https://evil.example"}, timeout=30
    )
    assert foreign.status_code == 403


def test_who_is_not_signed_in_is_led_to_the_door(client: Client, stock: Stock, store: Store) -> None:
    for key in ("", "wrong", "x" * 10_000, "\0", EVIL):
        wrong = requests.post(f"{client.url}/portal/sign-in", data={"key": key}, timeout=30)
        assert (wrong.status_code, EVIL in wrong.text) == (401, False)
    for path in ("", "/log", "/filters", "/keys"):
        answer = requests.get(
            f"{client.url}/portal{path}", timeout=30, allow_redirects=False, cookies={"briefwire_partner": "forged"}
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/portal/sign-in")
    for path in ("pause", "keys", "secret"):
        answer = requests.post(f"{client.url}/portal/{path}", data={"csrf": ""}, timeout=30, allow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/portal/sign-in")
    assert audited(store) == []


def test_a_session_ends_with_its_key_its_time_and_its_wish(client: Client, stock: Stock, store: Store) -> None:
    def signed_in(one: Browser) -> bool:
        return one.get("/portal").url.endswith("/portal")

    leaving, revoked, lasting = Browser(client.url), Browser(client.url), Browser(client.url)
    cookie = next(one for one in leaving.session.cookies if one.name == "briefwire_partner")
    assert (cookie.path, cookie.has_nonstandard_attr("HttpOnly")) == ("/portal", True)
    leaving.post("/portal/sign-out")
    leaving.session.cookies.set_cookie(cookie)
    assert [signed_in(one) for one in (leaving, revoked, lasting)] == [False, True, True]
    key = Browser(client.url)
    number = key.post("/portal/keys").text
    second = Browser(client.url, re.findall(r"<output>([^<]+)</output>", number)[0])
    assert second.post("/portal/keys/revoke", key="2").url.endswith("/sign-in")
    assert [signed_in(one) for one in (second, lasting)] == [False, True]
    with store.write() as c:
        keys.revoke(c, "pull", 1, stock.now)
    assert [signed_in(one) for one in (revoked, lasting)] == [False, False]


def test_a_session_lasts_half_a_day(client: Client, stock: Stock, browser: Browser) -> None:
    stock.now += LASTS * 0.9
    assert browser.get("/portal").url.endswith("/portal")
    stock.now += LASTS * 0.2
    assert browser.get("/portal").url.endswith("/sign-in")
