-- A page of the log, events only; the first column is the head of the log in the same snapshot. One row at least.
SELECT h.position, e.notification_id, e.originator_id, e.originator_version, e.topic, e.state
FROM {schema}.log_head h
LEFT JOIN {schema}.stored_events e ON e.notification_id > %(after)s::bigint AND e.notification_id <= %(after)s::bigint + %(limit)s::bigint
ORDER BY e.notification_id
