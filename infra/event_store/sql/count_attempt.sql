-- Counts an attempt of one record; answers how many there have been. It need not survive a crash of the database, only one of the worker.
WITH fast AS (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO {schema}.attempts AS a (topic, partition, record_offset, attempts, last_error)
SELECT %(topic)s, %(partition)s, %(offset)s, %(first)s, %(error)s FROM fast
ON CONFLICT (topic, partition, record_offset) DO UPDATE SET attempts = a.attempts + 1, last_error = excluded.last_error
RETURNING attempts
