"""An endpoint's lane, drained over kept-alive connections: several articles in flight, each article's events in order.

    claim the lane | take what may go | mark it begun | render, sign, send | judge | commit the attempts | ... | rest the lane

Everything is committed before the next step, so a kill between any two lines costs at most a repeat under the same id.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.publish import deliver, feeds_out, hub, policy, storage
from services.publish.render import RenderInput, render
from shared import clock, logs, pools, queue, records, vault
from shared.errors import Retryable
from shared.models import LaneRow, Row
from shared.queue import Failure, Work, attempt, begin, holding
from shared.store import articles, claims, events, lanes, partners, pull, websub

Target = deliver.Target | hub.Subscriber
"""Whom to send to: a webhook (storage targets use only its address), or a subscriber of the hub."""

CFG = queue.SETTINGS
SLICE_S = 5.0
AHEAD_S = 1.0  # an endpoint's rate is taken in advance for so long; beyond it the lane rests
BATCH = 50
CALL_S = CFG.deliver.deadline_s + 5.0
LEASE_S = claims.LEASE_S + CALL_S


class Senders:
    """The threads that send: four for each lane that this worker may drain at once, also after its pool was resized."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self.threads = 0

    def submit(self, endpoint: Row, target: Target, row: Row) -> Future[Sent]:
        """Sends one delivery on one of them. Where the size is another now, a new set of threads takes what comes from here on
        and the old ones end with what they hold."""
        wanted = 4 * (pools.size() or CFG.workers.deliver)
        with self._lock:
            if self._pool is None or wanted != self.threads:
                if self._pool is not None:
                    self._pool.shutdown(wait=False)
                self._pool, self.threads = ThreadPoolExecutor(wanted, thread_name_prefix="send"), wanted
            return self._pool.submit(send, endpoint, target, row)


_senders = Senders()


class Sent(msgspec.Struct, frozen=True):
    """A delivery, what sending it came to, and when."""

    delivery: Row
    outcome: policy.Outcome | Failure
    at: dt.datetime
    duration_ms: int
    omitted: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What one call came to, and the fields of the record that its format could not hold."""

    outcome: policy.Outcome
    omitted: tuple[str, ...] = ()


def drain(key: str) -> None:
    """Delivers what is due on the lane, for a few seconds."""
    with begin() as work:
        lane = lanes.claim(work.connection, key, work.now, LEASE_S)
    if lane is None:
        return
    with holding(LaneRow, [lane]):
        _drain(lane, int(key.removeprefix("endpoint:")))


def _drain(lane: Row, endpoint_id: int) -> None:
    with queue.store().read() as connection:
        endpoint = partners.endpoint(connection, endpoint_id)
    if endpoint is not None and endpoint["state"] == "active":
        if endpoint["kind"] == "pull":
            _park(lane, endpoint_id)
        else:
            Drain(lane, endpoint).run()
        return
    with begin() as work:
        claims.settle(work.connection, LaneRow, lane, paused=True)


def _park(lane: Row, endpoint_id: int) -> None:
    """An endpoint that fetches by itself is sent nothing."""
    with begin() as work:
        pull.park(work.connection, endpoint_id)
        lanes.rest(work.connection, lane)


class Drain:
    """One drain of one lane: what is in flight, done but not committed, taken but not sent; and the lane's breaker."""

    def __init__(self, lane: Row, endpoint: Row) -> None:
        self.lane, self.endpoint = lane, endpoint
        self.target = target_of(endpoint)
        self.flying: dict[Future[Sent], Row] = {}
        self.done: list[Sent] = []
        self.unsent: list[Row] = []
        self.breaker = records.from_json(lane["breaker"], policy.Breaker) if lane["breaker"] else policy.Breaker()
        self.bucket = records.from_json(lane["bucket"], policy.Bucket) if lane["bucket"] else policy.Bucket()
        self.blocked: dt.datetime | None = None
        self.failures: int = lane["failures"]
        self.open = True

    def run(self) -> None:
        """Sends until nothing may go, the time is up or the lane must wait; then rests the lane."""
        until = time.monotonic() + SLICE_S
        waiting: list[Row] = []
        while True:
            going_on = self.open and self.blocked is None and time.monotonic() < until
            if going_on and not waiting:
                waiting = self.take()
            if not going_on:
                self.unsent += waiting
                waiting = []
            while waiting and len(self.flying) < self.slots() and pause_s(waiting) <= 0:
                self.launch(waiting.pop(0))
            if not self.flying and not waiting:
                break
            self.collect(min(0.25, pause_s(waiting) or 0.25), last=not waiting)
        self.rest()

    def slots(self) -> int:
        """How many sends may be in flight."""
        return self.breaker.allowance(clock.now(), int(self.endpoint["concurrency"]))

    def take(self) -> list[Row]:
        """What may go now, marked as begun."""
        slots = self.slots()
        if not slots:
            self.blocked = self.breaker.until
            return []
        busy = {row["article_id"] for row in self.flying.values()} | {sent.delivery["article_id"] for sent in self.done}
        with begin() as work:
            limit = BATCH if slots > 1 and self.lane["attempts"] <= 1 else 1
            rows = self.affordable(partners.sendable(work.connection, self.endpoint["id"], work.now, limit, busy), work)
            begun = partners.begin_attempts(work.connection, [row["id"] for row in rows]) if rows else set()
        with queue.store().read() as connection:
            return with_contents(connection, [row for row in rows if row["id"] in begun], clock.now())

    def affordable(self, rows: list[Row], work: Work) -> list[Row]:
        """Those that the endpoint's rate lets go within the next second, each with its instant. Their share of the rate is
        written down before the first byte leaves: who comes after a kill does not send it twice."""
        per_minute, taken = self.endpoint["per_minute"], list[Row]()
        if not per_minute:
            return rows
        for row in rows:
            bucket, wait_s = self.bucket.take(work.now, per_minute / 60)
            if wait_s > AHEAD_S:
                if not taken and not self.flying:
                    self.blocked = work.now + dt.timedelta(seconds=wait_s)
                break
            self.bucket = bucket
            taken.append(row | {"start_at": work.now + dt.timedelta(seconds=wait_s)})
        if taken and not lanes.keep(work.connection, self.lane, bucket=records.to_json(self.bucket).decode()):
            self.open = False  # the lane is somebody else's by now
            return []
        return taken

    def launch(self, row: Row) -> None:
        self.flying[_senders.submit(self.endpoint, self.target, row)] = row

    def collect(self, within_s: float, *, last: bool) -> None:
        """Waits for answers, and commits them in small batches."""
        if not self.flying:
            time.sleep(within_s)
        done, _ = wait(self.flying, timeout=within_s, return_when=FIRST_COMPLETED)
        for future in done:
            self.flying.pop(future)
            self.done.append(future.result())
        if self.done and (len(self.done) >= 20 or not done or (last and not self.flying)):
            self.commit()

    def commit(self) -> None:
        """Judges and records what came back; a lost lease makes it a line in the log and nothing more."""
        tried = [self.judged(sent) for sent in self.done]
        self.done = []
        with begin() as work:
            partners.record(
                work.connection, self.endpoint["id"], tried
            )  # endpoint before lane, as the planner locks them
            self.open = claims.renew(work.connection, LaneRow, self.lane, work.now, LEASE_S) and self.open
            if not self.open:
                stop_if_disabled(work, self.endpoint, tried)
        say(tried)

    def judged(self, sent: Sent) -> partners.Tried:
        """What follows from one answer, for the delivery and for the lane."""
        number, outcome = sent.delivery["attempts"] + 1, sent.outcome
        if isinstance(outcome, Failure):
            return tried(sent, "dead", reason=outcome.reason, response=outcome.detail)
        verdict = policy.judge(
            outcome,
            number,
            sent.at,
            random.random(),  # noqa: S311 - jitter
            CFG.deliver.schedule_s,
            lane_failures=self.failures,
        )
        self.breaker = self.breaker.record(outcome.ok, sent.at)
        lane_until = getattr(verdict, "lane_until", None)
        self.failures = self.failures + 1 if lane_until else 0 if outcome.ok else self.failures
        if lane_until is not None:
            self.blocked = max(self.blocked or lane_until, lane_until)
        shown = outcome.excerpt or outcome.detail or None
        match verdict:
            case policy.Delivered():
                return tried(sent, "delivered", status=outcome.status, response=shown)
            case policy.RetryAt(at=at, reason=reason):
                return tried(sent, "retry", status=outcome.status, reason=reason, response=shown, due_at=at)
            case policy.Disable(reason=reason):
                self.open = False
                return tried(sent, "disabled", status=outcome.status, reason=reason, response=shown)
            case policy.Dead(reason=reason):
                return tried(sent, "dead", status=outcome.status, reason=reason, response=shown)

    def rest(self) -> None:
        """Gives the lane back, saying when it has work again."""
        bucket = self.bucket.give_back(len(self.unsent))
        values: dict[str, Any] = {"blocked_until": self.blocked, "failures": self.failures,
                                  "breaker": records.to_json(self.breaker).decode(),
                                  "bucket": records.to_json(bucket).decode() if self.endpoint["per_minute"] else None}  # fmt: skip
        with begin() as work:
            if self.unsent:
                partners.call_off(work.connection, [row["id"] for row in self.unsent])
            left = lanes.rest(work.connection, self.lane, **values)
            if left is not None and left <= work.now and self.blocked is None and self.open:
                work.ring("endpoint.due", [self.lane["key"]])


def pause_s(waiting: list[Row]) -> float:
    """How long until the first of these may go by the endpoint's rate; 0 where none waits for that."""
    start_at = waiting[0].get("start_at") if waiting else None
    return max((start_at - clock.now()).total_seconds(), 0.0) if start_at else 0.0


def say(tries: list[partners.Tried]) -> None:
    """A line for each attempt, where the settings ask for lines for pieces."""
    for one in tries if logs.pieces() else []:
        row = one.delivery
        logs.piece(
            "attempt", event=row["event_number"], article_id=row["article_id"], revision=row["revision"],
            endpoint_id=row["endpoint_id"], webhook_id=row["webhook_id"], outcome=one.outcome, status=one.status, reason=one.reason,
            duration_ms=one.duration_ms,
        )  # fmt: skip


def stop_if_disabled(work: Work, endpoint: Row, tries: list[partners.Tried]) -> None:
    """An endpoint that wants nothing more keeps its backlog and waits for a person."""
    for one in tries:
        if one.outcome == "disabled":
            reason = f"{one.reason}: {one.response or ''}".strip(": ")[:500]
            partners.set_endpoint(work.connection, endpoint["id"], state="disabled", reason=reason)
            lanes.pause(work.connection, lanes.endpoint_lane(endpoint["id"]), paused=True)


def tried(sent: Sent, outcome: str, **values: Any) -> partners.Tried:
    return partners.Tried(sent.delivery, outcome, sent.at, sent.duration_ms, omitted=sent.omitted, **values)


def with_contents(connection: Connection, rows: list[Row], now: dt.datetime) -> list[Row]:
    """Deliveries with the record and the annotations they carry, without a word of articles that may not be shown.

    Where the log has forgotten the event of one that is sent again, its instant is that of the revision.
    """
    if not rows:
        return rows
    stored = articles.revisions(connection, {(row["article_id"], row["revision"]) for row in rows})
    hidden = pull.hidden(connection, feeds_out.linked(stored), now)
    told = events.told(connection, [row["event_number"] for row in rows])
    forgotten = {row["article_id"] for row in rows if row["event_number"] not in told}
    made = articles.made_at(connection, forgotten) if forgotten else {}
    when = [told.get(row["event_number"]) or (made[row["article_id"], row["revision"]], None) for row in rows]
    return [
        row | {"at": at, "detail": detail} | {"contents": stored[row["article_id"], row["revision"]], "hidden": hidden}
        for row, (at, detail) in zip(rows, when, strict=True)
    ]


def send(endpoint: Row, target: Target, row: Row) -> Sent:
    """Renders and sends one delivery; never raises."""
    started = time.monotonic()
    answer = attempt(_send, endpoint, target, row)
    took_ms = int(1000 * (time.monotonic() - started))
    if isinstance(answer, Failure):
        return Sent(row, answer, clock.now(), took_ms)
    return Sent(row, answer.outcome, clock.now(), took_ms, answer.omitted)


def _send(endpoint: Row, target: Target, row: Row) -> Answer:
    event = linked(endpoint, row["webhook_id"], render_input(row))
    if isinstance(target, hub.Subscriber):
        return Answer(hub.notify(queue.door(), target, event))
    rendered = render(endpoint["format"], event)
    if endpoint["kind"] == "webhook":
        sent = deliver.send(queue.door(), target, rendered, row["webhook_id"], clock.now())
        return Answer(sent, rendered.omitted)
    name = storage.layout(
        endpoint["layout"] or storage.DEFAULT_LAYOUT, storage.layout_values(event, rendered.extension)
    )
    result = attempt(storage.put, endpoint["url"], name, rendered.body)
    if isinstance(result, Failure):
        return Answer(policy.Outcome(failure=result.reason, detail=result.detail, refused=not result.later))
    return Answer(policy.Outcome(status=201 if result.written else 200, excerpt=result.url), rendered.omitted)


def render_input(row: Row) -> RenderInput:
    """A delivery with its contents as the renderers take it."""
    key = row["article_id"], row["revision"]
    return feeds_out.inputs([row], {key: row["contents"]}, row["hidden"])[0]


def linked(endpoint: Row, webhook_id: str, event: RenderInput) -> RenderInput:
    """The event with the address where it can be fetched whole, for an endpoint that wants links to what is large.

    Without `web.url` in the settings nobody could fetch it, so it goes whole.
    """
    if not endpoint["link_above"] or not CFG.web.url or event.withdrawn:
        return event
    link = f"{CFG.web.url.rstrip('/')}/events/{webhook_id}"
    return msgspec.structs.replace(event, link=link, link_above=endpoint["link_above"])


def target_of(endpoint: Row) -> Target:
    """Where and under which secrets to send."""
    secrets = vault.unseal(CFG.folder, endpoint["secrets"])
    target = deliver.Target(endpoint["url"], secrets, {}, CFG.deliver.deadline_s)
    if endpoint["kind"] != "websub":
        return target
    with queue.store().read() as connection:
        row = websub.subscriber(connection, endpoint["id"])
    if row is None:  # it left between the claim of its lane and now; the lane will see that it is removed
        raise Retryable("subscriber-left", "The subscription has ended.")
    return hub.Subscriber(row["topic"], row["format"], target)
