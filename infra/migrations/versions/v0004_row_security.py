"""Row-level security: the role as which the gateway reads, and what protects a read model's tables. Before deploy."""

from alembic import op

from infra.postgres.sql_files import read_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create role and function; the tables are protected by `agentmesh migrate` itself, each read model in a transaction of its own."""
    op.get_bind().connection.cursor().execute(read_sql("infra.migrations.sql", "0004_row_security.sql"))


def downgrade() -> None:
    """A protection is never taken away by a migration."""
    raise RuntimeError("Row-level security cannot be migrated down: tenants would see one another. Restore a backup instead.")
