-- Read model `analytics`: rows that are counted, narrow so that counting reads few pages; they lie in the order of their time. Each row
-- carries the version of the stream that it reflects. ended_at is when a request came to a final status, or a task to its end.
CREATE TABLE {schema}.requests (
    request_id text PRIMARY KEY,
    tenant_id text NOT NULL,
    status text NOT NULL,
    category text,
    escalated boolean NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    version bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE {schema}.tasks (
    task_id text PRIMARY KEY,
    tenant_id text NOT NULL,
    kind text NOT NULL,
    outcome text,
    attempts integer NOT NULL,
    duration_ms bigint,
    queued_at timestamptz NOT NULL,
    ended_at timestamptz,
    version bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);

-- One row an attempt that told what it used.
CREATE TABLE {schema}.model_usage (
    task_id text NOT NULL,
    version bigint NOT NULL,
    tenant_id text NOT NULL,
    kind text NOT NULL,
    model text NOT NULL,
    calls bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost text NOT NULL,
    at timestamptz NOT NULL,
    position bigint NOT NULL
);
