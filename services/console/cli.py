"""A command line in; what it asks for done, an exit code out. `main` is the console script `briefwire`.

Exit codes: 0 done, 1 the answer is no, 2 wrong use or input, 3 something needed is not reachable, 4 refused by the state of
the installation, 130 ended by Ctrl-C. Expected trouble is one sentence with the next step on standard error.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from services.console import show, trouble
from services.console.commands import (
    again,
    alerts,
    article,
    db,
    key,
    log,
    partner,
    quarantine,
    run,
    running,
    section,
    source,
    state,
    steering,
    taxonomy,
    top,
)
from services.console.opening import Opening
from shared.errors import OperatorError

app = typer.Typer(
    name="briefwire", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)  # fmt: skip

for group in (source, partner, key, article, quarantine, log, db, taxonomy, section, alerts):
    app.add_typer(group.app)
running.register(app)
run.register(app)
state.register(app)
again.register(app)
top.register(app)
steering.register(app)


@app.callback()
def briefwire(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="The data folder.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="The settings file.")] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR does the same.")] = False,
) -> None:
    """Briefwire, a self-hosted news wire: from a news site to a partner, nothing lost, nothing twice.

    \b
    briefwire demo                                 the whole wire on a bundled site, for about half a minute
    briefwire up                                   run the wire in ./briefwire-data until Ctrl-C
    briefwire source add https://news.example/     follow a site
    briefwire partner add https://desk.example/in  send what comes to a webhook
    briefwire ledger                               do the books balance?

    The options below may stand anywhere on the line. docs/operating.md explains commands, settings and exit codes.
    """
    show.set_no_color(no_color or bool(os.environ.get("NO_COLOR")))
    context.obj = Opening(config=config, data=data)


GLOBAL_WITH_VALUE = ("--data", "--config")


def hoisted(argv: Sequence[str]) -> list[str]:
    """The arguments with the global options moved to the front, so that they may stand anywhere before a bare "--"."""
    ahead: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return [*ahead, *rest, word, *words]
        if word == "--no-color" or word.startswith(tuple(f"{name}=" for name in GLOBAL_WITH_VALUE)):
            ahead.append(word)
        elif word in GLOBAL_WITH_VALUE:
            ahead.extend([word, *(value for value in [next(words, None)] if value is not None)])
        else:
            rest.append(word)
    return [*ahead, *rest]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line and exits."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a headline that the terminal cannot show must not end a command
    try:
        app(args=hoisted(sys.argv[1:] if argv is None else argv), prog_name="briefwire")
    except OperatorError as error:
        show.problem(error.what, error.next_step)
        raise SystemExit(error.code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except trouble.EXPECTED as error:
        told = trouble.told(error)
        if told is None:
            raise
        show.problem(told.what, told.next_step)
        raise SystemExit(told.code) from None
