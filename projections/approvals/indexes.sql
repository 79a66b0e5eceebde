-- What a rebuild makes after the rows are in. One index for each list; ties of requested_at are sorted by the reader.
CREATE INDEX ON {schema}.approvals (tenant_id, requested_at DESC);
CREATE INDEX ON {schema}.approvals (tenant_id, status, requested_at DESC);
