-- One aggregate's events above a version, in order.
SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state
FROM {schema}.stored_events e WHERE e.originator_id = %(id)s AND e.originator_version > %(after)s::bigint
ORDER BY e.originator_version
