-- Read model `approvals`: one row a request that was asked about, with its last approval; asking anew replaces the row, earlier decisions
-- stay readable in `requests`. Each row carries the version of the stream that it reflects.
-- reasons and escalation_reasons are those for which it was asked; message, category, priority and financial_impact follow later changes of
-- the request, because they are what a person approves.
-- decision is approved, rejected or expired; over_at is when the approval was not wanted any more. A decision stands, whatever ends the
-- request afterwards, so status follows from both.
CREATE TABLE {schema}.approvals (
    request_id text PRIMARY KEY,
    tenant_id text NOT NULL,
    customer_id text NOT NULL,
    customer_tier text NOT NULL,
    message text NOT NULL,
    category text,
    priority smallint NOT NULL,
    reasons jsonb NOT NULL,
    escalation_reasons jsonb NOT NULL,
    financial_impact jsonb,
    approval_threshold jsonb NOT NULL,
    four_eyes boolean NOT NULL,
    approvers jsonb NOT NULL,
    findings jsonb NOT NULL,
    delegated_to text,
    delegated_by text,
    question text,
    asked_by text,
    answer text,
    answered_by text,
    requested_at timestamptz NOT NULL,
    remind_at timestamptz NOT NULL,
    escalate_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    reminded_at timestamptz,
    escalated_at timestamptz,
    decision text,
    decided_by text,
    decided_at timestamptz,
    reason text,
    over_at timestamptz,
    status text GENERATED ALWAYS AS (coalesce(decision, CASE WHEN over_at IS NULL THEN 'waiting' ELSE 'obsolete' END)) STORED,
    version bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);
