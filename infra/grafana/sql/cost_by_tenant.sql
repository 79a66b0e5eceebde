-- What was used for each tenant.
SELECT tenant_id, sum(calls) AS calls, sum(input_tokens + output_tokens) AS tokens, sum(cost::numeric) AS cost
FROM read_analytics.model_usage
WHERE $__timeFilter(at) AND tenant_id IN (${tenant:sqlstring})
GROUP BY tenant_id ORDER BY cost DESC LIMIT 20
