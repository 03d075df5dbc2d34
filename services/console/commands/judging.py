"""`briefwire partner explain|backtest|withdrawals|certify`: why, what if, who confirmed, and is it fit."""

from __future__ import annotations

import datetime as dt
import os
from typing import Annotated, Any

import typer

from services.console import reasons, show, ways
from services.console.commands.endpoint import Which
from services.console.commands.options import AllowHost, Json
from services.console.opening import Opening
from services.publish import certify as certifying
from shared import clock
from shared.errors import OperatorError
from shared.store import articles, withdrawals

Name = Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's name, as `partner list` shows it.")]


def register(app: typer.Typer) -> None:
    """Adds these commands to the group."""
    for command in (explain, backtest, withdrawals_, certify):
        app.command(command.__name__.rstrip("_"))(command)


def explain(
    context: typer.Context,
    name: Name,
    wanted: Annotated[
        str, typer.Argument(metavar="ARTICLE", help="An id, the beginning of one, or the article's address.")
    ],
    json_: Json = False,
) -> None:
    """Why an article went to a partner, or did not.

    Each event of the article, for each endpoint: what became of it, and what each subscription said; of a filter that did not match,
    the clauses that decided and what the article has there. Exit code 1: the partner did not get it.

    \b
    briefwire partner explain desk art_1c2f
    briefwire partner explain desk https://news.example/a-brief --json
    """
    with context.obj.read() as connection:
        article_id = ways.find(connection, wanted)
        found = reasons.explain(connection, name, article_id, clock.now())
        present = articles.get(connection, article_id)
    if json_:
        show.as_json({"partner": name, "article_id": article_id, "answers": found})
    else:
        show.say(f"{article_id}  {present['headline'] if present else ''}", style="bold")
        for why in found:
            _say_why(why)
        if not found:
            show.say("Nothing of it was told to anybody yet: it is not enriched. `briefwire trace` shows where it is.")
    if found and not any(why.went or why.went is None for why in found):
        raise typer.Exit(1)


_WORDS = {True: "went", None: "not yet", False: "did not go"}


def _say_why(why: reasons.Why) -> None:
    where = f"endpoint {why.endpoint_id} ({why.kind}{f' {why.url}' if why.url else ''})"
    show.say(f"\n{_WORDS[why.went]}: {why.what} r{why.revision} of {show.moment(why.at)} to {where}")
    show.say(f"  {why.because}")
    if why.standing not in ("filtered", "before", "unplanned"):
        at = f", position {why.position}" if why.position else ""
        tries = f", {why.attempts} {'attempt' if why.attempts == 1 else 'attempts'}" if why.attempts else ""
        show.say(f"  {why.standing}{at}{tries}{f', last answer {why.answered}' if why.answered else ''}")
    if why.omitted:
        show.say(f"  Its format had no place for: {', '.join(why.omitted)}")
    for one in why.subscriptions if why.what != "withdrawn" else ():
        show.say(f"  subscription {one.subscription}: {one.filter or 'everything'}")
        if not one.takes:
            show.say(f"    {one.because}")
        for clause in one.missed:
            show.say(f"    {clause.clause}   <- it has: {clause.value[:200]}")


def backtest(
    context: typer.Context,
    name: Name,
    filter_: Annotated[str, typer.Argument(metavar="FILTER", help="The filter to try.")],
    days: Annotated[
        float, typer.Option("--days", metavar="N", min=0, help="Over the articles of the last N days.")
    ] = 30,
    which: Which = None,
    wish: Annotated[
        int | None,
        typer.Option("--subscription", metavar="N", help="In the place of which one; the only one unless given."),
    ] = None,
    examples: Annotated[
        int, typer.Option("--examples", metavar="N", min=0, max=1000, help="How many to name of each.")
    ] = 5,
    json_: Json = False,
) -> None:
    """What another filter would add and drop, tried over history. Nothing is changed.

    \b
    briefwire partner backtest desk 'section = "Economy" and words > 50'
    briefwire partner backtest desk 'language = "en"' --days 365 --examples 20 --json
    """
    opening: Opening = context.obj
    since = clock.now() - dt.timedelta(days=days)
    with opening.read() as connection, show.busy("Trying the filter"):
        row = reasons.one_endpoint(connection, name, which)
        found = reasons.backtest(connection, row, reasons.one_subscription(row, wish), filter_, since, examples)
    if json_:
        show.as_json({"partner": name, **_plain(found)})
        return
    show.say(
        f"{found.articles:,} articles in the last {days:g} days, at endpoint {found.endpoint_id}, subscription {found.subscription}:"
    )
    show.say(f"  adds {found.added:,}, drops {found.dropped:,}; {found.both:,} match both, {found.neither:,} neither"
             + (f"; {found.old:,} are back-fill, which it does not take" if found.old else "") + ".")  # fmt: skip
    for word, some, n in (("adds", found.adds, found.added), ("drops", found.drops, found.dropped)):
        for one in some:
            show.say(f"  {word:<5}  {one.article_id}  {show.moment(one.at)}  {one.headline}")
        if n > len(some):
            show.say(f"         and {n - len(some):,} more")
    show.say(
        f"  `briefwire partner subscription change {found.subscription} --filter …` makes it so; what went out is followed all the same."
    )


def _plain(found: reasons.Tried) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__struct_fields__}


def withdrawals_(
    context: typer.Context,
    wanted: Annotated[str | None, typer.Argument(metavar="ARTICLE", help="Only this article's.")] = None,
    unconfirmed: Annotated[
        bool, typer.Option("--open", help="Only those that somebody has not confirmed yet.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    json_: Json = False,
) -> None:
    """Each withdrawal with its proof: who got the article, who confirmed when, who has not yet.

    A confirmation is a 2xx to the withdrawal, or that it was fetched. Exit code 1: somebody has not confirmed one of those shown.

    \b
    briefwire partner withdrawals
    briefwire partner withdrawals art_1c2f --json
    briefwire partner withdrawals --open
    """
    with context.obj.read() as connection:
        article_id = ways.find(connection, wanted) if wanted else None
        found = withdrawals.report(connection, limit, article_id=article_id, unconfirmed=unconfirmed)
    if json_:
        show.as_json({"open": sum(len(one.open) for one in found), "withdrawals": found})
    else:
        for one in found:
            _say_withdrawal(one)
        if not found:
            show.say("Every withdrawal is confirmed by everybody." if unconfirmed else "Nothing was withdrawn.")
    if any(one.open for one in found):
        raise typer.Exit(1)


_STANDINGS = {
    "confirmed": "confirmed", "waiting": "NOT YET: is being told", "quarantined": "NOT YET: never accepted, in quarantine",
    "unplanned": "NOT YET: not told", "superseded": "a later withdrawal took its place", "gone": "cannot be told: the endpoint was removed",
}  # fmt: skip


def _say_withdrawal(one: withdrawals.Withdrawal) -> None:
    why = f": {one.why}" if one.why else ""
    show.say(f"{one.article_id}  {one.headline}", style="bold")
    show.say(f"  withdrawn {show.moment(one.at)} by {one.by}{why}; event {one.event}, revision {one.revision}")
    if not one.holders:
        show.say("  Nobody had got it.")
    for holder in one.holders:
        got = f"got it {show.moment(holder.got_at)}" if holder.got_at else "may have got it"
        told = _STANDINGS[holder.standing]
        if holder.confirmed_at and holder.standing == "confirmed":
            told += f" {show.moment(holder.confirmed_at)}"
        elif holder.attempts:
            told += f" ({holder.attempts} {'attempt' if holder.attempts == 1 else 'attempts'}, {holder.reason or 'no answer'})"
        if holder.next_at and holder.standing == "waiting":
            told += f", next try {show.moment(holder.next_at)}"
        state = f", {holder.state}" if holder.state in ("paused", "disabled") else ""
        show.say(f"  {holder.partner}, endpoint {holder.endpoint_id}{state}: {got}; {told}")
    show.say("")


def certify(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="The receiver's address.")],
    secret: Annotated[
        str, typer.Option("--secret", metavar="whsec_…", help="The secret that the receiver verifies with.")
    ],
    allow_host: AllowHost = None,
    json_: Json = False,
) -> None:
    """Try a receiver: genuine, repeated, reordered, forged, stale, slow, withdrawn and embargoed events, and grade it.

    Each check says what was sent, what must come back, and what to do where it did not. The events say that they are a test
    (source briefwire-test); give the receiver a store that may be thrown away. Exit code 1: a check failed; 3: not reached.

    \b
    briefwire partner certify https://desk.example/in --secret whsec_…
    briefwire partner certify http://127.0.0.1:8000/ --secret whsec_… --allow-host 127.0.0.1:8000
    """
    opening: Opening = context.obj
    certifying.check_secret(secret)
    run = certifying.Run(opening.door(allow_host or ()), url, secret, os.urandom(6).hex(), clock.now)
    found = []
    for check in certifying.CHECKS:
        with show.busy(f"Trying: {check.name}"):
            graded = run.grade(check)
        found.append(graded)
        if not json_:
            _say_check(graded)
        if graded.refused or (check is certifying.CHECKS[0] and graded.unreached):
            if json_:
                show.as_json(_certificate(url, found))
            raise OperatorError(f"{url} was not reached: {graded.met}.", "Check the address, and that the receiver listens.",
                                code=2 if graded.refused else 3)  # fmt: skip
    if json_:
        show.as_json(_certificate(url, found))
    else:
        passed = sum(one.passed for one in found)
        show.say(f"\n{passed} of {len(found)} checks passed.")
        show.say(f"Look into the receiver's own store: {run.expected}")
    if not all(one.passed for one in found):
        raise typer.Exit(1)


def _certificate(url: str, found: list[certifying.Graded]) -> dict[str, Any]:
    return {"url": url, "passed": sum(one.passed for one in found), "checks": len(certifying.CHECKS),
            "ok": all(one.passed for one in found) and len(found) == len(certifying.CHECKS), "graded": found}  # fmt: skip


def _say_check(graded: certifying.Graded) -> None:
    show.say(f"{'pass' if graded.passed else 'FAIL'}  {graded.name:<22} {graded.sent}: {graded.met}",
             style="" if graded.passed else "bold red")  # fmt: skip
    if not graded.passed:
        show.say(f"      Wanted: {graded.wanted}. {graded.advice}")
