"""Users, service clients and API keys. Before deploy."""

from alembic import op

from infra.postgres.sql_files import read_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables; raw SQL through the driver, because it contains colons and percent signs."""
    op.get_bind().connection.cursor().execute(read_sql("infra.migrations.sql", "0003_identity.sql"))


def downgrade() -> None:
    """Accounts are never erased by a migration."""
    raise RuntimeError("Accounts cannot be migrated down: nobody could sign in. Restore a backup instead.")
