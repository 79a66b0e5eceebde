-- Read model `request_reference`: what decisions on requests need of other contexts. One row a customer, one row a tenant.
CREATE TABLE {schema}.customers (
    customer_id text PRIMARY KEY,
    tenant_id text NOT NULL,
    tier text NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);

-- The amount is decimal text, as it was set: numeric would write 250.00 as it likes.
CREATE TABLE {schema}.tenants (
    tenant_id text PRIMARY KEY,
    threshold_amount text NOT NULL,
    threshold_currency text NOT NULL,
    approval_time_limit_hours int NOT NULL,
    four_eyes boolean NOT NULL,
    approvers json NOT NULL,
    requests_per_minute int NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);
