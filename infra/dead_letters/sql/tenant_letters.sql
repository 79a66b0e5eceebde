-- Dead letters by a filter whose value holds the bytes of a tenant's id: few more than are the tenant's, which the reader decides. With them
-- the first event of the aggregate, which says whose it is. A null parameter does not filter.
SELECT position, aggregate_id, command_id, type_name, d.topic, partition, record_offset, record_timestamp, record_key, record_value,
       record_headers, consumer_group, cause, error_type, error_message, stack, attempts, handler_version, first_failed_at, status,
       marked_by, marked_reason, e.topic, e.state
FROM {schema}.dead_letters d
LEFT JOIN {schema}.stored_events e ON e.originator_id = d.aggregate_id AND e.originator_version = 1
WHERE d.position > %(after)s AND cause <> 'undecodable' AND position(%(tenant)s::bytea IN d.record_value) > 0
  AND (%(through)s::bigint IS NULL OR d.position <= %(through)s::bigint)
  AND (%(aggregate_id)s::text IS NULL OR d.aggregate_id = %(aggregate_id)s::text)
  AND (%(positions)s::bigint[] IS NULL OR d.position = ANY (%(positions)s::bigint[]))
  AND (%(error_type)s::text IS NULL OR d.error_type = %(error_type)s::text)
  AND d.error_type <> ALL (%(but)s::text[])
  AND (%(statuses)s::text[] IS NULL OR d.status = ANY (%(statuses)s::text[]))
ORDER BY d.position
LIMIT %(limit)s::bigint
