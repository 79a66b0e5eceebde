-- What a rebuild makes after the rows are in. One index for each list; ties of requested_at are sorted by the reader.
CREATE INDEX ON {schema}.approvals (tenant_id, requested_at DESC);
CREATE INDEX ON {schema}.approvals (tenant_id, status, requested_at DESC);
-- Asked by the monitor from time to time: what waits for a person, of all tenants.
CREATE INDEX ON {schema}.approvals (requested_at) WHERE status = 'waiting';
