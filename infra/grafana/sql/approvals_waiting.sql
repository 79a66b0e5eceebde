-- Approvals that wait for a person, oldest first.
SELECT request_id, tenant_id, customer_tier AS tier, category, priority, extract(epoch FROM now() - requested_at) AS waiting,
       extract(epoch FROM expires_at - now()) AS left
FROM read_approvals.approvals
WHERE status = 'waiting' AND tenant_id IN (${tenant:sqlstring})
ORDER BY requested_at LIMIT 50
