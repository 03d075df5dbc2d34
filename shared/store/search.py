"""Words in; the condition that an article's headline or address holds them all, out. One function for both stores.

    words | tokens, each a whole word or its beginning | SQLite: full-text table | PostgreSQL: index of a tsvector

The store keeps the words itself (`shared.models`). Scripts that write without gaps between words, where an index of words
finds nothing inside a run of them, are looked for by reading every headline.
"""

from __future__ import annotations

import re

from sqlalchemy import Connection, String, and_, func, literal_column, or_, text
from sqlalchemy.sql import ColumnElement

from shared.models import WORDS, ArticleRow

MOST_WORDS = 8
NEWEST = 5000
"""On SQLite a search looks at so many of the newest articles that hold the words; filters pick among these."""

_TOKEN = re.compile(r"[^\W_]+")
_GAPLESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]"
)
_ADDRESS = re.compile(r"https?://(www\.)?", re.IGNORECASE)


def tokens(words: str) -> list[str]:
    """The words to look for, in lower case, punctuation and the scheme of an address left out; at most `MOST_WORDS`."""
    found = _TOKEN.findall(_ADDRESS.sub(" ", words).lower())
    return list(dict.fromkeys(found))[:MOST_WORDS]


def holds(connection: Connection, words: str) -> ColumnElement[bool]:
    """The condition on `ArticleRow`: it has this id, or its headline or address holds all the words or their beginnings."""
    named = ArticleRow.id == words.strip()
    wanted = tokens(words)
    if not wanted:
        return named
    if any(_GAPLESS.search(token) for token in wanted):
        return or_(named, _read_all(wanted))
    return or_(named, _on_sqlite(wanted) if connection.dialect.name == "sqlite" else _on_postgresql(wanted))


def _on_sqlite(wanted: list[str]) -> ColumnElement[bool]:
    query = "{headline url} : (" + " AND ".join(_quoted(token) for token in wanted) + ")"
    found = text(
        "SELECT article_id FROM article_words WHERE article_words MATCH :words ORDER BY rowid DESC LIMIT :newest"
    )
    return ArticleRow.id.in_(found.columns(article_id=String).bindparams(words=query, newest=NEWEST))


def _quoted(token: str) -> str:
    """A beginning, or for a lone sign the whole word: too much begins with one letter."""
    return f'"{token}"*' if len(token) > 1 else f'"{token}"'


def _on_postgresql(wanted: list[str]) -> ColumnElement[bool]:
    query = " & ".join(f"({' | '.join(_spelled(token))})" for token in wanted)
    return literal_column(WORDS).bool_op("@@")(func.to_tsquery(literal_column("'simple'"), query))


def _spelled(token: str) -> list[str]:
    """The word in its usual spellings: a database of the C locale folds the case of ASCII only."""
    cases = {token} if token.isascii() else {token, token.capitalize(), token.upper()}
    return [f"'{one}'{':*' if len(one) > 1 else ''}" for one in sorted(cases)]


def _read_all(wanted: list[str]) -> ColumnElement[bool]:
    return and_(*(ArticleRow.headline.icontains(token, autoescape=True) for token in wanted))
