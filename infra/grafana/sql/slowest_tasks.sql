-- Tasks by the time that they took, waiting and working apart.
SELECT task_id, subject_id, tenant_id, kind, status, agent_id, attempt,
       extract(epoch FROM assigned_at - queued_at) AS queued, extract(epoch FROM coalesce(completed_at, now()) - assigned_at) AS worked
FROM read_tasks.tasks
WHERE $__timeFilter(queued_at) AND tenant_id IN (${tenant:sqlstring})
ORDER BY coalesce(completed_at, now()) - queued_at DESC LIMIT 20
