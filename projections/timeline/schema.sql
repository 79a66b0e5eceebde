-- Read model `timeline`: one row an event of requests and tasks, inserted once. `request_id` is what a task is about; where that is no request
-- nobody asks for it. `what` is the gist of the event in words, `by` its actor, `trace_id` its trace where that is recorded. Each row carries its own version of its stream; there is no
-- order across contexts but that of time.
CREATE TABLE {schema}.timeline (
    stream_id text NOT NULL,
    context text NOT NULL,
    version bigint NOT NULL,
    tenant_id text NOT NULL,
    position bigint NOT NULL,
    request_id text NOT NULL,
    at timestamptz NOT NULL,
    event text NOT NULL,
    task_type text,
    attempt integer,
    agent_id text,
    by text NOT NULL,
    outcome text,
    what text,
    duration_ms bigint,
    model text,
    input_tokens bigint,
    output_tokens bigint,
    cost text,
    trace_id text
);
