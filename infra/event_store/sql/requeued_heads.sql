-- The requeued dead letters whose turn it is: the first waiting one of each aggregate, and undecodable ones, which block nobody.
SELECT d.position
FROM {schema}.dead_letters d
WHERE d.status = 'requeued' AND (d.aggregate_id IS NULL OR NOT EXISTS (
    SELECT 1 FROM {schema}.dead_letters b WHERE b.aggregate_id = d.aggregate_id AND b.status IN ('parked', 'requeued')
    AND b.position < d.position))
ORDER BY d.position LIMIT %(limit)s::bigint
