-- A page of the log for the relay. Positions are contiguous, so the page is a range; the reader sorts it, which is cheaper than here.
SELECT e.notification_id, 'event', e.originator_id, e.originator_version, e.topic, e.state
FROM {schema}.stored_events e WHERE e.notification_id > %(after)s::bigint AND e.notification_id <= %(after)s::bigint + %(limit)s::bigint
UNION ALL
SELECT r.position, 'rejection', r.aggregate_id, 0, r.command_id, r.state
FROM {schema}.rejections r WHERE r.position > %(after)s::bigint AND r.position <= %(after)s::bigint + %(limit)s::bigint
UNION ALL
SELECT d.position, 'dead_letter', coalesce(d.aggregate_id, ''), 0, coalesce(d.type_name, ''), ''::bytea
FROM {schema}.dead_letters d WHERE d.position > %(after)s::bigint AND d.position <= %(after)s::bigint + %(limit)s::bigint
