-- What a rebuild makes after the rows are in. One index for each list; ties of created_at are sorted by the reader.
CREATE INDEX ON {schema}.requests (tenant_id, created_at DESC);
CREATE INDEX ON {schema}.requests (tenant_id, customer_id, created_at DESC);
CREATE INDEX ON {schema}.requests (tenant_id, status, created_at DESC);
CREATE INDEX ON {schema}.requests (tenant_id, created_at DESC) WHERE escalated;
ALTER TABLE {schema}.request_history ADD PRIMARY KEY (request_id, version);
ALTER TABLE {schema}.request_decisions ADD PRIMARY KEY (request_id, version);
