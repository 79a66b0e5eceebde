-- Parked events of a read model by a filter; a null parameter does not filter.
SELECT context, position, aggregate_id, type_name, cause, error_type, error_message, attempts, status, parked_at, sequence, state, stack
FROM mesh.parked_events
WHERE projection = %(projection)s AND context = %(context)s AND position > %(after)s
  AND (%(through)s::bigint IS NULL OR position <= %(through)s::bigint)
  AND (%(aggregate_id)s::text IS NULL OR aggregate_id = %(aggregate_id)s::text)
  AND (%(position)s::bigint IS NULL OR position = %(position)s::bigint)
  AND (%(error_type)s::text IS NULL OR error_type = %(error_type)s::text)
  AND (%(statuses)s::text[] IS NULL OR status = ANY (%(statuses)s::text[]))
ORDER BY position
LIMIT %(limit)s::bigint
