"""The two books in; tables and one sentence about them out."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from services.console import show
from shared.store.ledger import DELIVERY, INTAKE, Books


def tables(books: Books) -> list[Table]:
    """The intake book and the delivery book."""
    intake = ("seen", *INTAKE)
    delivery = ("events", "backfilled", "unplanned", "filtered", *DELIVERY)
    return [
        show.table(
            ("source", *intake, "balance"),
            [(line.source, *(getattr(line, name) for name in intake), _balance(ok=line.balanced)) for line in books.intake],
            title="Intake, in entries", right=intake,
        ),
        show.table(
            ("partner", *(name.replace("backfilled", "back-filled") for name in delivery), "balance"),
            [(line.partner, *(getattr(line, name) for name in delivery), _balance(ok=line.balanced)) for line in books.delivery],
            title="Delivery, in events", right=(*delivery, "back-filled"),
        ),
    ]  # fmt: skip


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
