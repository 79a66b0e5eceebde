-- Places an order, unless the key stands for one already; where one of the read model waits or runs, that one is the order, and the key
-- stands for it from now on. No row: there is no such read model.
WITH known AS (
    SELECT {columns} FROM mesh.rebuild_orders
    WHERE %(key)s::text IS NOT NULL AND keys @> ARRAY[%(key)s::text] AND projection = %(read_model)s::text
), placed AS (
    INSERT INTO mesh.rebuild_orders AS o (order_id, projection, state, tenant_id, ordered_by, keys)
    SELECT %(order_id)s::text, projection, 'waiting', %(tenant_id)s::text, %(ordered_by)s::text,
           array_remove(ARRAY[%(key)s::text], NULL)
    FROM mesh.read_models WHERE projection = %(read_model)s::text AND NOT EXISTS (SELECT FROM known)
    ON CONFLICT (projection) WHERE state IN ('waiting', 'running')
    -- An order has room for as many keys; beyond, a key stands for what its repeat finds.
    DO UPDATE SET keys = CASE WHEN cardinality(o.keys) < 1000 THEN o.keys || excluded.keys ELSE o.keys END
    RETURNING {columns}
)
SELECT * FROM known UNION ALL SELECT * FROM placed LIMIT 1
