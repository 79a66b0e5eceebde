-- Forgets the attempts of records that are done.
DELETE FROM {schema}.attempts a USING unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[]) AS o (topic, partition, record_offset)
WHERE a.topic = o.topic AND a.partition = o.partition AND a.record_offset = o.record_offset
