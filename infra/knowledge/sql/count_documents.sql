-- How much a tenant has.
SELECT count(*), coalesce(sum(passages), 0) FROM knowledge.documents WHERE tenant_id = %(tenant)s
