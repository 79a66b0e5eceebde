-- The last order of each read model.
SELECT DISTINCT ON (projection) {columns} FROM mesh.rebuild_orders ORDER BY projection, ordered_at DESC
