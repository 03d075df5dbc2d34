"""A receiver's address and secret in; what it answers to good and bad events, judged check by check, out.

Each check sends one or several requests through the door and looks at the answers alone: what a receiver does with an event
shows in its own store, and `Run.expected` says what must stand there afterwards.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from services.publish import deliver, trial
from services.publish.policy import NEVER_ARRIVED, Outcome, reason_of
from services.publish.render import RenderInput, render
from services.publish.sign import new_key_pair, new_secret, sign
from shared.adapter import GuardedSession, Step
from shared.errors import OperatorError, Rejected
from shared.http import Door
from shared.records import Paragraph

DEADLINE_S, PROMPT_S = 20.0, 10.0
PIECES, PAUSE_S = 6, 0.5
AT_ONCE = 8
LONG_CHARS = 300_000


def check_secret(secret: str) -> None:
    """OperatorError where nothing can be signed with it."""
    try:
        sign([secret], "msg_test", dt.datetime(2000, 1, 1, tzinfo=dt.UTC), b"{}")
    except Rejected as error:
        raise OperatorError(
            f"The secret is not usable: {error.detail}", "Give the one that `partner add` showed."
        ) from None


class Graded(msgspec.Struct, frozen=True):
    """One check: what was sent, what had to come back, what did, and what to do where it is not that."""

    name: str
    passed: bool
    sent: str
    wanted: str
    met: str
    advice: str
    unreached: bool = False
    refused: bool = False


class Check(msgspec.Struct, frozen=True):
    """A check: `send` makes the requests; `fits` judges each answer; `tell` says what came back (statuses unless given)."""

    name: str
    sent: str
    wanted: str
    advice: str
    send: Callable[[Run], Sequence[Outcome]]
    fits: Callable[[Outcome], bool]
    tell: Callable[[Sequence[Outcome]], str] | None = None


class Run:
    """One certification: the receiver, and events about articles of its own. `token` (12 hexadecimal digits) names them."""

    def __init__(self, door: Door, url: str, secret: str, token: str, now: Callable[[], dt.datetime]) -> None:
        self.door, self.secret, self.token, self.now = door, secret, token, now
        self.target = deliver.Target(url, (secret,), timeout_s=DEADLINE_S)
        self.slow_door = SlowDoor(door)
        self.slowest_s = 0.0

    @property
    def expected(self) -> str:
        """What a good receiver's store holds afterwards, in a sentence."""
        return (f"{self.article_id(2)} stands there once, {self.article_id(3)} in revision 3, {self.article_id(4)} is withdrawn and stays "
                f"so; nothing that was forged, changed or out of date is there (headlines that begin with “Forged”).")  # fmt: skip

    def grade(self, check: Check) -> Graded:
        """Carries the check out."""
        outcomes = check.send(self)
        passed = bool(outcomes) and all(map(check.fits, outcomes))
        missed = bool(outcomes) and all(one.status is None and one.failure in NEVER_ARRIVED for one in outcomes)
        return Graded(check.name, passed, check.sent, check.wanted, (check.tell or _met)(outcomes), "" if passed else check.advice, missed,
                      any(one.refused for one in outcomes))  # fmt: skip

    def article_id(self, number: int) -> str:
        return f"art_{self.token}{number:04x}"

    def event(self, number: int, kind: str = "article.published", revision: int = 1, *, headline: str = "Certificate test",
              text: str = "", ago_s: float = 0) -> RenderInput:  # fmt: skip
        """An event about the certification's article of that number; `ago_s`: it happened so long ago."""
        made = trial.sample(self.now())
        article = msgspec.structs.replace(
            made.article, id=self.article_id(number), revision=revision, headline=f"{headline} {number}, revision {revision}",
            state="withdrawn" if kind == "article.withdrawn" else "usable",
            blocks=(*made.article.blocks, *((Paragraph(text),) if text else ())),
        )  # fmt: skip
        at = self.now() - dt.timedelta(seconds=ago_s)
        return msgspec.structs.replace(made, type=kind, at=at, article=article, position=number)

    def post(self, event: RenderInput, *, webhook_id: str | None = None, secrets: Sequence[str] = (), ago_s: float = 0,
             change: Callable[[dict[str, str], bytes], tuple[dict[str, str], bytes]] | None = None,
             door: Door | None = None) -> Outcome:  # fmt: skip
        """Sends the event, signed as of `ago_s` seconds ago; `change` spoils headers and body after signing."""
        body = render("brief", event).body
        named = webhook_id or f"msg_{self.token}{event.article_id[-4:]}{event.type[-4:]}{event.revision}"
        headers = sign(secrets or [self.secret], named, self.now() - dt.timedelta(seconds=ago_s), body)
        if change is not None:
            headers, body = change(headers, body)
        started = time.monotonic()
        outcome = deliver.post(door or self.door, self.target, {"Content-Type": "application/json", **headers}, body)
        if door is None:
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
        return outcome


class SlowDoor(Door):
    """A door that sends bodies in pieces, with pauses between, for receivers behind a poor line. Its judgement is the door's."""

    def __init__(self, door: Door) -> None:
        super().__init__(door.policy)
        self._session = _SlowSession(door.policy.ca_file)


class _SlowSession(GuardedSession):
    def make(self, step: Step) -> object:  # type: ignore[override]  # the response, as the base class has it
        body = step.body or b""
        headers = {**step.headers, "Content-Length": str(len(body))}
        return super().make(step._replace(headers=headers, body=_Pieces(body)))  # type: ignore[arg-type]  # urllib3 iterates


class _Pieces:
    """A body that comes in pieces; a try that is repeated begins anew."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        size = len(self.body) // PIECES + 1
        for start in range(0, len(self.body), size):
            if start:
                time.sleep(PAUSE_S)
            yield self.body[start : start + size]


def _met(outcomes: Sequence[Outcome]) -> str:
    said = [
        f"{one.status}" if one.status is not None else f"no answer ({reason_of(one)}: {one.detail})" for one in outcomes
    ]
    return ", ".join(dict.fromkeys(said)) or "nothing"


# The checks


def _taken(outcome: Outcome) -> bool:
    return outcome.ok


def _turned_away(outcome: Outcome) -> bool:
    """A clear no to this request: not a wrong address, not a call to stop or to wait."""
    return (
        outcome.status is not None and 400 <= outcome.status < 500 and outcome.status not in (404, 405, 408, 410, 429)
    )


def _repeated(run: Run) -> list[Outcome]:
    return [run.post(run.event(2)) for _ in range(3)]


def _reordered(run: Run) -> list[Outcome]:
    kinds = (("article.published", 1), ("article.updated", 3), ("article.updated", 2))
    return [run.post(run.event(3, kind, revision)) for kind, revision in kinds]


def _withdrawn(run: Run) -> list[Outcome]:
    published = run.event(4)
    return [run.post(published), run.post(run.event(4, "article.withdrawn")), run.post(published)]


def _spoilt(run: Run) -> list[Outcome]:
    def changed(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
        return headers, body.replace(b"Forged", b"Forgot")

    return [run.post(run.event(9, headline="Forged text"), change=changed)]


def _renamed(run: Run) -> list[Outcome]:
    def changed(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
        return {**headers, "webhook-id": f"msg_{run.token}other"}, body

    return [run.post(run.event(10, headline="Forged id"), change=changed)]


def _unsigned(run: Run) -> list[Outcome]:
    event = run.event(11, headline="Forged, unsigned")
    without = lambda headers, body: ({k: v for k, v in headers.items() if k != "webhook-signature"}, body)  # noqa: E731
    return [run.post(event, change=without), run.post(event, change=lambda headers, body: ({}, body))]


def _at_once(run: Run) -> list[Outcome]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda n: run.post(run.event(0x20 + n)), range(AT_ONCE)))


def _prompt(run: Run) -> list[Outcome]:
    return [Outcome(status=200, duration_s=run.slowest_s)]


def _unknown(run: Run) -> list[Outcome]:
    def widened(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
        wider = msgspec.json.encode({**msgspec.json.decode(body), "added_in_2031": {"anything": [1, None]}})
        return sign([run.secret], f"msg_{run.token}unknown", run.now(), wider), wider

    return [run.post(run.event(13), change=widened), run.post(run.event(14, "article.annotated"))]


def _foreign() -> str:
    return new_secret(b"briefwire: nobody's secret, as anybody knows it"[:32])


CHECKS: tuple[Check, ...] = (
    Check("genuine", "a published article, signed", "a 2xx within 20 s",
          "Verify with this secret (Base64 after whsec_), over `id.timestamp.body` with the body as it came, byte for byte.",
          lambda run: [run.post(run.event(1))], _taken),
    Check("duplicates", "the same event three times", "a 2xx each time",
          "Remember webhook-ids with your articles; answer 2xx to one you have and do nothing.", _repeated, _taken),
    Check("reordered", "revisions 1, 3, then 2 of an article", "a 2xx each time",
          "Compare data.revision with what you have: take a newer one, pass over an older one, answer 2xx to both.", _reordered, _taken),
    Check("withdrawn", "an article, its withdrawal, and the article again as a replay", "a 2xx each time",
          "Take the article down under data.article_id and keep a note, so that a replay does not bring it back.", _withdrawn, _taken),
    Check("withdrawn-unknown", "the withdrawal of an article you never got", "a 2xx",
          "Answer 2xx: an attempt whose answer was lost looks like this.", lambda run: [run.post(run.event(5, "article.withdrawn"))],
          _taken),
    Check("embargoed", "an event of two days ago, released and signed just now", "a 2xx",
          "Judge freshness by the webhook-timestamp header alone; `timestamp` in the body is when it happened, under embargo long ago.",
          lambda run: [run.post(run.event(6, ago_s=172_800))], _taken),
    Check("forged", "an event signed with another secret", "a 4xx such as 401",
          "Refuse what does not verify: anybody can post to your address.",
          lambda run: [run.post(run.event(8, headline="Forged"), secrets=[_foreign()])], _turned_away),
    Check("changed-body", "a body changed after signing", "a 4xx such as 401",
          "Compute the signature over the raw body, before any parsing.", _spoilt, _turned_away),
    Check("changed-id", "a genuine event under another webhook-id", "a 4xx such as 401",
          "The id is signed too: the signature is over `id.timestamp.body`.", _renamed, _turned_away),
    Check("unsigned", "an event without signature, one without any of the headers", "a 4xx such as 401",
          "Refuse requests without the three webhook- headers.", _unsigned, _turned_away),
    Check("stale", "an event signed ten minutes ago", "a 4xx such as 401",
          "Refuse a webhook-timestamp more than 300 s off: it may be a recording. Check your clock too.",
          lambda run: [run.post(run.event(12, headline="Forged, stale"), ago_s=600)], _turned_away),
    Check("from-the-future", "an event signed for ten minutes hence", "a 4xx such as 401",
          "Refuse a webhook-timestamp more than 300 s off in either direction.",
          lambda run: [run.post(run.event(15, headline="Forged, future"), ago_s=-600)], _turned_away),
    Check("rotated-secret", "an event with two signatures, the second of them yours", "a 2xx",
          "The header holds several signatures parted by spaces while a secret is rotated: accept when any fits.",
          lambda run: [run.post(run.event(16), secrets=[_foreign(), run.secret])], _taken),
    Check("other-schemes", "an event with a v1a signature besides yours", "a 2xx",
          "Pass over signatures whose scheme you do not know.",
          lambda run: [run.post(run.event(17), secrets=[new_key_pair(b"k" * 32)[0], run.secret])], _taken),
    Check("unknown", "a new field, and a new type of event", "a 2xx",
          "Ignore fields and types that you do not know: new ones may come at any time.", _unknown, _taken),
    Check("test-event", "an event of type briefwire.test", "a 2xx",
          "Answer 2xx and store nothing.", lambda run: [run.post(run.event(18, trial.TEST_EVENT))], _taken),
    Check("long", "an article of 300,000 characters", "a 2xx", "Take bodies of at least 10 MB.",
          lambda run: [run.post(run.event(19, text="word " * (LONG_CHARS // 5)))], _taken),
    Check("slow", "an event whose body comes in pieces over some seconds", "a 2xx",
          "Read the whole body as Content-Length says before you verify; give a sender at least 30 s.",
          lambda run: [run.post(run.event(20), door=run.slow_door)], _taken),
    Check("at-once", f"{AT_ONCE} articles at once", "a 2xx for each",
          "Take several requests at a time, or ask for a lower concurrency.", _at_once, _taken),
    Check("prompt", "all of these", f"each answered within {PROMPT_S:g} s",
          "Store the event, answer, and do slow work afterwards: after 20 s we hang up and come again.", _prompt,
          lambda outcome: outcome.duration_s <= PROMPT_S, lambda found: f"the slowest took {found[0].duration_s:.1f} s"),
)  # fmt: skip
