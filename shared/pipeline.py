"""The map: what happened -> which task it wakes -> on which queue. Imports nothing of ours, decides nothing.

    source.due        -> ingest.poll_source      [fetch]     feed bytes become entries
    host.due          -> ingest.fetch_host       [fetch]     a host's lane becomes pages
    page.fetched      -> ingest.extract_pages    [extract]   pages become article revisions
    article.ingested  -> enrich.enrich_articles  [enrich]    revisions become events for partners
    event.logged      -> publish.plan_events     [plan]      events become deliveries
    endpoint.due      -> publish.deliver_lane    [deliver]   deliveries become a partner's 200
    model.due         -> enrich.train_model      [enrich]    filed articles become a section model
    hub.due           -> publish.settle_hub      [deliver]   who asks our WebSub hub is verified, leases end
    websub.due        -> ingest.ask_hubs         [fetch]     others' hubs are asked to push to us

A message carries ids and is a doorbell: lost, doubled or late it changes nothing, since the rows say what is due and
`shared.feeder` rings again for whatever stood still.
"""

from __future__ import annotations

from typing import NamedTuple


class Stage(NamedTuple):
    """`batch`: ids a message. `high_water`: messages waiting on the queue above which nobody rings. `name`: what people pause."""

    task: str
    queue: str
    batch: int
    high_water: int
    name: str


class Worker(NamedTuple):
    """One process group of `briefwire up`. pool: threads for waiting, prefork for computing. `deaf_s`: silence that means a restart."""

    name: str
    queues: tuple[str, ...]
    pool: str
    tasks: tuple[str, ...]
    deaf_s: float


WAKES: dict[str, Stage] = {
    "source.due": Stage("ingest.poll_source", "fetch", 1, 64, "poll"),
    "host.due": Stage("ingest.fetch_host", "fetch", 1, 64, "fetch"),
    "page.fetched": Stage("ingest.extract_pages", "extract", 20, 16, "extract"),
    "article.ingested": Stage("enrich.enrich_articles", "enrich", 25, 16, "enrich"),
    "event.logged": Stage("publish.plan_events", "plan", 1, 1, "plan"),
    "endpoint.due": Stage("publish.deliver_lane", "deliver", 1, 128, "deliver"),
    "model.due": Stage("enrich.train_model", "enrich", 1, 2, "enrich"),
    "hub.due": Stage("publish.settle_hub", "deliver", 1, 32, "deliver"),
    "websub.due": Stage("ingest.ask_hubs", "fetch", 1, 16, "poll"),
}

WORKERS: tuple[Worker, ...] = (
    Worker("fetch", ("fetch",), "threads", ("services.ingest.tasks",), 45.0),
    Worker("extract", ("extract",), "prefork", ("services.ingest.tasks",), 45.0),
    Worker("enrich", ("enrich", "plan"), "prefork", ("services.enrich.tasks", "services.publish.tasks"), 45.0),
    Worker("deliver", ("deliver",), "threads", ("services.publish.tasks",), 60.0),
)

STAGES: tuple[str, ...] = ("poll", "fetch", "extract", "enrich", "plan", "deliver")
"""The stages by name, in an article's order; people pause and resume these."""

STAGE_OF: dict[str, str] = {stage.task: stage.name for stage in WAKES.values()}
"""Task -> its stage."""

QUEUES: tuple[str, ...] = tuple(queue for worker in WORKERS for queue in worker.queues)
