-- The recorded outcomes of many commands.
SELECT i.aggregate_id, i.command_id, i.outcome, i.code, i.version, i.position, i.payload_hash
FROM unnest(%(aggregates)s::text[], %(commands)s::text[]) AS c (aggregate_id, command_id)
JOIN {schema}.inbox i ON i.aggregate_id = c.aggregate_id AND i.command_id = c.command_id
