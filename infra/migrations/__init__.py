"""Schema migrations: numbered, written in SQL, applied by `agentmesh migrate`, and checked by every worker when it starts."""
