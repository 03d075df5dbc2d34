"""The store's shape, step by step (Alembic). `upgrade` brings a store to this version and refuses one from a newer version."""

from __future__ import annotations

import uuid
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select

from shared import clock
from shared.errors import OperatorError
from shared.models import EventHeadRow, MetaRow
from shared.store import partitions
from shared.store.engine import Store


def upgrade(store: Store, to: str = "head") -> None:
    """Brings the store to this version's shape, or the one that `to` names, and seeds its single rows.

    Raises:
        OperatorError: the store was written by a newer version.
    """
    config = _config()
    with store.write() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        if found is not None and found not in _known(config):
            raise OperatorError(f"The store was written by a newer version of Briefwire (its shape is {found}).",
                                "Install that version, or use another data folder.", code=4)  # fmt: skip
        config.attributes["connection"] = connection
        command.upgrade(config, to)
        _seed(connection)
        partitions.make_ahead(connection, clock.now())


def shape() -> str:
    """This version's shape, by the name of its newest step."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def _known(config: Config) -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def _seed(connection: Connection) -> None:
    if connection.execute(select(EventHeadRow.id)).first() is None:
        connection.execute(insert(EventHeadRow).values(id=1, n=0, epoch=1, planned=0))
    if connection.execute(select(MetaRow.key).where(MetaRow.key == "installation")).first() is None:
        connection.execute(insert(MetaRow).values(key="installation", value=uuid.uuid4().hex))
