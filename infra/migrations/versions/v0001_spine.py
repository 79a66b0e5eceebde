"""The spine: the event store of `requests`, and the positions of relay and read models. Before deploy."""

from alembic import op

from infra.postgres.sql_files import read_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables; raw SQL through the driver, because it contains colons and percent signs."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute(read_sql("infra.migrations.sql", "0001_event_store.sql", "requests"))
    cursor.execute(read_sql("infra.migrations.sql", "0001_mesh.sql"))


def downgrade() -> None:
    """History is never erased by a migration."""
    raise RuntimeError("The event store cannot be migrated down: it is the truth. Restore a backup instead.")
