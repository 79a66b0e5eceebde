-- What became of each command of one aggregate, with the rejections.
SELECT i.command_id, i.outcome, i.code, i.version, i.position, i.recorded_at, r.state
FROM {schema}.inbox i
LEFT JOIN {schema}.rejections r ON r.position = i.position AND r.command_id = i.command_id
WHERE i.aggregate_id = %(id)s
ORDER BY i.recorded_at, i.position NULLS LAST, i.command_id
