"""`briefwire partner ...`: who gets what comes in."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from services.console import actions, endpoints, reasons, show, subscribing
from services.console.commands import endpoint, judging
from services.console.commands.options import Json, Reason
from services.console.opening import Opening
from services.publish import deliver, render, trial
from services.publish.policy import Outcome
from shared import clock, vault
from shared.errors import OperatorError
from shared.store import console, ledger, partners

app = typer.Typer(name="partner", help="Who gets it: webhooks and storage targets.", no_args_is_help=True)
app.add_typer(endpoint.endpoint)
app.add_typer(endpoint.subscription)
judging.register(app)

Each = Annotated[int | None, typer.Option("--endpoint", metavar="N", help="Only this one of its endpoints.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The partner's name, as `partner list` shows it.")]


@app.command()
def add(
    context: typer.Context,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A webhook (https://…), a folder, or a storage URL (s3://…).")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it; its host or folder unless given.")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="F", help=f"One of {', '.join(render.FORMATS)}.")
    ] = "brief",
    filter_: Annotated[
        str, typer.Option("--filter", metavar="F", help="Only what this matches; docs/partners.md has the words.")
    ] = "",
    backfill: Annotated[bool, typer.Option("--backfill", help="Also what was old when first seen.")] = False,
    coalesce: Annotated[
        bool, typer.Option("--coalesce", help="Skip unsent revisions that a newer one overtakes.")
    ] = False,
    relinked: Annotated[bool, typer.Option("--relinked", help="Also when only an article's links changed.")] = False,
    status_changes: Annotated[
        bool, typer.Option("--status-changes", help="Also when a section's status changed.")
    ] = False,
    follow: endpoint.Follow = None,
    days: endpoint.Days = None,
    per_minute: endpoint.Rate = None,
    layout: endpoint.Layout = None,
    secret: endpoint.Secret = None,
    sign: endpoint.Sign = "v1",
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", min=1, max=64, help="Articles in flight at once.")
    ] = 4,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not judge the host's address first.")] = False,
    json_: Json = False,
) -> None:
    """Send what comes in to a webhook, a folder or a bucket.

    From the next event on; with --days N the articles of the last N days first. Prints a new secret once. A partner may have
    further endpoints (`partner endpoint add`), each endpoint several subscriptions (`partner subscription add`).

    \b
    briefwire partner add https://desk.example/in --name desk --filter 'section = "Economy" and language = "en"'
    briefwire partner add /srv/wire --name archive --backfill
    briefwire partner add s3://bucket/wire --format ninjs --days 7
    briefwire partner add https://desk.example/in --sign v1a --per-minute 120
    """
    opening: Opening = context.obj
    where = endpoints.place(url)
    endpoints.check_format(format_)
    endpoints.check_filter(filter_)
    secrets, shown = subscribing.secrets_of(where.kind, {"secret": secret or "", "sign": sign}, os.urandom(32))
    layout = subscribing.layout_of({"layout": layout or ""}, where.kind)
    if where.kind == "webhook" and not no_check:
        endpoints.check_reachable(opening.settings, url)
    opening.store(create=True)
    wishes: dict[str, Any] = {"format": format_, "filter": filter_, "backfill": backfill, "coalesce": coalesce, "relinked": relinked,
                              "status_changes": status_changes, "concurrency": concurrency,
                              "secrets": vault.seal(opening.settings.folder, secrets),
                              "follow": follow is not False, "per_minute": per_minute or None, "layout": layout,
                              "days": days or 0}  # fmt: skip
    _tell_added(_added(opening, name or where.name, where, wishes), shown, json_=json_)


def _added(opening: Opening, label: str, where: endpoints.Place, wishes: dict[str, Any]) -> dict[str, Any]:
    """Writes the partner, with who added it, and tells what came of it."""
    with opening.change("add-partner", f"partner {label}", where.url) as (connection, now):
        _, endpoint_id = partners.add_partner(connection, name=label, kind=where.kind, url=where.url, now=now, **wishes)
    return {"name": label, "endpoint": endpoint_id, "kind": where.kind, "url": where.url, "format": wishes["format"],
            "days": wishes["days"], "cannot_hold": endpoint.cannot_hold(wishes["format"])}  # fmt: skip


def _tell_added(added: dict[str, Any], secret: str | None, *, json_: bool) -> None:
    if json_:
        show.as_json(added | {"secret": secret})
        return
    since = f"the last {added['days']:g} days first" if added["days"] else "from the next event on"
    show.say(f"Added {added['name']}: {added['kind']} {added['url']}, format {added['format']}, {since}.")
    endpoint.say_format(added["format"])
    if secret:
        show.say(f"  Secret (shown once; the partner verifies with it): {secret}")
    show.say(f"  `briefwire partner test {added['name']}` sends it a test event.")


@app.command("list")
def list_(context: typer.Context, json_: Json = False) -> None:
    """The partners, what they want, how delivery stands.

    \b
    briefwire partner list --json
    """
    with context.obj.read() as connection:
        rows = partners.endpoints(connection)
        books = {line.endpoint: line for line in ledger.books(connection).delivery}
    listed = [_listed(row, books.get(row["id"])) for row in rows]
    columns = {"partner": "name", "kind": "kind", "state": "state", "format": "format", "filter": "filter", "backfill": "back-fill",
               "delivered": "delivered", "due": "due", "quarantined": "quarantined", "url": "url", "reason": "why"}  # fmt: skip
    show.listing(listed, columns, json_=json_, right=("delivered", "due", "quarantined"),
                 empty="No partners yet. `briefwire partner add URL` adds one.")  # fmt: skip


def _listed(row: dict[str, Any], book: ledger.DeliveryLine | None) -> dict[str, Any]:
    keys = ("partner", "id", "kind", "url", "format", "state", "reason", "concurrency", "position", "created_at")
    wishes = row["subscriptions"]
    asked = {"filter": " or ".join(f"({wish['filter']})" if len(wishes) > 1 else wish["filter"] for wish in wishes)}
    flags = {
        name: any(wish[name] for wish in wishes) for name in ("backfill", "coalesce", "relinked", "status_changes")
    }
    counts = {
        name: getattr(book, name) if book else 0 for name in ("delivered", "due", "held", "filtered", "quarantined")
    }
    return {key: row[key] for key in keys} | asked | flags | counts


@app.command()
def pause(context: typer.Context, name: Name, which: Each = None) -> None:
    """Stop sending to a partner; what it is owed waits for it."""
    for done in _do(context.obj, "pause-partner", name, which):
        show.say(f"{done.said} `briefwire partner resume {name}` sends it.")


@app.command()
def resume(context: typer.Context, name: Name, which: Each = None) -> None:
    """Send to a paused or disabled partner again.

    What waits goes first.
    """
    for done in _do(context.obj, "resume-partner", name, which):
        show.say(done.said)


@app.command()
def replay(
    context: typer.Context,
    name: Name,
    first: Annotated[int, typer.Option("--from", metavar="N", min=1, help="The first position.")],
    last: Annotated[int, typer.Option("--to", metavar="N", min=1, help="The last position.")],
    which: endpoint.Which = None,
    reason: Reason = "",
) -> None:
    """Send a range of positions again, in order, under the same ids.

    Positions are an endpoint's own: name it where the partner has several.

    \b
    briefwire partner replay desk --from 100 --to 180 --reason "they lost a day"
    """
    with context.obj.read() as connection:
        one = reasons.one_endpoint(connection, name, which)
    fields = {"first": str(first), "last": str(last)}
    show.say(context.obj.perform("replay-partner", one["id"], reason=reason, fields=fields).said)


@app.command("rotate-secret")
def rotate_secret(
    context: typer.Context,
    name: Name,
    reason: Reason,
    which: endpoint.Which = None,
    json_: Json = False,
) -> None:
    """Give a partner a new secret; the one before signs along.

    The new one is shown once. Until the next rotation every request carries both signatures.

    \b
    briefwire partner rotate-secret desk --reason "yearly"
    """
    with context.obj.read() as connection:
        row = reasons.one_endpoint(connection, name, which)
    done = context.obj.perform("rotate-secret", row["id"], reason=reason)
    if json_:
        show.as_json([{"partner": name, "endpoint": row["id"], "secret": done.secret}])
        return
    show.say(f"{done.said}\n  Secret (shown once): {done.secret}")


def _do(opening: Opening, action: str, name: str, which: int | None) -> list[actions.Done]:
    """Does it to one of the partner's endpoints, or to each of them."""
    with opening.read() as connection:
        rows = (
            partners.of_partner(connection, name) if which is None else [reasons.one_endpoint(connection, name, which)]
        )
    return [opening.perform(action, row["id"]) for row in rows]


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Stop sending to a partner for good; its log stays.

    Its name becomes free.
    """
    with context.obj.change("remove-partner", f"partner {name}") as (connection, _):
        partners.of_partner(connection, name)
        console.remove_partner(connection, name)
    show.say(f"Removed {name}. The log of its deliveries stays.")


@app.command("test")
def send_test(context: typer.Context, name: Name, json_: Json = False) -> None:
    """Send one signed test event and print the answer. Exit code 1: refused, 3: not reached.

    \b
    briefwire partner test desk
    """
    opening: Opening = context.obj
    with opening.read() as connection:
        rows = [row for row in partners.of_partner(connection, name) if row["kind"] in ("webhook", "storage")]
    if not rows:
        raise OperatorError(
            f"{name} is sent nothing: it fetches by itself.", f"`briefwire key pull {name}` makes it a key."
        )
    now, answers = clock.now(), []
    for row in rows:
        target = deliver.Target(
            row["url"], vault.unseal(opening.settings.folder, row["secrets"]), {}, opening.settings.deliver.deadline_s
        )
        with show.busy(f"Sending to {row['url']}"):
            outcome = trial.send_test(opening.door(), row["kind"], target, row["format"], now, os.urandom(8).hex())
        answers.append((row, outcome))
    if json_:
        show.as_json([_answer(row, outcome) for row, outcome in answers])
    for row, outcome in answers:
        if outcome.ok and not json_:
            show.say(f"{name} took it: {outcome.status} from {row['url']}. {outcome.excerpt or ''}".rstrip())
    for row, outcome in answers:
        if not outcome.ok:
            raise _refused(name, row["url"], outcome)


def _answer(row: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    return {"endpoint": row["id"], "url": row["url"], "ok": outcome.ok, "status": outcome.status, "failure": outcome.failure,
            "detail": outcome.detail, "answer": outcome.excerpt, "duration_s": outcome.duration_s}  # fmt: skip


def _refused(name: str, url: str, outcome: Outcome) -> OperatorError:
    if outcome.status is None:
        what = (outcome.detail or outcome.failure or "no answer").rstrip(".")
        code = 2 if outcome.refused else 3
        return OperatorError(
            f"{name} was not reached at {url}: {what}.", "Check the address and that it listens.", code=code
        )
    said = f": {show.clean(outcome.excerpt).strip()[:120]}" if outcome.excerpt else ""
    step = "Compare the secret on both sides; a new one comes with `partner remove` and `partner add`." \
        if outcome.status in (401, 403) else "Its own log says why."  # fmt: skip
    return OperatorError(f"{name} answered {outcome.status}{said.rstrip('.')}.", step, code=1)
