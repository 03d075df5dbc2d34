"""A target in; one test event sent to it, and the answer, out."""

from __future__ import annotations

import datetime as dt

from services.publish import deliver, render, storage
from services.publish.policy import Outcome
from shared.errors import Rejected, Retryable
from shared.http import Door
from shared.records import Annotations, Article, CategoryStatus, Moment, Paragraph

TEST_EVENT = "briefwire.test"


def send_test(door: Door, kind: str, target: deliver.Target, format_: str, now: dt.datetime, token: str) -> Outcome:
    """One signed test event to a webhook, or one file into a storage target; what came of it."""
    rendered = render.render(format_, sample(now))
    if kind == "webhook":
        return deliver.send(door, target, rendered, f"msg_test_{token}", now)
    try:
        receipt = storage.put(target.url, f"briefwire-test.{rendered.extension}", rendered.body)
    except (Retryable, Rejected) as error:
        return Outcome(failure=error.reason, detail=error.detail)
    return Outcome(status=201 if receipt.written else 200, excerpt=receipt.url)


def sample(now: dt.datetime) -> render.RenderInput:
    """The test event: an article that says that it is a test."""
    at = now.astimezone(dt.UTC).replace(microsecond=0).isoformat()
    text = "This is a test of delivery. It is no article; please drop it."
    article = Article(
        id="art_0000000000000000", source="briefwire-test", source_item_id=None, url=None, requested_url=None, final_url=None,
        revision=1, state="usable", content_hash="0" * 64, headline="Test from Briefwire", language="en",
        language_evidence="a test", authors=(), published=Moment(at, at, "UTC", "stated", "second"), modified=None, section=None,
        category_status=CategoryStatus(), lead=text, blocks=(Paragraph(text),), images=(), tags=(), related=(),
    )  # fmt: skip
    return render.RenderInput(type=TEST_EVENT, at=now, position=0, article=article, annotations=Annotations())
