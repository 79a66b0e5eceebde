-- Says goodbye: nothing of these partitions is in work any more.
UPDATE {schema}.partition_owners p SET clean = true
FROM unnest(%(topics)s::text[], %(partitions)s::int[]) AS o (topic, partition)
WHERE p.consumer_group = %(group)s AND p.topic = o.topic AND p.partition = o.partition AND p.owner = %(owner)s
