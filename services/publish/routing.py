"""An event and an endpoint in; whether and why the endpoint gets it out. The caller supplies what the store knows.

The order of the questions is the order of the reasons: a withdrawal first (it goes to whoever may have the article),
then what may not leave at all, then who has the article already, then filters.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from services.publish import filters

Kind = Literal["published", "updated", "corrected", "relinked", "withdrawn", "restored", "status_changed"]

SkipCode = Literal[
    "held",
    "embargoed",
    "never-sent",
    "backfill",
    "relink-not-asked",
    "status-not-asked",
    "kind-not-asked",
    "filtered",
    "no-subscription",
]

USUAL_KINDS: frozenset[Kind] = frozenset({"published", "updated", "corrected", "restored"})
"""What a subscription takes unless it says otherwise; withdrawals are not a matter of choice."""


class EventFacts(msgspec.Struct, frozen=True):
    """What routing has to know of one event. `held` and `embargoed` are as of now."""

    kind: Kind
    article_id: str
    revision: int
    facts: filters.Facts
    backfill: bool = False
    held: bool = False
    embargoed: bool = False


class Subscription(msgspec.Struct, frozen=True):
    """One wish of an endpoint. An empty `filter` matches everything.

    `kinds` are the events it takes (add "relinked" to be told when only links changed, "status_changed" when a section's
    status did); `backfill` takes old articles
    too; `follow` keeps sending an article that went out once, whatever the filter says of later revisions.
    """

    id: str
    filter: str = ""
    kinds: frozenset[Kind] = USUAL_KINDS
    backfill: bool = False
    follow: bool = True


class EndpointFacts(msgspec.Struct, frozen=True):
    """What routing has to know of one endpoint. `already_sent`: it has had an attempt for this article whose outcome is
    success or unknown."""

    id: str
    format: str
    subscriptions: tuple[Subscription, ...]
    already_sent: bool = False


class Deliver(msgspec.Struct, frozen=True, tag="deliver"):
    """It goes out, once, however many subscriptions match. `because` is one sentence; `subscription` the one that
    decided, None when having sent the article before did."""

    kind: Kind
    format: str
    because: str
    subscription: str | None = None


class Skip(msgspec.Struct, frozen=True, tag="skip"):
    """It does not go out: a stable code and one sentence."""

    code: SkipCode
    sentence: str


def decide(event: EventFacts, endpoint: EndpointFacts) -> Deliver | Skip:
    """Whether this endpoint gets this event. Raises filters.FilterError when a stored filter does not parse."""
    if event.kind == "withdrawn":
        return _withdrawal(endpoint)
    if event.held:
        return Skip("held", "The desk holds the article: it appears nowhere outward until it is released.")
    if event.embargoed:
        return Skip("embargoed", "The article is under embargo: it appears nowhere outward until that lifts.")
    if not endpoint.subscriptions:
        return Skip("no-subscription", "The endpoint has no subscription.")
    return _by_subscription(event, endpoint)


class Reason(msgspec.Struct, frozen=True):
    """One subscription's part in a decision: its own answer, its filter clause by clause, and the clauses that decided
    against the article."""

    subscription: str
    answer: Deliver | Skip
    filter: filters.Explained
    missed: tuple[filters.Explained, ...] = ()


class Explanation(msgspec.Struct, frozen=True):
    """The decision and what each subscription would have said by itself."""

    answer: Deliver | Skip
    reasons: tuple[Reason, ...] = ()


def explain(event: EventFacts, endpoint: EndpointFacts) -> Explanation:
    """The decision of `decide` with its grounds."""
    return Explanation(
        decide(event, endpoint), tuple(_reason(event, endpoint, wish) for wish in endpoint.subscriptions)
    )


def _reason(event: EventFacts, endpoint: EndpointFacts, wish: Subscription) -> Reason:
    explained = filters.explain(filters.parse(wish.filter), event.facts)
    alone = msgspec.structs.replace(endpoint, subscriptions=(wish,))
    return Reason(wish.id, decide(event, alone), explained, tuple(filters.nearest_miss(explained)))


def _withdrawal(endpoint: EndpointFacts) -> Deliver | Skip:
    if endpoint.already_sent:
        return Deliver("withdrawn", endpoint.format, "The endpoint has, or may have, the article that is withdrawn.")
    return Skip("never-sent", "The endpoint never got the article, so there is nothing to withdraw from it.")


def _by_subscription(event: EventFacts, endpoint: EndpointFacts) -> Deliver | Skip:
    refusals: list[Skip] = []
    for subscription in endpoint.subscriptions:
        answer = _one(event, endpoint, subscription)
        if isinstance(answer, Deliver):
            return answer
        refusals.append(answer)
    # The nearest miss explains most: the subscription that got furthest down the questions.
    return max(refusals, key=lambda skip: _DEPTH.index(skip.code))


_DEPTH: tuple[SkipCode, ...] = (
    "kind-not-asked",
    "relink-not-asked",
    "status-not-asked",
    "never-sent",
    "filtered",
    "backfill",
)


def _one(event: EventFacts, endpoint: EndpointFacts, wish: Subscription) -> Deliver | Skip:
    if event.kind not in wish.kinds:
        return _not_asked(event, wish)
    if endpoint.already_sent and wish.follow and event.kind != "status_changed":
        return Deliver(event.kind, endpoint.format, "The endpoint got this article before and follows it.")
    if event.kind == "relinked" and not endpoint.already_sent:
        return Skip("never-sent", "Only links changed, on an article that the endpoint never got.")
    if not filters.matches(wish.filter, event.facts):
        return Skip("filtered", f"Subscription {wish.id}: the filter does not match.")
    if event.backfill and not wish.backfill and not (endpoint.already_sent and event.kind != "status_changed"):
        return Skip("backfill", f"Subscription {wish.id}: the article is old, and back-fill is not asked for.")
    return Deliver(event.kind, endpoint.format, f"Subscription {wish.id} matches.", wish.id)


def _not_asked(event: EventFacts, wish: Subscription) -> Skip:
    if event.kind == "relinked":
        return Skip("relink-not-asked", f"Subscription {wish.id}: only links changed, and that is not asked for.")
    if event.kind == "status_changed":
        return Skip(
            "status-not-asked", f"Subscription {wish.id}: a section's status changed, and that is not asked for."
        )
    return Skip("kind-not-asked", f"Subscription {wish.id} does not take articles that are {event.kind}.")
