"""Orders to rebuild a read model. Before deploy."""

from alembic import op

from infra.postgres.sql_files import read_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table; raw SQL through the driver, because it contains colons and percent signs."""
    op.get_bind().connection.cursor().execute(read_sql("infra.migrations.sql", "0006_rebuild_orders.sql"))


def downgrade() -> None:
    """What is lost are orders that nobody has carried out yet."""
    op.execute("DROP TABLE mesh.rebuild_orders")
