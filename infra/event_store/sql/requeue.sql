-- Marks waiting dead letters for redrive; answers their positions.
UPDATE {schema}.dead_letters d SET status = 'requeued', marked_by = %(who)s, marked_reason = %(why)s, marked_at = now()
WHERE d.position = ANY (%(positions)s::bigint[]) AND d.status = 'parked'
RETURNING d.position
