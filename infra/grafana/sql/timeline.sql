-- Every event of one request and of its tasks; of the newest request where none is given.
WITH chosen AS (
    SELECT coalesce(nullif(${request:sqlstring}, ''),
                    (SELECT request_id FROM read_analytics.requests ORDER BY created_at DESC LIMIT 1)) AS id
)
SELECT at, extract(epoch FROM at - lag(at) OVER (ORDER BY at, context, version)) AS since, context, event, task_type, attempt, agent_id,
       outcome, duration_ms, model, input_tokens + output_tokens AS tokens, cost
FROM read_timeline.timeline JOIN chosen ON request_id = chosen.id
ORDER BY at, context, version LIMIT 200
