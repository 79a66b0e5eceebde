-- The events above a version, the known commands and the parked marks of many aggregates, in one query.
SELECT 'event' AS kind, e.originator_id, e.originator_version, e.notification_id, e.topic, e.state, NULL::text, NULL::text
FROM unnest(%(ids)s, %(versions)s) AS a (id, version)
JOIN {schema}.stored_events e ON e.originator_id = a.id AND e.originator_version > a.version
UNION ALL
SELECT 'known', i.aggregate_id, i.version, i.position, i.command_id, i.payload_hash, i.outcome, i.code
FROM unnest(%(command_aggregates)s, %(command_ids)s) AS c (id, command_id)
JOIN {schema}.inbox i ON i.aggregate_id = c.id AND i.command_id = c.command_id
UNION ALL
SELECT 'parked', a.id, NULL::bigint, NULL::bigint, NULL::text, NULL::bytea, NULL::text, NULL::text
FROM unnest(%(ids)s) AS a (id)
WHERE EXISTS (SELECT 1 FROM {schema}.dead_letters d WHERE d.aggregate_id = a.id AND d.status IN ('parked', 'requeued'))
