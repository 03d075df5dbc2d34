"""Briefs pushed in over a real socket: keys and signatures, once however often sent, and what became of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook

from services.ingest import tasks, web
from shared import clock, queue, vault
from shared.api import Site
from shared.models import EntryRow
from shared.store import articles, desk, engine, intake, keys, ledger
from shared.store.engine import Store
from tests.serving import Client, Rung, serving, settings

KEY, SECRET = "key-of-the-harbour", "whsec_" + "QUFB" * 8
TEXT = """Harbour board doubles the fare

Category status: unchanged
May 4, 2026 10:00

The board of the harbour doubled the fare of the ferry on Monday, its minutes say.

- Single tickets: 22
- Season tickets: 180
"""
AUTH = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def rung() -> Rung:
    return Rung()


@pytest.fixture
def client(store: Store, tmp_path: Path, rung: Rung, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(engine, "_current", store)
    monkeypatch.setattr(queue.bell, "ring", Rung())  # there is no broker to ring
    with store.write() as c:
        source = intake.add_source(c, name="harbour", url="", kind="push", profile=None, now=clock.now())
        keys.add(c, "push", source, KEY, clock.now())
        keys.add(c, "sign", source, SECRET, clock.now(), sealed=vault.seal(tmp_path, [SECRET]))
        other = intake.add_source(c, name="other", url="", kind="push", profile=None, now=clock.now())
        keys.add(c, "push", other, "key-of-the-other", clock.now())
    with serving(web.routes(Site(settings(tmp_path), store, ring=rung))) as made:
        yield made


def push(client: Client, body: str | bytes = TEXT, kind: str = "text/plain", **headers: str) -> Any:
    data = body.encode() if isinstance(body, str) else body
    return client.post("/push/harbour", data=data, headers={"Content-Type": kind, **AUTH, **headers})


def test_a_text_becomes_a_record_and_its_status_says_so(client: Client, rung: Rung, store: Store) -> None:
    answer = push(client)
    assert answer.status_code == 202
    where = answer.headers["location"]
    assert client.get(where, headers=AUTH).json()["status"] == "waiting"
    ((wake, ids),) = rung.calls
    assert wake == "page.fetched"
    tasks.extract_pages(ids)
    told = client.get(where, headers=AUTH).json()
    assert told["status"] == "stored"
    with store.read() as c:
        found = articles.revision(c, told["article_id"])
    assert found is not None
    assert (found[0].headline, found[0].source, found[0].category_status.value) == (
        "Harbour board doubles the fare", "harbour", "unchanged",
    )  # fmt: skip
    assert "Single tickets: 22" in str(found[0].blocks)


def test_the_same_push_twice_is_one(client: Client, rung: Rung, store: Store) -> None:
    first, second = push(client), push(client)
    assert first.json() == second.json()
    named = push(client, **{"Idempotency-Key": "a"})
    assert named.json()["id"] != first.json()["id"]
    assert push(client, **{"Idempotency-Key": "a"}).json() == named.json()
    assert push(client, "Something else\n\nentirely.", **{"Idempotency-Key": "a"}).json()["error"] == "name-used"
    with store.read() as c:
        (line,) = [line for line in ledger.books(c).intake if line.source == "harbour"]
    assert (line.seen, line.waiting, line.balanced, len(rung.calls)) == (1, 1, True, 1)


def test_an_address_is_fetched_and_again_when_it_is_pushed_anew(client: Client, rung: Rung, store: Store) -> None:
    body = '{"url": "http://harbour.example/fares"}'
    first = push(client, body, "application/json", **{"Idempotency-Key": "one"})
    assert first.status_code == 202
    assert rung.calls == [("host.due", ["host:harbour.example"])]
    with store.write() as c:
        entry = intake.next_to_fetch(c, "harbour.example", clock.now(), 1)[0]
        intake.finish_entry(c, entry["id"], "stored")
    assert client.get(first.headers["location"], headers=AUTH).json()["status"] == "stored"
    again = push(client, body, "application/json", **{"Idempotency-Key": "two"})
    assert client.get(again.headers["location"], headers=AUTH).json()["status"] == "waiting"
    assert rung.calls[1:] == [("host.due", ["host:harbour.example"])]


PAGES: list[tuple[Any, str, str]] = [
    (
        "<h1>Fares</h1><p>" + "The fare of the ferry rises in May. " * 9,
        "text/html; charset=utf-8",
        "?url=http://h.example/a",
    ),
    ('{"html": "<h1>Fares</h1>", "url": "http://h.example/a", "id": "7"}', "application/json", ""),
    ('{"text": "Fares\\n\\nrise.", "url": "http://h.example/a"}', "application/json", ""),
    ("Тарифы\n\nрастут.".encode("cp1251"), "text/plain; charset=windows-1251", "?url=http://h.example/a"),
]


def test_a_page_keeps_its_address_and_its_bytes(client: Client, store: Store) -> None:
    for body, kind, query in PAGES:
        data = body.encode() if isinstance(body, str) else body
        answer = client.post(f"/push/harbour{query}", data=data, headers={"Content-Type": kind, **AUTH})
        assert answer.status_code == 202
        with store.read() as c:
            row = c.execute(select(EntryRow.page_id, EntryRow.url)).one()
            page = intake.pages(c, [row.page_id])[row.page_id]
        assert (row.url, page["final_url"]) == ("http://h.example/a", "http://h.example/a")
    assert page["body"].decode() == "Тарифы\n\nрастут."


def signed(body: bytes, name: str, at: dt.datetime | None = None, secret: str = SECRET) -> dict[str, str]:
    at = at or dt.datetime.now(dt.UTC)
    signature = Webhook(secret).sign(name, at, body.decode())
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
        "Content-Type": "text/plain",
    }


def test_a_signature_admits_and_its_id_is_the_name(client: Client) -> None:
    body = TEXT.encode()
    first = client.post("/push/harbour", data=body, headers=signed(body, "msg_1"))
    again = client.post("/push/harbour", data=body, headers=signed(body, "msg_1"))
    assert (first.status_code, first.json()) == (202, again.json())
    assert client.get(first.headers["location"], headers=signed(b"", "msg_2")).status_code == 200
    late = signed(body, "msg_3", dt.datetime.now(dt.UTC) - dt.timedelta(minutes=6))
    assert client.post("/push/harbour", data=body, headers=late).status_code == 401
    assert client.post("/push/harbour", data=body + b".", headers=signed(body, "msg_4")).status_code == 401
    assert client.post("/push/other", data=body, headers=signed(body, "msg_5")).status_code == 401
    assert client.post("/push/nobody", data=body, headers=signed(body, "msg_6")).status_code == 401


STRANGERS: list[tuple[str, dict[str, str], int]] = [
    ("/push/harbour", {}, 401),
    ("/push/harbour", {"Authorization": "Bearer wrong"}, 401),
    ("/push/harbour", {"Authorization": "Basic a2V5"}, 401),
    ("/push/harbour", {"Authorization": "Bearer key-of-the-other"}, 403),
    ("/push/nobody", AUTH, 403),
    ("/push/nobody", {}, 401),
]


def test_who_may_not(client: Client) -> None:
    for path, headers, status in STRANGERS:
        answer = client.post(path, data=TEXT.encode(), headers={"Content-Type": "text/plain", **headers})
        assert answer.status_code == status
        assert ("www-authenticate" in answer.headers) == (status == 401)
        assert client.get(path + "/push_1", headers=headers).status_code == status


WRONG = [
    (b"", "text/plain", 400, "empty"),
    (b" \n", "text/html", 400, "empty"),
    (b"{}", "application/json", 400, "bad-json"),
    (b"{", "application/json", 400, "bad-json"),
    (b"\xff\xfe", "application/json", 400, "bad-json"),
    (b'{"text": "a", "html": "b"}', "application/json", 400, "bad-json"),
    (b'{"text": 1}', "application/json", 400, "bad-json"),
    (b'{"text": "a", "sorce": "b"}', "application/json", 400, "bad-json"),
    (b'{"url": "ftp://h.example/"}', "application/json", 400, "bad-url"),
    (b'{"url": "fares"}', "application/json", 400, "bad-url"),
    (b'{"text": "a", "id": "\\u0000"}', "application/json", 400, "bad-id"),
    (b"\xc3\x28", "text/plain", 400, "bad-charset"),
    (b"a", "text/plain; charset=nonsense", 400, "bad-charset"),
    (b"a", "text/plain; charset=base64", 400, "bad-charset"),
    (b"%PDF", "application/pdf", 415, "unsupported-type"),
]


def test_what_is_wrong_is_said(client: Client, rung: Rung) -> None:
    for body, kind, status, error in WRONG:
        answer = push(client, body, kind)
        assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert rung.calls == []


def test_a_body_over_the_limit_is_refused_whether_announced_or_not(client: Client) -> None:
    big = b"x" * (11 * 1024 * 1024)
    assert push(client, big).status_code == 413
    in_pieces = (big[i : i + 65536] for i in range(0, len(big), 65536))
    assert (
        client.post("/push/harbour", data=in_pieces, headers={"Content-Type": "text/plain", **AUTH}).status_code == 413
    )


def test_a_paused_source_takes_nothing_and_a_revoked_key_opens_nothing(client: Client, store: Store) -> None:
    with store.write() as c:
        source = intake.source(c, "harbour")["id"]
        intake.set_source(c, source, state="paused")
    assert push(client).json()["error"] == "source-not-active"
    with store.write() as c:
        intake.set_source(c, source, state="active")
        assert keys.revoke(c, "push", source, clock.now()) == 1
    assert push(client).status_code == 401


def test_a_token_of_the_desk_with_the_scope_push(client: Client, store: Store) -> None:
    past = clock.now() - dt.timedelta(seconds=1)
    with store.write() as c:
        for name, scopes, until in (("bot", "push", None), ("reader", "read operate", None), ("old", "push", past)):
            desk.add_token(c, name=name, token_hash=keys.digest(f"bw_{name}"), scopes=scopes, created_by="ada",
                           created_at=clock.now(), until=until)  # fmt: skip
    for name, status in (("bot", 202), ("reader", 401), ("old", 401)):
        headers = {"Authorization": f"Bearer bw_{name}", "Content-Type": "text/plain"}
        assert client.post("/push/harbour", data=TEXT.encode(), headers=headers).status_code == status
    bot = {"Authorization": "Bearer bw_bot", "Content-Type": "text/plain"}
    assert client.post("/push/nobody", data=TEXT.encode(), headers=bot).status_code == 404
    assert client.get("/push/harbour/push_none", headers=bot).json()["error"] == "no-such-push"
