"""Everything in quarantine that fits a query, sent on its way again or given up: the query's text in, what came of it in words out.

    text | what fits now, in words, with examples | exactly that is moved, in one transaction

`mark` is a sign of the pieces that somebody was shown: where others fit by now, nothing is moved.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from shared.errors import OperatorError
from shared.models import Row
from shared.store import desk, lanes, quarantine

if TYPE_CHECKING:
    from shared.queue import Work

AT_ONCE = 1000
"""How many pieces one action moves; the rest stays and can be moved by doing it again."""
EXAMPLES = 5
_MANY = {"entry": "entries", "delivery": "deliveries", "article": "articles"}


def fitting(connection: Connection, text: str) -> tuple[str, Row]:
    """What fits the query: in words, and as {keys, mark, examples, counts}. OperatorError: it is no query, or nothing fits."""
    query = quarantine.from_text(text)
    pieces, counts = quarantine.found(connection, query, AT_ONCE), quarantine.count(connection, query)
    if not pieces:
        raise OperatorError("Nothing in quarantine fits that.", "Ask for less, or look what there is.", code=1)
    keys = [piece["key"] for piece in pieces]
    row = {"keys": keys, "mark": quarantine.mark(keys), "examples": pieces[:EXAMPLES], "counts": counts}
    left = "" if sum(counts.values()) <= AT_ONCE else f", of {sum(counts.values()):,} the first {AT_ONCE:,}"
    chosen = Counter(key.partition(":")[0] for key in keys)
    return f"{in_words(chosen)} in quarantine ({criteria(query)}{left})", row


def in_words(counts: dict[str, int]) -> str:
    """How many of which kind: "2 entries and 1 delivery"."""
    told = [
        f"{counts[kind]:,} {kind if counts[kind] == 1 else _MANY[kind]}"
        for kind in quarantine.KINDS
        if counts.get(kind)
    ]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told) or "nothing"


def criteria(query: quarantine.Query) -> str:
    """The query as people read it: "source harbour, reason http-500"."""
    named = [f"{name} {value}" for name, value in quarantine.given(query).items() if name != "keys"]
    if query.keys:
        named.append(", ".join(query.keys) if len(query.keys) <= EXAMPLES else f"{len(query.keys)} named ones")
    return ", ".join(named) or "everything"


def retry(work: Work, row: Row, mark: str = "") -> str:
    """Each piece is taken up where it stopped, unless it is out of date. Returns what came of them, in a sentence."""
    _still(row, mark)
    came: Counter[str] = Counter(_retry(work, *key.split(":", 1)) for key in row["keys"])
    others = [f"{came[word]:,} {_WHAT[word]}" for word in _WHAT if came[word]]
    moved = f"{came['moved']:,} {'piece is' if came['moved'] == 1 else 'pieces are'} on the way again"
    return "; ".join([moved, *others]) + "."


_WHAT = {
    "superseded": "out of date and superseded",
    "held": "held with their article",
    "stuck": "left: there is nothing to try",
}


def _retry(work: Work, kind: str, target: str) -> str:
    """One piece: moved, superseded, held, or stuck where there is nothing to try."""
    if kind == "article":
        moved = quarantine.retry_article(work.connection, target, work.now)
        work.ring("article.ingested", [target] if moved else [])
        return "moved" if moved else "stuck"
    found = (desk.entry if kind == "entry" else desk.delivery)(work.connection, int(target))
    if found is None:
        return "stuck"
    if kind == "delivery":
        state = desk.redeliver(work.connection, found, work.now)
        work.ring("endpoint.due", [lanes.endpoint_lane(found["endpoint_id"])])
        return "moved" if state == "due" else state
    if not desk.retry_entry(work.connection, found, work.now):
        return "stuck"
    if found["page_id"]:
        work.ring("page.fetched", [found["id"]])
    else:
        work.ring("host.due", [lanes.host_lane(found["host"])])
    return "moved"


def drop(work: Work, row: Row, reason: str, mark: str = "") -> str:
    """Each entry and delivery is given up; articles stay: only a withdrawal takes them away. Returns that in a sentence."""
    _still(row, mark)
    dropped = stayed = 0
    for kind, target in (key.split(":", 1) for key in row["keys"]):
        match kind:
            case "entry":
                dropped += desk.drop_entry(work.connection, int(target), reason)
            case "delivery":
                dropped += desk.drop_delivery(work.connection, int(target))
            case _:
                stayed += 1
    return f"{dropped:,} dropped." + (f" {stayed:,} stay: an article is withdrawn, not dropped." if stayed else "")


def _still(row: Row, mark: str) -> None:
    if mark and mark != row["mark"]:
        raise OperatorError(
            f"Others fit by now: {in_words(row['counts'])}. Nothing was moved.", "Look again, then decide.", code=1
        )
