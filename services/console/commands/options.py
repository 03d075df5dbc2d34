"""The options that many commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
AllowHost = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="HOST:PORT", help="An internal host that may be spoken to; may be repeated."),
]

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit.")]
