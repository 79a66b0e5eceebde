"""PostgreSQL: the connection pool, the classification of its errors, and the SQL files; every Postgres adapter stands on it."""
