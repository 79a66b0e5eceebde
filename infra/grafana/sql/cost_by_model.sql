-- What each kind of agent used of each model.
SELECT model, kind, sum(calls) AS calls, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, sum(cost::numeric) AS cost
FROM read_analytics.model_usage
WHERE $__timeFilter(at) AND tenant_id IN (${tenant:sqlstring})
GROUP BY model, kind ORDER BY cost DESC, calls DESC
