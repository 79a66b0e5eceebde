-- What a rebuild makes after the rows are in. One index for each list; ties of queued_at are sorted by the reader.
CREATE INDEX ON {schema}.tasks (tenant_id, queued_at DESC);
CREATE INDEX ON {schema}.tasks (tenant_id, status, queued_at DESC);
CREATE INDEX ON {schema}.tasks (tenant_id, subject_id, queued_at DESC);
CREATE INDEX ON {schema}.tasks (tenant_id, agent_id, queued_at DESC);
-- Few tasks are open at a time, however many an agent or a kind has had: these two stay small.
CREATE INDEX ON {schema}.tasks (tenant_id, agent_id) WHERE status IN ('assigned', 'running');
CREATE INDEX ON {schema}.tasks (tenant_id, kind, queued_at) WHERE status = 'queued';
-- Asked by the scheduler from time to time; there are hardly ever any.
CREATE INDEX ON {schema}.tasks (task_id) WHERE status = 'paused';
-- Asked by the monitor from time to time: tasks of all tenants that nobody has started.
CREATE INDEX ON {schema}.tasks (queued_at) WHERE status IN ('queued', 'assigned');
