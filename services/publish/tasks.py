"""The publish worker's tasks: plan events, drain an endpoint's lane, verify subscribers. Each claims, calls one function, commits."""

from __future__ import annotations

import datetime as dt
import secrets
import time

from services.publish import hub, planning
from services.publish import lane as endpoint_lane
from shared import clock, queue
from shared.models import LaneRow
from shared.queue import Failure, attempt, begin, holding
from shared.store import installation, lanes, partners, websub

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
        return _plan_past(batch)
    try:
        with begin() as work:
            work.ring("endpoint.due", partners.plan(work.connection, decided.planned, decided.upto, work.now))
    except partners.PlannedAlready:
        return False
    return True


def _plan_past(batch: int) -> bool:
    with queue.store().read() as connection:
        past = planning.decide_past(connection, installation.name(connection), clock.now(), batch)
    if past is None:
        return False
    with begin() as work:
        work.ring("endpoint.due", partners.plan_past(work.connection, past, work.now))
    return True


@queue.task("publish.deliver_lane")
def deliver_lane(keys: list[str]) -> None:
    """Deliveries become a partner's 200."""
    for key in keys:
        endpoint_lane.drain(key)


@queue.task("publish.settle_hub")
def settle_hub(ids: list[int]) -> None:
    """Who asked our hub for something is verified; whose lease is over is sent nothing more."""
    with begin() as work:
        rows = websub.claim_subscribers(work.connection, ids, work.now)
    for row in rows:
        answer = attempt(hub.verify, queue.door(), row, secrets.token_urlsafe(32)) if row["wanted"] else None
        with begin() as work:
            match answer, row["wanted"]:
                case Failure(later=True, detail=why), _ if row["failures"] < hub.TRIES - 1:
                    wait_s = queue.backoff_s(row["failures"] + 1)
                    websub.verify_later(work.connection, row, work.now + dt.timedelta(seconds=wait_s), why)
                case Failure(detail=why), _:
                    websub.refused(work.connection, row, why)
                case None, "subscribe":
                    websub.subscribed(work.connection, row, work.now)
                case _:
                    websub.ended(work.connection, row)
