-- Dead letters by a filter; a null parameter does not filter.
SELECT position, aggregate_id, command_id, type_name, topic, partition, record_offset, record_timestamp, record_key, record_value,
       record_headers, consumer_group, cause, error_type, error_message, stack, attempts, handler_version, first_failed_at, status,
       marked_by, marked_reason
FROM {schema}.dead_letters d
WHERE (%(after)s::bigint IS NULL OR d.position > %(after)s::bigint)
  AND (%(through)s::bigint IS NULL OR d.position <= %(through)s::bigint)
  AND (%(aggregate_id)s::text IS NULL OR d.aggregate_id = %(aggregate_id)s::text)
  AND (%(position)s::bigint IS NULL OR d.position = %(position)s::bigint)
  AND (%(error_type)s::text IS NULL OR d.error_type = %(error_type)s::text)
  AND (%(statuses)s::text[] IS NULL OR d.status = ANY (%(statuses)s::text[]))
ORDER BY d.position
LIMIT %(limit)s::bigint
