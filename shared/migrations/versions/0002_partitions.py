"""On PostgreSQL, events, attempts and pages are divided by month, so that old months can be dropped."""

from alembic import op

from shared import clock
from shared.store import partitions

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Divides the three logs; what they hold becomes their first part."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        partitions.divide(connection, clock.now())
