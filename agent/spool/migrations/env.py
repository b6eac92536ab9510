"""Alembic's entry: runs the steps on the connection that `upgrade` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from agent.spool.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
