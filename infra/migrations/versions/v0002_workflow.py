"""The event stores of tasks, agents, customers and tenants, and the runs of tasks. Before deploy."""

from alembic import op

from infra.knowledge.schema import create_knowledge
from infra.postgres.sql_files import read_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables; raw SQL through the driver, because it contains colons and percent signs."""
    cursor = op.get_bind().connection.cursor()
    for context in ("tasks", "agents", "customers", "tenants"):
        cursor.execute(read_sql("infra.migrations.sql", "0001_event_store.sql", context))
    cursor.execute(read_sql("infra.migrations.sql", "0002_task_runs.sql"))
    cursor.execute(read_sql("infra.migrations.sql", "0002_effects.sql"))
    create_knowledge(cursor)


def downgrade() -> None:
    """History is never erased by a migration."""
    raise RuntimeError("The event store cannot be migrated down: it is the truth. Restore a backup instead.")
