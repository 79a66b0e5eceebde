-- Takes partitions over; answers those whose last owner did not say goodbye.
WITH taken AS (
    SELECT o.topic, o.partition FROM unnest(%(topics)s::text[], %(partitions)s::int[]) AS o (topic, partition)
), before AS (
    SELECT p.topic, p.partition FROM {schema}.partition_owners p JOIN taken t USING (topic, partition)
    WHERE p.consumer_group = %(group)s AND NOT p.clean AND p.owner <> %(owner)s
), upserted AS (
    INSERT INTO {schema}.partition_owners AS p (consumer_group, topic, partition, owner, clean)
    SELECT %(group)s, t.topic, t.partition, %(owner)s, false FROM taken t
    ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET owner = excluded.owner, clean = false
)
SELECT topic, partition FROM before
