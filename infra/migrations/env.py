"""Alembic's entry point: runs the revisions on the connection that `infra.migrations.runner` hands in."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="schema_version", version_table_schema="public", transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
