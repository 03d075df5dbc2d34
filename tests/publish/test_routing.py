"""Who gets an event and why not: the order of the questions on small facts."""

from __future__ import annotations

import msgspec
import pytest

from services.publish.filters import Facts, FilterError
from services.publish.routing import (
    USUAL_KINDS,
    Deliver,
    EndpointFacts,
    EventFacts,
    Explanation,
    Kind,
    Skip,
    Subscription,
    decide,
    explain,
)

ECONOMY = Subscription("s_economy", 'section = "Economy"')
EVENT = EventFacts("published", "art_1", 1, Facts(section="Economy", language="en"))
ELSEWHERE = msgspec.structs.replace(EVENT, facts=Facts(section="Sport"))


def endpoint(*subscriptions: Subscription, already_sent: bool = False) -> EndpointFacts:
    return EndpointFacts("ep_1", "brief", subscriptions or (ECONOMY,), already_sent)


def of(event: EventFacts, **changes: object) -> EventFacts:
    return msgspec.structs.replace(event, **changes)


def code(event: EventFacts, to: EndpointFacts) -> str:
    answer = decide(event, to)
    assert isinstance(answer, Skip)
    assert answer.sentence.endswith(".")
    return answer.code


def delivered(event: EventFacts, to: EndpointFacts) -> Deliver:
    answer = decide(event, to)
    assert isinstance(answer, Deliver)
    assert (answer.kind, answer.format) == (event.kind, "brief")
    return answer


def test_a_match_goes_out_and_the_rest_is_filtered() -> None:
    assert delivered(EVENT, endpoint()).subscription == "s_economy"
    assert code(ELSEWHERE, endpoint()) == "filtered"
    assert delivered(ELSEWHERE, endpoint(Subscription("s_all"))).subscription == "s_all"


def test_two_matching_subscriptions_give_one_delivery_in_the_endpoints_format() -> None:
    assert delivered(EVENT, endpoint(ECONOMY, Subscription("s_all"))).subscription == "s_economy"


def test_no_subscription_gets_nothing() -> None:
    assert decide(EVENT, EndpointFacts("ep_1", "brief", ())) == Skip(
        "no-subscription", "The endpoint has no subscription."
    )


def test_backfill_only_where_a_subscription_says_so() -> None:
    old = of(EVENT, backfill=True)
    assert code(old, endpoint()) == "backfill"
    wanted = Subscription("s_history", backfill=True)
    assert delivered(old, endpoint(ECONOMY, wanted)).subscription == "s_history"
    assert code(of(ELSEWHERE, backfill=True), endpoint()) == "filtered", "the nearer reason wins"


@pytest.mark.parametrize("kind", ["published", "updated", "corrected", "restored"])
def test_who_got_it_keeps_getting_it_whatever_the_filter_says(kind: Kind) -> None:
    assert delivered(of(ELSEWHERE, kind=kind, backfill=True), endpoint(already_sent=True)).subscription is None


def test_unless_the_subscription_says_otherwise() -> None:
    loose = Subscription("s_loose", ECONOMY.filter, follow=False)
    assert code(of(ELSEWHERE, kind="updated"), endpoint(loose, already_sent=True)) == "filtered"
    assert delivered(of(EVENT, kind="updated"), endpoint(loose, already_sent=True)).subscription == "s_loose"


def test_kinds_that_are_not_asked_for() -> None:
    first_only = Subscription("s_first", kinds=frozenset({"published"}))
    assert code(of(EVENT, kind="updated"), endpoint(first_only, already_sent=True)) == "kind-not-asked"
    assert delivered(of(EVENT, kind="withdrawn"), endpoint(first_only, already_sent=True))


def test_relinked_only_where_asked_and_only_to_who_got_the_article() -> None:
    relinked = of(EVENT, kind="relinked")
    links = Subscription("s_links", kinds=USUAL_KINDS | {"relinked"})
    assert code(relinked, endpoint(already_sent=True)) == "relink-not-asked"
    assert code(relinked, endpoint(links)) == "never-sent"
    assert delivered(relinked, endpoint(links, already_sent=True))


@pytest.mark.parametrize("already_sent", [True, False])
def test_held_and_embargoed_articles_go_nowhere(already_sent: bool) -> None:
    to = endpoint(Subscription("s_all", backfill=True), already_sent=already_sent)
    assert code(of(EVENT, held=True, embargoed=True), to) == "held"
    assert code(of(EVENT, embargoed=True), to) == "embargoed"


def test_a_withdrawal_goes_to_whoever_may_have_it_and_to_nobody_else() -> None:
    gone = of(ELSEWHERE, kind="withdrawn", held=True, embargoed=True, backfill=True)
    assert delivered(gone, endpoint(already_sent=True)).subscription is None
    assert code(gone, endpoint()) == "never-sent"
    no_wish = EndpointFacts("ep_1", "brief", (), already_sent=True)
    assert delivered(gone, no_wish)


def test_a_stored_filter_that_does_not_parse_is_loud() -> None:
    with pytest.raises(FilterError, match="column 8"):
        decide(EVENT, endpoint(Subscription("s_bad", "section")))


def test_explaining_names_the_clause_of_each_subscription() -> None:
    russian = Subscription("s_ru", 'language = "ru" and section = "Economy"', backfill=True)
    explained = explain(of(EVENT, backfill=True), endpoint(ECONOMY, russian))
    assert explained.answer == decide(of(EVENT, backfill=True), endpoint(ECONOMY, russian))
    economy, other = explained.reasons
    assert isinstance(economy.answer, Skip)
    assert isinstance(other.answer, Skip)
    assert (economy.subscription, economy.answer.code, economy.filter.result) == ("s_economy", "backfill", True)
    assert (other.answer.code, [miss.part for miss in other.missed]) == ("filtered", ['language = "ru"'])
    assert other.missed[0].value == "en"
    assert msgspec.json.decode(msgspec.json.encode(explained), type=Explanation) == explained
