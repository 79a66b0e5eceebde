-- Requests by the time that they took, unfinished ones up to now.
SELECT request_id, tenant_id, status, category, escalated, created_at,
       extract(epoch FROM coalesce(ended_at, now()) - created_at) AS seconds
FROM read_analytics.requests
WHERE $__timeFilter(created_at) AND tenant_id IN (${tenant:sqlstring})
ORDER BY seconds DESC LIMIT 20
