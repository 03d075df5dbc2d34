"""The publish worker's tasks: plan events, drain an endpoint's lane. Each claims, calls one function, commits."""

from __future__ import annotations

import time

from services.publish import lane as endpoint_lane
from services.publish import planning
from shared import clock, queue
from shared.models import LaneRow
from shared.queue import begin, holding
from shared.store import installation, lanes, partners

SLICE_S = 5.0
BATCH = 50


@queue.task("publish.plan_events")
def plan_events(_keys: list[str]) -> None:
    """Events become deliveries."""
    with begin() as work:
        lane = lanes.claim(work.connection, lanes.PLAN, work.now)
    if lane is None:
        return
    until, batch = time.monotonic() + SLICE_S, BATCH if lane["attempts"] <= 1 else 1
    with holding(LaneRow, [lane]):
        while time.monotonic() < until and _plan_some(batch):
            pass
        with begin() as work:
            if lanes.rest(work.connection, lane) is not None:
                work.ring("event.logged", [lanes.PLAN])


def _plan_some(batch: int) -> bool:
    with queue.store().read() as connection:
        decided = planning.decide(connection, installation.name(connection), clock.now(), batch)
    if decided.upto is None:
        return False
    with begin() as work:
        work.ring("endpoint.due", partners.plan(work.connection, decided.planned, decided.upto, work.now))
    return True


@queue.task("publish.deliver_lane")
def deliver_lane(keys: list[str]) -> None:
    """Deliveries become a partner's 200."""
    for key in keys:
        endpoint_lane.drain(key)
