-- Read model `requests`: one row a request, one row an event of its history, one row a decision. Each row carries the version of the stream
-- that it reflects. financial_impact is what was asked about or approved, approval_threshold what it was compared with;
-- reason is why the request was rejected, given up or deleted.
CREATE TABLE {schema}.requests (
    request_id text PRIMARY KEY,
    tenant_id text NOT NULL,
    customer_id text NOT NULL,
    thread_id text NOT NULL,
    message text NOT NULL,
    priority smallint NOT NULL,
    category text,
    status text NOT NULL,
    confidence double precision,
    escalated boolean NOT NULL DEFAULT false,
    financial_impact jsonb,
    approval_threshold jsonb,
    approved_by text,
    resolution text,
    reason text,
    metadata jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    completed_at timestamptz,
    version bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);

-- data is json, not jsonb: it is shown as it was stored, and nobody searches in it.
CREATE TABLE {schema}.request_history (
    request_id text NOT NULL,
    version bigint NOT NULL,
    tenant_id text NOT NULL,
    position bigint NOT NULL,
    event_id text NOT NULL,
    event_type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    auth_type text NOT NULL,
    auth_id text NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    data json NOT NULL
);

-- decision_id is the id of the event that records the decision; the outcome of an escalation is its reasons, separated by commas.
CREATE TABLE {schema}.request_decisions (
    request_id text NOT NULL,
    version bigint NOT NULL,
    tenant_id text NOT NULL,
    position bigint NOT NULL,
    decision_id text NOT NULL,
    kind text NOT NULL,
    outcome text NOT NULL,
    confidence double precision,
    reason text,
    decided_by text,
    decided_at timestamptz NOT NULL
);
