-- Whether an order of these read models is not over.
SELECT 1 FROM mesh.rebuild_orders WHERE state IN ('waiting', 'running') AND projection = ANY (%(read_models)s::text[]) LIMIT 1
