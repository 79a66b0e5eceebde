"""Real PostgreSQL, Kafka and Redis on this machine, without Docker: started from Python packages by the CLI and the tests."""
