"""The threads that send follow the worker's pool: as many for each lane after it was resized, and what was under way ends."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from services.publish import deliver, lane
from shared import pools, queue

NOBODY = deliver.Target("http://127.0.0.1:9/", (), {}, 1.0)
NOTHING = {"webhook_id": "evt_1"}
"""A delivery of which everything is missing: sending it ends at once, in words."""


def test_senders_follow_the_size_of_the_workers_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    senders = lane.Senders()
    sent = [senders.submit({}, NOBODY, NOTHING)]
    assert senders.threads == 4 * lane.CFG.workers.deliver
    pool = SimpleNamespace(num_processes=50)
    for name, value in (("worker", SimpleNamespace(pool=pool)), ("pid", os.getpid())):
        monkeypatch.setitem(pools._main, name, value)
    sent += [senders.submit({}, NOBODY, NOTHING) for _ in range(20)]
    assert senders.threads == 200
    pool.num_processes = 2
    sent += [senders.submit({}, NOBODY, NOTHING) for _ in range(20)]
    assert senders.threads == 8
    assert {type(one.result(30).outcome) for one in sent} == {queue.Failure}
    assert len(sent) == 41
