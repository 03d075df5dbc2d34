"""An article's links and the stories they lead to in, where the article belongs out: a story grows, begins, or takes in another.

Deciding is deterministic: the same links give the same answer in any order. A story keeps its id for as long as it lives;
when two turn out to be one, the older goes on and the other points to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec


class Tie(NamedTuple):
    """A `same_story` or `duplicate` link to a member of a story.

    `size` and `born` (day of the story's first article) are the story's; `score` is 0 to 1.
    """

    story: str
    score: float
    size: int
    born: int
    duplicate: bool = False


class Rules(msgspec.Struct, frozen=True):
    """When ties are enough. `join` is the least mean chance over a story's best ties, up to `members` of them."""

    join: float = 0.6
    members: int = 5
    merge: float = 0.8


RULES = Rules()


class Decision(NamedTuple):
    """`kind` is join, new or merge; `story` the id to go on with (None for new); `absorbed` the stories it takes in."""

    kind: str
    story: str | None
    absorbed: tuple[str, ...] = ()
    score: float = 0.0


def assign(ties: Iterable[Tie], rules: Rules = RULES) -> Decision:
    """Where an article with these ties belongs.

    It joins the story with the strongest support; where a second story is supported so strongly that the article can
    only be about both, the two are merged into the older one.
    """
    by_story: dict[str, list[Tie]] = {}
    for tie in ties:
        by_story.setdefault(tie.story, []).append(tie)
    supports = sorted(
        ((support(held, rules), held[0]) for held in by_story.values()),
        key=lambda pair: (-pair[0], pair[1].born, pair[1].story),
    )
    strong = [(score, tie) for score, tie in supports if score >= rules.join]
    if not strong:
        return Decision("new", None)
    one = [tie for score, tie in strong[1:] if score >= rules.merge and strong[0][0] >= rules.merge]
    if not one:
        return Decision("join", strong[0][1].story, (), strong[0][0])
    together = sorted([strong[0][1], *one], key=lambda tie: (tie.born, tie.story))
    return Decision("merge", together[0].story, tuple(tie.story for tie in together[1:]), strong[0][0])


def support(ties: list[Tie], rules: Rules = RULES) -> float:
    """How strongly ties hold an article to their story: the mean of the best, members without a tie counting nothing.

    A duplicate belongs where its original is, whatever else the story holds.
    """
    best = sorted((1.0 if tie.duplicate else tie.score for tie in ties), reverse=True)[: rules.members]
    if any(tie.duplicate for tie in ties):
        return 1.0
    return sum(best) / min(rules.members, max(ties[0].size, len(best)))
