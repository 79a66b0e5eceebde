-- What a rebuild makes after the rows are in. One index for each list; ties of created_at are sorted by the reader.
CREATE INDEX ON {schema}.agents (tenant_id, created_at DESC);
CREATE INDEX ON {schema}.agents (tenant_id, kind, created_at DESC);
CREATE INDEX ON {schema}.agents (tenant_id, status, created_at DESC);
-- Who has a capability, by its name.
CREATE INDEX ON {schema}.agents USING gin (capabilities jsonb_path_ops);
