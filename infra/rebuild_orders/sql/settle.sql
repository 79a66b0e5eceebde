-- Ends an order, or gives it back, while it is this worker's.
UPDATE mesh.rebuild_orders
SET state = %(state)s::text,
    finished_at = CASE WHEN %(state)s::text IN ('done', 'failed') THEN clock_timestamp() END,
    attempts = attempts - (NOT %(counted)s::boolean)::int,
    done = coalesce(%(done)s::bigint, done),
    total = coalesce(%(done)s::bigint, total),
    events = coalesce(%(events)s::bigint, events),
    failure = %(failure)s::text,
    message = %(message)s::text
WHERE order_id = %(order_id)s::text AND taken_by = %(worker)s::text AND state = 'running'
