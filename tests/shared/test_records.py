"""Records as JSON: there and back, and from many threads at once."""

from __future__ import annotations

import subprocess
import sys

from shared import records

TOGETHER = """
import sys, threading
sys.setswitchinterval(1e-6)
from services.publish import policy
from services.ingest import schedule
from shared import records

samples = [records.Draft("h", blocks=(records.Paragraph("x"),)), records.Annotations(), policy.Breaker(), schedule.PollState()]
packed = [(records.to_json(one), type(one)) for one in samples]
barrier = threading.Barrier(32)

def read(number):
    barrier.wait()
    raw, kind = packed[number % len(packed)]
    records.from_json(raw, kind)

threads = [threading.Thread(target=read, args=(n,)) for n in range(32)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_a_record_is_the_same_there_and_back() -> None:
    made = records.Draft("h", blocks=(records.ListBlock(True, ("a", "b")), records.Paragraph("x\u00a0y")))
    assert records.from_json(records.to_json(made), records.Draft) == made


def test_threads_that_meet_a_type_first_together_do_not_crash() -> None:
    for _ in range(5):
        subprocess.run([sys.executable, "-c", TOGETHER], check=True)
