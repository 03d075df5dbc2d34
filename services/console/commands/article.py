"""`briefwire article ...`: what came in, and each article's way."""

from __future__ import annotations

from typing import Annotated

import typer

from services.console import articles, show, ways
from services.console.commands.options import Json, Reason
from services.console.opening import Opening
from shared.store import console

app = typer.Typer(name="article", help="What came in, and each article's way out.", no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Only from this source.")] = None,
    section: Annotated[str | None, typer.Option("--section", metavar="S", help="Only from this section.")] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="usable|withdrawn", help="Only in this state.")
    ] = None,
    json_: Json = False,
) -> None:
    """The newest articles.

    \b
    briefwire article list --limit 50 --section Economy
    briefwire article list --state withdrawn --json
    """
    with context.obj.read() as connection:
        rows = console.list_articles(connection, limit=limit, source=source, state=state, section=section)
    columns = {"id": "id", "first_seen_at": "first seen", "source": "source", "state": "state", "revision": "rev", "language": "lang",
               "section": "section", "headline": "headline"}  # fmt: skip
    show.listing(rows, columns, json_=json_, empty="No articles.", right=("rev",))


@app.command("show")
def show_(
    context: typer.Context,
    wanted: Annotated[
        str, typer.Argument(metavar="ID|URL", help="An id, the beginning of one, or the article's address.")
    ],
    json_: Json = False,
) -> None:
    """One article whole, and its way to the partners.

    Its record, what we worked out about it, similar articles, revisions, deliveries and attempts.

    \b
    briefwire article show art_1c2f
    briefwire article show https://news.example/a-brief --json
    """
    with context.obj.read() as connection:
        whole = ways.whole(connection, ways.find(connection, wanted))
    if json_:
        show.as_json(whole)
        return
    articles.record(whole.article, whole.annotations)
    similar = [
        (one["relation"], f"{one['score']:.2f}", one["other_id"], one["headline"], ", ".join(one["reasons"]))
        for one in whole.similar
    ]
    if similar:
        show.print_table(
            ("relation", "score", "article", "headline", "because"),
            similar,
            title="Similar, as we see it",
            right=("score",),
        )
    show.print_table(
        ("revision", "kind", "at"),
        [(one["revision"], one["kind"], one["at"]) for one in whole.revisions],
        title="Revisions",
    )
    owed = [
        (one["partner"], one["kind"], one["revision"], one["state"], one["attempts"], one["webhook_id"])
        for one in whole.deliveries
    ]
    if owed:
        show.print_table(
            ("partner", "event", "rev", "state", "attempts", "id"), owed, title="Deliveries", right=("rev", "attempts")
        )
    print_way(whole.way)


def print_way(steps: list[ways.Step]) -> None:
    """An article's way as a table."""
    rows = [(step.at, step.stage, step.what if step.ok else f"{step.what} (!)") for step in steps]
    show.print_table(("at", "stage", "what"), rows, title="Its way")


Wanted = Annotated[str, typer.Argument(metavar="ID|URL", help="An id, the beginning of one, or the article's address.")]


@app.command()
def withdraw(context: typer.Context, wanted: Wanted, reason: Reason) -> None:
    """Withdraw an article: whoever has it is told first of all.

    \b
    briefwire article withdraw art_1c2f --reason "a court order"
    """
    show.say(_do(context.obj, "withdraw-article", wanted, reason))


@app.command()
def hold(context: typer.Context, wanted: Wanted, reason: Reason) -> None:
    """Hold an article back until somebody releases it.

    \b
    briefwire article hold art_1c2f --reason "being checked"
    """
    show.say(_do(context.obj, "hold-article", wanted, reason))


@app.command()
def release(
    context: typer.Context,
    wanted: Wanted,
    reason: Reason = "",
) -> None:
    """Let a held or embargoed article go out.

    \b
    briefwire article release art_1c2f
    """
    show.say(_do(context.obj, "release-article", wanted, reason))


@app.command()
def embargo(
    context: typer.Context,
    wanted: Wanted,
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="As 2030-12-31 18:00, in UTC.")],
    reason: Reason = "",
) -> None:
    """Keep an article back until an instant; then it goes by itself.

    \b
    briefwire article embargo art_1c2f --until "2030-12-31 18:00"
    """
    show.say(_do(context.obj, "embargo-article", wanted, reason, {"until": until}))


def _do(opening: Opening, action: str, wanted: str, reason: str, fields: dict[str, str] | None = None) -> str:
    with opening.read() as connection:
        article_id = ways.find(connection, wanted)
    return opening.perform(action, article_id, reason=reason, fields=fields).said
