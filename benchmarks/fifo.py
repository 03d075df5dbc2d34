"""The usual way to deliver, to measure the lanes against: one Celery queue, one `requests.post` a delivery, first in first out.

Imported by the worker that `benchmarks.deliver` starts (threads, as many as the wire's deliver worker has) and by its sender.
"""

from __future__ import annotations

import contextlib

import requests
from celery import Celery

from services.publish import sign
from shared import clock, queue

app = Celery("fifo", broker=queue.app.conf.broker_url)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options=queue.TRANSPORT,
    task_default_queue="fifo",
)


@app.task(name="fifo.post", ignore_result=True)  # type: ignore[untyped-decorator]  # celery publishes no types
def post(url: str, secret: str, webhook_id: str, body: str) -> None:
    """Sign and send; who does not answer in time is given up."""
    raw = body.encode()
    headers = sign.sign([secret], webhook_id, clock.now(), raw) | {"Content-Type": "application/json"}
    with contextlib.suppress(requests.RequestException):
        requests.post(url, raw, headers=headers, timeout=queue.SETTINGS.deliver.deadline_s)
