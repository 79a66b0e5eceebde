-- Read model `agents`: one row an agent. Each row carries the version of the stream that it reflects. Its limit is called task_limit,
-- because limit is a word of SQL; whether the agent is busy is not stored, it follows from the read model `tasks`.
CREATE TABLE {schema}.agents (
    agent_id text PRIMARY KEY,
    tenant_id text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    capabilities jsonb NOT NULL,
    task_limit integer NOT NULL,
    status text NOT NULL,
    reason text,
    metadata jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);
