"""`briefwire replay` and `briefwire requeue`: what is to go its way once more."""

from __future__ import annotations

from typing import Annotated

import typer

from services.console import show
from services.console.commands import partner
from services.console.commands.options import Reason
from services.console.opening import Opening
from shared.errors import OperatorError

ACTIONS = {"entry": "requeue-entry", "article": "enrich-article", "delivery": "retry-delivery"}
"""What a key names -> the desk's action for it."""


def register(app: typer.Typer) -> None:
    """Adds the commands of this group to the top level."""
    app.command("replay")(partner.replay)
    app.command("requeue")(requeue)


def requeue(
    context: typer.Context,
    keys: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY...", help="entry:7, article:art_1c2f, delivery:12, as `trace` and the desk show them."
        ),
    ],
    reason: Reason = "",
) -> None:
    """Take pieces up again at once, whether or not anything is wrong with them.

    An entry's page is fetched and read again, an article is enriched again, a delivery is sent again under its old id.
    What is in quarantine is retried.

    \b
    briefwire requeue entry:7 delivery:12 --reason "the partner lost it"
    """
    opening: Opening = context.obj
    for key in keys:
        kind, _, target = key.partition(":")
        if kind not in ACTIONS or not target:
            raise OperatorError(f"{key} is no key.", "Keys are entry:7, article:art_1c2f, delivery:12.")
        show.say(f"{key}: {opening.perform(ACTIONS[kind], target, reason=reason).said}")
