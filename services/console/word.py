"""A person's word on an article: what it is about, which story it belongs to, which links are none. Each returns what was done.

What is said is kept apart from what machines find (`shared.store.rulings`), stands through every further run, and what it says
of categories is learnt from at the next training. Categories are renewed at once; links and stories with the article's next
run through enrichment, which is due at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec

from services.enrich import sections
from shared.errors import OperatorError
from shared.models import Row
from shared.queue import Work
from shared.records import Annotations
from shared.store import articles, clusters, events, rulings
from shared.store.rulings import ALL, Ruling


def scheme_and_code(text: str) -> tuple[str, str]:
    """The two parts of "medtop:04000000"; what has no scheme in front is one of the publishers' sections."""
    found = re.fullmatch(r"([a-z][a-z0-9_-]*):(.*)", text.strip(), re.DOTALL)
    return (found[1], found[2].strip()) if found else (sections.SCHEME, text.strip())


def file(work: Work, row: Row, scheme: str, code: str) -> str:
    """Files the article under a code, in the place of what else its scheme says; beside it where a taxonomy takes several.

    OperatorError: there is no such taxonomy or code.
    """
    if not code or len(code) > 120:
        raise OperatorError("A section or code of 1 to 120 characters is needed.", "Write it as it is to stand.")
    mine = sections.by_person(work.connection, scheme, code)
    several = scheme in sections.tools(work.connection).several
    key = f"{scheme}:{code}"
    gone = [key, f"{scheme}:{ALL}"] if several else [f"{scheme}:"]
    rulings.set_categories(work.connection, row["id"], gone, [Ruling("category", key, "set", mine)], work.now)
    _renew(work, row)
    return f"The article is filed under {mine.label} ({scheme}) by your word; partners that have it get an update."


def clear(work: Work, row: Row, scheme: str, code: str) -> str:
    """The article is not about this, whatever machine or publisher says; without a code, about nothing of the scheme."""
    key, all_of_it = f"{scheme}:{code or ALL}", code in ("", ALL)
    gone = [f"{scheme}:"] if all_of_it else [key]
    rulings.set_categories(work.connection, row["id"], gone, [Ruling("category", key, "cleared")], work.now)
    _renew(work, row)
    return f"The article is no longer filed under {'anything' if all_of_it else code} ({scheme}), and will not be again by itself."


def confirm(work: Work, row: Row, scheme: str, code: str) -> str:
    """A suggestion holds. OperatorError: nothing of the kind is suggested."""
    _suggested(work, row, scheme, code)
    return file(work, row, scheme, code)


def reject(work: Work, row: Row, scheme: str, code: str) -> str:
    """A suggestion does not hold. OperatorError: nothing of the kind is suggested."""
    _suggested(work, row, scheme, code)
    return clear(work, row, scheme, code)


def take_back(work: Work, row: Row, scheme: str) -> str:
    """Publisher and machines decide again under this scheme. OperatorError: nobody had said anything."""
    said = rulings.said(work.connection, [row["id"]]).get(row["id"], [])
    if not any(one.kind == "category" and one.key.startswith(f"{scheme}:") for one in said):
        raise OperatorError(
            f"Nobody has said anything about {scheme} here.", "`briefwire article show` says who filed it."
        )
    rulings.set_categories(work.connection, row["id"], [f"{scheme}:"], [], work.now)
    _look_again(work, [row["id"]])
    return f"What people said about {scheme} is taken back; the article is looked at anew."


def _suggested(work: Work, row: Row, scheme: str, code: str) -> None:
    found = [one.code for one in _notes(work, row).categories if one.scheme == scheme and one.suggestion]
    if code not in found:
        listed = ", ".join(f"{scheme}:{one}" for one in found) or "nothing"
        raise OperatorError(f"{scheme}:{code} is not suggested for this article; suggested: {listed}.",
                            "`briefwire article file` files it under any code.")  # fmt: skip


def _renew(work: Work, row: Row) -> None:
    """Applies what people say to the record as it stands, logs the update, and has the scheme's model learn from it."""
    connection, notes = work.connection, _notes(work, row)
    said = rulings.said(connection, [row["id"]]).get(row["id"], [])
    filed = sections.ruled(
        [one for one in notes.categories if one.method != "person"], said, sections.tools(connection).several
    )
    if filed == notes.categories:
        return
    articles.rewrite(connection, [row["id"]], lambda _, held: msgspec.structs.replace(held, categories=filed))
    articles.set_categories(connection, {row["id"]: filed})
    sections.wake(work, [*filed, *notes.categories])
    if row["state"] == "usable" and row["enriched_revision"]:
        told = events.occurrences(connection, "article.updated", [row["id"]]).get(row["id"], 0)
        work.log(events.NewEvent("article.updated", row["id"], row["enriched_revision"], row["backfill"], told))


def split(work: Work, row: Row, others: Collection[str]) -> str:
    """The article, with the others where given, leaves its story; they make up one of their own. No machine merges either again.

    OperatorError: the others are not of its story, or nothing would be left of it.
    """
    connection, ids = work.connection, [row["id"], *others]
    old = clusters.of_articles(connection, ids)
    story = old.get(row["id"])
    if story is None or {old.get(one) for one in ids} != {story}:
        raise OperatorError("These articles are not of one story.", "`briefwire article show` names the story of each.")
    left = set(clusters.members(connection, story)) - set(ids)
    if not left:
        raise OperatorError("Nothing else is in that story, so there is nothing to leave.", "Nothing is left to do.")
    new = clusters.name(row["id"], work.now.isoformat())
    clusters.part(connection, ids, new, work.now)
    rulings.pin(connection, ids, new, work.now)
    rulings.pin(connection, left, story, work.now)  # else one of them, enriched again, might follow
    _look_again(work, ids)
    return f"Taken out of {story}: {_articles(len(ids))}, now in {new}; {_articles(len(left))} left there."


def merge(work: Work, row: Row, into: str) -> str:
    """The article and all of its story go on in the story of another article. OperatorError: they do already, or cannot."""
    connection = work.connection
    for one in (row["id"], into):
        if not clusters.of_articles(connection, [one]):  # it has not gone through enrichment yet
            clusters.part(connection, [one], clusters.name(one), work.now)
    story = clusters.of_articles(connection, [row["id"], into])
    if story[into] == story[row["id"]]:
        raise OperatorError("The two are of one story already.", "Nothing is left to do.")
    moved = clusters.unite(connection, story[row["id"]], story[into])
    rulings.move_pins(connection, story[row["id"]], story[into])
    rulings.pin(connection, [*moved, into], story[into], work.now)
    _look_again(work, moved)
    return f"Moved into the story {story[into]}: {_articles(len(moved))}."


def drop_link(work: Work, row: Row, other: str) -> str:
    """The two articles have nothing to do with each other. OperatorError: there is no such other article."""
    if other == row["id"] or articles.get(work.connection, other) is None:
        raise OperatorError("There is no other article with that id.", "Copy it from the list of similar articles.")
    rulings.drop_link(work.connection, row["id"], other, work.now)
    _look_again(work, [row["id"], other])
    return "The two are not linked any more, and will not be again by themselves."


def allow_link(work: Work, row: Row, other: str) -> str:
    """Takes back that two articles are not to be linked. OperatorError: nobody had said so."""
    if not rulings.allow_link(work.connection, row["id"], other):
        raise OperatorError("Nobody has dropped a link between these two.", "Nothing is left to do.")
    _look_again(work, [row["id"]])
    return "Whether the two are linked is found out anew."


def enrich(work: Work, row: Row) -> str:
    """The article is looked at anew: by today's models, taxonomies and neighbours. What people said stands."""
    if row["state"] != "usable":
        raise OperatorError(f"The article is {row['state']}.", "Only articles in use are enriched.")
    _look_again(work, [row["id"]])
    return "The article is looked at anew; partners that have it get an update where that changes something."


def _look_again(work: Work, ids: Collection[str]) -> None:
    """Has links and stories worked out anew under what was said; whatever record that changes is renewed with it."""
    rulings.enrich_again(work.connection, ids, work.now)
    work.ring("article.ingested", sorted(ids))


def _notes(work: Work, row: Row) -> Annotations:
    found = articles.notes(work.connection, [row["id"]])
    if row["id"] not in found:
        raise OperatorError("The article has not gone through enrichment yet.", "Try again in a moment.")
    return found[row["id"]]


def _articles(n: int) -> str:
    return "1 article" if n == 1 else f"{n} articles"
