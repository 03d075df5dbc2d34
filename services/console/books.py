"""The two books in; tables and one sentence about them out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from services.console import show
from shared.store.ledger import DELIVERY, INTAKE, Books, DeliveryLine, IntakeLine


def tables(books: Books) -> list[Table]:
    """The intake book and the delivery book; on a terminal too narrow for all columns without those that are 0 everywhere."""
    return [
        _table("Intake, in entries", "source", ("seen", *INTAKE), books.intake),
        _table(
            "Delivery, in events",
            "partner",
            ("events", "backfilled", "unplanned", "filtered", *DELIVERY),
            books.delivery,
        ),
    ]


def _table(title: str, owner: str, names: tuple[str, ...], lines: Sequence[IntakeLine | DeliveryLine]) -> Table:
    made = _with_columns(title, owner, names, lines)
    if show.fits(made):
        return made
    return _with_columns(
        title, owner, tuple(name for name in names if any(getattr(line, name) for line in lines)), lines
    )


def _with_columns(title: str, owner: str, names: tuple[str, ...], lines: Sequence[IntakeLine | DeliveryLine]) -> Table:
    headings = [name.replace("backfilled", "back-filled") for name in names]
    rows = [
        (getattr(line, owner), *(getattr(line, name) for name in names), _balance(ok=line.balanced)) for line in lines
    ]
    return show.table((owner, *headings, "balance"), rows, title=title, right=headings)


def _balance(*, ok: bool) -> Text:
    return Text("balanced", style="green") if ok else Text("NOT BALANCED", style="bold red")


def verdict(books: Books, *, settled: bool) -> str:
    """One sentence: do they balance, and is anything under way."""
    if not books.intake and not books.delivery:
        return "The books are empty: no source and no partner yet."
    wrong = [line.source for line in books.intake if not line.balanced]
    wrong += [line.partner for line in books.delivery if not line.balanced]
    if wrong:
        return f"The books do NOT balance: {', '.join(wrong)}. `briefwire doctor` looks for the cause; keep the data folder as it is."
    return "The books balance" + (", and nothing is under way." if settled else "; work is under way.")
