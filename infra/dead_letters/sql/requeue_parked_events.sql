-- Marks parked events of a read model to be applied again; answers their positions.
UPDATE mesh.parked_events SET status = 'requeued'
WHERE projection = %(projection)s AND context = %(context)s AND position = ANY (%(positions)s::bigint[]) AND status = 'parked'
RETURNING position
