-- Read model `customers`: one row a customer that was registered. Each row carries the version of the stream that it reflects.
CREATE TABLE {schema}.customers (
    customer_id text PRIMARY KEY,
    tenant_id text NOT NULL,
    tier text NOT NULL,
    name text,
    email text,
    phone text,
    registered_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);
