-- How many requests are where.
SELECT status, count(*) AS requests, count(*) FILTER (WHERE escalated) AS escalated,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM coalesce(ended_at, now()) - created_at)) AS median
FROM read_analytics.requests
WHERE $__timeFilter(created_at) AND tenant_id IN (${tenant:sqlstring})
GROUP BY status ORDER BY requests DESC
