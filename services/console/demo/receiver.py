"""Signed webhook posts, in; verified receipts, out: a partner of the wire, on loopback.

    partner = Receiver(secret); partner.start(); ...; partner.received; partner.stop()

Every post is verified by the `standardwebhooks` library. A good signature is answered 200, a bad one 401, a body that
is no JSON object 400. Each post gives one `Receipt` in `received` and, where a file is given, one JSON line of the same
fields. `faults` switches failures on (`services.console.demo.faults`); `POST /-/control` with `{"fault": {...} | null}`
does so in another process, `GET /-/state` counts. `python -m services.console.demo.receiver` runs it as a process.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from services.console.demo.faults import Fault, Faults
from services.console.demo.loopback import Loopback, Reply, Request, spoil
from services.console.demo.process import JsonLines, arguments, run
from shared import clock
from shared.errors import OperatorError


class Receipt(msgspec.Struct, frozen=True):
    """One post as it arrived.

    `attempt` counts posts under this webhook_id from 1. `status` is what was answered, None where the connection was
    reset. `accepted`: verified and taken in, whatever was answered then. `why` says why it was not verified. `data` is
    the body's `data`, only where the receiver keeps bodies.
    """

    received_at: str
    webhook_id: str | None
    type: str | None
    article_id: str | None
    revision: int | None
    position: int | None
    verified: bool
    accepted: bool
    status: int | None
    attempt: int
    why: str | None = None
    path: str = "/"
    data: dict[str, Any] | None = None


class Receiver:
    """The partner. `received` grows in the order of arrival; `url` is where to post, any path will do.

    Args:
        secret: `whsec_...`, as the wire has it; OperatorError when it is no such secret.
        log: a file that gets the JSON lines (without `data`).
        keep_bodies: keep each body's `data` in its receipt.
        now: the clock of `received_at`.
    """

    def __init__(
        self,
        secret: str,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        log: Path | None = None,
        keep_bodies: bool = False,
        now: Callable[[], dt.datetime] = clock.now,
    ) -> None:
        try:
            self._webhook = Webhook(secret)
        except (ValueError, RuntimeError, EmptyWebhookSecretError) as error:
            raise OperatorError(f"The secret is not usable: {error}.", "Give it as whsec_ and Base64.") from None
        self.faults = Faults()
        self.received: list[Receipt] = []
        self._keep_bodies, self._now = keep_bodies, now
        self._attempts: Counter[str | None] = Counter()
        self._accepted: dict[str | None, Receipt] = {}
        self._id_at: dict[int, str | None] = {}
        self._newest: dict[str, int] = {}
        self._counts = Counter(posts=0, unverified=0, repeated=0, split=0, disordered=0)
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._file = JsonLines(log)
        self._server = Loopback(self._answer, port=port, host=host)
        self.url = self._server.url

    def start(self) -> None:
        """Accept posts from now on."""
        self._server.start()

    def stop(self) -> None:
        """Close the port, the connections and the log; a second call does nothing."""
        self._server.stop()
        self._file.close()

    @property
    def accepted(self) -> list[Receipt]:
        """The first accepted receipt of each webhook_id, in order: what a partner would have in its database."""
        with self._lock:
            return list(self._accepted.values())

    def wait_for(self, enough: Callable[[list[Receipt]], bool], timeout_s: float) -> bool:
        """Wait until `enough(received)` is true, asked after each arrival; False when the time is up first."""
        with self._arrived:
            return self._arrived.wait_for(lambda: enough(self.received), timeout=timeout_s)

    def state(self) -> dict[str, int]:
        """Numbers, each of which may be asked for often.

        posts; ids (different ones); accepted (ids); unverified (posts); repeated (posts under an id seen before); split
        (posts whose position came under another id before: never right); disordered (first posts of an older revision
        than the article's newest so far: never right, as order is judged on first sends).
        """
        with self._lock:
            return {**self._counts, "ids": len(self._attempts), "accepted": len(self._accepted)}

    def _answer(self, request: Request) -> Reply:
        if request.path.startswith("/-/"):
            return self._control(request)
        if request.method != "POST":
            return Reply(405, b"post here\n", {"Allow": "POST"})
        status, why, body = self._verify(request)
        fault = self.faults.take(request.path)
        reply = spoil(Reply(status, b"{}", {"Content-Type": "application/json"}), fault)
        self._record(request, body, why, fault, reply)
        return reply

    def _verify(self, request: Request) -> tuple[int, str | None, dict[str, Any]]:
        try:
            self._webhook.verify(request.body, dict(request.headers.items()), json_parse=False)
        except (WebhookVerificationError, ValueError) as error:  # ValueError: a signature that is no Base64
            return 401, str(error) or "the signature is malformed", {}
        try:
            body = json.loads(request.body)
        except ValueError:
            return 400, "the body is not JSON", {}
        return (200, None, body) if isinstance(body, dict) else (400, "the body is no JSON object", {})

    def _record(
        self, request: Request, body: dict[str, Any], why: str | None, fault: Fault | None, reply: Reply
    ) -> None:
        webhook_id = request.headers.get("webhook-id")
        data = body["data"] if isinstance(body.get("data"), dict) else {}
        taken = fault is None or fault.after_recording or (fault.status is None and not fault.reset)
        with self._arrived:
            self._attempts[webhook_id] += 1
            receipt = Receipt(
                received_at=self._now().isoformat(),
                webhook_id=webhook_id,
                type=body.get("type"),
                article_id=data.get("article_id"),
                revision=data.get("revision"),
                position=data.get("position"),
                verified=why is None,
                accepted=why is None and taken,
                status=None if reply.reset else reply.status,
                attempt=self._attempts[webhook_id],
                why=why,
                path=request.path,
                data=data if self._keep_bodies else None,
            )
            self.received.append(receipt)
            self._count(receipt)
            self._file.write({name: value for name, value in msgspec.structs.asdict(receipt).items() if name != "data"})
            self._arrived.notify_all()

    def _count(self, receipt: Receipt) -> None:
        self._counts["posts"] += 1
        self._counts["repeated"] += receipt.attempt > 1
        self._counts["unverified"] += not receipt.verified
        if receipt.accepted:
            self._accepted.setdefault(receipt.webhook_id, receipt)
        if not receipt.verified:
            return
        if receipt.position is not None:
            known = self._id_at.setdefault(receipt.position, receipt.webhook_id)
            self._counts["split"] += known != receipt.webhook_id
        if receipt.article_id is not None and receipt.revision is not None and receipt.attempt == 1:
            newest = self._newest.get(receipt.article_id, receipt.revision)
            self._counts["disordered"] += receipt.revision < newest
            self._newest[receipt.article_id] = max(newest, receipt.revision)

    def _control(self, request: Request) -> Reply:
        if request.path == "/-/state":
            return Reply(200, json.dumps(self.state()).encode(), {"Content-Type": "application/json"})
        # A page in a browser cannot send this type to another origin without asking first.
        if request.method != "POST" or request.headers.get("Content-Type") != "application/json":
            return Reply(405, b"POST application/json\n", {"Content-Type": "text/plain"})
        try:
            self.faults.set_from(json.loads(request.body)["fault"])
        except (ValueError, KeyError, TypeError) as error:
            return Reply(400, f"{error}\n".encode(), {"Content-Type": "text/plain"})
        return Reply(200, b"{}", {"Content-Type": "application/json"})


def main(argv: Sequence[str] | None = None) -> int:
    """The receiver as a process, until SIGTERM or SIGINT; the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--secret", required=True, help="whsec_..., as the wire has it")
    parser.add_argument("--status", type=int, help="answer this status to every post")
    parser.add_argument("--failure-share", type=float, help="answer 500 (or --status) to this share of posts")
    parser.add_argument("--failure-seed", type=int, default=0, help="which posts those are")
    parser.add_argument("--hang", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--reset", action="store_true", help="reset the connection instead of answering")
    parser.add_argument("--after-recording", action="store_true", help="fail only after the post was taken in")
    options = parser.parse_args(argv)
    return run(
        lambda: _with_faults(Receiver(options.secret, port=options.port, host=options.host, log=options.log), options),
        options,
    )


def _with_faults(receiver: Receiver, options: Any) -> Receiver:
    status = options.status or (500 if options.failure_share and not options.reset else None)
    if status or options.hang or options.reset:
        receiver.faults.set(
            Fault(
                status=status,
                hang_s=options.hang,
                reset=options.reset,
                share=1.0 if options.failure_share is None else options.failure_share,
                seed=options.failure_seed,
                after_recording=options.after_recording,
            )
        )
    return receiver


if __name__ == "__main__":
    raise SystemExit(main())
