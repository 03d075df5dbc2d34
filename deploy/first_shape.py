"""The statements that make a store of the present models, for one dialect: how the first migration was written.

    python deploy/first_shape.py sqlite > shared/migrations/versions/0001_sqlite.sql
    python deploy/first_shape.py postgresql > shared/migrations/versions/0001_postgresql.sql

Until the first release these two files follow the models; from then on they stand, and a change is a step of its own. Each
statement ends with a line that holds nothing but a semicolon.
"""

from __future__ import annotations

import sys
from typing import Any

from sqlalchemy import create_mock_engine

from shared.models import Base

URLS = {"sqlite": "sqlite://", "postgresql": "postgresql+psycopg://"}


def statements(dialect: str) -> list[str]:
    """The statements in the order in which they must run."""
    found: list[str] = []

    def keep(statement: Any, *_: Any, **__: Any) -> None:
        found.append(str(statement.compile(dialect=engine.dialect)).strip())

    engine = create_mock_engine(URLS[dialect], keep)
    Base.metadata.create_all(engine, checkfirst=False)
    return ["\n".join(line.rstrip() for line in statement.splitlines()) for statement in found]


if __name__ == "__main__":
    sys.stdout.write("\n;\n".join(statements(sys.argv[1])) + "\n;\n")
