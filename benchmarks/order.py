"""Order under failure: many events of few articles, to a partner that answers 500 or cuts the line at random.

    python -m benchmarks.order [--events 10000] [--articles 500] [--share 0.3]

The events are logged as the wire logs them, round after round over all articles; the planner and the deliver worker of a running
wire do the rest. The last line is one JSON object:

    events, posts, delivered
    steps_back    first posts of an older revision than the partner had of that article; must be 0
    second_ids    events that came under more than one id; must be 0
    unanswered    events that no 2xx ended; must be 0
    events_per_s
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.chaos import second_ids
from services.console.demo.faults import Fault, Faults
from services.console.demo.receiver import Receiver
from services.publish import sign
from shared import clock, records
from shared.store import articles, events, intake, lanes
from tests.wire.harness import Wire, host_of

KINDS = (
    Fault(status=500), Fault(status=500, after_recording=True), Fault(reset=True), Fault(reset=True, after_recording=True),
)  # fmt: skip
SETTINGS: dict[str, Any] = {
    "deliver": {"schedule_s": [0.0, *[0.2] * 80]},
    "workers": {"fetch": 2, "extract": 1, "enrich": 1},
}


class Moody(Faults):
    """Each request meets one of the kinds of failure with probability `share`."""

    def __init__(self, share: float, seed: int) -> None:
        super().__init__()
        self.share, self.draw, self.guard = share, random.Random(seed), threading.Lock()

    def take(self, path: str) -> Fault | None:
        with self.guard:
            return self.draw.choice(KINDS) if self.draw.random() < self.share else None


def log_events(wire: Wire, count: int, number_of_articles: int, *, name: str = "s", first: int = 0) -> None:
    """Revision after revision of all articles (numbered from `first`), in transactions of 500 events."""
    with wire.store.write() as connection:
        source = intake.add_source(
            connection, name=name, url="http://h.example", kind="push", profile=None, now=clock.now()
        )
    owed = [(first + n % number_of_articles, n // number_of_articles + 1) for n in range(count)]
    for start in range(0, count, 500):
        with wire.store.write() as connection:
            now = clock.now()
            new = [_revision(connection, source, number, revision) for number, revision in owed[start : start + 500]]
            lanes.wake(connection, "plan", [lanes.PLAN], now)
            events.append(connection, new, now)


def _revision(connection: Any, source: int, number: int, revision: int) -> events.NewEvent:
    """An enriched revision, and its event."""
    record = plain_record(number, revision)
    now = clock.now()
    if revision == 1:
        articles.create(connection, record, f"{number:064x}", source, number, None, now)
    else:
        articles.revise(
            connection,
            {"id": record.id, "revision": revision - 1, "backfill": False},
            record,
            "update",
            number,
            None,
            now,
        )
    articles.set_article(connection, record.id, due_at=None, enriched_revision=revision)
    return events.NewEvent(
        "article.published" if revision == 1 else "article.updated", record.id, revision, backfill=False
    )


def plain_record(number: int, revision: int) -> records.Article:
    """A short article's record."""
    text = records.Paragraph(
        f"Revision {revision} of article {number}. " + "The harbour board met and spoke about the quay. " * 8
    )
    return msgspec.structs.replace(
        _PLAIN, id=f"art_{number:016x}", revision=revision, blocks=(text,), content_hash=f"{revision:064x}"
    )


_PLAIN = records.Article(
    id="", source="s", source_item_id=None, url=None, requested_url=None, final_url=None, revision=1, state="usable", content_hash="",
    headline="The harbour board", language="en", language_evidence=None, authors=(), published=None, modified=None, section=None,
    category_status=records.CategoryStatus(), lead=None, blocks=(), images=(), tags=(), related=(),
)  # fmt: skip


def run(folder: Path, count: int, number_of_articles: int, share: float, *, timeout_s: float) -> dict[str, Any]:
    """One run; the figures."""
    secret = sign.new_secret(os.urandom(32))
    partner = Receiver(secret, keep_bodies=True)
    partner.faults = Moody(share, 1)
    partner.start()
    wire = Wire(folder, [host_of(partner.url)], **SETTINGS)
    try:
        wire.up()
        wire.add_partner(partner.url, "partner", secret)
        started = time.monotonic()
        log_events(wire, count, number_of_articles)
        wire.wait(lambda: partner.state()["accepted"] >= count and wire.idle(), timeout_s, "every event to arrive")
        took_s = time.monotonic() - started
    finally:
        wire.close()
        partner.stop()
    state = partner.state()
    answered = {receipt.webhook_id for receipt in partner.received if receipt.status == 200}
    return {"events": count, "posts": state["posts"], "delivered": state["accepted"], "steps_back": state["disordered"],
            "second_ids": second_ids(partner) + state["split"], "unanswered": count - len(answered),
            "events_per_s": round(count / took_s, 1)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--articles", type=int, default=500)
    parser.add_argument("--share", type=float, default=0.3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(run(Path(name), options.events, options.articles, options.share, timeout_s=1800)))


if __name__ == "__main__":
    main()
