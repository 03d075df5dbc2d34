"""`briefwire partner endpoint ...` and `briefwire partner subscription ...`: where a partner takes delivery, and what of."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from services.console import endpoints, reasons, show
from services.console.commands.options import Json, Reason
from services.console.opening import Opening
from services.publish import feeds_out, render
from shared.store import ledger, partners

endpoint = typer.Typer(name="endpoint", help="Where a partner takes delivery.", no_args_is_help=True)
subscription = typer.Typer(name="subscription", help="What an endpoint gets.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's name, as `partner list` shows it.")]
Endpoint = Annotated[int, typer.Argument(metavar="ENDPOINT", help="Its number, as `partner endpoint list` shows it.")]
Subscription = Annotated[
    int, typer.Argument(metavar="SUBSCRIPTION", help="Its number, as `partner subscription list` shows it.")
]
Which = Annotated[
    int | None, typer.Option("--endpoint", metavar="N", help="Which of several endpoints; its only one unless given.")
]
Format = Annotated[str | None, typer.Option("--format", metavar="F", help=f"One of {', '.join(render.FORMATS)}.")]
Filter = Annotated[
    str | None, typer.Option("--filter", metavar="F", help="Only what this matches; docs/partners.md has the words.")
]
Backfill = Annotated[bool | None, typer.Option("--backfill/--no-backfill", help="Also what was old when first seen.")]
Coalesce = Annotated[
    bool | None, typer.Option("--coalesce/--no-coalesce", help="Skip unsent revisions that a newer one overtakes.")
]
Relinked = Annotated[
    bool | None, typer.Option("--relinked/--no-relinked", help="Also when only an article's links changed.")
]
StatusChanges = Annotated[
    bool | None, typer.Option("--status-changes/--no-status-changes", help="Also when a section's status changed.")
]
Follow = Annotated[
    bool | None,
    typer.Option(
        "--follow/--no-follow", help="All later revisions of what went out, whatever the filter says of them."
    ),
]
Days = Annotated[
    float | None, typer.Option("--days", metavar="N", min=0, help="The articles of the last N days first.")
]
Rate = Annotated[
    int | None, typer.Option("--per-minute", metavar="N", min=0, help="At most so many attempts a minute; 0: no limit.")
]
AtOnce = Annotated[
    int | None, typer.Option("--concurrency", metavar="N", min=1, max=64, help="Articles in flight at once.")
]
Layout = Annotated[
    str | None,
    typer.Option("--layout", metavar="T", help="Names of files, as docs/partners.md shows; `usual` goes back."),
]
Secret = Annotated[
    str | None, typer.Option("--secret", metavar="whsec_…", help="Sign with this; one is made unless given.")
]
Sign = Annotated[
    str,
    typer.Option("--sign", metavar="v1|v1a", help="v1: a shared secret; v1a: ed25519, the partner gets a public key."),
]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Do not judge the host's address first.")]


# Endpoints


@endpoint.command("add")
def add_endpoint(
    context: typer.Context,
    name: Name,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A webhook (https://…), a folder, or a storage URL (s3://…).")
    ],
    format_: Format = None,
    filter_: Filter = None,
    backfill: Backfill = None,
    coalesce: Coalesce = None,
    relinked: Relinked = None,
    status_changes: StatusChanges = None,
    follow: Follow = None,
    days: Days = None,
    per_minute: Rate = None,
    concurrency: AtOnce = None,
    layout: Layout = None,
    secret: Secret = None,
    sign: Sign = "v1",
    no_check: NoCheck = False,
    reason: Reason = "",
    json_: Json = False,
) -> None:
    """Give a partner a further endpoint, with a subscription and a lane of its own.

    Prints a new secret once.

    \b
    briefwire partner endpoint add desk https://desk.example/sport --filter 'section = "Sport"'
    briefwire partner endpoint add desk s3://desk/wire --format ninjs --days 30
    briefwire partner endpoint add desk https://desk.example/in --sign v1a --per-minute 120
    """
    opening: Opening = context.obj
    where = endpoints.place(url)
    with opening.read() as connection:
        rows = partners.of_partner(connection, name)
    if where.kind == "webhook" and not no_check:
        endpoints.check_reachable(opening.settings, url)
    wishes = {"url": where.url, "format": format_, "filter": filter_, "backfill": backfill, "coalesce": coalesce, "relinked": relinked,
              "status_changes": status_changes, "follow": follow, "days": days,
              "per_minute": per_minute, "at_once": concurrency, "layout": layout, "secret": secret,
              "sign": sign}  # fmt: skip
    done = opening.perform("add-endpoint", rows[0]["id"], reason=reason, fields=fields_of(wishes))
    with opening.read() as connection:
        made = max(partners.of_partner(connection, name), key=lambda row: int(row["id"]))
    if json_:
        show.as_json({"partner": name, "endpoint": made["id"], "kind": made["kind"], "url": made["url"], "format": made["format"],
                      "cannot_hold": cannot_hold(made["format"]), "secret": done.secret})  # fmt: skip
        return
    show.say(done.said)
    say_format(made["format"])
    if done.secret:
        show.say(f"  Secret (shown once; the partner verifies with it): {done.secret}")


@endpoint.command("list")
def list_endpoints(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="PARTNER", help="Only this partner's.")] = None,
    json_: Json = False,
) -> None:
    """Every endpoint with its number, its limits, and how delivery stands.

    \b
    briefwire partner endpoint list desk --json
    """
    with context.obj.read() as connection:
        rows = partners.of_partner(connection, name) if name else partners.endpoints(connection)
        books = {line.endpoint: line for line in ledger.books(connection).delivery}
    listed = [_endpoint(row, books.get(row["id"])) for row in rows]
    columns = {"endpoint": "endpoint", "partner": "partner", "kind": "kind", "state": "state", "format": "format",
               "per_minute": "a minute", "concurrency": "at once", "layout": "layout", "subscriptions": "subscriptions",
               "delivered": "delivered", "due": "due", "url": "url", "reason": "why"}  # fmt: skip
    right = ("endpoint", "a minute", "at once", "subscriptions", "delivered", "due")
    show.listing(
        listed, columns, json_=json_, right=right, empty="No endpoints yet. `briefwire partner add URL` adds one."
    )


def _endpoint(row: dict[str, Any], book: ledger.DeliveryLine | None) -> dict[str, Any]:
    keys = (
        "partner",
        "kind",
        "url",
        "format",
        "state",
        "reason",
        "per_minute",
        "concurrency",
        "layout",
        "position",
        "created_at",
    )
    states = ("due", "held", "delivered", "superseded", "quarantined", "filtered", "backfilled")
    counts = {state: getattr(book, state) if book else 0 for state in states}
    more = {"subscriptions": len(row["subscriptions"]), "history_since": row["history_since"]}
    return {"endpoint": row["id"], **{key: row[key] for key in keys}, **more, **counts}


@endpoint.command("change")
def change_endpoint(
    context: typer.Context,
    wanted: Endpoint,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Another address of the same kind.")] = None,
    format_: Format = None,
    per_minute: Rate = None,
    concurrency: AtOnce = None,
    layout: Layout = None,
    link_above: Annotated[
        int | None,
        typer.Option(
            "--link-above", metavar="BYTES", min=0, help="Brief JSON that is longer carries a link; 0: never."
        ),
    ] = None,
    no_check: NoCheck = False,
    reason: Reason = "",
) -> None:
    """Another address, format, rate, concurrency or layout.

    Positions, log and what waits go on. A disabled endpoint with a new address is active again.

    \b
    briefwire partner endpoint change 3 --per-minute 60 --concurrency 2
    briefwire partner endpoint change 3 --url https://desk.example/new
    """
    opening: Opening = context.obj
    if url and not no_check and endpoints.place(url).kind == "webhook":
        endpoints.check_reachable(opening.settings, url)
    changes = {"url": url, "format": format_, "per_minute": per_minute, "at_once": concurrency, "layout": layout,
               "link_above": link_above}  # fmt: skip
    show.say(opening.perform("change-endpoint", wanted, reason=reason, fields=fields_of(changes)).said)
    if format_:
        say_format(format_)


@endpoint.command("remove")
def remove_endpoint(context: typer.Context, wanted: Endpoint, reason: Reason) -> None:
    """Stop sending to one of a partner's endpoints for good; its log stays.

    \b
    briefwire partner endpoint remove 3 --reason "moved to S3"
    """
    show.say(context.obj.perform("remove-endpoint", wanted, reason=reason).said)


# Subscriptions


@subscription.command("add")
def add_subscription(
    context: typer.Context,
    name: Name,
    filter_: Filter = None,
    which: Which = None,
    backfill: Backfill = None,
    coalesce: Coalesce = None,
    relinked: Relinked = None,
    status_changes: StatusChanges = None,
    follow: Follow = None,
    days: Days = None,
    reason: Reason = "",
) -> None:
    """A further wish of an endpoint: it gets what any of its subscriptions matches, once.

    \b
    briefwire partner subscription add desk --filter 'tags = "budget"' --days 7
    """
    opening: Opening = context.obj
    with opening.read() as connection:
        row = reasons.one_endpoint(connection, name, which)
    wishes = {
        "filter": filter_,
        "backfill": backfill,
        "coalesce": coalesce,
        "relinked": relinked,
        "status_changes": status_changes,
        "follow": follow,
        "days": days,
    }
    show.say(opening.perform("add-subscription", row["id"], reason=reason, fields=fields_of(wishes)).said)


@subscription.command("change")
def change_subscription(
    context: typer.Context,
    wanted: Subscription,
    filter_: Filter = None,
    backfill: Backfill = None,
    coalesce: Coalesce = None,
    relinked: Relinked = None,
    status_changes: StatusChanges = None,
    follow: Follow = None,
    days: Days = None,
    reason: Reason = "",
) -> None:
    """Another filter or other flags, from the next event on.

    What went out is followed all the same. `partner backtest` shows first what would change; --days N sends what the filter now
    lets through of the last N days.

    \b
    briefwire partner subscription change 4 --filter 'language = "en"' --coalesce
    briefwire partner subscription change 4 --days 7
    """
    wishes = {
        "filter": filter_,
        "backfill": backfill,
        "coalesce": coalesce,
        "relinked": relinked,
        "status_changes": status_changes,
        "follow": follow,
        "days": days,
    }
    show.say(context.obj.perform("change-subscription", wanted, reason=reason, fields=fields_of(wishes)).said)


@subscription.command("list")
def list_subscriptions(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="PARTNER", help="Only this partner's.")] = None,
    json_: Json = False,
) -> None:
    """Every subscription with its number, its filter and its flags.

    `own` is what the partner itself narrows it by, on its page. `feed` is where only this subscription's articles are: with a pull
    key (`briefwire key pull`) in place of {key}, and rss, atom, json or txt in place of {ending}.

    \b
    briefwire partner subscription list desk --json
    """
    with context.obj.read() as connection:
        rows = partners.of_partner(connection, name) if name else partners.endpoints(connection)
    base = (context.obj.settings.web.url or "").rstrip("/")
    flags = ("backfill", "coalesce", "relinked", "status_changes", "follow")
    listed = [
        {"subscription": wish["id"], "partner": row["partner"], "endpoint": row["id"], "filter": wish["filter"], "own": wish["narrow"],
         **{flag: wish[flag] for flag in flags}, "feed": feeds_out.address(base, wish["id"])}
        for row in rows for wish in row["subscriptions"] if row["kind"] != "websub"
    ]  # fmt: skip
    columns = {"subscription": "subscription", "partner": "partner", "endpoint": "endpoint", "filter": "filter", "own": "own",
               "backfill": "back-fill", "coalesce": "coalesce", "relinked": "relinked",
               "status_changes": "status changes", "follow": "follow", "feed": "feed"}  # fmt: skip
    show.listing(listed, columns, json_=json_, right=("subscription", "endpoint"), empty="No subscriptions.")


@subscription.command("remove")
def remove_subscription(context: typer.Context, wanted: Subscription, reason: Reason) -> None:
    """Ask for something no more. Withdrawals still reach whoever got an article.

    \b
    briefwire partner subscription remove 4 --reason "contract ended"
    """
    show.say(context.obj.perform("remove-subscription", wanted, reason=reason).said)


def fields_of(wishes: dict[str, Any]) -> dict[str, str]:
    """Options as the fields of an action; what was not given is not there."""
    words = {True: "yes", False: "no"}
    return {
        name: words[value] if isinstance(value, bool) else str(value)
        for name, value in wishes.items()
        if value is not None
    }


def cannot_hold(format_: str) -> list[str]:
    """Fields of the record that have no place in the format."""
    return sorted(render.FORMATS[format_].cannot_hold)


def say_format(format_: str) -> None:
    """Says which fields the format has no place for."""
    missing = cannot_hold(format_)
    if missing:
        show.say(f"  {format_} has no place for: {', '.join(name.replace('_', ' ') for name in missing)}. "
                 "Each delivery says which of them it left out.")  # fmt: skip
