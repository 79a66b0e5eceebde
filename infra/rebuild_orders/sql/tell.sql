-- Notes how far an order is, while it is this worker's.
UPDATE mesh.rebuild_orders SET done = %(done)s::bigint, total = %(total)s::bigint, events = %(events)s::bigint
WHERE order_id = %(order_id)s::text AND taken_by = %(worker)s::text AND state = 'running'
