"""The whole wire spoken to over HTTP only: a brief pushed in comes out of a feed, the replay and the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import feedparser
import pytest
import requests

from shared import clock
from shared.store import intake, keys
from tests.websubbing import Loopback, confirming
from tests.wire.harness import host_of, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TEXT = "Harbour board doubles the fare\n\nMay 4, 2026 10:00\n\nThe board of the harbour doubled the fare of the ferry on Monday.\n"


def session(key: str) -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    made.headers["Authorization"] = f"Bearer {key}"
    return made


def test_a_pushed_brief_comes_out_of_feed_replay_and_hub(tmp_path: Path) -> None:
    subscriber = Loopback(confirming)
    with (
        running(tmp_path / "data", [host_of(subscriber.url)]) as wire,
        session("push-key") as site,
        session("pull-key") as partner,
    ):
        endpoint = wire.add_partner("", "gazette", kind="pull")
        with wire.store.write() as c:
            source = intake.add_source(c, name="newsroom", url="", kind="push", profile=None, now=clock.now())
            keys.add(c, "push", source, "push-key", clock.now())
            keys.add(c, "pull", endpoint, "pull-key", clock.now())
        url = (tmp_path / "data" / "web.url").read_text().strip()
        form = {
            "hub.mode": "subscribe",
            "hub.topic": f"{url}/feeds/pull-key.rss",
            "hub.callback": subscriber.url,
            "hub.secret": "s",
        }
        assert partner.post(f"{url}/hub", data=form, timeout=20).status_code == 202
        wire.wait(lambda: bool(subscriber.got("GET")), 30, "the hub's question")
        wire.wait(lambda: len(wire.books().delivery) == 2, 30, "the subscription")
        pushed = site.post(
            f"{url}/push/newsroom", data=TEXT.encode(), headers={"Content-Type": "text/plain"}, timeout=20
        )
        status: dict[str, Any] = {}

        def stored() -> bool:
            status.update(site.get(pushed.headers["location"], timeout=20).json())
            return bool(status["status"] == "stored")

        wire.wait(stored, 60, "the push to be stored")
        told = partner.get(f"{url}/events?wait=60", timeout=90).json()
        assert [e["event"]["data"]["article_id"] for e in told["events"]] == [status["article_id"]]
        feed = feedparser.parse(partner.get(f"{url}/feeds/pull-key.rss", timeout=20).content)
        assert [entry.title for entry in feed.entries] == ["Harbour board doubles the fare"]
        wire.wait(lambda: bool(subscriber.got("POST")), 60, "the notification")
        assert [entry.title for entry in feedparser.parse(subscriber.got("POST")[0].body).entries] == [
            "Harbour board doubles the fare"
        ]
        wire.wait(wire.idle, 60, "rest")
    subscriber.close()
