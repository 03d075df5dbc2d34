"""An independent subscriber, Flask-WebSub, at our hub: it finds the hub by itself, subscribes, receives, leaves. Skips without it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import feedparser
import pytest
from cryptography.fernet import Fernet

from services.publish import lane, tasks, web
from shared import clock, queue
from shared.api import Site
from shared.http import Door, Policy
from shared.store import engine, partners, websub
from shared.store.engine import Store
from tests.publish.stocked import Stock
from tests.serving import Client, Rung, serving, settings

flask = pytest.importorskip("flask")
subscribing = pytest.importorskip("flask_websub.subscriber")
serving_wsgi = pytest.importorskip("werkzeug.serving")


@pytest.fixture
def stock(store: Store) -> Stock:
    made = Stock(store)
    made.endpoint()
    return made


@pytest.fixture
def client(store: Store, tmp_path: Path, stock: Stock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    door = Door(Policy(allow_hosts=frozenset({"127.0.0.1"})))
    monkeypatch.setenv("BRIEFWIRE_SECRET_KEY", Fernet.generate_key().decode())
    monkeypatch.setattr(engine, "_current", store)
    monkeypatch.setattr(queue, "door", lambda: door)
    monkeypatch.setattr(queue.bell, "ring", Rung())  # there is no broker to ring
    with serving(web.routes(Site(settings(tmp_path), store, ring=Rung()))) as made:
        yield made
    door.close()


def work(store: Store) -> None:
    with store.read() as c:
        due = websub.due_subscribers(c, clock.now(), 10)
    tasks.settle_hub(due)
    with store.read() as c:
        endpoints = [row["id"] for row in partners.endpoints(c) if row["kind"] == "websub"]
    for endpoint_id in endpoints:
        lane.drain(f"endpoint:{endpoint_id}")


def test_flask_websub_subscribes_receives_and_leaves(
    client: Client, store: Store, stock: Stock, tmp_path: Path
) -> None:
    app = flask.Flask("subscriber")
    subscriber = subscribing.Subscriber(
        subscribing.SQLite3SubscriberStorage(str(tmp_path / "kept.sqlite3")),
        subscribing.SQLite3TempSubscriberStorage(str(tmp_path / "asked.sqlite3")),
    )
    app.register_blueprint(subscriber.build_blueprint(url_prefix="/callbacks"))
    received, modes = list[bytes](), list[str]()
    subscriber.add_listener(lambda topic, callback, body: received.append(body))
    subscriber.add_success_handler(lambda topic, callback, mode: modes.append(mode))
    server: Any = serving_wsgi.make_server("127.0.0.1", 0, app, threaded=True)
    app.config["SERVER_NAME"] = f"127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with app.app_context():
            found = subscribing.discover(f"{client.url}/feeds/pull-key.atom")
            assert (found["topic_url"], found["hub_url"]) == (f"{client.url}/feeds/pull-key.atom", f"{client.url}/hub")
            name = subscriber.subscribe(**found)
        work(store)
        stock.publish(1, 2)
        work(store)
        with app.app_context():
            subscriber.unsubscribe(name)
        work(store)
        stock.publish(3)
        work(store)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    assert modes == ["subscribe", "unsubscribe"]
    assert sorted(feedparser.parse(body).entries[0].title for body in received) == ["Fare 1 rises", "Fare 2 rises"]
