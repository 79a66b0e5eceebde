-- Read model `tenants`: one row a tenant that was created, with every setting. Each row carries the version of the stream that it reflects.
-- A tenant that nobody created has the defaults of contracts/tenants/values.py and no row.
CREATE TABLE {schema}.tenants (
    tenant_id text PRIMARY KEY,
    name text NOT NULL,
    approval_threshold jsonb NOT NULL,
    approval_time_limit_hours integer NOT NULL,
    four_eyes boolean NOT NULL,
    approvers jsonb NOT NULL,
    requests_per_minute integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);
