-- The last position at which an event of a read model is parked.
SELECT coalesce(max(position), 0) FROM mesh.parked_events WHERE projection = %(projection)s AND context = %(context)s
