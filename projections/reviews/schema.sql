-- Read model `reviews`: one row a triaged request, with the tier of its customer that its last decision knew.
CREATE TABLE {schema}.reviews (
    request_id text PRIMARY KEY,
    tenant_id text NOT NULL,
    customer_tier text NOT NULL,
    status text NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);
