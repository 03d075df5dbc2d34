"""`briefwire quarantine ...`: what waits for a person, piece by piece or by query."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from services.console import redrive, show
from services.console.commands.options import Json, Reason
from services.console.opening import Opening
from shared.errors import OperatorError
from shared.models import Row
from shared.store import quarantine as store

app = typer.Typer(name="quarantine", help="What failed for good and waits for a person.",
                  no_args_is_help=True)  # fmt: skip

Keys = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY...]", help="As `quarantine list` shows them: entry:7, delivery:12.")
]
Kind = Annotated[str, typer.Option("--kind", metavar="entry|article|delivery", help="Only of this kind.")]
Why = Annotated[str, typer.Option("--why", metavar="CODE", help="Only under this reason, such as http-500.")]
Source = Annotated[str, typer.Option("--source", metavar="NAME", help="Only entries and articles of this source.")]
Partner = Annotated[str, typer.Option("--partner", metavar="NAME", help="Only deliveries to this partner.")]
Endpoint = Annotated[str, typer.Option("--endpoint", metavar="N", help="Only deliveries to this endpoint.")]
Words = Annotated[
    str, typer.Option("--words", metavar="TEXT", help="Only what holds all these words: address, headline, reason.")
]
Since = Annotated[
    str, typer.Option("--since", metavar="TIME", help="Only what came in at 2026-05-20 18:00, UTC, or later.")
]
Until = Annotated[str, typer.Option("--until", metavar="TIME", help="Only what came in before that.")]
Most = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count what it would be, with examples.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask back.")]

ALL = 1_000_000
EXAMPLES = 10
COLUMNS = {
    "key": "key",
    "of": "source or partner",
    "reason": "reason",
    "what": "what",
    "detail": "detail",
    "at": "came in",
}


@app.command("list")
def list_(
    context: typer.Context, kind: Kind = "", why: Why = "", source: Source = "", partner: Partner = "", endpoint: Endpoint = "",
    words: Words = "", since: Since = "", until: Until = "", limit: Most = 100, json_: Json = False,
) -> None:  # fmt: skip
    """What is in quarantine, and why.

    \b
    briefwire quarantine list --json
    briefwire quarantine list --partner desk --why http-500
    briefwire quarantine list --source harbour --words tide --since 2026-05-20
    """
    query = _query(
        kind=kind, reason=why, source=source, partner=partner, endpoint=endpoint, words=words, since=since, until=until
    )
    rows, counts = _found(context.obj, query, limit)
    show.listing(
        rows,
        COLUMNS,
        json_=json_,
        empty="Nothing is in quarantine." if query == store.Query() else "Nothing there fits that.",
    )
    if sum(counts.values()) > len(rows) and not json_:
        show.say(f"The newest {len(rows):,} of {redrive.in_words(counts)}; --limit shows more.")


@app.command()
def retry(
    context: typer.Context, keys: Keys = None, kind: Kind = "", why: Why = "", source: Source = "", partner: Partner = "",
    endpoint: Endpoint = "", words: Words = "", since: Since = "", until: Until = "", limit: Most = ALL, dry_run: DryRun = False,
    yes: Yes = False, reason: Reason = "", json_: Json = False,
) -> None:  # fmt: skip
    """Send pieces on their way again: those named, or all that fit a query.

    Pages are read from the bytes that were kept. A delivery that a later one of its article has overtaken is superseded.
    A query counts and asks before it moves anything; --dry-run only counts, with examples.

    \b
    briefwire quarantine retry entry:7 delivery:12 --reason "profile corrected"
    briefwire quarantine retry --partner desk --why http-500 --dry-run
    briefwire quarantine retry --partner desk --why http-500 --reason "their disk was full" --yes
    """
    query = _query(
        kind=kind, reason=why, source=source, partner=partner, endpoint=endpoint, words=words, since=since, until=until
    )
    if keys and query == store.Query() and not dry_run:
        _retry_named(context.obj, keys, reason)
    else:
        _move(context.obj, "retry-query", _named(query, keys), limit, reason, dry_run=dry_run, yes=yes, json_=json_)


@app.command()
def drop(
    context: typer.Context, reason: Reason, keys: Keys = None, kind: Kind = "", why: Why = "", source: Source = "",
    partner: Partner = "", endpoint: Endpoint = "", words: Words = "", since: Since = "", until: Until = "", limit: Most = ALL,
    dry_run: DryRun = False, yes: Yes = False, json_: Json = False,
) -> None:  # fmt: skip
    """Give pieces up, those named or all that fit a query; their bytes and attempts stay.

    In the books an entry then counts as gone, a delivery as superseded. An article is not dropped: `article withdraw` takes it away.

    \b
    briefwire quarantine drop entry:7 --reason "an advertisement"
    briefwire quarantine drop --source harbour --why not-an-article --until 2026-05-20 --reason "old menus" --dry-run
    """
    query = _query(
        kind=kind, reason=why, source=source, partner=partner, endpoint=endpoint, words=words, since=since, until=until
    )
    if keys and query == store.Query() and not dry_run:
        _drop_named(context.obj, keys, reason)
    else:
        _move(context.obj, "drop-query", _named(query, keys), limit, reason, dry_run=dry_run, yes=yes, json_=json_)


def _query(**criteria: str) -> store.Query:
    return store.read(criteria)


def _named(query: store.Query, keys: Sequence[str] | None) -> store.Query:
    """The query over these keys only; OperatorError where neither names anything."""
    if not keys and query == store.Query():
        raise OperatorError(
            "Nothing was named.", "Give keys, or narrow it by --kind, --source, --partner, --why, --words or --since."
        )
    for key in keys or ():
        _parts(key)
    return msgspec.structs.replace(query, keys=tuple(keys or ()))


def _found(opening: Opening, query: store.Query, limit: int) -> tuple[list[Row], dict[str, int]]:
    """What fits, newest first, and how many there are of each kind."""
    with opening.read() as connection:
        return store.found(connection, query, limit), store.count(connection, query)


def _move(opening: Opening, action: str, query: store.Query, limit: int, reason: str, *, dry_run: bool, yes: bool,
          json_: bool) -> None:  # fmt: skip
    """Counts what fits, asks, and moves exactly that, a thousand pieces a transaction; with `dry_run` only counts."""
    rows, _ = _found(opening, query, limit)
    counts = {kind: n for kind in store.KINDS if (n := sum(row["key"].startswith(f"{kind}:") for row in rows))}
    if not json_:
        _say_what(query, rows, counts)
    if rows and not dry_run and not yes:
        _ask(action, counts)
    keys = [] if dry_run else [str(row["key"]) for row in rows]
    said = []
    for n in range(0, len(keys), redrive.AT_ONCE):
        some = msgspec.structs.replace(query, keys=tuple(keys[n : n + redrive.AT_ONCE]))
        said.append(opening.perform(action, store.as_text(some), reason=reason).said)
    if json_:
        show.as_json({"counts": counts, "pieces": rows, "done": said})
    for line in [] if json_ else said:
        show.say(line)


def _say_what(query: store.Query, rows: list[Row], counts: dict[str, int]) -> None:
    show.say(f"In quarantine, {redrive.criteria(query)}: {redrive.in_words(counts)}.")
    show.listing(rows[:EXAMPLES], COLUMNS, json_=False, empty="Nothing is moved.")
    if len(rows) > EXAMPLES:
        show.say(f"and {len(rows) - EXAMPLES:,} more.")


def _ask(action: str, counts: dict[str, int]) -> None:
    verb = {"retry-query": "Retry", "drop-query": "Drop"}[action]
    if not sys.stdin.isatty():
        raise OperatorError(
            "Nobody can be asked here, so nothing was moved.", "Give --yes to do it, or --dry-run to look."
        )
    typer.confirm(f"{verb} {redrive.in_words(counts)}?", abort=True)


def _retry_named(opening: Opening, keys: Sequence[str], reason: str) -> None:
    for key in keys:
        kind, target = _parts(key)
        if kind == "article":
            with opening.change("retry-article", f"article {target}", reason) as (connection, now):
                if not store.retry_article(connection, target, now):
                    raise _gone(key)
            said = "it waits for enrichment again."
        else:
            _still_there(opening, key)
            said = opening.perform(f"retry-{kind}", target, reason=reason).said
        show.say(f"{key}: {said}")


def _drop_named(opening: Opening, keys: Sequence[str], reason: str) -> None:
    for key in keys:
        kind, target = _parts(key)
        if kind == "article":
            raise OperatorError(
                "An article cannot be dropped.", f"`briefwire article withdraw {target} --reason …` withdraws it."
            )
        _still_there(opening, key)
        show.say(f"{key}: {opening.perform(f'drop-{kind}', target, reason=reason).said}")


def _parts(key: str) -> tuple[str, str]:
    kind, _, target = key.partition(":")
    if kind not in store.KINDS or not target:
        raise OperatorError(f"{key} is no key.", "`briefwire quarantine list` shows them: entry:7, delivery:12.")
    return kind, target


def _still_there(opening: Opening, key: str) -> None:
    """The desk's actions also send again what was delivered; here only what is in quarantine is meant."""
    with opening.read() as connection:
        if not store.count(connection, store.Query(keys=(key,))):
            raise _gone(key)


def _gone(key: str) -> OperatorError:
    what = f"Nothing in quarantine is called {key}."
    return OperatorError(what, "`briefwire quarantine list` shows what there is.", code=1)
