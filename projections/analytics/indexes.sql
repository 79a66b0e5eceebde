-- What a rebuild makes after the rows are in: a tenant and a period. None covers what is counted: a status that is in no index is changed in
-- its page alone, and the rows of a period lie together, so counting reads their pages once.
CREATE INDEX ON {schema}.requests (tenant_id, created_at);
CREATE INDEX ON {schema}.tasks (tenant_id, queued_at);
CREATE INDEX ON {schema}.model_usage (tenant_id, at);
ALTER TABLE {schema}.model_usage ADD PRIMARY KEY (task_id, version);
