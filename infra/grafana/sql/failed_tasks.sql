-- Tasks that failed or were tried again, by error.
SELECT kind, coalesce(error_type, '-') AS error_type, count(*) AS tasks, max(attempt) AS attempts, max(completed_at) AS newest
FROM read_tasks.tasks
WHERE $__timeFilter(queued_at) AND tenant_id IN (${tenant:sqlstring}) AND (attempt > 1 OR error_type IS NOT NULL)
GROUP BY 1, 2 ORDER BY tasks DESC LIMIT 20
