-- Begins the oldest order that is not over, anew where it was begun before.
UPDATE mesh.rebuild_orders
SET state = 'running', attempts = attempts + 1, taken_by = %(worker)s::text, started_at = clock_timestamp(), done = 0, total = NULL, events = 0
WHERE order_id = (
    SELECT order_id FROM mesh.rebuild_orders
    WHERE state IN ('waiting', 'running') AND projection = ANY (%(read_models)s::text[])
    ORDER BY ordered_at LIMIT 1 FOR UPDATE
)
RETURNING {columns}
