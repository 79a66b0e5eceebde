-- What a rebuild makes after the rows are in. One index for each list; ties of created_at are sorted by the reader.
CREATE INDEX ON {schema}.requests (tenant_id, created_at DESC);
CREATE INDEX ON {schema}.requests (tenant_id, customer_id, created_at DESC);
CREATE INDEX ON {schema}.requests (tenant_id, status, created_at DESC);
CREATE INDEX ON {schema}.requests (tenant_id, created_at DESC) WHERE escalated;
ALTER TABLE {schema}.request_history ADD PRIMARY KEY (request_id, version);
ALTER TABLE {schema}.request_decisions ADD PRIMARY KEY (request_id, version);
-- Asked by the monitor from time to time; few requests are open at a time, and this stays as small.
CREATE INDEX ON {schema}.requests (created_at) WHERE status IN ('pending', 'triaged', 'in_progress', 'awaiting_approval', 'approved');
