-- How many tasks of each kind are where.
SELECT kind, status, count(*) AS tasks, count(*) FILTER (WHERE attempt > 1) AS retried, max(attempt) AS attempts,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) AS median, max(queued_at) AS newest
FROM read_tasks.tasks
WHERE $__timeFilter(queued_at) AND tenant_id IN (${tenant:sqlstring})
GROUP BY kind, status ORDER BY kind, tasks DESC
