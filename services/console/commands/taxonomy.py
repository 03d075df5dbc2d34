"""`briefwire taxonomy ...`: what articles are filed under, and the models that learn it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from sqlalchemy import Connection

from services.console import show
from services.console.commands.options import Json
from services.console.opening import Opening, who
from services.enrich import sections, taxonomy
from services.enrich.taxonomy import SECTIONS, Taxonomy
from shared import clock
from shared.errors import OperatorError, Rejected
from shared.models import Row
from shared.queue import Work
from shared.store import installation, taxonomies

app = typer.Typer(
    name="taxonomy", help="What articles are filed under, and the models that learn it.", no_args_is_help=True
)

Scheme = Annotated[str, typer.Argument(metavar="SCHEME", help="section, medtop, or a taxonomy of your own.")]


@app.command()
def add(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The taxonomy as JSON; docs/operating.md has its form.")],
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of the taxonomy of that scheme.")] = False,
    json_: Json = False,
) -> None:
    """Add a taxonomy from a file: articles get its categories from now on.

    \b
    briefwire taxonomy add desk.json
    briefwire taxonomy add desk.json --replace
    """
    opening: Opening = context.obj
    found = _read(file)
    opening.store(create=True)
    with opening.change("add-taxonomy", f"taxonomy {found.scheme}", str(file)) as (connection, now):
        if found.scheme in sections.known(connection) and not replace:
            raise OperatorError(f"There is a taxonomy {found.scheme} already.", "--replace puts this one in its place.")
        taxonomies.put(connection, found.scheme, found.title, len(found.terms), msgspec.json.encode(found), now)
    if json_:
        show.as_json(
            {"scheme": found.scheme, "title": found.title, "terms": len(found.terms), "several": found.several}
        )
        return
    show.say(
        f"Added {found.scheme}: {len(found.terms)} terms, {_tops(found)} at the top. Articles get its categories from now on."
    )
    show.say(
        f"  `briefwire taxonomy report {found.scheme}` shows what is filed, `article enrich ID` looks at an older one again."
    )


def _read(file: Path) -> Taxonomy:
    try:
        return taxonomy.load(file.read_bytes())
    except OSError as error:
        raise OperatorError(
            f"{file} cannot be read: {error.strerror}.", "Name a file with a taxonomy as JSON."
        ) from None
    except Rejected as error:
        raise OperatorError(f"{file} is no taxonomy that can be used ({error.reason}): {error.detail}.", "Correct the file, then "
                            "add it again; docs/operating.md has its form.", code=2) from None  # fmt: skip


def _tops(found: Taxonomy) -> int:
    return sum(term.broader is None for term in found.terms)


@app.command("list")
def list_(context: typer.Context, json_: Json = False) -> None:
    """The taxonomies: their terms, what is filed, found and suggested, how good the model is.

    \b
    briefwire taxonomy list --json
    """
    with context.obj.read() as connection:
        known, counts = sections.known(connection), taxonomies.counts(connection)
        rows = [_listed(connection, scheme, known.get(scheme), counts.get(scheme, {})) for scheme in (SECTIONS, *known)]
    columns = {"scheme": "scheme", "title": "title", "terms": "terms", "filed": "filed", "found": "found", "suggested": "suggested",
               "accuracy": "right", "trained_at": "trained"}  # fmt: skip
    told = rows if json_ else [row | {"accuracy": _percent(row["accuracy"])} for row in rows]
    show.listing(
        told, columns, json_=json_, right=("terms", "filed", "found", "suggested", "right"), empty="No taxonomies."
    )


def _listed(connection: Connection, scheme: str, of: Taxonomy | None, counts: dict[str, int]) -> Row:
    used = taxonomies.in_use(connection, scheme)
    figures = _figures(used["figures"]) if used else sections.Figures()
    return {
        "scheme": scheme, "title": of.title if of else "the publishers' own sections", "terms": len(of.terms) if of else None,
        "filed": counts.get("filed", 0), "found": counts.get("found", 0), "suggested": counts.get("suggested", 0),
        "accuracy": figures.trained.accuracy if figures.trained else None, "trained_at": used["trained_at"] if used else None,
    }  # fmt: skip


@app.command()
def train(context: typer.Context, scheme: Scheme = SECTIONS, json_: Json = False) -> None:
    """Train a taxonomy's model now; it is used if it is better. Exit code 1: there is no better one.

    The wire does this by itself, some time after articles were filed.

    \b
    briefwire taxonomy train
    briefwire taxonomy train medtop --json
    """
    opening: Opening = context.obj
    with opening.read() as connection:
        _check(connection, scheme)
        with show.busy(f"Training {scheme}"):
            trained = sections.train(connection, scheme)
    with opening.store(create=False).write() as connection:
        work = Work(connection, clock.now())
        used = sections.keep(work, trained)
        installation.audit(connection, who(), "train-taxonomy", f"taxonomy {scheme}", "", work.now)
        work.finish()
    why = sections.judge(trained)[1]
    if json_:
        show.as_json({"scheme": scheme, "used": used, "why": why, "figures": sections.figures_of(trained)})
    else:
        show.say(f"{'The new model is used' if used else 'No new model is used'}: {why}.")
        if trained.model is not None:
            _print_facts(_model_facts(sections.figures_of(trained)))
    if not used:
        raise typer.Exit(1)


@app.command()
def report(context: typer.Context, scheme: Scheme = SECTIONS, json_: Json = False) -> None:
    """How a taxonomy is filled and how good its model is on articles it has not learnt from.

    \b
    briefwire taxonomy report
    briefwire taxonomy report medtop --json
    """
    with context.obj.read() as connection:
        of = _check(connection, scheme)
        labels = taxonomies.labels(connection, scheme)
        used, past = taxonomies.in_use(connection, scheme), taxonomies.trainings(connection, scheme)
    trainings = [{"trained_at": row["trained_at"], "used": row["kept"], "why": row["note"], "figures": _figures(row["figures"])}
                 for row in past]  # fmt: skip
    figures = _figures(used["figures"]) if used else None
    terms = _terms(of, labels)
    if json_:
        model = used and {
            "trained_at": used["trained_at"],
            "version": used["version"],
            "bytes": used["bytes"],
            "figures": figures,
        }
        show.as_json(
            {"scheme": scheme, "title": of.title if of else "", "model": model, "trainings": trainings, "terms": terms}
        )
        return
    show.say(f"{scheme}: {of.title if of else 'the sections that publishers print'}", style="bold")
    if used and figures:
        _print_facts(
            [("model", f"{used['bytes']:,} bytes, trained {show.moment(used['trained_at'])}"), *_model_facts(figures)]
        )
    else:
        show.say(f"  No model yet: {past[0]['note'] if past else f'it takes {sections.LEAST} filed articles'}.")
    _print_terms(terms)
    if trainings:
        show.print_table(
            ("trained", "used", "why"),
            [(one["trained_at"], one["used"], one["why"]) for one in trainings],
            title="Trainings",
        )


def _check(connection: Connection, scheme: str) -> Taxonomy | None:
    """The taxonomy; None for the publishers' sections, which have no file."""
    known = sections.known(connection)
    if scheme != SECTIONS and scheme not in known:
        raise OperatorError(f"There is no taxonomy {scheme[:60]}.", f"There are {', '.join([SECTIONS, *known])}.")
    return known.get(scheme)


def _terms(of: Taxonomy | None, labels: list[Row]) -> list[Row]:
    """Every term in the order of the file with what is filed under it; of the publishers' sections, those that occur."""
    counted = {row["code"]: row for row in labels}
    if of is None:
        return labels
    nothing = {"filed": 0, "by_people": 0, "by_model": 0, "suggested": 0}
    return [{"code": term.code, "label": term.label, "broader": term.broader}
            | {key: counted.get(term.code, nothing)[key] for key in nothing} for term in of.terms]  # fmt: skip


def _print_terms(terms: list[Row]) -> None:
    busy = [row for row in terms if any(row[key] for key in ("filed", "by_model", "suggested"))]
    columns = ("code", "label", "filed", "by people", "by the model", "suggested")
    if busy:
        rows = [
            (row["code"], row["label"], row["filed"], row["by_people"], row["by_model"], row["suggested"])
            for row in busy
        ]
        show.print_table(columns, rows, title="Articles", right=columns[2:])
    if len(busy) < len(terms):
        show.say(f"{len(terms) - len(busy)} terms have no articles yet; --json lists them.")


def _model_facts(figures: sections.Figures) -> Iterable[tuple[str, str]]:
    trained = figures.trained
    if trained is None:
        return
    yield "learnt from", f"{trained.examples} filed articles, {trained.unlabelled} others, {figures.labels} labels"
    yield "right", f"{trained.accuracy:.1%} of articles left out of training in turn"
    yield (
        "abstains",
        f"below {figures.threshold or 0:.2f}: answers {trained.coverage:.1%}, {trained.kept_accuracy:.1%} of them right",
    )
    if figures.held:
        before = f", the one before {figures.right_before:.1%}" if figures.right_before is not None else ""
        yield "held back", f"{figures.right or 0:.1%} of {figures.held} articles that no model learns from{before}"
    if trained.left_out:
        yield "too few", ", ".join(f"{label} ({n})" for label, n in sorted(trained.left_out.items()))


def _print_facts(pairs: Iterable[tuple[str, str]]) -> None:
    for name, value in pairs:
        show.say(f"  {name:<12} {value}")


def _figures(raw: str) -> sections.Figures:
    return msgspec.json.decode(raw, type=sections.Figures)


def _percent(share: Any) -> str | None:
    return None if share is None else f"{share:.1%}"
