-- What a rebuild makes after the rows are in. One index for each list; ties of registered_at are sorted by the reader.
CREATE INDEX ON {schema}.customers (tenant_id, registered_at DESC);
CREATE INDEX ON {schema}.customers (tenant_id, tier, registered_at DESC);
