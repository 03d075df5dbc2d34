"""From an entry in the feed to the partner's 200, on an idle machine.

    python -m benchmarks.hop [--entries 100]

Each round: one brief is published, the source is poked (a push of "look now"), and the clock runs until the receiver has
answered 200 to that brief. Prints median and worst in milliseconds as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from services.console.demo.bulk import BulkSite
from services.console.demo.receiver import Receiver
from services.publish import sign
from shared import broker, clock, pipeline
from shared.store import intake
from tests.wire.harness import Wire, host_of, running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100)
    entries = parser.parse_args().entries
    secret = sign.new_secret(os.urandom(32))
    site, receiver = BulkSite(5, seed=1), Receiver(secret)
    site.start()
    receiver.start()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(
            Path(folder), [host_of(site.url), host_of(receiver.url)], fetch={"poll_min_s": 3600.0, "poll_max_s": 3600.0}
        ) as wire,
    ):
        source = wire.add_source(site.feed_url)
        wire.add_partner(receiver.url, "partner", secret)
        wire.wait(lambda: len(receiver.accepted) >= 5 and wire.idle(), 60, "the first poll")
        times = [_one(wire, source, site, receiver, n) for n in range(entries)]
    site.stop()
    receiver.stop()
    print(
        json.dumps(
            {"entries": entries, "median_ms": round(statistics.median(times), 1), "worst_ms": round(max(times), 1)}
        )
    )


def _one(wire: Wire, source: int, site: BulkSite, receiver: Receiver, number: int) -> float:
    before = len(receiver.accepted)
    started = time.perf_counter()
    site.publish(1)
    with wire.store.write() as connection:
        intake.set_source(connection, source, due_at=clock.now())
    _ring(wire, source)
    while len(receiver.accepted) == before:
        time.sleep(0.001)
        assert time.perf_counter() - started < 30, f"brief {number} did not arrive"
    took = 1000 * (time.perf_counter() - started)
    time.sleep(0.1)
    return took


def _ring(wire: Wire, source: int) -> None:
    """The poke: what `briefwire source poll` does."""
    os.environ["BRIEFWIRE_DATA"] = str(wire.folder)
    from shared import queue

    queue.bell.send(pipeline.WAKES["source.due"], [[source]])
    assert broker.answers(wire.settings)


if __name__ == "__main__":
    main()
