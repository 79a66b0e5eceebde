-- Read model `tasks`: one row a task, which carries the version of the stream that it reflects. queued_at is when the task was asked for;
-- agent_id, assigned_at, started_at and deadline_at are of the current attempt, or of the one that ended the task; reason and error_type
-- of the last attempt that ended. model, tokens and cost are what the last attempt that told its usage used; cost is a decimal text, in
-- US dollars.
CREATE TABLE {schema}.tasks (
    task_id text PRIMARY KEY,
    tenant_id text NOT NULL,
    task_type text NOT NULL,
    kind text NOT NULL,
    subject_id text NOT NULL,
    status text NOT NULL,
    outcome text,
    reason text,
    error_type text,
    priority smallint NOT NULL,
    agent_id text,
    attempt integer NOT NULL,
    max_attempts integer NOT NULL,
    queued_at timestamptz NOT NULL,
    assigned_at timestamptz,
    started_at timestamptz,
    completed_at timestamptz,
    deadline_at timestamptz,
    duration_ms bigint,
    model text,
    input_tokens bigint,
    output_tokens bigint,
    cost text,
    version bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);
