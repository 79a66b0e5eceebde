-- Tasks by what they cost.
SELECT task_id, subject_id, tenant_id, kind, model, input_tokens, output_tokens, cost::numeric AS cost, attempt, status
FROM read_tasks.tasks
WHERE $__timeFilter(queued_at) AND tenant_id IN (${tenant:sqlstring}) AND cost IS NOT NULL
ORDER BY cost::numeric DESC LIMIT 20
