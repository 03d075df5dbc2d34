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
def restore(context: typer.Context, wanted: Wanted, reason: Reason) -> None:
    """Take the withdrawal of an article back; whoever was told of it gets the article again.

    \b
    briefwire article restore art_1c2f --reason "withdrawn by mistake"
    """
    show.say(_do(context.obj, "restore-article", wanted, reason))


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


Code = Annotated[
    str, typer.Argument(metavar="CODE", help="scheme:code, as medtop:04000000; without a scheme, a section.")
]
Other = Annotated[
    str, typer.Argument(metavar="OTHER", help="The other article's id, or the beginning of one, or its address.")
]


@app.command()
def file(context: typer.Context, wanted: Wanted, code: Code, reason: Reason) -> None:
    """File an article under a section or a taxonomy's code, whatever publisher and models say.

    Stands through revisions and further runs, and is learnt from.

    \b
    briefwire article file art_1c2f Economy --reason "not politics"
    briefwire article file art_1c2f medtop:04000000 --reason "about the budget"
    """
    show.say(_do(context.obj, "file-article", wanted, reason, {"code": code}))


@app.command()
def clear(context: typer.Context, wanted: Wanted, code: Code, reason: Reason) -> None:
    """An article is not about this: clear a category for good.

    `scheme:*` clears all of a scheme.

    \b
    briefwire article clear art_1c2f medtop:15000000 --reason "not sport"
    """
    show.say(_do(context.obj, "clear-category", wanted, reason, {"code": code}))


@app.command()
def confirm(context: typer.Context, wanted: Wanted, code: Code, reason: Reason) -> None:
    """A suggested category holds; the next training learns it.

    \b
    briefwire article confirm art_1c2f medtop:04000000 --reason "read it"
    """
    show.say(_do(context.obj, "confirm-category", wanted, reason, {"code": code}))


@app.command()
def reject(context: typer.Context, wanted: Wanted, code: Code, reason: Reason) -> None:
    """A suggested category does not hold.

    \b
    briefwire article reject art_1c2f medtop:15000000 --reason "not sport"
    """
    show.say(_do(context.obj, "reject-category", wanted, reason, {"code": code}))


@app.command("take-back")
def take_back(
    context: typer.Context,
    wanted: Wanted,
    reason: Reason,
    scheme: Annotated[str, typer.Option("--scheme", metavar="S", help="The taxonomy it is about.")] = "section",
) -> None:
    """Take back what people said of an article's categories: publisher and models decide again.

    \b
    briefwire article take-back art_1c2f --scheme medtop --reason "was right before"
    """
    show.say(_do(context.obj, "take-back-category", wanted, reason, {"scheme": scheme}))


@app.command()
def split(
    context: typer.Context,
    wanted: Wanted,
    reason: Reason,
    others: Annotated[
        list[str] | None, typer.Option("--with", metavar="OTHER", help="An article that goes with it; may be repeated.")
    ] = None,
) -> None:
    """Take an article, perhaps with others, out of its story into one of its own.

    \b
    briefwire article split art_1c2f --reason "another fire"
    briefwire article split art_1c2f --with art_77a0 --reason "another fire"
    """
    ids = _ids(context.obj, others or [])
    show.say(_do(context.obj, "split-story", wanted, reason, {"others": " ".join(ids)}))


@app.command()
def merge(context: typer.Context, wanted: Wanted, other: Other, reason: Reason) -> None:
    """Put an article and all of its story into another article's story.

    \b
    briefwire article merge art_1c2f art_77a0 --reason "the same fire"
    """
    show.say(_do(context.obj, "merge-story", wanted, reason, {"into": _ids(context.obj, [other])[0]}))


@app.command()
def unlink(context: typer.Context, wanted: Wanted, other: Other, reason: Reason) -> None:
    """Two articles have nothing to do with each other: drop the link for good.

    \b
    briefwire article unlink art_1c2f art_77a0 --reason "namesakes"
    """
    show.say(_do(context.obj, "drop-link", wanted, reason, {"other": _ids(context.obj, [other])[0]}))


@app.command()
def relink(context: typer.Context, wanted: Wanted, other: Other, reason: Reason) -> None:
    """Take back that two articles are not linked: it is found out again.

    \b
    briefwire article relink art_1c2f art_77a0 --reason "they are, after all"
    """
    show.say(_do(context.obj, "allow-link", wanted, reason, {"other": _ids(context.obj, [other])[0]}))


@app.command()
def enrich(context: typer.Context, wanted: Wanted, reason: Reason = "") -> None:
    """Look at an article anew, by today's models, taxonomies and neighbours.

    What people said of it stands.

    \b
    briefwire article enrich art_1c2f
    """
    show.say(_do(context.obj, "enrich-article", wanted, reason))


def _ids(opening: Opening, wanted: list[str]) -> list[str]:
    with opening.read() as connection:
        return [ways.find(connection, one) for one in wanted]


def _do(opening: Opening, action: str, wanted: str, reason: str, fields: dict[str, str] | None = None) -> str:
    with opening.read() as connection:
        article_id = ways.find(connection, wanted)
    return opening.perform(action, article_id, reason=reason, fields=fields).said
