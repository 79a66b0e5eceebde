"""The role of operators who look at the fleet from Grafana: read-only, every tenant, no texts and no personal data. Before deploy."""

from alembic import op

from infra.postgres.sql_files import read_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create role and functions; tables that are there already are opened to it by `agentmesh migrate`, each read model for itself."""
    op.get_bind().connection.cursor().execute(read_sql("infra.migrations.sql", "0005_observer.sql"))


def downgrade() -> None:
    """The role is of the whole cluster, and whoever signs in with it is not ours to shut out."""
    raise RuntimeError("The observer cannot be migrated down. To shut it out: REVOKE agentmesh_observer FROM the logins that have it.")
