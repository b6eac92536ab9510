"""Which refresh tokens out of secrets are used up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """A column more."""
    op.add_column("sessions", sa.Column("spent", sa.Text(), server_default="", nullable=False))
