"""Versions of the state database. One step is one file in `versions`, run in one transaction.

A kill in the middle leaves the old version, whole: SQLite's and PostgreSQL's DDL are transactional.
"""

from __future__ import annotations

from pathlib import Path

HEAD = "0009"
"""The newest version: four digits that only grow, so that a newer one is known as such."""


def upgrade(database: Path, version: str = HEAD) -> None:
    """Bring the database (or an empty file) to a version. Raises sqlite3.Error or SQLAlchemy's around it."""
    # Alembic takes 0.1 s to import and is needed once per version.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415

    from agent.spool.database import connect  # noqa: PLC0415

    db = connect(database)
    engine = create_engine(
        "sqlite://", creator=lambda: db.raw, poolclass=StaticPool, isolation_level="AUTOCOMMIT"
    )
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    try:
        with engine.connect() as connection, connection.begin():
            db.begin(durable=True)  # Alembic sees a transaction of its caller, and leaves it alone
            config.attributes["connection"] = connection
            command.upgrade(config, version)
    finally:
        db.close()
        engine.dispose()
