-- Only open requests are ever looked at: an idle mesh has few of them.
CREATE INDEX ON {schema}.reviews (request_id) INCLUDE (tenant_id, customer_tier) WHERE status = 'open';
