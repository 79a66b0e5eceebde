-- One order of a read model.
SELECT {columns} FROM mesh.rebuild_orders WHERE order_id = %(order_id)s::text AND projection = %(read_model)s::text
