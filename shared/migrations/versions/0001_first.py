"""The first shape of the store."""

from alembic import op

from shared.models import Base

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates every table."""
    Base.metadata.create_all(op.get_bind())
